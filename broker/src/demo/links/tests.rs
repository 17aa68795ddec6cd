//! The proxy against plain sockets. Here a dialer's hello is one byte: its number.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream as Socket};
use std::time::Instant;

use super::*;

fn one_byte(read: &[u8]) -> Dialer {
    match read {
        [] => Dialer::NeedMore,
        [b'?', ..] => Dialer::NotOurs,
        [node, ..] => Dialer::Node(u32::from(*node)),
    }
}

/// Proxies for brokers 1 and 2, and the listener of 2.
fn start() -> (Links, TcpListener) {
    let links = Links::start_with([1, 2], one_byte).expect("free ports");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    links.lead_to(2, listener.local_addr().expect("its address"));
    (links, listener)
}

/// Dials broker 2 as `node`. Returns the dialer's and the broker's end; the hello has arrived.
fn dial(links: &Links, listener: &TcpListener, node: u8) -> (Socket, Socket) {
    let mut dialer = Socket::connect(links.address(2)).expect("the proxy listens");
    dialer.write_all(&[node]).expect("a hello");
    let (mut dialed, _) = listener.accept().expect("the connection is passed on");
    assert_eq!(receive(&mut dialed, 1), [node], "the hello is passed on, too");
    (dialer, dialed)
}

fn receive(socket: &mut Socket, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes).expect("bytes");
    bytes
}

/// Whether the connection was ended with a reset rather than in peace.
fn is_reset(socket: &mut Socket) -> bool {
    let ended = socket.read(&mut [0; 1]);
    ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn bytes_pass_both_ways_and_ends_do() {
    let (links, listener) = start();
    let (mut dialer, mut dialed) = dial(&links, &listener, 1);
    let large: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    let expected = large.clone();
    let mut writing = dialer.try_clone().expect("a socket");
    let writer = thread::spawn(move || {
        writing.write_all(&large).expect("room");
        writing.shutdown(Shutdown::Write).expect("an end");
    });
    assert!(receive(&mut dialed, 3_000_000) == expected);
    assert_eq!(dialed.read(&mut [0; 1]).expect("the end"), 0);
    writer.join().expect("the writing thread");
    dialed.write_all(b"still there").expect("half open");
    assert_eq!(receive(&mut dialer, 11), b"still there");
    drop(dialed);
    assert_eq!(dialer.read(&mut [0; 1]).expect("the end"), 0);
}

#[test]
fn a_cut_resets_what_stands_and_what_comes_until_it_heals() {
    let (links, listener) = start();
    let (mut dialer, mut dialed) = dial(&links, &listener, 1);
    let (mut other, mut other_dialed) = dial(&links, &listener, 3);
    links.set(1, 2, Link::Cut);
    assert!(is_reset(&mut dialer) && is_reset(&mut dialed));
    let mut again = Socket::connect(links.address(2)).expect("the proxy listens");
    again.write_all(&[1]).expect("a hello");
    assert!(is_reset(&mut again));
    // The link of another dialer to the same broker is not concerned.
    other.write_all(b"x").expect("room");
    assert_eq!(receive(&mut other_dialed, 1), b"x");
    links.heal();
    dial(&links, &listener, 1);
}

#[test]
fn a_silent_link_keeps_bytes_back_until_it_heals() {
    let (links, listener) = start();
    let (mut dialer, mut dialed) = dial(&links, &listener, 1);
    links.set_around(2, Link::Silent);
    dialer.write_all(b"late").expect("room");
    dialed.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    let nothing = dialed.read(&mut [0; 1]).expect_err("silence");
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    dialed.set_read_timeout(None).expect("no time-out");
    links.set_around(2, Link::Open);
    assert_eq!(receive(&mut dialed, 4), b"late");
}

#[test]
fn a_half_open_connection_keeps_its_dialer_in_the_dark() {
    let (links, listener) = start();
    let (mut dialer, mut dialed) = dial(&links, &listener, 1);
    links.set(1, 2, Link::HalfOpen);
    assert!(is_reset(&mut dialed));
    for _ in 0..100 {
        dialer.write_all(&[0; 10_000]).expect("it goes nowhere, and that without an error");
    }
    let (mut again, mut again_dialed) = dial(&links, &listener, 1);
    again.write_all(b"x").expect("room");
    assert_eq!(receive(&mut again_dialed, 1), b"x", "new connections pass");
    links.heal();
    dialer.write_all(b"y").expect("for ever in the dark");
    links.set(1, 2, Link::Cut);
    assert!(is_reset(&mut dialer) && is_reset(&mut again));
}

#[test]
fn a_slow_link_is_late() {
    let (links, listener) = start();
    let (mut dialer, mut dialed) = dial(&links, &listener, 1);
    let delay = Duration::from_millis(60);
    links.set_both(1, 2, Link::Slow(delay));
    let started = Instant::now();
    dialer.write_all(b"x").expect("room");
    assert_eq!(receive(&mut dialed, 1), b"x");
    assert!(started.elapsed() >= delay);
}

#[test]
fn a_broker_that_is_not_there_resets() {
    let (links, listener) = start();
    let mut dialer = Socket::connect(links.address(1)).expect("the proxy listens");
    dialer.write_all(&[2]).expect("a hello");
    assert!(is_reset(&mut dialer), "nobody said where broker 1 listens");
    drop(listener);
    let mut dialer = Socket::connect(links.address(2)).expect("the proxy listens");
    dialer.write_all(&[1]).expect("a hello");
    assert!(is_reset(&mut dialer), "broker 2 no longer listens");
}

#[test]
fn strangers_are_passed_on_and_the_silent_ones_are_not() {
    let (links, listener) = start();
    dial(&links, &listener, b'?');
    let mut dialer = Socket::connect(links.address(2)).expect("the proxy listens");
    dialer.shutdown(Shutdown::Write).expect("an end");
    assert!(is_reset(&mut dialer));
}

#[test]
fn everything_ends_with_the_links() {
    let (links, listener) = start();
    let (mut dialer, _dialed) = dial(&links, &listener, 1);
    let address = links.address(2);
    drop(links);
    assert!(matches!(dialer.read(&mut [0; 1]), Ok(0) | Err(_)));
    Socket::connect(address).expect_err("nobody listens");
}
