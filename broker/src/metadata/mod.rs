//! Cluster metadata: a replicated log of decided facts, its fold, and the controller's handlers.

pub mod ask;
pub mod broker_config_table;
pub mod config_key;
pub mod config_view;
pub mod connectivity;
pub mod controller;
pub mod error;
pub mod handle;
pub mod ids;
pub mod image;
pub mod links;
pub mod pacing;
pub mod placement;
pub mod publish;
pub mod record;
pub mod request;
pub mod topic_config;
pub mod topic_config_table;

pub use ask::{Answer, Ask, ControllerRequest};
pub use config_view::{ConfigView, StaticConfigs};
pub use controller::{ControllerContext, validate_topic_name};
pub use error::{AdminError, AdminErrorKind};
pub use handle::ControllerHandle;
pub use ids::{BrokerId, TopicId};
pub use image::{MetadataImage, PartitionImage, TopicImage};
pub use publish::{ImagePublisher, ImageReader};
pub use record::MetadataRecord;
pub use request::{BeginControl, ProducerIdBlock, RegisterBroker};
pub use topic_config::{TimestampType, TopicConfig};
