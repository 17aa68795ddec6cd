//! Kafka's error codes.

use std::fmt;

/// An error code as it stands in responses; `NONE` (0) is success. Any value can come over the
/// wire; those without a name count as not retriable.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(i16);

macro_rules! error_codes {
    ($($name:ident = $code:literal $(, $retriable:ident)?: $message:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $message, ".")]
                pub const $name: Self = Self($code);
            )*

            /// All codes with a name, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Kafka's name of the code; `"UNKNOWN"` for numbers that have none.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $( $code => stringify!($name), )*
                    _ => "UNKNOWN",
                }
            }

            /// What the code means, without a full stop.
            pub const fn message(self) -> &'static str {
                match self.0 {
                    $( $code => $message, )*
                    _ => "an error code without a name",
                }
            }

            /// Whether Kafka's clients may send the same request again and hope.
            pub const fn is_retriable(self) -> bool {
                $($( const _: () = error_codes!(@$retriable); if self.0 == $code { return true; } )?)*
                false
            }
        }
    };
    (@retriable) => { () };
}

error_codes! {
    UNKNOWN_SERVER_ERROR = -1: "the broker failed in a way it did not expect";
    NONE = 0: "success";
    OFFSET_OUT_OF_RANGE = 1: "the partition has no such offset";
    CORRUPT_MESSAGE = 2, retriable: "a batch is damaged or malformed";
    UNKNOWN_TOPIC_OR_PARTITION = 3, retriable: "this broker hosts no such topic or partition";
    INVALID_FETCH_SIZE = 4: "the fetch size is invalid";
    LEADER_NOT_AVAILABLE = 5, retriable: "the partition has no leader at the moment";
    NOT_LEADER_OR_FOLLOWER = 6, retriable: "this broker does not lead the partition";
    REQUEST_TIMED_OUT = 7, retriable: "the request was not finished in time";
    BROKER_NOT_AVAILABLE = 8: "the broker is not available";
    REPLICA_NOT_AVAILABLE = 9, retriable: "the replica is not available";
    MESSAGE_TOO_LARGE = 10: "the batch is larger than the topic allows";
    STALE_CONTROLLER_EPOCH = 11: "the controller has been superseded";
    OFFSET_METADATA_TOO_LARGE = 12: "the metadata string of a committed offset is too long";
    NETWORK_EXCEPTION = 13, retriable: "the connection broke before an answer";
    COORDINATOR_LOAD_IN_PROGRESS = 14, retriable: "the coordinator is still loading its state";
    COORDINATOR_NOT_AVAILABLE = 15, retriable: "the coordinator is not available";
    NOT_COORDINATOR = 16, retriable: "this broker is not the coordinator";
    INVALID_TOPIC_EXCEPTION = 17: "the topic name is invalid or the topic is internal";
    RECORD_LIST_TOO_LARGE = 18: "the batch is larger than a segment";
    NOT_ENOUGH_REPLICAS = 19, retriable: "too few replicas are there to accept the batch";
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, retriable: "appended, but on too few replicas";
    INVALID_REQUIRED_ACKS = 21: "acks must be -1, 0 or 1";
    ILLEGAL_GENERATION = 22: "the group has moved on to another generation";
    INCONSISTENT_GROUP_PROTOCOL = 23: "no protocol in common with the members of the group";
    INVALID_GROUP_ID = 24: "the group id is invalid";
    UNKNOWN_MEMBER_ID = 25: "the group has no such member";
    INVALID_SESSION_TIMEOUT = 26: "the session timeout is outside the bounds configured";
    REBALANCE_IN_PROGRESS = 27: "the group is rebalancing: join again";
    INVALID_COMMIT_OFFSET_SIZE = 28: "the committed offsets are larger than a batch may be";
    TOPIC_AUTHORIZATION_FAILED = 29: "not authorised for the topic";
    GROUP_AUTHORIZATION_FAILED = 30: "not authorised for the group";
    CLUSTER_AUTHORIZATION_FAILED = 31: "not authorised for the cluster";
    INVALID_TIMESTAMP = 32: "a timestamp is outside the bounds configured";
    UNSUPPORTED_SASL_MECHANISM = 33: "the SASL mechanism is not supported";
    ILLEGAL_SASL_STATE = 34: "the request does not fit the state of authentication";
    UNSUPPORTED_VERSION = 35: "the version of the API is not supported";
    TOPIC_ALREADY_EXISTS = 36: "the topic exists already";
    INVALID_PARTITIONS = 37: "the number of partitions is invalid";
    INVALID_REPLICATION_FACTOR = 38: "the replication factor is invalid";
    INVALID_REPLICA_ASSIGNMENT = 39: "the replica assignment is invalid";
    INVALID_CONFIG = 40: "a configuration is invalid";
    NOT_CONTROLLER = 41, retriable: "this broker is not the controller";
    INVALID_REQUEST = 42: "the request contradicts itself or the protocol";
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43: "the record format cannot express the request";
    POLICY_VIOLATION = 44: "a policy forbids the request";
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45: "the producer's sequence has a gap";
    DUPLICATE_SEQUENCE_NUMBER = 46: "the producer's sequence number was used before";
    INVALID_PRODUCER_EPOCH = 47: "the producer epoch is older than the newest seen";
    INVALID_TXN_STATE = 48: "the transaction is not in a state that allows this";
    INVALID_PRODUCER_ID_MAPPING = 49: "the producer id does not belong to the transactional id";
    INVALID_TRANSACTION_TIMEOUT = 50: "the transaction timeout is beyond the maximum";
    CONCURRENT_TRANSACTIONS = 51, retriable: "the previous transaction is still being ended";
    TRANSACTION_COORDINATOR_FENCED = 52: "the transaction coordinator has been superseded";
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53: "not authorised for the transactional id";
    SECURITY_DISABLED = 54: "security features are not enabled";
    OPERATION_NOT_ATTEMPTED = 55: "not attempted, because another part of the request failed";
    KAFKA_STORAGE_ERROR = 56, retriable: "the broker's storage failed";
    LOG_DIR_NOT_FOUND = 57: "the broker has no such data directory";
    SASL_AUTHENTICATION_FAILED = 58: "authentication failed";
    UNKNOWN_PRODUCER_ID = 59: "nothing is known of the producer id";
    REASSIGNMENT_IN_PROGRESS = 60: "a replica move is under way";
    DELEGATION_TOKEN_AUTH_DISABLED = 61: "delegation tokens are not enabled";
    DELEGATION_TOKEN_NOT_FOUND = 62: "there is no such delegation token";
    DELEGATION_TOKEN_OWNER_MISMATCH = 63: "the delegation token belongs to another principal";
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64: "delegation tokens need another connection";
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65: "not authorised for the delegation token";
    DELEGATION_TOKEN_EXPIRED = 66: "the delegation token has expired";
    INVALID_PRINCIPAL_TYPE = 67: "the principal type is not supported";
    NON_EMPTY_GROUP = 68: "the group still has members";
    GROUP_ID_NOT_FOUND = 69: "there is no such group";
    FETCH_SESSION_ID_NOT_FOUND = 70, retriable: "there is no such fetch session";
    INVALID_FETCH_SESSION_EPOCH = 71, retriable: "the fetch session is at another epoch";
    LISTENER_NOT_FOUND = 72, retriable: "the leader has no listener like the one used";
    TOPIC_DELETION_DISABLED = 73: "deleting topics is disabled";
    FENCED_LEADER_EPOCH = 74, retriable: "the leader epoch given is older than the leader's";
    UNKNOWN_LEADER_EPOCH = 75, retriable: "the leader epoch given is newer than the leader's";
    UNSUPPORTED_COMPRESSION_TYPE = 76: "this version cannot carry the compression type";
    STALE_BROKER_EPOCH = 77: "the broker has been superseded by a newer incarnation";
    OFFSET_NOT_AVAILABLE = 78, retriable: "a new leader does not know its end yet";
    MEMBER_ID_REQUIRED = 79: "join again with the member id given";
    PREFERRED_LEADER_NOT_AVAILABLE = 80, retriable: "the preferred leader is not available";
    GROUP_MAX_SIZE_REACHED = 81: "the group is full";
    FENCED_INSTANCE_ID = 82: "another member uses the same static id";
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83, retriable: "no replica can become leader";
    ELECTION_NOT_NEEDED = 84, retriable: "the partition has the wanted leader already";
    NO_REASSIGNMENT_IN_PROGRESS = 85: "no replica move is under way";
    GROUP_SUBSCRIBED_TO_TOPIC = 86: "the group consumes from the topic at the moment";
    INVALID_RECORD = 87: "a record was refused";
    UNSTABLE_OFFSET_COMMIT = 88, retriable: "a transaction holds offsets not committed yet";
    THROTTLING_QUOTA_EXCEEDED = 89, retriable: "over quota";
    PRODUCER_FENCED = 90: "a newer producer uses the same transactional id";
    RESOURCE_NOT_FOUND = 91: "there is no such resource";
    DUPLICATE_RESOURCE = 92: "the resource exists already";
    UNACCEPTABLE_CREDENTIAL = 93: "the credential is not acceptable";
    INCONSISTENT_VOTER_SET = 94: "the voter sets differ";
    INVALID_UPDATE_VERSION = 95: "the feature version is invalid";
    FEATURE_UPDATE_FAILED = 96: "a feature could not be updated";
    PRINCIPAL_DESERIALIZATION_FAILURE = 97: "the forwarded principal cannot be read";
    SNAPSHOT_NOT_FOUND = 98: "there is no such snapshot";
    POSITION_OUT_OF_RANGE = 99: "the snapshot has no such position";
    UNKNOWN_TOPIC_ID = 100, retriable: "no topic has this id";
    DUPLICATE_BROKER_REGISTRATION = 101: "another broker uses the same id";
    BROKER_ID_NOT_REGISTERED = 102: "the broker id is not registered";
    INCONSISTENT_TOPIC_ID = 103, retriable: "the topic id is not the one of the log";
    INCONSISTENT_CLUSTER_ID = 104: "the cluster id is another one";
    TRANSACTIONAL_ID_NOT_FOUND = 105: "there is no such transactional id";
    FETCH_SESSION_TOPIC_ID_ERROR = 106, retriable: "names and ids are mixed in a fetch session";
    INELIGIBLE_REPLICA = 107: "the replica may not become a member of the set";
    NEW_LEADER_ELECTED = 108: "the change took the leadership elsewhere";
    OFFSET_MOVED_TO_TIERED_STORAGE = 109: "the offset has moved to tiered storage";
    FENCED_MEMBER_EPOCH = 110: "the member epoch is not the current one: join again";
    UNRELEASED_INSTANCE_ID = 111: "another member still holds the static id";
    UNSUPPORTED_ASSIGNOR = 112: "the group does not support the assignor";
    STALE_MEMBER_EPOCH = 113: "the member epoch is older than the current one";
    MISMATCHED_ENDPOINT_TYPE = 114: "the request was sent to the wrong kind of endpoint";
    UNSUPPORTED_ENDPOINT_TYPE = 115: "the kind of endpoint is not supported";
    UNKNOWN_CONTROLLER_ID = 116: "there is no controller with this id";
    UNKNOWN_SUBSCRIPTION_ID = 117: "the telemetry subscription id is out of date";
    TELEMETRY_TOO_LARGE = 118: "the telemetry is larger than allowed";
    INVALID_REGISTRATION = 119: "the controller refused the registration";
    TRANSACTION_ABORTABLE = 120: "the transaction must be aborted";
    INVALID_RECORD_STATE = 121: "the record's state forbids the acknowledgement";
    SHARE_SESSION_NOT_FOUND = 122, retriable: "there is no such share session";
    INVALID_SHARE_SESSION_EPOCH = 123, retriable: "the share session is at another epoch";
    FENCED_STATE_EPOCH = 124: "the share state epoch is older than the current one";
    INVALID_VOTER_KEY = 125: "the voter key is not the receiver's";
    DUPLICATE_VOTER = 126: "the voter is a member already";
    VOTER_NOT_FOUND = 127: "there is no such voter";
    INVALID_REGULAR_EXPRESSION = 128: "the regular expression is invalid";
    REBOOTSTRAP_REQUIRED = 129: "the client must start over from its bootstrap brokers";
    STREAMS_INVALID_TOPOLOGY = 130: "the topology is invalid";
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131: "the topology epoch is invalid";
    STREAMS_TOPOLOGY_FENCED = 132: "the topology epoch is out of date";
    SHARE_SESSION_LIMIT_REACHED = 133, retriable: "there are too many share sessions";
}

impl ErrorCode {
    /// The code with this number, whether it has a name or not.
    pub const fn from_code(code: i16) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn code(self) -> i16 {
        self.0
    }

    /// Whether this is success.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this is an error.
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.0, self.message())
    }
}
