use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;

fn start(health: &Health) -> HttpServer {
    HttpServer::start(&HostPort::loopback(0), Arc::new(Metrics::new()), health.clone())
        .expect("a free port on loopback")
}

/// Sends raw bytes and reads until the server closes.
fn exchange(server: &HttpServer, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).expect("connect");
    stream.write_all(request).expect("send");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("read");
    response
}

/// Status, head and body of a GET.
fn get(server: &HttpServer, path: &str) -> (u16, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let response = exchange(server, request.as_bytes());
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn readyz_follows_the_broker_and_says_why() {
    let health = Health::new();
    let server = start(&health);
    let (status, _, body) = get(&server, "/readyz");
    assert_eq!((status, body.as_str()), (503, "starting: opening the data directory\n"));
    health.set(Readiness::Starting("recovering partitions".into()));
    assert_eq!(get(&server, "/readyz").2, "starting: recovering partitions\n");
    health.set(Readiness::Ready);
    let (status, _, body) = get(&server, "/readyz");
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    health.set(Readiness::Impaired("the disk is full".into()));
    let (status, _, body) = get(&server, "/readyz");
    assert_eq!((status, body.as_str()), (503, "impaired: the disk is full\n"));
    health.set(Readiness::Stopping);
    health.set(Readiness::Ready);
    let (status, _, body) = get(&server, "/readyz");
    assert_eq!((status, body.as_str()), (503, "stopping\n"));
    assert_eq!(get(&server, "/healthz").0, 200, "alive while stopping");
}

#[test]
fn metrics_have_prometheus_content_type() {
    let server = start(&Health::new());
    let (status, head, body) = get(&server, "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.starts_with("# HELP synod_build_info"), "{body}");
    assert!(body.ends_with('\n'));
}

#[test]
fn index_names_the_paths_and_others_are_refused() {
    let server = start(&Health::new());
    let (status, _, body) = get(&server, "/");
    assert_eq!(status, 200);
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert!(body.contains(path), "{body}");
    }
    assert_eq!(get(&server, "/etc/passwd").0, 404);
    let post = exchange(
        &server,
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
}

#[test]
fn one_connection_serves_many_requests() {
    let server = start(&Health::new());
    let two = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\
                GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(&server, two).matches("HTTP/1.1 200").count(), 2);
}

#[test]
fn garbage_and_oversized_heads_are_refused_and_others_still_served() {
    let server = start(&Health::new());
    // TLS and Kafka bytes on this port.
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\x00\x00\x00\x10\x00\x12\x00\x03"] {
        let response = exchange(&server, garbage);
        assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    }
    let mut head = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
    for index in 0..100 {
        head.extend_from_slice(format!("x-{index}: y\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    assert!(exchange(&server, &head).starts_with("HTTP/1.1 431"));
    assert_eq!(get(&server, "/healthz").0, 200);
}

#[test]
fn stop_closes_idle_connections_and_the_port() {
    let server = start(&Health::new());
    let address = server.local_addr();
    let mut idle = TcpStream::connect(address).expect("connect");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("send");
    let mut byte = [0; 1];
    idle.read_exact(&mut byte).expect("the answer has begun");
    server.stop();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).expect("closed in order");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_port_is_an_error() {
    let server = start(&Health::new());
    let taken = HostPort::loopback(server.local_addr().port());
    let second = HttpServer::start(&taken, Arc::new(Metrics::new()), Health::new());
    assert_eq!(second.expect_err("taken").kind(), io::ErrorKind::AddrInUse);
}
