//! Where outputs are copied to, by setting or by wish of a caller, and buckets that files of requests may lie in.
//!
//! For outputs, callers name a bucket of the configuration, never an address or credentials. What they may say is a folder
//! within, and each owner has one of his own around it. For inputs they name addresses, of which those count that the
//! operator opened. Callers of other APIs may have outputs sent to an address, which is judged as those are that files
//! are fetched from; nothing of ours goes along but the file.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use comfyport_buckets::{Bucket, BucketError};
use comfyport_fetch::{Blame, FetchError, Fetcher, Refusal};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::{
    artifacts::{Artifact, hex},
    config::BucketTable,
    jobs::body::time,
};

/// The longest folder that a caller may name, in bytes.
const LONGEST: usize = 200;

/// Where a caller wants to have outputs copied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The name of a bucket of the configuration.
    pub bucket: String,
    /// A folder in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

impl Wish {
    /// Reads `"name"` or `{"bucket": "name", "prefix": "folder"}`.
    pub fn read(value: &serde_json::Value, known: &[String]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            bucket: String,
            #[serde(default)]
            prefix: String,
        }
        let shape = "must be the name of a bucket, or an object with `bucket` and perhaps `prefix`";
        let wish = if let Some(name) = value.as_str() {
            Self { bucket: name.to_owned(), prefix: String::new() }
        } else {
            let whole = Whole::deserialize(value).map_err(|_| shape.to_owned())?;
            Self { bucket: whole.bucket, prefix: whole.prefix.trim_matches('/').to_owned() }
        };
        if !known.contains(&wish.bucket) {
            return Err(match known {
                [] => "there are no buckets here: the operator names them in the configuration".to_owned(),
                _ => format!("there is no such bucket; there are {}", known.join(", ")),
            });
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
        if wish.prefix.len() > LONGEST || !(wish.prefix.is_empty() || wish.prefix.split('/').all(part)) {
            return Err(format!(
                "`prefix` must be at most {LONGEST} letters, digits and `-_.` between slashes, no part beginning with a dot"
            ));
        }
        Ok(wish)
    }
}

/// An output in a bucket.
#[derive(Debug, Clone, Serialize)]
pub struct Stored {
    /// Its address there, such as `s3://bucket/folder/image.png`.
    pub url: String,
    /// An address at which anybody can read it for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_expires_at: Option<String>,
}

/// A bucket, and what callers may read of it.
#[derive(Debug)]
struct Open {
    bucket: Bucket,
    /// Folders, each with a slash behind it; a lone `*` is all of it.
    readable: Vec<String>,
}

/// A file in a bucket that a caller may read.
#[derive(Debug, Clone)]
pub struct Book {
    bucket: Bucket,
    name: String,
}

impl Book {
    /// Its size in bytes, and its bytes as they come.
    pub async fn open(&self) -> Result<(u64, BoxStream<'static, Result<Bytes, BucketError>>), BucketError> {
        self.bucket.get(&self.name).await
    }
}

/// Stands for the folder of whoever asks.
const OWNER: &str = "{owner}";

/// Whether something is the address of a file in a bucket, whether that may be read or not.
pub fn is_address(text: &str) -> bool {
    ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme))
}

/// The buckets of the configuration.
#[derive(Debug, Default)]
pub struct Shelves {
    buckets: BTreeMap<String, Open>,
    /// Where outputs go that nobody says anything about.
    usual: Option<String>,
    lifetime: Duration,
}

impl Shelves {
    /// Asks nothing of the other side yet.
    pub fn open(tables: &[BucketTable], usual: &str, lifetime: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(comfyport_comfyui::tls())
            .hickory_dns(true)
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| error.to_string())?;
        let mut buckets = BTreeMap::new();
        for table in tables {
            let options = table.options.iter().map(|(key, value)| (key.clone(), value.expose().to_owned()));
            let bucket = Bucket::open(&table.url, &options.collect(), client.clone())
                .map_err(|error| format!("the bucket `{}`: {error}", table.name))?;
            let readable =
                readable(table).map_err(|error| format!("the bucket `{}`: {error}", table.name))?;
            let open = Open { bucket, readable };
            if table.name.is_empty() || buckets.insert(table.name.clone(), open).is_some() {
                return Err(format!("two buckets are called `{}`, or one is called nothing", table.name));
            }
        }
        let usual = Some(usual.to_owned()).filter(|usual| !usual.is_empty());
        if let Some(missing) = usual.as_ref().filter(|usual| !buckets.contains_key(*usual)) {
            return Err(format!("`artifacts.bucket` is `{missing}`, and no `[[bucket]]` is called that"));
        }
        Ok(Self { buckets, usual, lifetime })
    }

    /// The buckets, in the order of their names.
    pub fn buckets(&self) -> Vec<Bucket> {
        self.buckets.values().map(|open| open.bucket.clone()).collect()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.buckets.keys().cloned().collect()
    }

    /// Where the outputs of a job go, if anywhere. A bucket that is not there any more takes nothing.
    pub fn shelf(&self, wish: Option<&Wish>, owner: &str, job: Uuid) -> Option<Shelf<'_>> {
        let name = wish.map(|wish| &wish.bucket).or(self.usual.as_ref())?;
        let bucket = &self.buckets.get(name)?.bucket;
        let owner = folder_of(owner);
        let prefix = wish.map_or("", |wish| &wish.prefix);
        let job = job.to_string();
        let parts = [owner.as_str(), prefix, job.as_str()];
        let folder = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Some(Shelf::Bucket { bucket, folder, lifetime: self.lifetime })
    }
}

impl Shelves {
    /// The file at an address such as `s3://bucket/folder/a.png`, if this caller may read it. What lies in a bucket that is
    /// not open looks like what lies in none.
    pub fn book(&self, address: &str, owner: &str) -> Option<Book> {
        let owner = folder_of(owner);
        self.buckets.values().find_map(|open| {
            let name = open.bucket.name_of(address)?;
            // Nothing that leads out of its folder has an address.
            open.bucket.url(name).ok()?;
            let is_open = |folder: &String| folder == "*" || name.starts_with(&within(folder, &owner));
            let book = || Book { bucket: open.bucket.clone(), name: name.to_owned() };
            open.readable.iter().any(is_open).then(book)
        })
    }
}

/// What of a bucket is open to callers.
fn readable(table: &BucketTable) -> Result<Vec<String>, String> {
    match (table.read, table.read_prefixes.as_slice()) {
        (false, []) => return Ok(Vec::new()),
        (false, _) => return Err("`read_prefixes` open nothing without `read = true`".to_owned()),
        (true, []) => {
            return Err(format!(
                "`read_prefixes` must say what callers may read of it: [\"inputs/\"], [\"{OWNER}/\"] for the folder of each, or \
                 [\"*\"] for all of it, outputs of others included"
            ));
        }
        (true, _) => {}
    }
    let folder = |text: &String| match text.trim_matches('/') {
        "*" => Ok("*".to_owned()),
        "" => Err("`read_prefixes` has an empty one; [\"*\"] opens all of it".to_owned()),
        starred if starred.contains('*') => {
            Err(format!("`read_prefixes` has {text:?}: folders such as \"inputs/\" are expected"))
        }
        folder => Ok(format!("{folder}/")),
    };
    table.read_prefixes.iter().map(folder).collect()
}

/// A folder for whoever asks. Without keys nobody has one of his own.
fn within(folder: &str, owner: &str) -> String {
    let folder = folder.replace(OWNER, owner);
    folder.trim_start_matches('/').to_owned()
}

/// The folder of an owner. Names that would not do as one are told apart by their hash.
fn folder_of(owner: &str) -> String {
    let plain: String = owner
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() || "-_".contains(one) { one } else { '_' })
        .collect();
    if plain == owner {
        return plain;
    }
    let hash: String = hex(&Sha256::digest(owner)).chars().take(16).collect();
    format!("{plain}-{hash}")
}

/// The place of one job's outputs.
#[derive(Debug)]
pub enum Shelf<'s> {
    /// A folder of a bucket.
    Bucket {
        /// The bucket.
        bucket: &'s Bucket,
        /// The folder.
        folder: String,
        /// How long links live.
        lifetime: Duration,
    },
    /// Addresses that begin alike.
    Address {
        /// Who may ask addresses that callers named; nobody, if that was turned off meanwhile.
        fetcher: Option<&'s Fetcher>,
        /// The beginning of the addresses.
        prefix: &'s str,
    },
}

/// Why an output is not where it was to be copied.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The bucket does not have it.
    #[error("it cannot be copied to its bucket: {0}")]
    Bucket(#[from] BucketError),
    /// The address did not take it.
    #[error("it cannot be sent to its address: {0}")]
    Address(#[from] FetchError),
    /// Nothing is sent to addresses.
    #[error("it cannot be sent to its address: this server asks no addresses (`fetch.enabled`)")]
    Off,
    /// A file of ours cannot be read.
    #[error("the file cannot be read: {0}")]
    File(std::io::Error),
}

/// Between two tries to send an output to an address that may take it later.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

impl Shelf<'_> {
    /// Copies an output there.
    pub async fn put(&self, artifact: &Artifact) -> Result<Stored, ShelfError> {
        match self {
            Self::Bucket { bucket, folder, lifetime } => {
                Ok(shelve(bucket, folder, *lifetime, artifact).await?)
            }
            Self::Address { fetcher, prefix } => {
                send(fetcher.ok_or(ShelfError::Off)?, prefix, artifact).await
            }
        }
    }
}

async fn shelve(
    bucket: &Bucket,
    folder: &str,
    lifetime: Duration,
    artifact: &Artifact,
) -> Result<Stored, BucketError> {
    let name = format!("{folder}/{}", artifact.filename);
    bucket.put(&name, artifact.path(), &artifact.content_type).await?;
    let url = bucket.url(&name)?;
    if lifetime.is_zero() {
        return Ok(Stored { url, link: None, link_expires_at: None });
    }
    let link = bucket.link(&name, lifetime).await?;
    let until =
        jiff::Timestamp::now().as_millisecond() + i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2);
    Ok(Stored { url, link: Some(link.into()), link_expires_at: Some(time(until)) })
}

async fn send(fetcher: &Fetcher, prefix: &str, artifact: &Artifact) -> Result<Stored, ShelfError> {
    let address = below(prefix, &artifact.filename).ok_or(FetchError::Refused(Refusal::Malformed))?;
    let approved = fetcher.judge(&address)?;
    let mut pauses = PAUSES.into_iter();
    loop {
        let file = tokio::fs::File::open(artifact.path()).await.map_err(ShelfError::File)?;
        let sent = fetcher.put(&approved, &artifact.content_type, artifact.size, ReaderStream::new(file));
        match (sent.await, pauses.next()) {
            (Ok(()), _) => break,
            (Err(error), Some(pause)) if error.blame() == Blame::Host => {
                tracing::info!(%error, "an output was not taken; sending it again");
                tokio::time::sleep(pause).await;
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    // What stands behind the question mark may open more than this file.
    let url = address.split('?').next().unwrap_or_default().to_owned();
    Ok(Stored { url, link: None, link_expires_at: None })
}

/// The address of a file below another address, whose parameters stay.
pub fn below(prefix: &str, filename: &str) -> Option<String> {
    let mut url = url::Url::parse(prefix).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().push(filename);
    url.set_fragment(None);
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shelves(tables: &[(&str, &str, bool, &[&str])]) -> Result<Shelves, String> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let table = |(name, url, read, prefixes): &(&str, &str, bool, &[&str])| -> BucketTable {
            let options = json!({"aws_region": "x", "azure_storage_account_name": "x"});
            let options: serde_json::Map<String, serde_json::Value> = options
                .as_object()
                .unwrap()
                .clone()
                .into_iter()
                .filter(|(key, _)| key.starts_with("aws") == url.starts_with("s3"))
                .collect();
            let whole = json!({"name": name, "url": url, "options": options, "read": read, "read_prefixes": prefixes});
            serde_json::from_value(whole).unwrap()
        };
        Shelves::open(&tables.iter().map(table).collect::<Vec<_>>(), "", Duration::ZERO)
    }

    #[test]
    fn only_what_was_opened_can_be_read() {
        let shelves = shelves(&[
            ("closed", "s3://closed/out", false, &[]),
            ("in", "s3://box/in", true, &["public", "/{owner}/mine/"]),
            ("all", "az://all", true, &["*"]),
        ])
        .unwrap();
        let reads = |address: &str| shelves.book(address, "corp:a").map(|book| book.name);
        let own = folder_of("corp:a");
        assert!(own.starts_with("corp_a-") && own != folder_of("corp_a") && own != folder_of("corp:b"));
        for (address, name) in [
            ("s3://box/in/public/a.png".to_owned(), "public/a.png".to_owned()),
            ("s3://box/in/public/x/y z.png".to_owned(), "public/x/y z.png".to_owned()),
            (format!("s3://box/in/{own}/mine/a.png"), format!("{own}/mine/a.png")),
            ("az://all/x/a.png".to_owned(), "x/a.png".to_owned()),
        ] {
            assert_eq!(reads(&address), Some(name), "{address}");
        }
        for address in [
            "s3://closed/out/a.png",
            "s3://box/in/a.png",
            "s3://box/in/publicity/a.png",
            "s3://box/in/public/../secret/a.png",
            "s3://box/in/public//a.png",
            "s3://box/in/public/",
            "s3://box/in/{owner}/mine/a.png",
            "s3://box/in/corp_a/mine/a.png",
            "s3://box/other/public/a.png",
            "s3://boxes/in/public/a.png",
            "S3://box/in/public/a.png",
            "gs://box/in/public/a.png",
            "az://all",
            "az://all/",
            "https://box/in/public/a.png",
        ] {
            assert_eq!(reads(address), None, "{address}");
        }
    }

    #[test]
    fn what_is_open_is_said() {
        for (read, prefixes, said) in [
            (true, &[][..], "must say what callers may read"),
            (false, &["a/"], "without `read = true`"),
            (true, &["a/*"], "folders such as"),
            (true, &["/"], "an empty one"),
        ] {
            let error = shelves(&[("in", "s3://box/in", read, prefixes)]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn wishes_name_what_is_there_and_stay_in_their_folder() {
        let known = ["results".to_owned()];
        let read = |value| Wish::read(&value, &known);
        assert_eq!(read(json!("results")).unwrap().prefix, "");
        assert_eq!(read(json!({"bucket": "results", "prefix": "/a/b-1/"})).unwrap().prefix, "a/b-1");
        for wrong in [
            json!("others"),
            json!(7),
            json!({"bucket": "results", "region": "x"}),
            json!({"bucket": "results", "prefix": "../x"}),
            json!({"bucket": "results", "prefix": "a//b"}),
            json!({"bucket": "results", "prefix": "a b"}),
            json!({"bucket": "results", "prefix": "x".repeat(201)}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(Wish::read(&json!("x"), &[]).unwrap_err().contains("no buckets"));
    }

    #[test]
    fn files_are_below_the_address_and_its_parameters_stay() {
        for (prefix, expected) in [
            ("https://a.example/x", "https://a.example/x/9.png"),
            ("https://a.example/x/?sig=1#part", "https://a.example/x/9.png?sig=1"),
            ("https://a.example", "https://a.example/9.png"),
        ] {
            assert_eq!(below(prefix, "9.png").as_deref(), Some(expected));
        }
        assert_eq!(below("mailto:a@b.example", "9.png"), None);
    }
}
