//! The messages, one module per API.
//!
//! Structs and fields have the names of Kafka's schemas. A struct is the union of its versions:
//! what a version does not have is passed over when writing and has its default after reading.
//! The modules declare fields up to the newest version of Kafka;
//! [`Message::VERSIONS`](crate::Message::VERSIONS) says how far this crate speaks them.
//!
//! Fields called `synod` are our own: tagged fields, which others pass over, with a number (21337)
//! far from those that Kafka gives out one by one. A broker answers them only to whoever asks.

use std::ops::RangeInclusive;

use crate::{ApiKey, Request};

pub mod alter_configs;
pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod elect_leaders;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;

/// Calls `$callback! { $($argument)* module::Request, module::Request, … }` with every request
/// type of this crate, by ascending key: for tables and dispatch that must not forget one.
///
/// The paths begin below [`messages`](crate::messages).
#[macro_export]
macro_rules! for_each_request {
    ($callback:path) => {
        $callback! {
            produce::ProduceRequest,
            fetch::FetchRequest,
            list_offsets::ListOffsetsRequest,
            metadata::MetadataRequest,
            offset_commit::OffsetCommitRequest,
            offset_fetch::OffsetFetchRequest,
            find_coordinator::FindCoordinatorRequest,
            join_group::JoinGroupRequest,
            heartbeat::HeartbeatRequest,
            leave_group::LeaveGroupRequest,
            sync_group::SyncGroupRequest,
            describe_groups::DescribeGroupsRequest,
            list_groups::ListGroupsRequest,
            api_versions::ApiVersionsRequest,
            create_topics::CreateTopicsRequest,
            delete_topics::DeleteTopicsRequest,
            delete_records::DeleteRecordsRequest,
            init_producer_id::InitProducerIdRequest,
            offset_for_leader_epoch::OffsetForLeaderEpochRequest,
            describe_configs::DescribeConfigsRequest,
            alter_configs::AlterConfigsRequest,
            describe_log_dirs::DescribeLogDirsRequest,
            create_partitions::CreatePartitionsRequest,
            delete_groups::DeleteGroupsRequest,
            elect_leaders::ElectLeadersRequest,
            incremental_alter_configs::IncrementalAlterConfigsRequest,
            list_partition_reassignments::ListPartitionReassignmentsRequest,
            offset_delete::OffsetDeleteRequest,
            describe_cluster::DescribeClusterRequest,
        }
    };
}

/// One API as this crate speaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its number.
    pub key: ApiKey,
    /// The versions this crate reads and writes.
    pub versions: RangeInclusive<i16>,
    /// The first flexible version, if there will ever be one.
    pub flexible: Option<i16>,
}

impl Api {
    const fn of<R: Request>() -> Self {
        Self { key: R::KEY, versions: R::VERSIONS, flexible: R::FLEXIBLE }
    }
}

macro_rules! api_table {
    ($($module:ident::$request:ident,)*) => {
        /// All APIs of this crate, by ascending key.
        pub static APIS: &[Api] = &[$(Api::of::<$module::$request>()),*];
    };
}

crate::for_each_request!(api_table);

/// The API with this key, if this crate has it.
pub fn api(key: ApiKey) -> Option<&'static Api> {
    APIS.binary_search_by_key(&key, |api| api.key).ok().map(|index| &APIS[index])
}
