//! Settings common to every part of the client.

use std::time::Duration;

use crate::Error;

/// How to reach a cluster. All durations and sizes have working defaults; only the brokers are
/// needed.
///
/// ```
/// use synod_client::ClientConfig;
/// let config = ClientConfig::new(["127.0.0.1:9092"]).client_id("orders");
/// ```
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub(crate) brokers: Vec<Box<str>>,
    pub(crate) client_id: Box<str>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) suspect_after: Duration,
    pub(crate) metadata_max_age: Duration,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) max_response_size: usize,
}

impl ClientConfig {
    /// A client of the cluster that has these brokers, given as `host:port`. Not all need to be
    /// named, and not all named ones need to be up.
    pub fn new<A: Into<String>>(brokers: impl IntoIterator<Item = A>) -> Self {
        let address = |address: A| address.into().into_boxed_str();
        Self {
            brokers: brokers.into_iter().map(address).collect(),
            client_id: "synod".into(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(60),
            suspect_after: Duration::from_millis(500),
            metadata_max_age: Duration::from_secs(300),
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            max_response_size: 100 << 20,
        }
    }

    /// The name by which brokers know this client in logs and quotas. Default `synod`.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into().into_boxed_str();
        self
    }

    /// Longest wait for one address to accept a connection, and again for it to name its versions.
    /// Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Longest wait for the answer to one request; a broker that is late loses the connection.
    /// Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Longest time an operation such as creating a topic may take, retries included. Default 60 s.
    pub fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// How long a broker may be silent before it is suspected: then questions that any broker can
    /// answer go to another one as well, and the cluster is asked who leads the silent one's
    /// partitions by now. No request is given up for a suspicion alone. Default 500 ms.
    pub fn suspect_after(mut self, silence: Duration) -> Self {
        self.suspect_after = silence;
        self
    }

    /// Age at which what is known about topics and leaders is asked anew. Default 5 minutes.
    pub fn metadata_max_age(mut self, age: Duration) -> Self {
        self.metadata_max_age = age;
        self
    }

    /// Pause after the first failed attempt, and the longest one. Default 50 ms and 1 s.
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff_first = first;
        self.backoff_max = max;
        self
    }

    /// Largest response taken from a broker, in bytes; a larger one ends the connection before any
    /// memory is given to it. Default 100 MiB.
    pub fn max_response_size(mut self, size: usize) -> Self {
        self.max_response_size = size;
        self
    }

    /// Checks what can be checked without a network.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.brokers.is_empty() {
            return Err(Error::config("no brokers given: name at least one as host:port"));
        }
        for address in &self.brokers {
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
                return Err(Error::config(format!("broker address '{address}' is not host:port")));
            }
        }
        if self.client_id.len() > i16::MAX as usize {
            return Err(Error::config("the client id is longer than 32767 bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_host_and_a_port() {
        for good in ["localhost:9092", "10.0.0.1:1", "[::1]:9092", "a.b.c:65535"] {
            assert!(ClientConfig::new([good]).validate().is_ok(), "{good}");
        }
        for bad in ["localhost", ":9092", "host:", "host:http", "host:65536", ""] {
            let error = ClientConfig::new([bad]).validate().unwrap_err();
            assert!(error.to_string().contains("host:port"), "{error}");
            assert!(!error.is_retriable());
        }
        assert!(ClientConfig::new(Vec::<String>::new()).validate().is_err());
    }
}
