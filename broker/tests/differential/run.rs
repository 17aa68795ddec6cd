//! One run of all cases against one broker, and its transcript.

use std::fmt::{Display, Write};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::Request;

use crate::support::batch::Batch;
use crate::support::wire::{self, Connection};

/// Runs cases and keeps their answers in order.
#[derive(Debug)]
pub(crate) struct Run {
    address: String,
    /// Makes this run's topics new on a broker that has seen other runs. It never shows in answers.
    prefix: String,
    answers: Vec<(String, String)>,
}

/// What a case got back: an answer, or none.
pub(crate) type Answer<T> = Result<T, Silence>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    Closed,
    TimedOut,
}

impl Run {
    pub(crate) fn against(address: &str) -> Run {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let prefix = format!("r{:x}-", now.as_millis());
        Run { address: address.to_owned(), prefix, answers: Vec::new() }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.address)
    }

    /// This run's name for a topic.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Creates a topic of this run and returns its name.
    pub(crate) fn create(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = self.topic(name);
        wire::create_topic(&mut self.connect(), &name, partitions, configs);
        name
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn call<R: Request>(&self, version: i16, request: &R) -> Answer<R::Response> {
        self.connect().try_call(version, request).map_err(Silence::from)
    }

    /// Notes what a case answered, and checks that the broker still serves.
    pub(crate) fn note(&mut self, case: &str, answer: Answer<impl Display>) {
        let mut text = String::new();
        match answer {
            Ok(answer) => write!(text, "{answer}"),
            Err(Silence::Closed) => write!(text, "connection closed"),
            Err(Silence::TimedOut) => write!(text, "no answer"),
        }
        .expect("writing to a string");
        let text = text.replace(&self.prefix, "").replace('\n', " ");
        let again = self.answers.iter().any(|(earlier, _)| earlier == case);
        assert!(!again, "two cases named {case:?}");
        self.answers.push((case.to_owned(), text));
        self.check_service(case);
    }

    /// A plain produce and fetch must work, whatever came before.
    fn check_service(&self, case: &str) {
        let topic = self.topic("service");
        let connection = &mut self.connect();
        if self.answers.len() == 1 {
            wire::create_topic(connection, &topic, 1, &[]);
        }
        let batch = Batch::of(&[case]).encode();
        let response = connection.call(9, &wire::produce_request(&topic, 0, -1, batch.clone()));
        let produced = &response.responses[0].partition_responses[0];
        assert_eq!(produced.error_code, 0, "produce after {case}");
        let offset = produced.base_offset;
        let response = connection.call(11, &wire::fetch_request(&topic, 0, offset, 0));
        let fetched = response.responses[0].partitions[0].records.clone().unwrap_or_default();
        assert!(fetched.ends_with(&batch[17..]), "fetch after {case}");
    }

    pub(crate) fn answers(&self) -> impl Iterator<Item = (&str, &String)> {
        self.answers.iter().map(|(case, answer)| (case.as_str(), answer))
    }

    /// All answers, one case in a line.
    pub(crate) fn transcript(&self) -> String {
        self.answers.iter().map(|(case, answer)| format!("{case} => {answer}\n")).collect()
    }
}

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Silence {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Silence::TimedOut,
            _ => Silence::Closed,
        }
    }
}

/// The name of an error code.
pub(crate) fn error(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        None => "ok".to_owned(),
        Some(error) => format!("{error:?}"),
    }
}

/// Items in brackets.
pub(crate) fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(show).collect();
    format!("[{}]", items.join(", "))
}
