//! Numbers and names of the APIs.

use std::fmt;

use crate::messages;

/// The number of an API; any value can come over the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKey(pub i16);

macro_rules! api_keys {
    ($($constant:ident $name:ident = $key:literal;)*) => {
        impl ApiKey {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $constant: Self = Self($key);
            )*

            /// Kafka's name of the API; `"Unknown"` when the number stands for none.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $( $key => stringify!($name), )*
                    _ => "Unknown",
                }
            }
        }
    };
}

api_keys! {
    PRODUCE Produce = 0;
    FETCH Fetch = 1;
    LIST_OFFSETS ListOffsets = 2;
    METADATA Metadata = 3;
    OFFSET_COMMIT OffsetCommit = 8;
    OFFSET_FETCH OffsetFetch = 9;
    FIND_COORDINATOR FindCoordinator = 10;
    JOIN_GROUP JoinGroup = 11;
    HEARTBEAT Heartbeat = 12;
    LEAVE_GROUP LeaveGroup = 13;
    SYNC_GROUP SyncGroup = 14;
    DESCRIBE_GROUPS DescribeGroups = 15;
    LIST_GROUPS ListGroups = 16;
    SASL_HANDSHAKE SaslHandshake = 17;
    API_VERSIONS ApiVersions = 18;
    CREATE_TOPICS CreateTopics = 19;
    DELETE_TOPICS DeleteTopics = 20;
    DELETE_RECORDS DeleteRecords = 21;
    INIT_PRODUCER_ID InitProducerId = 22;
    OFFSET_FOR_LEADER_EPOCH OffsetForLeaderEpoch = 23;
    ADD_PARTITIONS_TO_TXN AddPartitionsToTxn = 24;
    ADD_OFFSETS_TO_TXN AddOffsetsToTxn = 25;
    END_TXN EndTxn = 26;
    WRITE_TXN_MARKERS WriteTxnMarkers = 27;
    TXN_OFFSET_COMMIT TxnOffsetCommit = 28;
    DESCRIBE_ACLS DescribeAcls = 29;
    CREATE_ACLS CreateAcls = 30;
    DELETE_ACLS DeleteAcls = 31;
    DESCRIBE_CONFIGS DescribeConfigs = 32;
    ALTER_CONFIGS AlterConfigs = 33;
    ALTER_REPLICA_LOG_DIRS AlterReplicaLogDirs = 34;
    DESCRIBE_LOG_DIRS DescribeLogDirs = 35;
    SASL_AUTHENTICATE SaslAuthenticate = 36;
    CREATE_PARTITIONS CreatePartitions = 37;
    CREATE_DELEGATION_TOKEN CreateDelegationToken = 38;
    RENEW_DELEGATION_TOKEN RenewDelegationToken = 39;
    EXPIRE_DELEGATION_TOKEN ExpireDelegationToken = 40;
    DESCRIBE_DELEGATION_TOKEN DescribeDelegationToken = 41;
    DELETE_GROUPS DeleteGroups = 42;
    ELECT_LEADERS ElectLeaders = 43;
    INCREMENTAL_ALTER_CONFIGS IncrementalAlterConfigs = 44;
    ALTER_PARTITION_REASSIGNMENTS AlterPartitionReassignments = 45;
    LIST_PARTITION_REASSIGNMENTS ListPartitionReassignments = 46;
    OFFSET_DELETE OffsetDelete = 47;
    DESCRIBE_CLIENT_QUOTAS DescribeClientQuotas = 48;
    ALTER_CLIENT_QUOTAS AlterClientQuotas = 49;
    DESCRIBE_USER_SCRAM_CREDENTIALS DescribeUserScramCredentials = 50;
    ALTER_USER_SCRAM_CREDENTIALS AlterUserScramCredentials = 51;
    DESCRIBE_QUORUM DescribeQuorum = 55;
    UPDATE_FEATURES UpdateFeatures = 57;
    DESCRIBE_CLUSTER DescribeCluster = 60;
    DESCRIBE_PRODUCERS DescribeProducers = 61;
    UNREGISTER_BROKER UnregisterBroker = 64;
    DESCRIBE_TRANSACTIONS DescribeTransactions = 65;
    LIST_TRANSACTIONS ListTransactions = 66;
    CONSUMER_GROUP_HEARTBEAT ConsumerGroupHeartbeat = 68;
    CONSUMER_GROUP_DESCRIBE ConsumerGroupDescribe = 69;
    GET_TELEMETRY_SUBSCRIPTIONS GetTelemetrySubscriptions = 71;
    PUSH_TELEMETRY PushTelemetry = 72;
    LIST_CONFIG_RESOURCES ListConfigResources = 74;
    DESCRIBE_TOPIC_PARTITIONS DescribeTopicPartitions = 75;
    SHARE_GROUP_HEARTBEAT ShareGroupHeartbeat = 76;
    SHARE_GROUP_DESCRIBE ShareGroupDescribe = 77;
    SHARE_FETCH ShareFetch = 78;
    SHARE_ACKNOWLEDGE ShareAcknowledge = 79;
}

impl ApiKey {
    /// Whether requests of this version have flexible headers; false for APIs whose messages
    /// this crate does not know.
    pub fn is_flexible(self, version: i16) -> bool {
        messages::api(self).and_then(|api| api.flexible).is_some_and(|first| version >= first)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "Unknown" => write!(f, "Unknown({})", self.0),
            name => f.pad(name),
        }
    }
}

impl From<i16> for ApiKey {
    fn from(key: i16) -> Self {
        Self(key)
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> Self {
        key.0
    }
}
