//! Files of requests: from wherever callers say that they are to files of ours.
//!
//! A file comes with the request, lies at an address or in a bucket, or was uploaded before. Whichever it is, it becomes a file that is
//! named after its content ([`crate::artifacts::Files`]), is judged by its bytes alone, and is known by its name, format
//! and size from then on. Only pictures are ever whole in memory, and they are capped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use comfyport_buckets::BucketError;
use comfyport_endpoint::{FaultKind, MediaKind, MediaSource};
use comfyport_fetch::{Approved, Blame, Credentials, FetchError, Fetcher};
use comfyport_pictures::{Fault as PictureFault, Limits as PictureLimits, Wish};
use comfyport_store::Store;
use futures_util::{StreamExt, stream};
use tokio::sync::{OnceCell, Semaphore};
use uuid::Uuid;

use crate::{
    artifacts::{Files, ReceiveError, Received},
    media::{self, Format, HEAD, MediaFault, Workshop, moving},
    run::UrlTrouble,
    shelves::{self, Book, Shelves},
};

/// How large a file may be, by what it is, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// A picture, which is read whole.
    pub picture: u64,
    /// A film.
    pub video: u64,
    /// A sound.
    pub audio: u64,
    /// Anything else.
    pub other: u64,
}

/// What is taken in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of pictures.
    pub pictures: PictureLimits,
    /// Of films and sounds.
    pub moving: moving::Limits,
    /// Of any file.
    pub sizes: Sizes,
    /// How many files are fetched at the same time, for all callers together.
    pub fetches: usize,
    /// How long a file waits until fewer are fetched.
    pub patience: Duration,
}

/// How many files of one request are taken in at once.
const TOGETHER: usize = 4;

/// Takes files in.
#[derive(Debug)]
pub struct Intake {
    /// Nothing is fetched without it.
    fetcher: Option<Fetcher>,
    shelves: Arc<Shelves>,
    limits: Limits,
    places: Semaphore,
    workshop: Workshop,
}

/// What is to become of the files of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are kept, because it is to be run.
    Keep,
    /// They are looked at, as far as they are here.
    Look,
}

/// A file that a request wants to have taken in.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it must be.
    pub kind: MediaKind,
    /// Where it is.
    pub source: MediaSource,
    /// How it is to be changed, if it is a picture that may be; turned the right way in any case.
    pub wish: Option<Wish>,
}

/// A file of a request, found to be in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its name among our files, made from its content.
    pub name: Arc<str>,
    /// What it is.
    pub format: Format,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which answer it deserves.
    pub code: FaultKind,
    /// What is wrong, for the caller.
    pub message: String,
    /// Names that lead to the member of its value that is wrong; none if it is the file.
    pub member: Vec<String>,
    /// Whether it is its address that is wrong.
    pub url: Option<UrlTrouble>,
    /// Whether it is nobody's fault but ours: the files cannot be written or read.
    pub storage: bool,
}

/// What a file is before it is known whether it will do.
enum Found {
    Here(Bytes),
    /// Among our files.
    Kept {
        name: Arc<str>,
        size: u64,
        head: Vec<u8>,
    },
}

/// A file that was fetched, or why not.
type Fetched = Arc<OnceCell<Result<Arc<str>, Rejected>>>;

/// The files of one request, or of requests that belong together: each address is asked once.
#[derive(Debug)]
pub struct Session<'a> {
    intake: &'a Intake,
    files: &'a Files,
    store: &'a Store,
    owner: &'a str,
    purpose: Purpose,
    /// What the caller sends along to addresses that he names.
    credentials: Vec<Credentials>,
    fetched: Mutex<HashMap<(String, u64), Fetched>>,
}

impl Intake {
    /// Fetches with `fetcher`, if there is one, and from buckets as far as they are open.
    pub fn new(fetcher: Option<Fetcher>, shelves: Arc<Shelves>, limits: Limits, workshop: Workshop) -> Self {
        let places = Semaphore::new(limits.fetches);
        Self { fetcher, shelves, limits, places, workshop }
    }

    /// Who asks addresses that callers named, if anybody does.
    pub fn fetcher(&self) -> Option<&Fetcher> {
        self.fetcher.as_ref()
    }

    /// Where pictures are changed.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// What is taken in.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// For requests of one owner that belong together.
    pub fn session<'a>(
        &'a self,
        files: &'a Files,
        store: &'a Store,
        owner: &'a str,
        purpose: Purpose,
    ) -> Session<'a> {
        let (credentials, fetched) = (Vec::new(), Mutex::default());
        Session { intake: self, files, store, owner, purpose, credentials, fetched }
    }

    /// Looks at a file of ours again; `None` if it is not there.
    pub async fn reread(
        &self,
        files: &Files,
        kind: MediaKind,
        name: &str,
    ) -> Option<Result<Taken, Rejected>> {
        match kept(files, name).await {
            // What was wished for was done before it was kept.
            Ok(found) => Some(self.admit(files, kind, found?, None, Purpose::Keep).await),
            Err(rejected) => Some(Err(rejected)),
        }
    }

    /// Judges a file by its bytes, and keeps it.
    async fn admit(
        &self,
        files: &Files,
        kind: MediaKind,
        mut found: Found,
        wish: Option<&Wish>,
        purpose: Purpose,
    ) -> Result<Taken, Rejected> {
        let (head, mut size) = match &found {
            Found::Here(data) => (&data[..data.len().min(HEAD)], data.len() as u64),
            Found::Kept { head, size, .. } => (&head[..], *size),
        };
        let mut format = media::sniff(kind, head)?;
        let largest = self.limits.sizes.of(format);
        if size > largest {
            return Err(Rejected::too_large(largest));
        }
        if format.is_picture() {
            let data = match &found {
                Found::Here(data) => data.clone(),
                Found::Kept { name, .. } => whole(files, name).await?,
            };
            media::check_picture(kind, &data, &self.limits.pictures)?;
            // All of a picture is here, and nothing of it is kept yet: what is kept is what comes of it.
            if let Some(wish) = wish
                && let Some(made) = self.workshop.shape(data, wish).await.map_err(MediaFault::from)?
            {
                format = Format::Png;
                size = made.data.len() as u64;
                found = Found::Here(made.data.into());
            }
        } else if let Found::Here(data) = &found {
            // Files of ours were looked at when they came.
            let facts = moving::look(format, moving::Place::Here(data.clone())).await;
            moving::check(&facts, &self.limits.moving)?;
        }
        let name = match found {
            Found::Kept { name, .. } => name,
            Found::Here(_) if purpose == Purpose::Look => Arc::from(""),
            Found::Here(data) => {
                files.keep_bytes(data, format.extension()).await.map_err(Rejected::storage)?
            }
        };
        Ok(Taken { name, format, size })
    }
}

impl Sizes {
    /// Of a file of this format.
    pub fn of(&self, format: Format) -> u64 {
        match format {
            picture if picture.is_picture() => self.picture,
            film if film.is_film() => self.video,
            sound if sound.is_sound() => self.audio,
            _ => self.other,
        }
    }

    /// Of anything that a parameter of this kind takes.
    fn largest(&self, kind: MediaKind) -> u64 {
        match kind {
            MediaKind::Image | MediaKind::Mask => self.picture,
            MediaKind::Video => self.video.max(self.picture),
            MediaKind::Audio => self.audio.max(self.video),
            MediaKind::Model3d => self.other,
            MediaKind::File => self.any(),
        }
    }

    /// Of anything at all.
    pub fn any(&self) -> u64 {
        self.picture.max(self.video).max(self.audio).max(self.other)
    }
}

impl<'a> Session<'a> {
    /// The same, but that nothing is kept and nobody is asked for a file.
    #[must_use]
    pub fn looking(&self) -> Session<'a> {
        let (credentials, fetched) = (Vec::new(), Mutex::default());
        Session { purpose: Purpose::Look, credentials, fetched, ..*self }
    }

    /// The same, with what the caller sends along to addresses that he names. Nothing of it is kept.
    #[must_use]
    pub fn with(self, credentials: Vec<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    /// Takes all files of a request, or says of each what is wrong with it. Nothing is said of files that were not looked
    /// at.
    pub async fn take(&self, wanted: Vec<Wanted>) -> Vec<Option<Result<Taken, Rejected>>> {
        stream::iter(wanted).map(|wanted| self.one(wanted)).buffered(TOGETHER).collect().await
    }

    async fn one(&self, wanted: Wanted) -> Option<Result<Taken, Rejected>> {
        let found = match wanted.source {
            MediaSource::Bytes { data, .. } => Ok(Found::Here(data)),
            MediaSource::Upload(reference) => self.uploaded(&reference).await,
            MediaSource::Url(address) => match self.at(&address, wanted.kind).await {
                Ok(Some(found)) => Ok(found),
                Ok(None) => return None,
                Err(rejected) => Err(rejected),
            },
        };
        Some(match found {
            Ok(found) => {
                let wish = wanted.wish.as_ref();
                self.intake.admit(self.files, wanted.kind, found, wish, self.purpose).await
            }
            Err(rejected) => Err(rejected),
        })
    }

    /// A file that the same owner uploaded. Somebody else's is none.
    async fn uploaded(&self, reference: &str) -> Result<Found, Rejected> {
        let unknown = || {
            Rejected::of("there is no such upload, or it has expired; POST /uploads answers with a reference")
        };
        let id = Uuid::try_parse(reference).map_err(|_| unknown())?;
        let known = self.store.upload(id, self.owner.to_owned()).await.map_err(Rejected::storage)?;
        kept(self.files, &known.ok_or_else(unknown)?.upload.file).await?.ok_or_else(unknown)
    }

    /// A file at an address; nothing if it is only to be looked at.
    async fn at(&self, address: &str, kind: MediaKind) -> Result<Option<Found>, Rejected> {
        let place = self.place(address)?;
        if self.purpose == Purpose::Look {
            return Ok(None);
        }
        let largest = self.intake.limits.sizes.largest(kind);
        let key = (place.address(address), largest);
        let cell =
            Arc::clone(self.fetched.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let fetch = || async {
            let _place = tokio::time::timeout(self.intake.limits.patience, self.intake.places.acquire())
                .await
                .map_err(|_| Rejected::crowded())?;
            let received = self.receive(&place, largest).await?;
            // What nobody takes is not kept.
            let format = media::sniff(kind, &received.head)?;
            let facts = moving::look(format, received.place()).await;
            moving::check(&facts, &self.intake.limits.moving)?;
            self.files.keep(received, format.extension()).await.map_err(Rejected::storage)
        };
        let name = cell.get_or_init(fetch).await.clone()?;
        kept(self.files, &name).await
    }

    /// Judges an address without asking anybody.
    fn place(&self, address: &str) -> Result<Place<'a>, Rejected> {
        if shelves::is_address(address) {
            let book = self.intake.shelves.book(address, self.owner);
            return book.map(Place::Bucket).ok_or_else(Rejected::closed);
        }
        let fetcher = self.intake.fetcher.as_ref().ok_or_else(Rejected::off)?;
        let approved = fetcher.judge(address).map_err(|error| Rejected::fetch(&error))?;
        Ok(Place::Web(fetcher, approved))
    }

    async fn receive(&self, place: &Place<'_>, largest: u64) -> Result<Received, Rejected> {
        match place {
            Place::Web(fetcher, address) => {
                let answer = fetcher
                    .open(address, largest, &self.credentials)
                    .await
                    .map_err(|error| Rejected::fetch(&error))?;
                let received = self.files.receive(answer.into_stream(), largest).await;
                received.map_err(|error| Rejected::receive(error, Rejected::fetch))
            }
            Place::Bucket(book) => {
                let read = async {
                    let (size, data) = book.open().await.map_err(|error| Rejected::bucket(&error))?;
                    if size > largest {
                        return Err(Rejected::too_large(largest));
                    }
                    let received = self.files.receive(data, largest).await;
                    received.map_err(|error| Rejected::receive(error, Rejected::bucket))
                };
                let patience = self.intake.limits.patience;
                tokio::time::timeout(patience, read).await.map_err(|_| Rejected::late(patience))?
            }
        }
    }
}

/// Where a file is that is not here yet.
enum Place<'a> {
    Web(&'a Fetcher, Approved),
    Bucket(Book),
}

impl Place<'_> {
    /// The same for every way to write it.
    fn address(&self, written: &str) -> String {
        match self {
            Self::Web(_, approved) => approved.url().as_str().to_owned(),
            Self::Bucket(_) => written.to_owned(),
        }
    }
}

/// A file of ours; `None` if it is not there.
async fn kept(files: &Files, name: &str) -> Result<Option<Found>, Rejected> {
    let Some(size) = files.renew(name).await.map_err(Rejected::storage)? else { return Ok(None) };
    let head = files.head(name).await.map_err(Rejected::storage)?;
    Ok(head.map(|head| Found::Kept { name: name.into(), size, head }))
}

async fn whole(files: &Files, name: &str) -> Result<Bytes, Rejected> {
    let data = files.get(name).await.map_err(Rejected::storage)?;
    data.ok_or_else(|| Rejected::of("the file is no longer kept"))
}

impl Rejected {
    fn of(message: impl Into<String>) -> Self {
        let member = Vec::new();
        Self { code: FaultKind::Invalid, message: message.into(), member, url: None, storage: false }
    }

    fn too_large(largest: u64) -> Self {
        Self { code: FaultKind::TooLarge, ..Self::of(format!("the file is larger than {largest} bytes")) }
    }

    fn off() -> Self {
        let message = "files are not fetched from addresses by this server; send the file itself, as a form part, \
                       base64 or a data URI, or upload it before";
        Self { url: Some(UrlTrouble::Off), ..Self::of(message) }
    }

    fn crowded() -> Self {
        let message = "too many files are being fetched at the moment; try again later";
        Self { url: Some(UrlTrouble::Unreachable), ..Self::of(message) }
    }

    fn fetch(error: &FetchError) -> Self {
        let code =
            if matches!(error, FetchError::TooLarge(_)) { FaultKind::TooLarge } else { FaultKind::Invalid };
        let url = match error.blame() {
            Blame::Forbidden => UrlTrouble::Forbidden,
            Blame::Address => UrlTrouble::Failed,
            Blame::Host | Blame::Here => UrlTrouble::Unreachable,
        };
        Self { code, url: Some(url), ..Self::of(error.to_string()) }
    }

    /// Whether there is such a bucket or not.
    fn closed() -> Self {
        let message = "the operator of this server lets nothing be read at this address";
        Self { url: Some(UrlTrouble::Forbidden), ..Self::of(message) }
    }

    fn late(patience: Duration) -> Self {
        Self::fetch(&FetchError::Late(patience.as_secs()))
    }

    /// What the other side said stays with us.
    fn bucket(error: &BucketError) -> Self {
        let (url, message) = match error {
            BucketError::Missing => (UrlTrouble::Failed, "there is no such file in the bucket"),
            BucketError::Denied => (UrlTrouble::Failed, "the bucket does not let this server read the file"),
            BucketError::Name(_) => return Self::closed(),
            BucketError::Settings(_) | BucketError::File(_) | BucketError::Failed(_) => {
                (UrlTrouble::Unreachable, "the bucket cannot be reached, or failed; try again later")
            }
        };
        if !matches!(error, BucketError::Missing) {
            tracing::warn!(%error, "a file of a request cannot be read from its bucket");
        }
        Self { url: Some(url), ..Self::of(message) }
    }

    fn receive<E>(error: ReceiveError<E>, of_sender: impl Fn(&E) -> Self) -> Self {
        match error {
            ReceiveError::Sender(error) => of_sender(&error),
            ReceiveError::TooLarge(largest) => Self::too_large(largest),
            ReceiveError::Io(error) => Self::storage(error),
        }
    }

    fn storage(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a file of a request cannot be stored or read");
        Self { storage: true, ..Self::of("the file cannot be stored at the moment") }
    }
}

impl From<MediaFault> for Rejected {
    fn from(fault: MediaFault) -> Self {
        let code = match fault {
            MediaFault::Unsupported { .. } | MediaFault::Foreign { .. } => FaultKind::Unsupported,
            MediaFault::Empty | MediaFault::TooLong { .. } | MediaFault::Picture(_) => FaultKind::Invalid,
        };
        if let MediaFault::Picture(PictureFault::Member(found)) = fault {
            return Self { member: found.member, ..Self::of(found.message) };
        }
        Self { code, ..Self::of(fault.to_string()) }
    }
}
