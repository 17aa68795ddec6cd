//! The network between the brokers of one machine, with faults on demand.
//!
//! One listener stands in for each broker: its address is the one in `--cluster`, and it passes
//! connections on to where the broker really listens. Brokers dial one another in both directions,
//! so that the traffic from one to another is what travels on the connections it dialed; the first
//! frame on each tells who dials. That makes every directed link a thing of its own, to be slowed,
//! silenced or cut while the brokers run.

mod pump;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::peers::{Dialer, dialer_of};

/// Most bytes read to find out who dials.
const HELLO_SIZE: usize = 64 << 10;

/// How long a dialer may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The state of the link from one broker to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// Bytes pass at once.
    #[default]
    Open,
    /// Bytes arrive this much later, in both directions of the connection.
    Slow(Duration),
    /// Connections stay and can be made, but no byte passes until the link is open again; then the
    /// waiting ones do.
    Silent,
    /// Connections are reset, and new ones, too.
    Cut,
    /// Connections that stand lose their other end without being told: what is sent on them goes
    /// nowhere. New ones pass.
    HalfOpen,
}

type Identify = fn(&[u8]) -> Dialer;

/// The proxies of a cluster; they end when this is dropped.
#[derive(Debug)]
pub struct Links {
    shared: Arc<Shared>,
    addresses: BTreeMap<u32, SocketAddr>,
    /// Ends the thread when dropped.
    stop: Option<watch::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    identify: Identify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where each broker really listens.
    targets: BTreeMap<u32, SocketAddr>,
    /// By dialer and dialed; made when first needed.
    links: BTreeMap<(u32, u32), watch::Sender<Link>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, from: u32, to: u32) -> watch::Receiver<Link> {
        let mut state = self.state();
        state.links.entry((from, to)).or_default().subscribe()
    }

    fn target(&self, node: u32) -> Option<SocketAddr> {
        self.state().targets.get(&node).copied()
    }
}

impl Links {
    /// Starts a listener for each of these brokers, on free loopback ports.
    ///
    /// # Errors
    /// When there is no free port, or no thread to be had.
    pub fn start(nodes: impl IntoIterator<Item = u32>) -> io::Result<Links> {
        Links::start_with(nodes, dialer_of)
    }

    fn start_with(nodes: impl IntoIterator<Item = u32>, identify: Identify) -> io::Result<Links> {
        let shared = Arc::new(Shared { identify, state: Mutex::default() });
        let mut addresses = BTreeMap::new();
        let mut listeners = Vec::new();
        for node in nodes {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            addresses.insert(node, listener.local_addr()?);
            listeners.push((node, listener));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, mut stopped) = watch::channel(());
        let serving = shared.clone();
        let thread = thread::Builder::new().name("links".into()).spawn(move || {
            runtime.block_on(async {
                for (node, listener) in listeners {
                    tokio::spawn(serve(serving.clone(), node, listener));
                }
                // The sender is dropped to end this.
                let _ = stopped.changed().await;
            });
        })?;
        Ok(Links { shared, addresses, stop: Some(stop), thread: Some(thread) })
    }

    /// The address at which the others reach this broker.
    ///
    /// # Panics
    /// For a broker that was not named at the start.
    pub fn address(&self, node: u32) -> SocketAddr {
        self.addresses[&node]
    }

    /// Says where a broker really listens.
    pub fn lead_to(&self, node: u32, target: SocketAddr) {
        self.shared.state().targets.insert(node, target);
    }

    /// Changes the link from one broker to another, for connections that stand as for new ones.
    pub fn set(&self, from: u32, to: u32, link: Link) {
        self.shared.state().links.entry((from, to)).or_default().send_replace(link);
    }

    /// Changes the links between two brokers in both directions.
    pub fn set_both(&self, one: u32, other: u32, link: Link) {
        self.set(one, other, link);
        self.set(other, one, link);
    }

    /// Changes all links of one broker.
    pub fn set_around(&self, node: u32, link: Link) {
        for other in self.addresses.keys().filter(|other| **other != node) {
            self.set_both(node, *other, link);
        }
    }

    /// Opens every link.
    pub fn heal(&self) {
        for link in self.shared.state().links.values() {
            link.send_replace(Link::Open);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes the connections dialed to one broker.
async fn serve(shared: Arc<Shared>, node: u32, listener: TcpListener) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((dialer, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move { pass(&shared, node, dialer).await });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Passes one connection on, as its link allows.
async fn pass(shared: &Shared, to: u32, mut dialer: TcpStream) {
    let mut hello = Vec::new();
    let Ok(Some(from)) = timeout(HELLO_TIMEOUT, identify(shared, &mut dialer, &mut hello)).await
    else {
        return pump::reset(dialer);
    };
    let mut link = shared.watch(from, to);
    let Some(target) = shared.target(to).filter(|_| *link.borrow() != Link::Cut) else {
        return pump::reset(dialer);
    };
    let dialed = tokio::select! {
        dialed = TcpStream::connect(target) => dialed,
        () = pump::becomes(&mut link, Link::Cut) => return pump::reset(dialer),
    };
    match dialed {
        Ok(dialed) => pump::run(dialer, dialed, hello, link).await,
        Err(_) => pump::reset(dialer),
    }
}

/// Reads until it is known who dials; what was read has to be passed on. Whoever is no broker goes
/// by the number 0, which no broker has. `None`: the connection ended before.
async fn identify(shared: &Shared, dialer: &mut TcpStream, read: &mut Vec<u8>) -> Option<u32> {
    loop {
        let count = dialer.read_buf(read).await.ok()?;
        match (shared.identify)(read) {
            Dialer::Node(node) => return Some(node),
            Dialer::NotOurs => return Some(0),
            Dialer::NeedMore if count == 0 || read.len() > HELLO_SIZE => return None,
            Dialer::NeedMore => {}
        }
    }
}

#[cfg(test)]
mod tests;
