//! One connection to one broker: pipelined requests, versions agreed on, everything bounded.

mod driver;
mod pending;
mod pulse;
mod versions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use synod_wire::{Request, Str};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::{ClientConfig, Error};
use driver::{Driver, Expected, Outgoing};
use pulse::Pulse;

pub use pending::Pending;
pub(crate) use versions::Versions;

/// Requests that may wait for the socket; a sender beyond that waits.
const QUEUE_LENGTH: usize = 32;

/// A connection to one broker. Cheap to clone; the socket closes when the last clone is gone and
/// the last answer has come.
///
/// Requests may be sent while others are under way; the broker answers them in order. Dropping the
/// future of a request gives up its answer and harms nothing else.
///
/// ```no_run
/// use synod_client::wire::messages::list_groups::ListGroupsRequest;
/// use synod_client::{ClientConfig, Connection};
/// # async fn example() -> Result<(), synod_client::Error> {
/// let config = ClientConfig::new(["localhost:9092"]);
/// let connection = Connection::open("localhost:9092", &config).await?;
/// let groups = connection.send(&ListGroupsRequest::default()).await?.groups;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    address: Arc<str>,
    client_id: Str,
    request_timeout: Duration,
    versions: Versions,
    next_correlation_id: AtomicI32,
    requests: mpsc::Sender<Outgoing>,
    pulse: Arc<Pulse>,
}

impl Connection {
    /// Connects to `address` (`host:port`) and agrees on versions.
    ///
    /// ```no_run
    /// use synod_client::{ClientConfig, Connection};
    /// # async fn example() -> Result<(), synod_client::Error> {
    /// let config = ClientConfig::new(["localhost:9092"]);
    /// let connection = Connection::open("localhost:9092", &config).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers within the connect time-out, [`Error::Protocol`],
    /// [`Error::Timeout`] or [`Error::Disconnected`] when the other side is no Kafka broker.
    pub async fn open(address: &str, config: &ClientConfig) -> Result<Self, Error> {
        let failed =
            |reason: String| Error::Connect { address: address.into(), reason: reason.into() };
        let stream = match timeout(config.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(explain(&error))),
            Err(_) => {
                let millis = config.connect_timeout.as_millis();
                return Err(failed(format!("no answer within {millis} ms")));
            }
        };
        // Requests are written whole; waiting for more to send would only add latency.
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let (requests, queue) = mpsc::channel(QUEUE_LENGTH);
        let address: Arc<str> = address.into();
        let pulse = Arc::new(Pulse::new());
        let driver =
            Driver::new(stream, queue, address.clone(), config.max_response_size, pulse.clone());
        tokio::spawn(driver.run());
        let mut shared = Shared {
            address,
            client_id: Str::from(&*config.client_id),
            request_timeout: config.request_timeout,
            versions: Versions::unknown(),
            next_correlation_id: AtomicI32::new(0),
            requests,
            pulse,
        };
        shared.versions = versions::negotiate(&shared, config.connect_timeout).await?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The address this connection was opened to.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether the connection has ended; requests would fail.
    pub fn is_closed(&self) -> bool {
        self.shared.requests.is_closed()
    }

    /// How long it has kept us waiting: since the oldest unanswered request went out, or since the
    /// last answer if one came later. `None` when nothing is awaited.
    pub fn silence(&self) -> Option<Duration> {
        self.shared.pulse.silence()
    }

    /// Whether both handles are of the same connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The highest version of a request that both sides know.
    ///
    /// ```no_run
    /// use synod_client::wire::messages::fetch::FetchRequest;
    /// # async fn example(connection: synod_client::Connection)
    /// # -> Result<(), synod_client::Error> {
    /// println!("Fetch in version {}", connection.version::<FetchRequest>()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there is none.
    pub fn version<R: Request>(&self) -> Result<i16, Error> {
        self.shared.versions.choose::<R>(&self.shared.address)
    }

    /// All versions that the broker speaks.
    pub(crate) fn versions(&self) -> &Versions {
        &self.shared.versions
    }

    /// Sends a request and waits for its answer, at most for the configured request time-out.
    ///
    /// ```no_run
    /// use synod_client::wire::messages::list_groups::ListGroupsRequest;
    /// # async fn example(connection: synod_client::Connection)
    /// # -> Result<(), synod_client::Error> {
    /// let answer = connection.send(&ListGroupsRequest::default()).await?;
    /// println!("{} groups", answer.groups.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Timeout`], [`Error::Disconnected`], [`Error::Protocol`].
    /// Error codes inside the answer are the caller's to look at.
    pub async fn send<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        self.start(request, self.shared.request_timeout).await?.await
    }

    /// Puts a request on its way; the returned future waits for the answer, at most for `within`
    /// from now. Requests arrive in the order in which this returned.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use synod_client::wire::messages::list_groups::ListGroupsRequest;
    /// # async fn example(connection: synod_client::Connection)
    /// # -> Result<(), synod_client::Error> {
    /// let within = Duration::from_secs(1);
    /// let first = connection.start(&ListGroupsRequest::default(), within).await?;
    /// let second = connection.start(&ListGroupsRequest::default(), within).await?;
    /// println!("{} and {}", first.await?.groups.len(), second.await?.groups.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn start<R: Request>(
        &self,
        request: &R,
        within: Duration,
    ) -> Result<Pending<R>, Error> {
        let version = self.version::<R>()?;
        self.shared.start(request, version, within).await
    }

    /// Like [`Connection::start`] for a request that gets no answer at all (produce with acks 0).
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Disconnected`].
    pub async fn send_unanswered<R: Request>(&self, request: &R) -> Result<(), Error> {
        let version = self.version::<R>()?;
        let outgoing = Outgoing { frame: self.shared.encode(request, version)?.1, expected: None };
        self.shared.enqueue(outgoing).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.shared.address)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn start<R: Request>(
        &self,
        request: &R,
        version: i16,
        within: Duration,
    ) -> Result<Pending<R>, Error> {
        let (correlation_id, frame) = self.encode(request, version)?;
        let (reply, answer) = oneshot::channel();
        let expected =
            Expected { correlation_id, deadline: Instant::now() + within, within, reply };
        self.enqueue(Outgoing { frame, expected: Some(expected) }).await?;
        Ok(Pending::new(answer, version, self.address.clone()))
    }

    async fn enqueue(&self, outgoing: Outgoing) -> Result<(), Error> {
        self.requests.send(outgoing).await.map_err(|_| self.disconnected())
    }

    fn encode<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(i32, synod_wire::Frame), Error> {
        let correlation_id = self.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let client_id = Some(&self.client_id);
        let frame = synod_wire::encode_request(correlation_id, client_id, version, request)
            .map_err(|error| Error::config(format!("{}: {error}", R::KEY.name())))?;
        Ok((correlation_id, frame))
    }

    fn disconnected(&self) -> Error {
        Error::Disconnected {
            address: (*self.address).into(),
            reason: "it was closed before the request was sent".into(),
        }
    }
}

/// The plain reason without the operating system's error number.
fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        _ => error.to_string(),
    }
}
