//! Log events on stderr, as lines of text or JSON objects.
//!
//! What a client sent goes into an event only through [`shown`], which escapes it and cuts it.

use crate::config::{LogFormat, Logging};
use std::fmt::{self, Write};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Longest piece of a client's text in an event, in characters.
const SHOWN_LENGTH: usize = 80;

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `SYNOD_LOG` is no filter.
    #[error(
        "SYNOD_LOG = {filter:?}: expected levels such as info or warn,synod_broker::net=debug: \
         {reason}"
    )]
    Filter {
        /// The variable's value.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process receives the events already.
    #[error("logging has been started already")]
    Started,
}

/// Sends events to stderr from now on, for the whole process.
///
/// `filter`, the value of `SYNOD_LOG`, gives levels per module and wins over `logging.level`.
///
/// # Errors
/// The filter is malformed, or the process has a logger.
pub fn start(logging: &Logging, filter: Option<&str>) -> Result<(), LoggingError> {
    let default = logging.level.to_string().parse().unwrap_or(LevelFilter::INFO);
    let builder = EnvFilter::builder().with_default_directive(default.into());
    let text = filter.unwrap_or_default();
    let filter = builder.parse(text).map_err(|error| LoggingError::Filter {
        filter: text.to_owned(),
        reason: error.to_string(),
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match logging.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_ansi(false).try_init(),
    };
    started.map_err(|_| LoggingError::Started)
}

/// A client's text as an event may show it: control characters escaped, of bounded length.
pub fn shown(text: &str) -> impl fmt::Display + fmt::Debug + '_ {
    Shown(text)
}

struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN_LENGTH) {
            // Letters of all scripts stay readable; what could move a terminal's cursor does not.
            if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_default())?;
            }
        }
        if chars.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(shown("kcat-1.7 é").to_string(), "kcat-1.7 é");
        assert_eq!(shown("a\nb\x1b[31m").to_string(), "a\\nb\\u{1b}[31m");
        assert_eq!(shown("\u{202e}x").to_string(), "\\u{202e}x");
        let long = "x".repeat(SHOWN_LENGTH);
        assert_eq!(shown(&long).to_string(), long);
        assert_eq!(shown(&format!("{long}y")).to_string(), format!("{long}…"));
        assert_eq!(format!("{:?}", shown("x")), "\"x\"");
    }
}
