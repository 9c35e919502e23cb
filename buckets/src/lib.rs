//! Buckets: where outputs may go and inputs may come from, on S3 and what speaks like it, Google Cloud Storage, and Azure.
//!
//! A [`Bucket`] is an address such as `s3://name/folder`, what is needed to get in, and nothing outside of that folder.
//! Files stream: none is held whole. Lost connections and errors of the other side are tried again within a time.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use http::Method;
use object_store::{
    Attribute, Attributes, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, RetryConfig, WriteMultipart,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::{HttpClient, HttpConnector},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    path::Path as Key,
    signer::Signer,
};
use tokio::io::AsyncReadExt;
use url::Url;

/// Files are sent in parts of this size. Below it they are sent whole.
const PART: usize = 8 << 20;

/// Parts of one file that are on their way at the same time.
const PARTS: usize = 2;

/// What is said again after an error, and for how long.
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_mins(2);

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The address or the settings are not what they should be.
    #[error("{0}")]
    Settings(String),
    /// There is no such object.
    #[error("there is no such object")]
    Missing,
    /// The other side does not let us in.
    #[error("the bucket does not let us in: check its credentials and what they allow")]
    Denied,
    /// A name that leaves the bucket's folder, or is none.
    #[error("{0:?} is not the name of an object below the bucket's folder")]
    Name(String),
    /// A file of ours cannot be read.
    #[error("the file cannot be read: {0}")]
    File(std::io::Error),
    /// The other side failed, or cannot be reached.
    #[error("the bucket cannot be reached, or failed: {0}")]
    Failed(String),
}

impl From<object_store::Error> for BucketError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::Denied
            }
            other => Self::Failed(root(&other)),
        }
    }
}

/// The innermost cause: what is around it repeats addresses, which may be signed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().chars().take(300).collect()
}

/// Makes connections by a client of the caller's.
#[derive(Debug, Clone)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A folder of a bucket.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    folder: Key,
    /// `s3://name`, without the folder.
    address: String,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// In bytes.
    pub size: u64,
    /// What changes whenever its content does.
    pub etag: Option<String>,
}

impl From<ObjectMeta> for Object {
    fn from(meta: ObjectMeta) -> Self {
        Self { size: meta.size, etag: meta.e_tag }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bucket({}/{})", self.address, self.folder)
    }
}

impl Bucket {
    /// Opens `s3://name/folder`, `gs://name/folder` or `az://container/folder`. Nothing is asked of the other side yet.
    ///
    /// `options` are those of the `object_store` library, such as `aws_region`, `aws_endpoint`, `aws_access_key_id`,
    /// `google_service_account_key`, `azure_storage_account_name`. What is left out there is not taken from the
    /// environment.
    pub fn open(
        address: &str,
        options: &BTreeMap<String, String>,
        client: reqwest::Client,
    ) -> Result<Self, BucketError> {
        let wrong = |what: String| BucketError::Settings(what);
        let url =
            Url::parse(address).map_err(|error| wrong(format!("{address:?} is not an address: {error}")))?;
        let name = url.host_str().unwrap_or_default().to_owned();
        if name.is_empty() || url.query().is_some() || !url.username().is_empty() {
            return Err(wrong(format!("{address:?} is not an address such as s3://bucket/folder")));
        }
        let folder = Key::from_url_path(url.path())
            .map_err(|error| wrong(format!("the folder of {address:?}: {error}")))?;
        let unknown = |key: &str| wrong(format!("`{key}` is not an option of {} buckets", url.scheme()));
        let failed = |error: object_store::Error| wrong(root(&error));
        let (connector, retry) = (Connector(client), retries());
        let (store, signer): (Arc<dyn ObjectStore>, Arc<dyn Signer>) = match url.scheme() {
            "s3" => {
                let mut builder = AmazonS3Builder::new().with_bucket_name(&name);
                for (key, value) in options {
                    let known: AmazonS3ConfigKey = key.parse().map_err(|_| unknown(key))?;
                    builder = builder.with_config(known, value);
                }
                let store =
                    builder.with_http_connector(connector).with_retry(retry).build().map_err(failed)?;
                let store = Arc::new(store);
                (Arc::clone(&store) as _, store)
            }
            "gs" => {
                let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(&name);
                for (key, value) in options {
                    let known: GoogleConfigKey = key.parse().map_err(|_| unknown(key))?;
                    builder = builder.with_config(known, value);
                }
                let store =
                    builder.with_http_connector(connector).with_retry(retry).build().map_err(failed)?;
                let store = Arc::new(store);
                (Arc::clone(&store) as _, store)
            }
            "az" => {
                let mut builder = MicrosoftAzureBuilder::new().with_container_name(&name);
                for (key, value) in options {
                    let known: AzureConfigKey = key.parse().map_err(|_| unknown(key))?;
                    builder = builder.with_config(known, value);
                }
                let store =
                    builder.with_http_connector(connector).with_retry(retry).build().map_err(failed)?;
                let store = Arc::new(store);
                (Arc::clone(&store) as _, store)
            }
            other => {
                return Err(wrong(format!("`{other}` is not a kind of bucket: there are s3, gs and az")));
            }
        };
        Ok(Self { store, signer, folder, address: format!("{}://{name}", url.scheme()) })
    }

    /// The address of an object.
    pub fn url(&self, name: &str) -> Result<String, BucketError> {
        Ok(format!("{}/{}", self.address, self.key(name)?))
    }

    /// The name of the object at an address, if it is in this bucket's folder.
    pub fn name_of<'u>(&self, url: &'u str) -> Option<&'u str> {
        let path = url.strip_prefix(&self.address)?.strip_prefix('/')?;
        let folder = self.folder.as_ref();
        if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
    }

    /// Sends a file. It is there whole, or not at all.
    pub async fn put(&self, name: &str, file: &Path, content_type: &str) -> Result<(), BucketError> {
        let key = self.key(name)?;
        let mut file = tokio::fs::File::open(file).await.map_err(BucketError::File)?;
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, content_type.to_owned().into());
        let mut part = Vec::new();
        (&mut file).take(PART as u64).read_to_end(&mut part).await.map_err(BucketError::File)?;
        if part.len() < PART {
            self.store.put_opts(&key, Bytes::from(part).into(), attributes.into()).await?;
            return Ok(());
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.store.put_multipart_opts(&key, options).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        while !part.is_empty() {
            upload.wait_for_capacity(PARTS).await?;
            upload.put(Bytes::from(std::mem::take(&mut part)));
            if let Err(error) = (&mut file).take(PART as u64).read_to_end(&mut part).await {
                upload.abort().await.ok();
                return Err(BucketError::File(error));
            }
        }
        upload.finish().await?;
        Ok(())
    }

    /// Reads an object: its size in bytes, and its bytes as they come.
    pub async fn get(
        &self,
        name: &str,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, BucketError>>), BucketError> {
        let found = self.store.get(&self.key(name)?).await?;
        let size = found.meta.size;
        Ok((size, found.into_stream().map(|bytes| bytes.map_err(BucketError::from)).boxed()))
    }

    /// What is known of an object.
    pub async fn look(&self, name: &str) -> Result<Object, BucketError> {
        Ok(self.store.head(&self.key(name)?).await?.into())
    }

    /// Reads an object after `offset` bytes, which it must have more of. `None` if it was replaced: it has another `etag`
    /// than this one.
    pub async fn get_from(
        &self,
        name: &str,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Option<(Object, BoxStream<'static, Result<Bytes, BucketError>>)>, BucketError> {
        let options = GetOptions {
            range: (offset > 0).then_some(GetRange::Offset(offset)),
            if_match: etag.map(str::to_owned),
            ..GetOptions::default()
        };
        let found = match self.store.get_opts(&self.key(name)?, options).await {
            Err(object_store::Error::Precondition { .. }) => return Ok(None),
            found => found?,
        };
        let object = found.meta.clone().into();
        Ok(Some((object, found.into_stream().map(|bytes| bytes.map_err(BucketError::from)).boxed())))
    }

    /// Removes an object. One that is not there is as good as removed.
    pub async fn remove(&self, name: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.key(name)?).await.map_err(BucketError::from) {
            Ok(()) | Err(BucketError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// An address at which anybody can read an object for a while.
    pub async fn link(&self, name: &str, lifetime: Duration) -> Result<Url, BucketError> {
        Ok(self.signer.signed_url(Method::GET, &self.key(name)?, lifetime).await?)
    }

    /// Where an object is within the bucket. Names never lead out of the folder.
    fn key(&self, name: &str) -> Result<Key, BucketError> {
        let wrong = || BucketError::Name(name.to_owned());
        if name.is_empty() || name.len() > 900 || name.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return Err(wrong());
        }
        let key = Key::parse(name).map_err(|_| wrong())?;
        Ok(self.folder.parts().chain(key.parts()).collect())
    }
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: TRIES, retry_timeout: PATIENCE, ..RetryConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(address: &str, options: &[(&str, &str)]) -> Result<Bucket, BucketError> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Bucket::open(address, &options, reqwest::Client::new())
    }

    #[test]
    fn addresses_and_options_are_checked() {
        let region = [("aws_region", "eu-west-1")];
        let bucket = open("s3://box/out/a", &region).unwrap();
        assert_eq!(bucket.url("x/y.png").unwrap(), "s3://box/out/a/x/y.png");
        assert_eq!(bucket.name_of("s3://box/out/a/x/y.png"), Some("x/y.png"));
        for other in ["s3://box/out/ab/x", "s3://box/out", "s3://boxes/out/a/x", "gs://box/out/a/x"] {
            assert_eq!(bucket.name_of(other), None, "{other}");
        }
        for wrong in ["box", "http://box/a", "s3:///a", "s3://box/a?x=1", "file:///etc"] {
            assert!(matches!(open(wrong, &region), Err(BucketError::Settings(_))), "{wrong}");
        }
        let said = open("s3://box", &[("aws_regoin", "x")]).unwrap_err().to_string();
        assert!(said.contains("aws_regoin"), "{said}");
    }

    #[test]
    fn names_stay_below_the_folder() {
        let bucket = open("s3://box/out", &[("aws_region", "eu-west-1")]).unwrap();
        for wrong in ["", "..", "../x", "a/../../x", "/x", "a//b", "a/./b", "x/", &"x".repeat(901)] {
            assert!(matches!(bucket.url(wrong), Err(BucketError::Name(_))), "{wrong}");
        }
    }
}
