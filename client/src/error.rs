//! The one error type of the client.

use std::sync::Arc;
use std::time::Duration;

use synod_wire::ErrorCode;
use synod_wire::batch::BatchError;

/// What went wrong, whether trying again can help ([`Error::is_retriable`]) and what to do about it
/// ([`Error::remedy`]).
///
/// The client retries by itself what can be retried, within the time-outs of its configuration. An
/// error that comes out is either fatal or outlived that time.
///
/// ```
/// # fn example(error: synod_client::Error) {
/// use synod_client::Remedy;
/// match error.remedy() {
///     Remedy::Fix => eprintln!("the request is wrong: {error}"),
///     Remedy::GiveUp => eprintln!("this has to be looked at: {error}"),
///     _ => eprintln!("later, perhaps: {error}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option or an argument makes no sense.
    #[error("{0}")]
    Config(Box<str>),
    /// A broker's address does not answer.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The address as configured or as the cluster advertises it.
        address: Box<str>,
        /// What the operating system says.
        reason: Box<str>,
    },
    /// None of the bootstrap addresses answers.
    #[error("no broker can be reached: {reasons}")]
    NoBroker {
        /// Each address with its reason.
        reasons: Box<str>,
    },
    /// The connection ended before the answer came. A request that changes something may have taken
    /// effect.
    #[error("connection to {address} ended: {reason}")]
    Disconnected {
        /// The broker's address.
        address: Box<str>,
        /// Why, as far as known.
        reason: Box<str>,
    },
    /// No answer in time. A request that changes something may have taken effect.
    #[error("no answer from {address} within {} ms", .after.as_millis())]
    Timeout {
        /// The broker's address.
        address: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The other side does not speak the protocol, or not correctly.
    #[error("{address} does not speak the Kafka protocol correctly: {reason}")]
    Protocol {
        /// The broker's address.
        address: Box<str>,
        /// What was wrong with its bytes.
        reason: Box<str>,
    },
    /// The broker has no version of a request that this client knows.
    #[error("{address} has no version of {api} that this client speaks")]
    Unsupported {
        /// The broker's address.
        address: Box<str>,
        /// The request.
        api: &'static str,
    },
    /// The broker answered with an error code.
    #[error("{context}: {message} ({})", .code.name())]
    Broker {
        /// Kafka's code.
        code: ErrorCode,
        /// What was asked for, such as `topic orders, partition 3`.
        context: Box<str>,
        /// The broker's own words, or the code's standard ones.
        message: Box<str>,
    },
    /// A record is larger than the producer may send.
    #[error("the record takes {size} bytes, the limit is {limit}")]
    RecordTooLarge {
        /// Size in a batch, in bytes.
        size: usize,
        /// The configured limit, in bytes.
        limit: usize,
    },
    /// A record could not be delivered in time.
    #[error(
        "topic {topic}, partition {partition}: not delivered within {} ms{}{}",
        .after.as_millis(),
        if *.sent { ", may or may not be written" } else { "" },
        .last.as_ref().map(|last| format!("; last error: {last}")).unwrap_or_default()
    )]
    Expired {
        /// Topic of the record.
        topic: Arc<str>,
        /// Partition of the record.
        partition: i32,
        /// The delivery time-out.
        after: Duration,
        /// Whether it was sent at least once: then its fate is unknown.
        sent: bool,
        /// The error of the last attempt.
        last: Option<Arc<Error>>,
    },
    /// Fetched or produced records are damaged.
    #[error("{context}: {source}")]
    Corrupt {
        /// Where, such as `topic orders, partition 3, offset 17`.
        context: Box<str>,
        /// What is wrong with them.
        source: BatchError,
    },
    /// The producer or consumer was closed.
    #[error("the client is closed")]
    Closed,
}

/// What can be done about an [`Error`].
///
/// ```no_run
/// use synod_client::Remedy;
/// use synod_client::producer::ProducerRecord;
/// # async fn example(producer: synod_client::producer::Producer)
/// # -> Result<(), synod_client::Error> {
/// if let Err(error) = producer.send(ProducerRecord::new("orders")).await {
///     match error.remedy() {
///         Remedy::Fix => panic!("a mistake of this program: {error}"),
///         remedy => println!("{error}: {remedy:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try the same again after a moment.
    Retry,
    /// Learn from the cluster who leads now, then try again.
    RefreshMetadata,
    /// Connect anew, then try again.
    Reconnect,
    /// Change the request or the configuration; trying again gives the same answer.
    Fix,
    /// Neither side can go on with this: report it.
    GiveUp,
}

impl Error {
    /// Whether trying again can help.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// if let Err(error) = admin.delete_topic("orders").await {
    ///     let advice = if error.is_retriable() { "try later" } else { "do not try again" };
    ///     println!("{error}; {advice}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_retriable(&self) -> bool {
        matches!(self.remedy(), Remedy::Retry | Remedy::RefreshMetadata | Remedy::Reconnect)
    }

    /// What can be done.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Config(_) | Self::RecordTooLarge { .. } | Self::Closed => Remedy::Fix,
            Self::Connect { .. } | Self::NoBroker { .. } => Remedy::Reconnect,
            Self::Disconnected { .. } | Self::Timeout { .. } => Remedy::Reconnect,
            Self::Protocol { .. } | Self::Unsupported { .. } | Self::Expired { .. } => {
                Remedy::GiveUp
            }
            Self::Corrupt { .. } => Remedy::GiveUp,
            Self::Broker { code, .. } => remedy_of(*code),
        }
    }

    /// The broker's error code, if a broker answered with one.
    ///
    /// ```no_run
    /// use synod_client::admin::NewTopic;
    /// use synod_client::wire::ErrorCode;
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// match admin.create_topic(NewTopic::new("orders")).await {
    ///     Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
    ///     result => println!("{:?}", result?.id),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            Self::Expired { last: Some(last), .. } => last.code(),
            _ => None,
        }
    }

    /// The error for a code in a response; the broker's own words win over the standard ones.
    pub(crate) fn broker(
        code: ErrorCode,
        context: impl Into<Box<str>>,
        message: Option<&str>,
    ) -> Self {
        let message = match message {
            Some(message) if !message.is_empty() => message,
            _ => code.message(),
        };
        Self::Broker { code, context: context.into(), message: message.into() }
    }

    /// `Ok` for no error, else the error for this code.
    pub(crate) fn check(
        code: ErrorCode,
        context: impl FnOnce() -> String,
        message: Option<&str>,
    ) -> Result<(), Self> {
        if code == ErrorCode::NONE { Ok(()) } else { Err(Self::broker(code, context(), message)) }
    }

    /// A mistake of the caller.
    pub(crate) fn config(reason: impl Into<String>) -> Self {
        Self::Config(reason.into().into())
    }
}

/// Codes that tell of a moved leader, coordinator or controller need fresh metadata first.
fn remedy_of(code: ErrorCode) -> Remedy {
    match code {
        ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::LEADER_NOT_AVAILABLE
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::UNKNOWN_LEADER_EPOCH
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::INCONSISTENT_TOPIC_ID
        | ErrorCode::LISTENER_NOT_FOUND
        | ErrorCode::REPLICA_NOT_AVAILABLE
        | ErrorCode::BROKER_NOT_AVAILABLE
        | ErrorCode::KAFKA_STORAGE_ERROR
        | ErrorCode::NOT_CONTROLLER => Remedy::RefreshMetadata,
        code if code.is_retriable() => Remedy::Retry,
        _ => Remedy::Fix,
    }
}
