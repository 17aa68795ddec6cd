//! The other end: sends batches and waits until they are safe.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Time that a measurement runs before it counts, as a share of what counts.
const WARMUP_SHARE: f64 = 0.2;

/// Bytes sent at once when only TCP is measured.
const LOOPBACK_STEP: usize = 64 << 10;

/// Batches of one size for one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) batch_size: usize,
    pub(crate) time: Duration,
}

/// How long commits took, sorted.
#[derive(Debug)]
pub(crate) struct Commits {
    times: Vec<Duration>,
}

impl Commits {
    /// Microseconds that this share took at most.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let index = (share * last as f64).round() as usize;
        self.times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

impl Run {
    /// Safe bytes a second with `window` batches under way.
    ///
    /// # Errors
    /// When the other side fails.
    pub(crate) fn throughput(self, address: SocketAddr, window: u32) -> io::Result<f64> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut answers = stream.try_clone()?;
        let (tokens, free) = mpsc::sync_channel(window as usize);
        let batch_size = self.batch_size as u64;
        let measuring = thread::spawn(move || -> io::Result<f64> {
            let warm_at = Instant::now() + self.time.mul_f64(WARMUP_SHARE);
            let (mut answered, mut first) = (0, None);
            loop {
                let safe = answer(&mut answers)?;
                let now = Instant::now();
                while answered < safe / batch_size {
                    answered += 1;
                    if free.recv().is_err() {
                        return Err(io::Error::other("more is safe than was sent"));
                    }
                }
                match first {
                    None if now >= warm_at => first = Some((now, safe)),
                    Some((since, from)) if now >= since + self.time => {
                        return Ok((safe - from) as f64 / (now - since).as_secs_f64());
                    }
                    _ => {}
                }
            }
        });
        let batch = vec![0x5a; self.batch_size];
        // The measuring side hangs up when it has seen enough.
        while tokens.send(()).is_ok() {
            stream.write_all(&batch)?;
        }
        stream.shutdown(Shutdown::Both)?;
        measuring.join().unwrap_or_else(|_| Err(io::Error::other("the measuring side panicked")))
    }

    /// How long it takes until one batch is safe, with no other under way.
    ///
    /// # Errors
    /// When the other side fails.
    pub(crate) fn commits(self, address: SocketAddr) -> io::Result<Commits> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let batch = vec![0x5a; self.batch_size];
        let begin = Instant::now();
        let warm_at = begin + self.time.mul_f64(WARMUP_SHARE);
        let mut sent = 0;
        let mut times = Vec::new();
        while begin.elapsed() < self.time.mul_f64(1.0 + WARMUP_SHARE) {
            let sent_at = Instant::now();
            stream.write_all(&batch)?;
            sent += batch.len() as u64;
            while answer(&mut stream)? < sent {}
            if sent_at >= warm_at {
                times.push(sent_at.elapsed());
            }
        }
        times.sort_unstable();
        Ok(Commits { times })
    }

    /// How long it takes until a batch is safe when `rate` of them are sent in a second, by the
    /// clock, however many are under way. Time counts from when a batch was sent.
    ///
    /// # Errors
    /// When the other side fails.
    pub(crate) fn paced(self, address: SocketAddr, rate: u32) -> io::Result<Commits> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut answers = stream.try_clone()?;
        let batch = vec![0x5a; self.batch_size];
        let begin = Instant::now();
        let warm_at = begin + self.time.mul_f64(WARMUP_SHARE);
        let count = (self.time.as_secs_f64() * (1.0 + WARMUP_SHARE) * f64::from(rate)) as u32;
        let (sent, due) = mpsc::channel();
        let sending = thread::spawn(move || -> io::Result<()> {
            for number in 0..count {
                let at = begin + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
                thread::sleep(at.saturating_duration_since(Instant::now()));
                // Nobody listens any more when the other side has failed.
                let _ = sent.send(Instant::now());
                stream.write_all(&batch)?;
            }
            Ok(())
        });
        let mut times = Vec::new();
        let mut answered = 0;
        while answered < u64::from(count) {
            let safe = answer(&mut answers)?;
            let now = Instant::now();
            while answered < safe / self.batch_size as u64 {
                answered += 1;
                let sent_at = due.recv().map_err(io::Error::other)?;
                if sent_at >= warm_at {
                    times.push(now - sent_at);
                }
            }
        }
        answers.shutdown(Shutdown::Both)?;
        sending.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")))?;
        times.sort_unstable();
        Ok(Commits { times })
    }
}

/// How many bytes are safe, as the other side tells next.
fn answer(stream: &mut TcpStream) -> io::Result<u64> {
    let mut end = [0; 8];
    stream.read_exact(&mut end)?;
    Ok(u64::from_le_bytes(end))
}

/// Bytes a second over one loopback connection that nobody writes anywhere.
///
/// # Errors
/// When the system has no connection to spare.
pub(crate) fn loopback(time: Duration) -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let begin = Instant::now();
    let sending = thread::spawn(move || -> io::Result<()> {
        let bytes = vec![0x5a; LOOPBACK_STEP];
        while begin.elapsed() < time {
            sender.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut buffer = vec![0; LOOPBACK_STEP];
    let mut total = 0;
    loop {
        let size = receiver.read(&mut buffer)?;
        if size == 0 {
            break;
        }
        total += size;
    }
    let elapsed = begin.elapsed().as_secs_f64();
    sending.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")))?;
    Ok(total as f64 / elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_commits_are_found() {
        let times = (1..=101).map(Duration::from_micros).collect();
        let commits = Commits { times };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(commits.at(0.5), 51.0) && close(commits.at(0.99), 100.0));
        assert!(close(Commits { times: Vec::new() }.at(0.5), 0.0));
    }
}
