//! Where pictures are changed: on threads of their own, a few at a time, within a share of memory.

use std::sync::Arc;

use bytes::Bytes;
use comfyport_pictures::{
    Codec, Conversion, Fault, Header, Limits, Made, Metadata, Thumbnail, Wish, is_turned,
};
use tokio::sync::Semaphore;

/// How pictures are worked on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How large they may be.
    pub limits: Limits,
    /// How many at the same time.
    pub workers: usize,
    /// How much memory all of them may take, in bytes, as far as can be told beforehand.
    pub memory: u64,
    /// Whether pictures are turned the way their camera was held before an engine gets them.
    pub orient: bool,
}

/// Where pictures are changed.
#[derive(Debug, Clone)]
pub struct Workshop {
    limits: Limits,
    orient: bool,
    places: Arc<Semaphore>,
    /// In mebibytes.
    memory: Arc<Semaphore>,
    most: u32,
}

/// Memory that is taken for each pixel, in bytes: as it is decoded and once more while it is changed…
const WORK: u64 = 12;
/// …and more by formats that look far for what repeats itself.
const SEARCH: u64 = 40;

impl Workshop {
    /// One in which nobody works yet.
    pub fn new(settings: &Settings) -> Self {
        let most = u32::try_from(settings.memory >> 20).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 3);
        Self {
            limits: settings.limits,
            orient: settings.orient,
            places: Arc::new(Semaphore::new(settings.workers.max(1))),
            memory: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// How large pictures may be.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A picture as its caller wishes, or turned the right way if nothing is wished. `None`: it is fine as it is.
    ///
    /// Engines that turn pictures themselves find nothing more to turn.
    pub async fn shape(&self, data: Bytes, wish: &Wish) -> Result<Option<Made>, Fault> {
        if !wish.is_empty() {
            let wish = wish.clone();
            return self.work(data, WORK, move |data, limits| wish.make(data, limits)).await.map(Some);
        }
        let (file, limits) = (data.clone(), self.limits);
        let looked = tokio::task::spawn_blocking(move || is_turned(&file, &limits));
        let turned = self.orient && matches!(looked.await, Ok(Ok(true)));
        if !turned {
            return Ok(None);
        }
        // What cannot be read here can perhaps be read by the engine, which nobody asked for anything else.
        Ok(self.work(data, WORK, |data, limits| Wish::default().make(data, limits)).await.ok())
    }

    /// A picture in another format or size.
    pub async fn convert(
        &self,
        data: Bytes,
        conversion: &Conversion,
        metadata: Metadata,
    ) -> Result<Made, Fault> {
        let searches = !matches!(conversion.format, Some(Codec::Png | Codec::Jpeg));
        let conversion = conversion.clone();
        let cost = if searches { SEARCH } else { WORK };
        self.work(data, cost, move |data, limits| conversion.make(data, metadata, limits)).await
    }

    /// A small picture of a large one.
    pub async fn thumbnail(&self, data: Bytes, thumbnail: &Thumbnail) -> Result<Made, Fault> {
        let thumbnail = thumbnail.clone();
        self.work(data, WORK, move |data, limits| thumbnail.make(data, limits)).await
    }

    async fn work(
        &self,
        data: Bytes,
        cost: u64,
        work: impl FnOnce(&[u8], &Limits) -> Result<Made, Fault> + Send + 'static,
    ) -> Result<Made, Fault> {
        let header = Header::read(&data, &self.limits)?;
        let bytes = u64::from(header.width) * u64::from(header.height) * cost;
        // One that takes more than there is waits until it is alone.
        let share = u32::try_from(bytes >> 20).unwrap_or(u32::MAX).clamp(1, self.most);
        let closed = |_| Fault::Damaged { format: header.format.name() };
        let memory = Arc::clone(&self.memory).acquire_many_owned(share).await.map_err(closed)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        let limits = self.limits;
        let worked = tokio::task::spawn_blocking(move || {
            // Held until it is done, even if nobody waits for it any more.
            let _held = (memory, place);
            work(&data, &limits)
        });
        worked.await.unwrap_or_else(|error| {
            tracing::error!(%error, format = header.format.name(), "a picture could not be worked on");
            Err(Fault::Damaged { format: header.format.name() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Bytes {
        let mut out = std::io::Cursor::new(Vec::new());
        image::DynamicImage::new_rgb8(width, height).write_to(&mut out, image::ImageFormat::Png).unwrap();
        out.into_inner().into()
    }

    #[tokio::test]
    async fn who_needs_all_the_memory_gets_it_and_who_panics_gives_it_back() {
        let settings = Settings { limits: Limits::default(), workers: 1, memory: 1 << 20, orient: true };
        let workshop = Workshop::new(&settings);
        // Twelve megabytes in a workshop of one.
        let large = png(1000, 1000);
        let panicked = workshop.work(large.clone(), WORK, |_, _| panic!("a decoder's fault")).await;
        assert_eq!(panicked, Err(Fault::Damaged { format: "PNG" }));
        let (jpeg, small) =
            (Conversion::to(Codec::Jpeg), Thumbnail { width: Some(10), ..Thumbnail::default() });
        let both = tokio::join!(
            workshop.convert(large.clone(), &jpeg, Metadata::Strip),
            workshop.thumbnail(large, &small),
        );
        assert_eq!((both.0.unwrap().width, both.1.unwrap().width), (1000, 10));
        assert_eq!(workshop.shape(png(8, 8), &Wish::default()).await, Ok(None));
    }
}
