//! Deleting topics.

use std::collections::BTreeSet;

use super::draft::Draft;
use crate::metadata::{
    MetadataImage, MetadataRecord,
    error::{AdminError, AdminErrorKind as Kind},
    request::{DeletedTopic, Outcomes, TopicRef},
};

/// Makes the records that delete topics.
#[must_use]
pub fn delete_topics(
    image: &MetadataImage,
    topics: &[TopicRef],
) -> (Vec<MetadataRecord>, Outcomes<DeletedTopic>) {
    let mut draft = Draft::new(image);
    let mut deleted = BTreeSet::new();
    let outcomes = topics
        .iter()
        .map(|topic| {
            let found = find(image, topic)?;
            // Named twice, once by name and once by id: the second finds nothing more to do.
            if deleted.insert(found.id) {
                draft.add(vec![MetadataRecord::TopicDeleted { topic: found.id }])?;
            }
            Ok(found)
        })
        .collect();
    (draft.finish(false), outcomes)
}

fn find(image: &MetadataImage, topic: &TopicRef) -> Result<DeletedTopic, AdminError> {
    let found = match topic {
        TopicRef::Name(name) => image.topic(name).ok_or_else(unknown_topic),
        TopicRef::Id(id) => image.topic_by_id(*id).ok_or_else(|| {
            AdminError::new(Kind::UnknownTopicId, "This server does not host this topic ID.")
        }),
    };
    found.map(|topic| DeletedTopic { id: topic.id, name: topic.name.to_string() })
}

/// No topic has that name.
pub(super) fn unknown_topic() -> AdminError {
    AdminError::new(Kind::UnknownTopic, "This server does not host this topic-partition.")
}
