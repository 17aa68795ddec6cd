//! What the demonstration looks like: a picture that renews itself on a terminal, else plain lines.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Characters of the progress bar.
const BAR_WIDTH: usize = 30;

/// Time between two plain lines about the workload.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// How a broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerState {
    Starting,
    Up,
    Killed,
}

impl BrokerState {
    fn shown(self) -> (&'static str, Color) {
        match self {
            BrokerState::Starting => ("starting", Color::Yellow),
            BrokerState::Up => ("up", Color::Green),
            BrokerState::Killed => ("killed", Color::Red),
        }
    }
}

/// What is known of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct PartitionView {
    pub(super) leader: Option<i32>,
    pub(super) round: i32,
    pub(super) replicas: Vec<i32>,
    pub(super) in_sync: Vec<i32>,
    pub(super) decided_end: Option<i64>,
}

/// One picture.
#[derive(Debug)]
pub(super) struct Picture {
    /// Time since the beginning.
    pub(super) elapsed: Duration,
    /// Time that the whole is expected to take.
    pub(super) whole: Duration,
    pub(super) brokers: Vec<(u32, String, BrokerState)>,
    pub(super) cut: Option<(u32, u32)>,
    pub(super) partitions: Vec<PartitionView>,
    pub(super) written: u64,
    pub(super) read: u64,
    /// Acknowledged records per second.
    pub(super) rate: u64,
}

#[derive(Debug, Clone, Copy)]
enum Color {
    Red,
    Green,
    Yellow,
    Bold,
}

/// How the screen is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    /// The picture is drawn over the last one.
    is_live: bool,
    is_colored: bool,
}

impl Style {
    /// `term` and `no_color` are the environment variables of those names.
    fn of(is_terminal: bool, term: Option<&str>, no_color: Option<&str>) -> Style {
        let is_live = is_terminal && term != Some("dumb");
        // By its convention any value but the empty one counts.
        Style { is_live, is_colored: is_live && no_color.is_none_or(str::is_empty) }
    }

    fn paint(self, color: Color, text: &str) -> String {
        if !self.is_colored {
            return text.to_owned();
        }
        let code = match color {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The demonstration's output.
#[derive(Debug)]
pub(super) struct Screen {
    style: Style,
    /// Lines of the picture that stands on the terminal.
    line_count: usize,
    /// When the last plain line was written.
    told: Option<Duration>,
}

impl Screen {
    pub(super) fn new() -> Screen {
        let variable = |name| std::env::var(name).ok();
        let (term, no_color) = (variable("TERM"), variable("NO_COLOR"));
        let is_terminal = io::stdout().is_terminal();
        let style = Style::of(is_terminal, term.as_deref(), no_color.as_deref());
        Screen { style, line_count: 0, told: None }
    }

    /// Tells of something that happens, for good.
    pub(super) fn tell(&mut self, elapsed: Duration, text: &str) {
        let line = format!("{:5.1} s  {}\n", elapsed.as_secs_f64(), text);
        let line = self.style.paint(Color::Bold, &line);
        let erased = self.erased();
        write(&format!("{erased}{line}"));
    }

    /// Shows how it stands.
    pub(super) fn show(&mut self, picture: &Picture) {
        if self.style.is_live {
            let erased = self.erased();
            let text = picture.drawn(self.style);
            self.line_count = text.lines().count();
            write(&format!("{erased}{text}"));
        } else if self.told.is_none_or(|told| picture.elapsed >= told + LINE_INTERVAL) {
            self.told = Some(picture.elapsed);
            write(&picture.line());
        }
    }

    /// Takes the picture away, so that plain text can follow.
    pub(super) fn clear(&mut self) {
        let erased = self.erased();
        write(&erased);
    }

    /// What removes the picture that stands.
    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.line_count) {
            0 => String::new(),
            count => format!("\x1b[{count}A\x1b[J"),
        }
    }
}

impl Picture {
    fn drawn(&self, style: Style) -> String {
        let mut text = String::from("\n");
        for (node, address, state) in &self.brokers {
            let (word, color) = state.shown();
            let leads: Vec<String> =
                self.led_by(*node).map(|partition| partition.to_string()).collect();
            let leads = if leads.is_empty() { "nothing".into() } else { leads.join(" ") };
            let word = style.paint(color, &format!("{word:9}"));
            let _ = writeln!(text, "  broker {node}  {address:21}  {word}  leads {leads}");
        }
        let link = match self.cut {
            Some((one, other)) => style.paint(Color::Red, &format!("link {one} - {other} is cut")),
            None => style.paint(Color::Green, "all links are up"),
        };
        let _ = writeln!(text, "  {link}\n\n  partition  ballot  replicas  live   decided offset");
        for (index, partition) in self.partitions.iter().enumerate() {
            let _ = writeln!(
                text,
                "  {index:9}  {:6}  {:8}  {:5}  {:>14}",
                partition.ballot(),
                list(&partition.replicas),
                list(&partition.in_sync),
                partition.decided(),
            );
        }
        let _ = writeln!(
            text,
            "\n  {} records acknowledged, {} read, {} per second\n  {}",
            grouped(self.written),
            grouped(self.read),
            grouped(self.rate),
            self.bar()
        );
        text
    }

    fn line(&self) -> String {
        let ballots: Vec<String> = self.partitions.iter().map(PartitionView::ballot).collect();
        format!(
            "{:5.1} s  {} records acknowledged, {} per second; ballots {}\n",
            self.elapsed.as_secs_f64(),
            grouped(self.written),
            grouped(self.rate),
            ballots.join(" ")
        )
    }

    fn led_by(&self, node: u32) -> impl Iterator<Item = usize> {
        let leads = move |partition: &PartitionView| partition.leader == i32::try_from(node).ok();
        let partitions = self.partitions.iter().enumerate();
        partitions.filter(move |(_, partition)| leads(partition)).map(|(index, _)| index)
    }

    fn bar(&self) -> String {
        let part = (self.elapsed.as_secs_f64() / self.whole.as_secs_f64()).clamp(0.0, 1.0);
        let done = (part * BAR_WIDTH as f64) as usize;
        let (done, rest) = ("#".repeat(done), "-".repeat(BAR_WIDTH - done));
        format!(
            "[{done}{rest}] {:.0} s of {:.0}",
            self.elapsed.as_secs_f64(),
            self.whole.as_secs_f64()
        )
    }
}

impl PartitionView {
    /// Round and node, as the glossary has it.
    fn ballot(&self) -> String {
        match self.leader {
            Some(leader) => format!("{}.{leader}", self.round),
            None => format!("{}.-", self.round),
        }
    }

    fn decided(&self) -> String {
        match self.decided_end.and_then(|end| u64::try_from(end).ok()) {
            Some(end) => grouped(end),
            None => "-".into(),
        }
    }
}

fn list(nodes: &[i32]) -> String {
    nodes.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes to stdout. Whoever has stopped reading does not stop the demonstration.
pub(super) fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let partition = |leader, round, decided_end| PartitionView {
            leader,
            round,
            replicas: vec![1, 2, 3],
            in_sync: vec![1, 3],
            decided_end,
        };
        Picture {
            elapsed: Duration::from_secs(10),
            whole: Duration::from_secs(20),
            brokers: vec![
                (1, "127.0.0.1:1".into(), BrokerState::Up),
                (2, "127.0.0.1:2".into(), BrokerState::Killed),
            ],
            cut: Some((1, 3)),
            partitions: vec![partition(Some(1), 7, Some(12_345)), partition(None, 3, None)],
            written: 1_234_567,
            read: 999,
            rate: 50_000,
        }
    }

    #[test]
    fn styles() {
        let style = |is_live, is_colored| Style { is_live, is_colored };
        assert_eq!(Style::of(true, Some("xterm"), None), style(true, true));
        assert_eq!(Style::of(true, None, Some("")), style(true, true));
        assert_eq!(Style::of(true, None, Some("1")), style(true, false));
        assert_eq!(Style::of(true, Some("dumb"), None), style(false, false));
        assert_eq!(Style::of(false, Some("xterm"), None), style(false, false));
    }

    #[test]
    fn a_picture() {
        let expected = "
  broker 1  127.0.0.1:1            up         leads 0
  broker 2  127.0.0.1:2            killed     leads nothing
  link 1 - 3 is cut

  partition  ballot  replicas  live   decided offset
          0  7.1     1,2,3     1,3            12,345
          1  3.-     1,2,3     1,3                 -

  1,234,567 records acknowledged, 999 read, 50,000 per second
  [###############---------------] 10 s of 20
";
        let plain = Style { is_live: true, is_colored: false };
        assert_eq!(picture().drawn(plain), expected);
        let colored = picture().drawn(Style { is_live: true, is_colored: true });
        assert!(colored.contains("\x1b[32mup       \x1b[0m"), "{colored:?}");
    }

    #[test]
    fn a_line() {
        let expected =
            " 10.0 s  1,234,567 records acknowledged, 50,000 per second; ballots 7.1 3.-\n";
        assert_eq!(picture().line(), expected);
    }

    #[test]
    fn groups_of_digits() {
        let texts = [0, 7, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn the_bar_ends_at_its_end() {
        let mut late = picture();
        late.elapsed = Duration::from_secs(25);
        assert_eq!(late.bar(), format!("[{}] 25 s of 20", "#".repeat(BAR_WIDTH)));
    }
}
