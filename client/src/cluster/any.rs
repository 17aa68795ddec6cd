//! Questions that any broker can answer.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use synod_wire::Request;
use tokio::time::{Instant, sleep};

use super::{Broker, Cluster};
use crate::backoff::random_below;
use crate::{Connection, Error};

/// A broker that kept silent comes last for this many times the suspicion time.
const SHUNNED_FACTOR: u32 = 10;

/// A way to some broker.
#[derive(Debug)]
enum Way {
    /// With the broker's id, if it is known who that is.
    Open(Option<i32>, Connection),
    Broker(i32),
    /// A bootstrap address: it may lead where no broker says it is.
    Address(String),
}

impl Way {
    /// The broker it leads to, if that is known before an answer.
    fn broker(&self) -> Option<i32> {
        match self {
            Self::Open(id, _) => *id,
            Self::Broker(id) => Some(*id),
            Self::Address(_) => None,
        }
    }
}

impl Cluster {
    /// A connection to any broker: a known one at random, else a bootstrap address.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let connection = cluster.any_broker().await?;
    /// println!("{} answers", connection.address());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoBroker`] with every address's reason.
    pub async fn any_broker(&self) -> Result<Connection, Error> {
        self.race(|connection| async { Ok(connection) }).await
    }

    /// Sends a question to any broker. When one keeps silent, another is asked as well, and the
    /// first answer counts: a broker that hangs costs a moment and no more.
    pub(crate) async fn ask_any<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        self.race(|connection| async move { connection.send(request).await }).await
    }

    /// Tries one way after the other, the next as soon as one fails or keeps silent for a while.
    async fn race<T, F>(&self, attempt: impl Fn(Connection) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut ways = self.ways().into_iter().peekable();
        let mut attempts = FuturesUnordered::new();
        let mut failures: Vec<Error> = Vec::new();
        loop {
            let tried = ways.next().map(|way| {
                let id = way.broker();
                attempts.push(self.walk(way, &attempt));
                id
            });
            if attempts.is_empty() {
                return Err(conclusion(failures));
            }
            tokio::select! {
                Some(result) = attempts.next() => match result {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failures.push(error),
                },
                () = sleep(self.inner.config.suspect_after), if ways.peek().is_some() => {
                    tried.flatten().inspect(|id| self.shun(*id));
                }
            }
        }
    }

    /// Lets a broker that kept silent come last for a while.
    fn shun(&self, id: i32) {
        let until = Instant::now() + self.inner.config.suspect_after * SHUNNED_FACTOR;
        self.state().shunned.insert(id, until);
    }

    /// Takes a way to a connection and tries it.
    async fn walk<T, F>(&self, way: Way, attempt: &impl Fn(Connection) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (id, address) = match way {
            Way::Broker(id) => (Some(id), String::new()),
            Way::Address(address) => (None, address),
            Way::Open(id, connection) => match attempt(connection.clone()).await {
                // It had ended unnoticed; the broker itself may be well.
                Err(Error::Disconnected { .. }) => (id, connection.address().to_owned()),
                other => return other,
            },
        };
        let connection = match id {
            Some(id) => self.broker(id).await?,
            None => {
                let connection = Connection::open(&address, &self.inner.config).await?;
                self.state().seed = Some(connection.clone());
                connection
            }
        };
        attempt(connection).await
    }

    /// Known brokers from a random one on, so that no single one's picture of the cluster is asked
    /// for ever; then the bootstrap addresses likewise; what lately kept silent comes last.
    fn ways(&self) -> Vec<Way> {
        let suspect_after = self.inner.config.suspect_after;
        let (silent, open): (Vec<_>, Vec<_>) =
            self.open_connections().into_iter().partition(|(_, connection)| {
                connection.silence().is_some_and(|silence| silence >= suspect_after)
            });
        let connected = |address: &str| {
            open.iter().chain(&silent).any(|(_, connection)| connection.address() == address)
        };
        let metadata = self.metadata();
        let known: Vec<_> = metadata.brokers().map(Broker::address).collect();
        let unconnected = metadata.brokers().filter(|broker| !connected(&broker.address()));
        let (shunned, brokers): (Vec<_>, Vec<_>) =
            unconnected.map(|broker| broker.id).partition(|id| self.is_shunned(*id));
        let configured = self.inner.config.brokers.iter().map(|address| address.to_string());
        let configured = configured.filter(|address| !connected(address));
        let configured = configured.filter(|address| !known.contains(address));

        let open = open.iter().map(|(id, open)| Way::Open(*id, open.clone()));
        let mut ways = rotated(open.chain(brokers.into_iter().map(Way::Broker)).collect());
        ways.extend(rotated(configured.map(Way::Address).collect()));
        ways.extend(silent.into_iter().map(|(id, silent)| Way::Open(id, silent)));
        ways.extend(shunned.into_iter().map(Way::Broker));
        ways
    }

    fn is_shunned(&self, id: i32) -> bool {
        self.state().shunned.get(&id).is_some_and(|until| *until > Instant::now())
    }
}

/// What all failures together mean.
fn conclusion(mut failures: Vec<Error>) -> Error {
    let is_passing = failures.iter().any(Error::is_retriable);
    let reasons: Vec<_> = failures.iter().map(Error::to_string).collect();
    match failures.pop() {
        // All agree that it cannot be: that is the answer.
        Some(error) if !is_passing => error,
        _ => Error::NoBroker { reasons: reasons.join("; ").into() },
    }
}

fn rotated<T>(mut ways: Vec<T>) -> Vec<T> {
    if !ways.is_empty() {
        let middle = random_below(ways.len());
        ways.rotate_left(middle);
    }
    ways
}
