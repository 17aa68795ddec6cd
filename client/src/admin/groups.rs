//! Consumer groups, from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use synod_wire::consumer_protocol::Assignment;
use synod_wire::messages::delete_groups::DeleteGroupsRequest;
use synod_wire::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use synod_wire::messages::list_groups::ListGroupsRequest;
use synod_wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use synod_wire::{ErrorCode, Str};

use super::{Admin, only};
use crate::Error;
use crate::cluster::{PerPartition, TopicPartition};
use crate::consumer::CommittedOffset;
use crate::consumer::group::assignor::{by_topic, partitions};
use crate::consumer::group::member;
use crate::consumer::group::offsets;
use crate::coordinator::Coordinator;

/// A group as a list shows it.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// let groups = admin.groups().await?;
/// let idle = groups.iter().filter(|group| group.state == "Empty");
/// println!("{} of {} groups have no members", idle.count(), groups.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub id: String,
    /// `Stable`, `Empty` and so on; empty with brokers that do not say.
    pub state: String,
    /// The kind of group: `consumer` for consumers, other words for others.
    pub protocol_type: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// A group and its members.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// let group = admin.group("billing").await?;
/// println!("{}, spread by {}, {} members", group.state, group.protocol, group.members.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// `Stable`, `Empty` and so on; `Dead` for a group that does not exist.
    pub state: String,
    /// The kind of group: `consumer` for consumers.
    pub protocol_type: String,
    /// How partitions are spread, such as `range`; empty without members.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its members in order of their ids.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// for member in admin.group("billing").await?.members {
///     println!("{} at {} reads {:?}", member.client_id, member.host, member.assignment);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id, given by the coordinator.
    pub id: String,
    /// Its static id, if it has one.
    pub instance_id: Option<String>,
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions it reads.
    pub assignment: BTreeSet<TopicPartition>,
}

impl Admin {
    /// All groups of all brokers, in order of their ids.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// for group in admin.groups().await? {
    ///     println!("{}: {}", group.id, group.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept a broker from answering: then the list would not be whole.
    pub async fn groups(&self) -> Result<Vec<ListedGroup>, Error> {
        let request = ListGroupsRequest::default();
        let attempt = || async {
            let metadata = self.cluster.metadata();
            let asked = metadata.brokers().map(|broker| async {
                let response = self.cluster.broker(broker.id).await?.send(&request).await?;
                Error::check(response.error_code, || format!("broker {}", broker.id), None)?;
                Ok((broker.id, response))
            });
            let mut groups = BTreeMap::new();
            for answer in join_all(asked).await {
                let (coordinator, response): (i32, _) = answer?;
                for group in response.groups {
                    let listed = ListedGroup {
                        id: group.group_id.into(),
                        state: group.group_state.into(),
                        protocol_type: group.protocol_type.into(),
                        coordinator,
                    };
                    groups.insert(listed.id.clone(), listed);
                }
            }
            Ok(groups.into_values().collect())
        };
        self.cluster.retry(attempt).await
    }

    /// A group and its members.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// println!("{} members", admin.group("billing").await?.members.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], with `GROUP_ID_NOT_FOUND` from newer brokers for a group that does not
    /// exist; older ones describe it as `Dead`.
    pub async fn group(&self, id: &str) -> Result<GroupDescription, Error> {
        let coordinator = self.coordinator(id);
        let request =
            DescribeGroupsRequest { groups: vec![id.into()], ..DescribeGroupsRequest::default() };
        let context = || format!("group {id}");
        let response = coordinator
            .ask(&request, |response| {
                let code = response.groups.first().map_or(ErrorCode::NONE, |g| g.error_code);
                Error::check(code, context, None)
            })
            .await?;
        let broker = coordinator.connect().await?.0;
        described(only(response.groups, &context())?, broker)
    }

    /// Deletes a group without members, with its committed offsets.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// admin.delete_group("billing").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `NON_EMPTY_GROUP` or `GROUP_ID_NOT_FOUND`.
    pub async fn delete_group(&self, id: &str) -> Result<(), Error> {
        let request =
            DeleteGroupsRequest { groups_names: vec![id.into()], ..DeleteGroupsRequest::default() };
        let check = |code| Error::check(code, || format!("group {id}"), None);
        let coordinator = self.coordinator(id);
        let answer = coordinator.ask(&request, |response| {
            check(response.results.first().map_or(ErrorCode::NONE, |result| result.error_code))
        });
        answer.await.map(drop)
    }

    /// What a group has committed.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// for (partition, committed) in admin.group_offsets("billing").await? {
    ///     println!("{partition}: {}", committed.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the coordinator from answering.
    pub async fn group_offsets(
        &self,
        id: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
        offsets::fetch(&self.coordinator(id), None).await
    }

    /// Commits offsets for a group that has no members.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// use synod_client::consumer::CommittedOffset;
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// let place = (TopicPartition::new("orders", 0), CommittedOffset::new(0));
    /// admin.alter_group_offsets("billing", &[place].into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the coordinator from answering. A group with members refuses each partition with
    /// `UNKNOWN_MEMBER_ID`.
    pub async fn alter_group_offsets(
        &self,
        id: &str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<PerPartition<()>, Error> {
        let nobody = member::Shared::new().identity();
        offsets::commit(&self.coordinator(id), &nobody, None, offsets).await
    }

    /// Deletes committed offsets of topics that the group is not subscribed to.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// let partitions = [TopicPartition::new("orders", 0)];
    /// admin.delete_group_offsets("billing", &partitions).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `GROUP_ID_NOT_FOUND`.
    pub async fn delete_group_offsets(
        &self,
        id: &str,
        which: &[TopicPartition],
    ) -> Result<PerPartition<()>, Error> {
        let topic = |listed: synod_wire::consumer_protocol::TopicPartitions| {
            let partition = |partition_index| OffsetDeleteRequestPartition {
                partition_index,
                ..OffsetDeleteRequestPartition::default()
            };
            OffsetDeleteRequestTopic {
                name: listed.topic,
                partitions: listed.partitions.into_iter().map(partition).collect(),
                ..OffsetDeleteRequestTopic::default()
            }
        };
        let request = OffsetDeleteRequest {
            group_id: id.into(),
            topics: by_topic(which.iter()).into_iter().map(topic).collect(),
            ..OffsetDeleteRequest::default()
        };
        let context = || format!("group {id}");
        let response = self
            .coordinator(id)
            .ask(&request, |response| Error::check(response.error_code, context, None))
            .await?;
        let mut results = PerPartition::new();
        for topic in response.topics {
            let name: Arc<str> = Arc::from(&*topic.name);
            for answer in topic.partitions {
                let partition = TopicPartition::new(name.clone(), answer.partition_index);
                let context = || format!("group {id}, {partition}");
                let result = Error::check(answer.error_code, context, None);
                results.insert(partition, result);
            }
        }
        Ok(results)
    }

    fn coordinator(&self, group: &str) -> Coordinator {
        Coordinator::new(self.cluster.clone(), group.into())
    }
}

fn described(group: DescribedGroup, coordinator: i32) -> Result<GroupDescription, Error> {
    let mut members = Vec::new();
    for found in group.members {
        // Other kinds of groups have assignments that only they can read.
        let is_readable =
            &*group.protocol_type == "consumer" && !found.member_assignment.is_empty();
        let assignment = is_readable.then(|| Assignment::decode(found.member_assignment));
        let assignment = assignment.and_then(Result::ok).unwrap_or_default();
        members.push(GroupMember {
            id: found.member_id.into(),
            instance_id: found.group_instance_id.map(Str::into),
            client_id: found.client_id.into(),
            host: found.client_host.into(),
            assignment: partitions(&assignment.assigned_partitions),
        });
    }
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(GroupDescription {
        id: group.group_id.into(),
        state: group.group_state.into(),
        protocol_type: group.protocol_type.into(),
        protocol: group.protocol_data.into(),
        coordinator,
        members,
    })
}
