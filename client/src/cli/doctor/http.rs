//! What a broker says on its HTTP port.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::time;

/// Most bytes of an answer that are read.
const MAX_ANSWER_SIZE: u64 = 64 << 10;

/// An answer to a GET.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) body: String,
    /// By how many milliseconds the other clock is ahead of ours, at least and at most: the `Date`
    /// of an answer counts whole seconds, and the answer was some time under way.
    pub(super) skew_ms: Option<(i64, i64)>,
}

/// Asks for a path, with the connection closed afterwards.
///
/// # Errors
/// Why there is no answer, for people.
pub(super) async fn get(address: &str, path: &str, within: Duration) -> Result<Page, String> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let before = now_ms();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_SIZE).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>((answer, before, now_ms()))
    };
    let (answer, before, after) = match timeout(within, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} ms", within.as_millis())),
    };
    let text = String::from_utf8_lossy(&answer);
    parse(&text, before, after).ok_or_else(|| "the answer is not HTTP".into())
}

fn parse(text: &str, before: i64, after: i64) -> Option<Page> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let date = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| time::parse_http(value.trim()))?
    });
    // At some moment between `before` and `after` their clock showed `date` to `date` + 1 s.
    let skew_ms = date.map(|date| (date - after, date + 1000 - before));
    Some(Page { status, body: body.to_owned(), skew_ms })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_its_state_and_the_clock() {
        let text =
            "HTTP/1.1 503 Service Unavailable\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n\r\nwhy";
        let page = parse(text, 1_000_000_000_400, 1_000_000_000_500).expect("HTTP");
        assert_eq!((page.status, page.body.as_str()), (503, "why"));
        assert_eq!(page.skew_ms, Some((-500, 600)));
        let page = parse("HTTP/1.1 200 OK\r\ndate: never\r\n\r\n", 0, 0).expect("HTTP");
        assert_eq!(page.skew_ms, None);
        for bad in ["", "\r\n\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 \r\n\r\n", "HTTP/1.1 2é0 \r\n\r\n"]
        {
            assert!(parse(bad, 0, 0).is_none(), "{bad:?}");
        }
    }
}
