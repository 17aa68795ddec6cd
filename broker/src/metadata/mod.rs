//! Cluster metadata: a replicated log of decided facts, its fold, and the controller's handlers.

pub mod error;
pub mod ids;
pub mod image;
pub mod publish;
pub mod record;

pub use error::{AdminError, AdminErrorKind};
pub use ids::{BrokerId, TopicId};
pub use image::{MetadataImage, PartitionImage, TopicImage};
pub use publish::{ImagePublisher, ImageReader};
pub use record::MetadataRecord;
