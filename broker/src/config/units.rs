//! The types of single settings: how each is read from text and shown as text.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// The text is not a value of the wanted type; the setting's row says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAValue;

/// A number of bytes. Reads `512`, `64KiB`, `100 MiB`, `1GiB`, `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// The number of bytes as a `usize`, saturating where the platform's is smaller.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<ByteSize, NotAValue> {
        let (number, unit) = split_number(text)?;
        let scale = match unit {
            "" => 1,
            unit => {
                let known = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
                known.ok_or(NotAValue)?.1
            }
        };
        number.checked_mul(scale).map(ByteSize).ok_or(NotAValue)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The greatest binary unit that divides the size; decimal ones are only read.
        match SIZE_UNITS[..4].iter().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale))
        {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads `500ms`, `30s`, `10m`, `1h`, `7d`; a bare number is milliseconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, NotAValue> {
    let (number, unit) = split_number(text)?;
    let scale = match unit {
        "" => 1,
        "min" => 60_000,
        unit => TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotAValue)?.1,
    };
    number.checked_mul(scale).map(Duration::from_millis).ok_or(NotAValue)
}

/// The inverse of [`parse_duration`] with the greatest unit that divides the time.
pub(super) fn show_duration(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match TIME_UNITS.iter().find(|(_, scale)| ms > 0 && ms.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", ms / scale),
        None => format!("{ms}ms"),
    }
}

/// Splits `64 KiB` into 64 and `KiB`. Underscores may group the digits, as in TOML.
fn split_number(text: &str) -> Result<(u64, &str), NotAValue> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number = text[..digits].replace('_', "").parse().map_err(|_| NotAValue)?;
    Ok((number, text[digits..].trim_start()))
}

/// A host name or IP address with a port. IPv6 addresses stand in brackets: `[::1]:9092`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// `127.0.0.1` with `port`.
    pub fn loopback(port: u16) -> HostPort {
        HostPort { host: "127.0.0.1".into(), port }
    }

    /// The host without brackets, as `bind` and `connect` want it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 means "any free one" where the address is listened on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host with another port: what port 0 turned into.
    pub fn with_port(&self, port: u16) -> HostPort {
        HostPort { host: self.host.clone(), port }
    }

    /// Whether the host is the "every address" address, which nobody can connect to.
    pub fn is_unspecified(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

impl From<std::net::SocketAddr> for HostPort {
    fn from(address: std::net::SocketAddr) -> HostPort {
        HostPort { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for HostPort {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<HostPort, NotAValue> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(NotAValue)?;
        // `u16::from_str` would take "+1".
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAValue);
        }
        let port = port.parse().map_err(|_| NotAValue)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or(NotAValue)?;
                inner.parse::<std::net::Ipv6Addr>().map_err(|_| NotAValue)?.to_string()
            }
            None => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if host.is_empty() || host.len() > 255 || !host.chars().all(is_name) {
                    return Err(NotAValue);
                }
                host.to_owned()
            }
        };
        Ok(HostPort { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One voter of the metadata group, written `1@host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The voter's node id.
    pub node_id: u32,
    /// Its `peer_listen` address as the others reach it.
    pub address: HostPort,
}

/// The metadata group's voters in order of node id, written `1@a:9192,2@b:9192,3@c:9192`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster(Vec<Voter>);

impl Cluster {
    /// The voters in order of node id: from one to seven, with distinct ids and addresses.
    pub fn voters(&self) -> &[Voter] {
        &self.0
    }
}

impl FromStr for Cluster {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Cluster, NotAValue> {
        let mut voters = Vec::new();
        for item in text.split(',') {
            let (node_id, address) = item.split_once('@').ok_or(NotAValue)?;
            let voter = Voter { node_id: parse_node_id(node_id)?, address: address.parse()? };
            let is_repeated = voters
                .iter()
                .any(|v: &Voter| v.node_id == voter.node_id || v.address == voter.address);
            if is_repeated || voter.address.port() == 0 || voter.address.is_unspecified() {
                return Err(NotAValue);
            }
            voters.push(voter);
        }
        if voters.len() > 7 {
            return Err(NotAValue);
        }
        voters.sort_by_key(|voter| voter.node_id);
        Ok(Cluster(voters))
    }
}

/// A node id: 1 to `i32::MAX`, because Kafka's broker id is an i32.
fn parse_node_id(text: &str) -> Result<u32, NotAValue> {
    let id: u32 = text.trim().parse().map_err(|_| NotAValue)?;
    if id == 0 || id > i32::MAX as u32 { Err(NotAValue) } else { Ok(id) }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, voter) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}@{}", voter.node_id, voter.address)?;
        }
        Ok(())
    }
}

/// Declares an enum whose variants have one lower-case word each.
macro_rules! words {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl FromStr for $name {
            type Err = NotAValue;

            fn from_str(text: &str) -> Result<$name, NotAValue> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $($word => Ok($name::$variant),)+
                    _ => Err(NotAValue),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// Importance of a log event; a level includes those before it.
    LogLevel {
        /// What the broker cannot go on without.
        Error = "error",
        /// What an operator should look at.
        Warn = "warn",
        /// What changed.
        Info = "info",
        /// What each connection does.
        Debug = "debug",
        /// What each request does.
        Trace = "trace"
    }
}

words! {
    /// Shape of a log event.
    LogFormat {
        /// One readable line.
        Text = "text",
        /// One JSON object on a line.
        Json = "json"
    }
}
