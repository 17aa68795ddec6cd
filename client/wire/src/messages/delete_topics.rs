//! DeleteTopics: deletes topics.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str, Uuid};

api! {
    DELETE_TOPICS: DeleteTopicsRequest => DeleteTopicsResponse,
    versions 1..=6, flexible Some(4)
}

structs! {
    /// Deletes topics.
    struct DeleteTopicsRequest {
        /// The topics.
        topics: Vec<DeleteTopicState> => 6..;
        /// Names of the topics.
        topic_names: Vec<Str> => 1..=5;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 1..;
    }

    /// One topic to delete, by name or id.
    struct DeleteTopicState {
        /// The name.
        name: Option<Str> => 6..;
        /// Id of the topic.
        topic_id: Uuid => 6..;
    }

    /// The answer to [`DeleteTopicsRequest`].
    struct DeleteTopicsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// The outcome for each item asked for.
        responses: Vec<DeletableTopicResult> => 1..;
    }

    /// The outcome for one topic.
    struct DeletableTopicResult {
        /// The name.
        name: Option<Str> => 1.., default Some(Str::EMPTY), nullable 6..;
        /// Id of the topic.
        topic_id: Uuid => 6..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 1..;
        /// More about the error, in words.
        error_message: Option<Str> => 5..;
    }
}
