//! Buckets that outputs are copied to, by setting or by wish of a caller.
//!
//! Callers name a bucket of the configuration, never an address or credentials. What they may say is a folder within, and
//! each owner has one of his own around it.

use std::{collections::BTreeMap, time::Duration};

use comfyport_buckets::{Bucket, BucketError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{artifacts::Artifact, config::BucketTable, jobs::body::time};

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

/// The buckets of the configuration.
#[derive(Debug, Default)]
pub struct Shelves {
    buckets: BTreeMap<String, Bucket>,
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
            if table.name.is_empty() || buckets.insert(table.name.clone(), bucket).is_some() {
                return Err(format!("two buckets are called `{}`, or one is called nothing", table.name));
            }
        }
        let usual = Some(usual.to_owned()).filter(|usual| !usual.is_empty());
        if let Some(missing) = usual.as_ref().filter(|usual| !buckets.contains_key(*usual)) {
            return Err(format!("`artifacts.bucket` is `{missing}`, and no `[[bucket]]` is called that"));
        }
        Ok(Self { buckets, usual, lifetime })
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.buckets.keys().cloned().collect()
    }

    /// Where the outputs of a job go, if anywhere. A bucket that is not there any more takes nothing.
    pub fn shelf(&self, wish: Option<&Wish>, owner: &str, job: Uuid) -> Option<Shelf<'_>> {
        let name = wish.map(|wish| &wish.bucket).or(self.usual.as_ref())?;
        let bucket = self.buckets.get(name)?;
        let owner: String = owner
            .chars()
            .map(|one| if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' })
            .collect();
        let prefix = wish.map_or("", |wish| &wish.prefix);
        let job = job.to_string();
        let parts = [owner.as_str(), prefix, job.as_str()];
        let folder = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Some(Shelf { bucket, folder, lifetime: self.lifetime })
    }
}

/// The place of one job's outputs.
#[derive(Debug)]
pub struct Shelf<'s> {
    bucket: &'s Bucket,
    folder: String,
    lifetime: Duration,
}

impl Shelf<'_> {
    /// Copies an output there.
    pub async fn put(&self, artifact: &Artifact) -> Result<Stored, BucketError> {
        let name = format!("{}/{}", self.folder, artifact.filename);
        self.bucket.put(&name, artifact.path(), &artifact.content_type).await?;
        let url = self.bucket.url(&name)?;
        if self.lifetime.is_zero() {
            return Ok(Stored { url, link: None, link_expires_at: None });
        }
        let link = self.bucket.link(&name, self.lifetime).await?;
        let until = jiff::Timestamp::now().as_millisecond()
            + i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX / 2);
        Ok(Stored { url, link: Some(link.into()), link_expires_at: Some(time(until)) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}
