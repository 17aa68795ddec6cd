//! Creating, listing and deleting topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_wire::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use synod_wire::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use synod_wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use synod_wire::{ErrorCode, Str, Uuid};

use super::{Admin, only};
use crate::cluster::Topic;
use crate::{Error, Remedy};

/// The first version of DeleteTopics that names topics by a structure with name and id.
const DELETE_BY_STATE_VERSION: i16 = 6;

/// A topic to create.
///
/// ```
/// use synod_client::admin::NewTopic;
/// let topic = NewTopic::new("orders").partitions(6).replicas(3).config("retention.ms", "1000");
/// ```
#[derive(Debug, Clone)]
pub struct NewTopic {
    name: String,
    partitions: i32,
    replicas: i16,
    configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's default numbers of partitions and replicas.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: -1, replicas: -1, configs: BTreeMap::new() }
    }

    /// Number of partitions.
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = count;
        self
    }

    /// Number of replicas of each partition.
    pub fn replicas(mut self, count: i16) -> Self {
        self.replicas = count;
        self
    }

    /// A setting, such as `retention.ms`.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(name.into(), value.into());
        self
    }
}

/// A topic that was created.
///
/// ```no_run
/// use synod_client::admin::NewTopic;
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// let created = admin.create_topic(NewTopic::new("orders")).await?;
/// println!("{} has {:?} partitions", created.name, created.partitions);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its id; zero if the broker does not say.
    pub id: Uuid,
    /// Number of partitions, if the broker says.
    pub partitions: Option<i32>,
    /// Number of replicas of each, if the broker says.
    pub replicas: Option<i16>,
}

impl Admin {
    /// Creates a topic.
    ///
    /// ```no_run
    /// use synod_client::admin::NewTopic;
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// let orders = NewTopic::new("orders").partitions(6).config("retention.ms", "86400000");
    /// println!("{}", admin.create_topic(orders).await?.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `TOPIC_ALREADY_EXISTS` or `INVALID_TOPIC_EXCEPTION`.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<CreatedTopic, Error> {
        self.send_topic(topic, false).await
    }

    /// Whether a topic could be created; creates nothing.
    ///
    /// ```no_run
    /// use synod_client::admin::NewTopic;
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// if let Err(error) = admin.check_topic(NewTopic::new("or/ders")).await {
    ///     println!("it would be refused: {error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Admin::create_topic`].
    pub async fn check_topic(&self, topic: NewTopic) -> Result<(), Error> {
        self.send_topic(topic, true).await.map(drop)
    }

    async fn send_topic(
        &self,
        topic: NewTopic,
        validate_only: bool,
    ) -> Result<CreatedTopic, Error> {
        let config = |(name, value): (&String, &String)| CreatableTopicConfig {
            name: Str::from(name.as_str()),
            value: Some(Str::from(value.as_str())),
            ..CreatableTopicConfig::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: Str::from(topic.name.as_str()),
                num_partitions: topic.partitions,
                replication_factor: topic.replicas,
                configs: topic.configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreateTopicsRequest::default()
        };
        let context = || format!("topic {}", topic.name);
        let response = self
            .change(&request, |response| {
                let answer = response.topics.first();
                moved(answer.map_or(ErrorCode::NONE, |answer| answer.error_code), context)
            })
            .await?;
        let answer = only(response.topics, &context())?;
        Error::check(answer.error_code, context, answer.error_message.as_deref())?;
        Ok(CreatedTopic {
            name: topic.name,
            id: answer.topic_id,
            partitions: Some(answer.num_partitions).filter(|&count| count >= 0),
            replicas: Some(answer.replication_factor).filter(|&count| count >= 0),
        })
    }

    /// All topics, in order of their names.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// for topic in admin.topics().await? {
    ///     println!("{}: {} partitions", topic.name, topic.partitions.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the cluster from answering.
    pub async fn topics(&self) -> Result<Vec<Arc<Topic>>, Error> {
        let metadata = self.cluster.retry(|| self.cluster.all_topics()).await?;
        Ok(metadata.topics().cloned().collect())
    }

    /// One topic, as it is now.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// for partition in &admin.topic("orders").await?.partitions {
    ///     println!("{}: led by {:?}", partition.index, partition.leader);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`] with `UNKNOWN_TOPIC_OR_PARTITION` when there is none.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        // Always asks: what is known may be old.
        let attempt = || async {
            match self.cluster.refresh_topic(name).await {
                // Retriable for a leader that may lag behind, but here it is the answer.
                Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                    Ok(Err(error))
                }
                other => other.map(Ok),
            }
        };
        self.cluster.retry(attempt).await?
    }

    /// Deletes a topic and all its records.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// admin.delete_topic("orders").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let version = self.cluster.controller().await?.version::<DeleteTopicsRequest>()?;
        let mut request =
            DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..DeleteTopicsRequest::default() };
        if version >= DELETE_BY_STATE_VERSION {
            let name = Some(Str::from(name));
            request.topics = vec![DeleteTopicState { name, ..DeleteTopicState::default() }];
        } else {
            request.topic_names = vec![Str::from(name)];
        }
        let context = || format!("topic {name}");
        let response = self
            .change(&request, |response| {
                let answer = response.responses.first();
                moved(answer.map_or(ErrorCode::NONE, |answer| answer.error_code), context)
            })
            .await?;
        let answer = only(response.responses, &context())?;
        Error::check(answer.error_code, context, answer.error_message.as_deref())?;
        self.cluster.forget_topic(name);
        Ok(())
    }

    /// Gives a topic more partitions; `total` is how many it shall have in the end.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// admin.create_partitions("orders", 12).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `INVALID_PARTITIONS` when that is not more than it has.
    pub async fn create_partitions(&self, topic: &str, total: i32) -> Result<(), Error> {
        self.send_partitions(topic, total, false).await
    }

    /// Whether a topic could be given more partitions; changes nothing.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// if admin.check_partitions("orders", 12).await.is_ok() {
    ///     admin.create_partitions("orders", 12).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Admin::create_partitions`].
    pub async fn check_partitions(&self, topic: &str, total: i32) -> Result<(), Error> {
        self.send_partitions(topic, total, true).await
    }

    async fn send_partitions(
        &self,
        topic: &str,
        total: i32,
        validate_only: bool,
    ) -> Result<(), Error> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: Str::from(topic),
                count: total,
                assignments: None,
                ..CreatePartitionsTopic::default()
            }],
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreatePartitionsRequest::default()
        };
        let context = || format!("topic {topic}");
        let response = self
            .change(&request, |response| {
                let answer = response.results.first();
                moved(answer.map_or(ErrorCode::NONE, |answer| answer.error_code), context)
            })
            .await?;
        let answer = only(response.results, &context())?;
        Error::check(answer.error_code, context, answer.error_message.as_deref())
    }
}

/// An error only when the controller is elsewhere, which is worth another attempt: other codes are
/// the answer.
pub(super) fn moved(code: ErrorCode, context: impl FnOnce() -> String) -> Result<(), Error> {
    if code == ErrorCode::NONE {
        return Ok(());
    }
    let error = Error::broker(code, context(), None);
    let elsewhere = code == ErrorCode::NOT_CONTROLLER || error.remedy() == Remedy::Retry;
    // A time-out says nothing about what was done.
    if elsewhere && code != ErrorCode::REQUEST_TIMED_OUT { Err(error) } else { Ok(()) }
}
