//! Files from buckets.

use std::sync::Arc;

use comfyport_buckets::{Bucket, BucketError};
use futures_util::StreamExt;

use super::{Conditions, Located, Opened, Start, Way, Ways};
use crate::{PullError, trouble::Trouble};

impl Ways {
    pub(super) async fn locate_in_bucket(&self, address: &str) -> Result<Located, Trouble> {
        let found = self.buckets.iter().find_map(|bucket| Some((bucket, bucket.name_of(address)?)));
        let (bucket, name) = found.ok_or_else(|| PullError::NoBucket { place: address.to_owned() })?;
        let object = bucket.look(name).await.map_err(|error| failed(address, error))?;
        Ok(Located {
            place: address.to_owned(),
            // Those of buckets are not SHA-256, whatever they look like.
            sha256: None,
            size: Some(object.size),
            commit: None,
            way: Way::Bucket { bucket: Arc::new(bucket.clone()), name: name.to_owned() },
        })
    }
}

pub(super) async fn open(
    bucket: &Bucket,
    name: &str,
    located: &Located,
    conditions: &Conditions,
) -> Result<Opened, Trouble> {
    let place = located.place.clone();
    let opened = bucket.get_from(name, conditions.offset, conditions.if_range.as_deref()).await;
    let (object, body) = opened.map_err(|error| failed(&place, error))?.ok_or(Trouble::Changed)?;
    let start = Start::At { offset: conditions.offset, total: Some(object.size) };
    let body = body.map(move |piece| piece.map_err(|error| failed(&place, error))).boxed();
    Ok(Opened { start, etag: object.etag, body })
}

fn failed(place: &str, error: BucketError) -> Trouble {
    match error {
        BucketError::Missing => PullError::NotFound { place: place.to_owned(), what: "the object" }.into(),
        BucketError::Failed(why) => Trouble::Passing(why),
        error => PullError::Bucket { place: place.to_owned(), error }.into(),
    }
}
