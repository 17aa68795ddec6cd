//! Somebody between two brokers who changes one frame when told.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The kind of frames that carry messages; its place in a frame, and that of the header's length.
const MESSAGES: u8 = 3;
const KIND_AT: usize = 9;
const HEADER_LENGTH_AT: usize = 10;
const PREFIX_SIZE: usize = 14;

/// What is done to a frame on an introduced connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Noise in its place.
    Garbage,
    /// Half of it, and then the connection ends.
    Truncate,
    /// One bit of its header.
    FlipHeader,
    /// One bit of the batches that it carries.
    FlipPayload,
    /// A length of four gigabytes.
    Oversize,
    /// It comes twice.
    Repeat,
    /// It does not come.
    Omit,
    /// A frame of an earlier connection in its place.
    Replay,
    /// The introduction of its connection once more.
    Introduce,
}

/// Passes connections on to a broker.
#[derive(Debug)]
pub(crate) struct Tamper {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    armed: Mutex<Option<Attack>>,
    /// The first frame of messages that passed, and the number of its connection.
    recorded: Mutex<Option<(usize, Vec<u8>)>>,
    connections: AtomicUsize,
}

impl Tamper {
    /// Listens; the threads end with the process, or with the brokers at both ends.
    pub(crate) fn start(target: SocketAddr) -> Tamper {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            target,
            armed: Mutex::default(),
            recorded: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let passing = shared.clone();
        thread::spawn(move || {
            while let Ok((dialer, _)) = listener.accept() {
                let shared = passing.clone();
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                // An end of either side is an end of the connection, and nothing else.
                thread::spawn(move || drop(pass(&shared, number, dialer)));
            }
        });
        Tamper { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Strikes the next frame that is fit for it.
    pub(crate) fn arm(&self, attack: Attack) {
        *self.shared.armed.lock().expect("sound") = Some(attack);
    }

    /// Whether nothing is to be struck any more.
    pub(crate) fn is_done(&self) -> bool {
        self.shared.armed.lock().expect("sound").is_none()
    }
}

fn pass(shared: &Shared, number: usize, dialer: TcpStream) -> io::Result<()> {
    let dialed = TcpStream::connect(shared.target)?;
    dialed.set_nodelay(true)?;
    let (mut back_from, mut back_to) = (dialed.try_clone()?, dialer.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (dialer, dialed);
    let passed = pass_frames(shared, number, &mut from, &mut to);
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    passed
}

fn pass_frames(
    shared: &Shared,
    number: usize,
    from: &mut TcpStream,
    to: &mut TcpStream,
) -> io::Result<()> {
    let hello = read_frame(from)?;
    to.write_all(&hello)?;
    loop {
        let frame = read_frame(from)?;
        let Some(attack) = shared.strike(number, &frame) else {
            to.write_all(&frame)?;
            continue;
        };
        let recorded = shared.recorded.lock().expect("sound").clone();
        for piece in changed(attack, frame, hello.clone(), recorded) {
            to.write_all(&piece)?;
        }
        if attack == Attack::Truncate {
            return Ok(());
        }
    }
}

fn read_frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

fn has_payload(frame: &[u8]) -> bool {
    let length = frame[HEADER_LENGTH_AT..PREFIX_SIZE].iter();
    let header_size = length.fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    frame.len() > PREFIX_SIZE + header_size
}

impl Shared {
    /// The attack that strikes this frame, if one is armed and the frame is fit for it.
    fn strike(&self, number: usize, frame: &[u8]) -> Option<Attack> {
        if frame[KIND_AT] != MESSAGES {
            return None;
        }
        let mut recorded = self.recorded.lock().expect("sound");
        let (first, _) = recorded.get_or_insert_with(|| (number, frame.to_vec()));
        let mut armed = self.armed.lock().expect("sound");
        let fits = match (*armed)? {
            Attack::FlipPayload => has_payload(frame),
            Attack::Replay => *first != number,
            _ => true,
        };
        if fits { armed.take() } else { None }
    }
}

/// What is sent instead of a frame.
fn changed(
    attack: Attack,
    mut frame: Vec<u8>,
    hello: Vec<u8>,
    recorded: Option<(usize, Vec<u8>)>,
) -> VecDeque<Vec<u8>> {
    match attack {
        Attack::Garbage => {
            let mut noise = 0x2545_f491_4f6c_dd1d_u64;
            for byte in &mut frame {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (noise >> 56) as u8;
            }
        }
        Attack::Truncate => frame.truncate(frame.len() / 2),
        Attack::FlipHeader => frame[PREFIX_SIZE + 3] ^= 4,
        Attack::FlipPayload => *frame.last_mut().expect("not empty") ^= 4,
        Attack::Oversize => frame[..4].fill(0xff),
        Attack::Repeat => return [frame.clone(), frame].into(),
        Attack::Omit => return VecDeque::new(),
        Attack::Replay => frame = recorded.expect("a frame passed before").1,
        Attack::Introduce => frame = hello,
    }
    [frame].into()
}
