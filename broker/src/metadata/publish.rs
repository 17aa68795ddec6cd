//! Hands the current image to the whole broker.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::image::MetadataImage;

/// The one writer of the published image.
#[derive(Debug)]
pub struct ImagePublisher {
    current: Arc<ArcSwap<MetadataImage>>,
    changed: watch::Sender<u64>,
}

/// Reads the published image; cheap to clone, never blocks.
#[derive(Clone, Debug)]
pub struct ImageReader {
    current: Arc<ArcSwap<MetadataImage>>,
    changed: watch::Receiver<u64>,
}

impl ImagePublisher {
    /// Publishes a first image.
    #[must_use]
    pub fn new(image: MetadataImage) -> (Self, ImageReader) {
        let (sender, receiver) = watch::channel(image.end());
        let current = Arc::new(ArcSwap::from_pointee(image));
        let publisher = Self { current: Arc::clone(&current), changed: sender };
        (publisher, ImageReader { current, changed: receiver })
    }

    /// Replaces the image and wakes whoever waits for a change.
    pub fn publish(&self, image: MetadataImage) {
        let end = image.end();
        assert!(end >= self.current.load().end(), "the published image never goes back");
        self.current.store(Arc::new(image));
        self.changed.send_replace(end);
    }

    /// Another reader.
    #[must_use]
    pub fn reader(&self) -> ImageReader {
        ImageReader { current: Arc::clone(&self.current), changed: self.changed.subscribe() }
    }
}

impl ImageReader {
    /// The image as of now, to keep as long as wanted.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.current.load_full()
    }

    /// The image as of now, for a short look without touching a counter that all readers share.
    #[must_use]
    pub fn peek(&self) -> Guard<Arc<MetadataImage>> {
        self.current.load()
    }

    /// Waits for an image newer than the last one this reader waited for.
    ///
    /// Returns `None` once the publisher is gone: the broker stops.
    pub async fn changed(&mut self) -> Option<Arc<MetadataImage>> {
        self.changed.changed().await.ok()?;
        self.changed.borrow_and_update();
        Some(self.image())
    }

    /// Waits until the metadata log has been applied up to `end`.
    ///
    /// Returns `None` once the publisher is gone: the broker stops.
    pub async fn applied(&mut self, end: u64) -> Option<Arc<MetadataImage>> {
        self.changed.wait_for(|applied| *applied >= end).await.ok()?;
        Some(self.image())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataRecord;

    #[tokio::test(flavor = "current_thread")]
    async fn readers_see_what_is_published_and_hear_of_it() {
        let (publisher, mut reader) = ImagePublisher::new(MetadataImage::default());
        assert_eq!(reader.image().end(), 0);
        let old = reader.peek().clone();
        let mut image = MetadataImage::default();
        image.apply(0, &MetadataRecord::ClusterFormed { cluster_id: "c".into() }).unwrap();
        publisher.publish(image.clone());
        assert_eq!(reader.changed().await.unwrap().end(), 1);
        assert_eq!(reader.applied(1).await.unwrap().cluster_id(), image.cluster_id());
        assert_eq!(publisher.reader().image().end(), 1);
        assert_eq!(old.end(), 0, "an image in use stays as it is");
        drop(publisher);
        assert!(reader.changed().await.is_none());
        assert!(reader.applied(2).await.is_none());
    }
}
