//! The file that says what topics shall be.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::cli::text_of_toml;

/// Most characters of a wrong value that a message repeats.
const QUOTED_LENGTH: usize = 40;

/// A topic as the file wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WantedTopic {
    pub(super) name: String,
    pub(super) partitions: Option<i32>,
    pub(super) replicas: Option<i16>,
    /// All that shall be set; other settings have their defaults.
    pub(super) configs: BTreeMap<String, String>,
}

/// Reads a file.
///
/// # Errors
/// All that is wrong with it, in order, each with its line and key.
pub(super) fn parse(path: &str, text: &str) -> Result<Vec<WantedTopic>, Vec<String>> {
    let mut reader = Reader { path, text, problems: Vec::new() };
    let topics = match DeTable::parse(text) {
        Ok(table) => reader.whole(table.get_ref()),
        Err(error) => {
            let position = error.span().map_or(0, |span| span.start);
            reader.problem(position, error.message().replace('\n', ", "));
            Vec::new()
        }
    };
    if reader.problems.is_empty() { Ok(topics) } else { Err(reader.problems) }
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn problem(&mut self, position: usize, reason: impl std::fmt::Display) {
        let before = self.text.bytes().take(position);
        let line = 1 + before.filter(|byte| *byte == b'\n').count();
        self.problems.push(format!("{}:{line}: {reason}", self.path));
    }

    fn whole(&mut self, table: &DeTable<'_>) -> Vec<WantedTopic> {
        let mut defaults = WantedTopic::default();
        if let Some((_, section)) = table.iter().find(|(key, _)| key.get_ref() == "defaults") {
            match section.get_ref() {
                DeValue::Table(table) => self.topic("defaults", table, &mut defaults),
                _ => self.problem(section.span().start, "defaults must be a section: [defaults]"),
            }
        }
        let mut topics = Vec::new();
        for (key, value) in in_order(table) {
            match (&**key.get_ref(), value.get_ref()) {
                ("defaults", _) => {}
                ("topic", DeValue::Table(named)) => {
                    for (name, value) in in_order(named) {
                        topics.extend(self.named(name.get_ref(), value, &defaults));
                    }
                }
                ("topic", _) => {
                    self.problem(key.span().start, "topic must be sections: [topic.NAME]");
                }
                (other, _) => {
                    let reason = format!("unknown key {other}: use [defaults] and [topic.NAME]");
                    self.problem(key.span().start, reason);
                }
            }
        }
        topics
    }

    fn named(
        &mut self,
        name: &str,
        value: &toml::Spanned<DeValue<'_>>,
        defaults: &WantedTopic,
    ) -> Option<WantedTopic> {
        let DeValue::Table(table) = value.get_ref() else {
            let reason = format!("topic.{name} must be a section: [topic.{name}]");
            self.problem(value.span().start, reason);
            return None;
        };
        let mut topic = WantedTopic { name: name.to_owned(), ..defaults.clone() };
        self.topic(&format!("topic.{name}"), table, &mut topic);
        Some(topic)
    }

    fn topic(&mut self, section: &str, table: &DeTable<'_>, topic: &mut WantedTopic) {
        for (key, value) in in_order(table) {
            let at = value.span().start;
            match &**key.get_ref() {
                "partitions" => {
                    let count = whole_number(value.get_ref()).filter(|&count| count > 0);
                    match count {
                        Some(count) => topic.partitions = Some(count),
                        None => self.bad_count(at, section, "partitions", value.get_ref()),
                    }
                }
                "replicas" => {
                    let count = whole_number(value.get_ref()).filter(|&count| count > 0);
                    match count.and_then(|count| i16::try_from(count).ok()) {
                        Some(count) => topic.replicas = Some(count),
                        None => self.bad_count(at, section, "replicas", value.get_ref()),
                    }
                }
                "config" => match value.get_ref() {
                    DeValue::Table(table) => self.configs(section, "", table, topic),
                    _ => self.problem(at, format!("{section}.config must be a table")),
                },
                other => {
                    let hint = match value.get_ref() {
                        DeValue::Table(_) => ", and quote a topic's name that has dots",
                        _ => "",
                    };
                    let known = "use partitions, replicas and config";
                    let reason = format!("unknown key {section}.{other}: {known}{hint}");
                    self.problem(key.span().start, reason);
                }
            }
        }
    }

    fn bad_count(&mut self, at: usize, section: &str, key: &str, value: &DeValue<'_>) {
        let most = if key == "replicas" { i32::from(i16::MAX) } else { i32::MAX };
        let found: String = match text_of_toml(value) {
            Some(text) => text.chars().take(QUOTED_LENGTH).collect(),
            None => "something else".into(),
        };
        self.problem(at, format!("{section}.{key} is {found:?}, not a number from 1 to {most}"));
    }

    /// Dotted keys and quoted ones come out the same, so Kafka's names need no quotes.
    fn configs(
        &mut self,
        section: &str,
        prefix: &str,
        table: &DeTable<'_>,
        topic: &mut WantedTopic,
    ) {
        for (key, value) in in_order(table) {
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) => {
                    self.configs(section, &format!("{name}."), inner, topic);
                }
                value_of => match text_of_toml(value_of) {
                    Some(text) => {
                        topic.configs.insert(name, text);
                    }
                    None => {
                        let reason = "must be a string, a number or a boolean";
                        self.problem(
                            value.span().start,
                            format!("{section}.config.{name} {reason}"),
                        );
                    }
                },
            }
        }
    }
}

/// Entries in the order of the file, so that topics and problems are too.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t toml::Spanned<toml::de::DeString<'i>>, &'t toml::Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn whole_number(value: &DeValue<'_>) -> Option<i32> {
    match value {
        DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_take_what_they_do_not_say_from_the_defaults() {
        let text = "
            [defaults]
            partitions = 3
            config.retention.ms = 86_400_000
            [topic.orders]
            partitions = 12
            replicas = 2
            [topic.\"a.b\".config]
            \"cleanup.policy\" = ['compact', 'delete']
            retention.ms = '1'
            preallocate = true
            min.cleanable.dirty.ratio = 0.5
        ";
        let topics = parse("t.toml", text).unwrap();
        assert_eq!(topics.len(), 2);
        assert_eq!((topics[0].name.as_str(), topics[0].partitions), ("orders", Some(12)));
        assert_eq!(topics[0].replicas, Some(2));
        assert_eq!(topics[0].configs["retention.ms"], "86400000");
        assert_eq!((topics[1].name.as_str(), topics[1].partitions), ("a.b", Some(3)));
        assert_eq!(topics[1].replicas, None);
        let configs: Vec<_> = topics[1].configs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let expected = [
            "cleanup.policy=compact,delete",
            "min.cleanable.dirty.ratio=0.5",
            "preallocate=true",
            "retention.ms=1",
        ];
        assert_eq!(configs, expected);
        assert_eq!(parse("t.toml", "").unwrap(), []);
    }

    #[test]
    fn mistakes_have_a_line_and_a_key() {
        let cases = [
            ("\n[topic.a]\npartitions = 0", "t:3: topic.a.partitions is \"0\""),
            ("[topic.a]\npartitions = '3'", "t:2: topic.a.partitions is \"3\""),
            ("[topic.a]\nreplicas = 40000", "t:2: topic.a.replicas is \"40000\""),
            ("[topic.a]\npartitons = 3", "t:2: unknown key topic.a.partitons"),
            ("[topic.a.b]\npartitions = 3", "t:1: unknown key topic.a.b: use"),
            ("[topics.a]\npartitions = 3", "t:1: unknown key topics"),
            ("[defaults]\nparts = 3", "t:2: unknown key defaults.parts"),
            ("topic = 3", "t:1: topic must be sections"),
            ("defaults = 3", "t:1: defaults must be a section"),
            ("[topic]\na = 3", "t:2: topic.a must be a section"),
            ("[topic.a]\nconfig = 3", "t:2: topic.a.config must be a table"),
            ("[topic.a]\nconfig.x = 2020-01-01", "t:2: topic.a.config.x must be"),
            ("[topic.a]\n[topic.a]", "t:2: "),
            ("\n\n[topic.a", "t:3: "),
        ];
        for (text, expected) in cases {
            let problems = parse("t", text).expect_err(text);
            assert!(problems[0].starts_with(expected), "{text:?}: {problems:?}");
        }
        let two = parse("t", "[topic.a]\npartitions = -1\n[topic.b]\nreplicas = 'x'").unwrap_err();
        assert_eq!(two.len(), 2, "{two:?}");
    }
}
