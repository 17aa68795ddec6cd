//! What has to change so that a topic is as the file wants it.

use std::fmt;

use serde::Serialize;

use super::file::WantedTopic;
use crate::admin::{ConfigChange, ConfigEntry, ConfigSource, NewTopic};
use crate::cluster::Topic;

/// What is to be done with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Create,
    Change,
    /// It is as it shall be.
    Keep,
    /// It cannot become what the file wants.
    Refuse,
}

/// A setting's change; `None`: not set on the topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SettingStep {
    pub(super) name: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

/// The plan for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub(super) topic: String,
    pub(super) action: Action,
    /// Partitions now, if the topic exists.
    pub(super) partitions_from: Option<usize>,
    /// Partitions after; `None`: the broker's default for a new topic, else no change.
    pub(super) partitions_to: Option<i32>,
    /// Replicas of a new topic, if the file says.
    pub(super) replicas: Option<i16>,
    pub(super) settings: Vec<SettingStep>,
    /// Why it is refused, or why applying it failed.
    pub(super) error: Option<String>,
}

impl Step {
    /// The plan for a topic that does not exist yet.
    pub(super) fn create(wanted: &WantedTopic) -> Self {
        let setting = |(name, value): (&String, &String)| SettingStep {
            name: name.clone(),
            from: None,
            to: Some(value.clone()),
        };
        Self {
            topic: wanted.name.clone(),
            action: Action::Create,
            partitions_from: None,
            partitions_to: wanted.partitions,
            replicas: wanted.replicas,
            settings: wanted.configs.iter().map(setting).collect(),
            error: None,
        }
    }

    /// The plan for a topic that exists, with all its settings.
    pub(super) fn change(wanted: &WantedTopic, found: &Topic, configs: &[ConfigEntry]) -> Self {
        let count = found.partitions.len();
        let more = wanted.partitions.filter(|&wanted| usize::try_from(wanted) != Ok(count));
        let error = impossible(wanted, found);
        let settings = setting_steps(wanted, configs);
        let action = match (&error, more, settings.is_empty()) {
            (Some(_), ..) => Action::Refuse,
            (None, None, true) => Action::Keep,
            _ => Action::Change,
        };
        Self {
            topic: wanted.name.clone(),
            action,
            partitions_from: Some(count),
            partitions_to: more,
            replicas: None,
            settings,
            error,
        }
    }

    /// The topic to create.
    pub(super) fn new_topic(&self) -> NewTopic {
        let mut topic = NewTopic::new(&self.topic);
        if let Some(count) = self.partitions_to {
            topic = topic.partitions(count);
        }
        if let Some(count) = self.replicas {
            topic = topic.replicas(count);
        }
        for setting in &self.settings {
            topic = topic.config(&setting.name, setting.to.clone().unwrap_or_default());
        }
        topic
    }

    /// The changes of settings.
    pub(super) fn config_changes(&self) -> Vec<ConfigChange> {
        let change = |setting: &SettingStep| match &setting.to {
            Some(value) => ConfigChange::Set(setting.name.clone(), value.clone()),
            None => ConfigChange::Unset(setting.name.clone()),
        };
        self.settings.iter().map(change).collect()
    }
}

/// Why a topic cannot become what the file wants.
fn impossible(wanted: &WantedTopic, found: &Topic) -> Option<String> {
    let (topic, count) = (&wanted.name, found.partitions.len());
    if let Some(fewer) = wanted.partitions.filter(|&w| usize::try_from(w).is_ok_and(|w| w < count))
    {
        return Some(format!(
            "topic {topic}: it has {count} partitions, and none can be taken away ({fewer} wanted)"
        ));
    }
    let replicas = found.partitions.first().map_or(0, |partition| partition.replicas.len());
    let other = wanted.replicas.filter(|&wanted| usize::try_from(wanted) != Ok(replicas))?;
    Some(format!(
        "topic {topic}: it has {replicas} replicas, which apply does not change ({other} wanted)"
    ))
}

fn setting_steps(wanted: &WantedTopic, configs: &[ConfigEntry]) -> Vec<SettingStep> {
    let set_now = |name: &str| {
        let is_set =
            |config: &&ConfigEntry| config.name == name && config.source == ConfigSource::Topic;
        configs.iter().find(is_set).map(|config| config.value.clone().unwrap_or_default())
    };
    let mut steps = Vec::new();
    for (name, value) in &wanted.configs {
        let from = set_now(name);
        if from.as_ref() != Some(value) {
            steps.push(SettingStep { name: name.clone(), from, to: Some(value.clone()) });
        }
    }
    let extra = configs.iter().filter(|config| {
        config.source == ConfigSource::Topic && !wanted.configs.contains_key(&config.name)
    });
    steps.extend(extra.map(|config| SettingStep {
        name: config.name.clone(),
        from: Some(config.value.clone().unwrap_or_default()),
        to: None,
    }));
    steps
}

/// As people read a difference: `+` comes, `-` goes, `~` changes, `!` cannot be done.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic;
        match self.action {
            Action::Create => writeln!(f, "+ topic {topic}")?,
            Action::Change => writeln!(f, "~ topic {topic}")?,
            Action::Keep => writeln!(f, "= topic {topic}")?,
            Action::Refuse => {
                let why = self.error.as_deref().unwrap_or_default();
                return writeln!(f, "! {why}");
            }
        }
        match (self.partitions_from, self.partitions_to) {
            (Some(from), Some(to)) => writeln!(f, "    ~ partitions {from} -> {to}")?,
            (None, Some(to)) => writeln!(f, "    + partitions {to}")?,
            (_, None) => {}
        }
        if let Some(replicas) = self.replicas {
            writeln!(f, "    + replicas {replicas}")?;
        }
        for SettingStep { name, from, to } in &self.settings {
            match (from, to) {
                (Some(from), Some(to)) => writeln!(f, "    ~ {name} {from} -> {to}")?,
                (None, to) => writeln!(f, "    + {name} {}", to.as_deref().unwrap_or_default())?,
                (Some(from), None) => writeln!(f, "    - {name} {from}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synod_wire::{ErrorCode, Uuid};

    use super::*;
    use crate::cluster::Partition;

    fn found(partitions: i32, replicas: i32) -> Topic {
        let partition = |index| Partition {
            index,
            leader: Some(1),
            leader_epoch: 0,
            replicas: (1..=replicas).collect(),
            in_sync: Vec::new(),
            offline: Vec::new(),
            error: ErrorCode::NONE,
        };
        Topic {
            name: "t".into(),
            id: Uuid::default(),
            is_internal: false,
            partitions: (0..partitions).map(partition).collect(),
        }
    }

    fn set(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry {
            name: name.into(),
            value: Some(value.into()),
            source,
            is_read_only: false,
            is_sensitive: false,
        }
    }

    fn wanted(partitions: Option<i32>, configs: &[(&str, &str)]) -> WantedTopic {
        let configs = configs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        WantedTopic { name: "t".into(), partitions, replicas: None, configs: configs.collect() }
    }

    #[test]
    fn a_new_topic_shows_all_that_it_gets() {
        let step = Step::create(&wanted(Some(3), &[("retention.ms", "1")]));
        assert_eq!(step.to_string(), "+ topic t\n    + partitions 3\n    + retention.ms 1\n");
        assert_eq!(Step::create(&wanted(None, &[])).to_string(), "+ topic t\n");
    }

    #[test]
    fn only_differences_are_steps() {
        let configs = [
            set("a", "1", ConfigSource::Topic),
            set("b", "2", ConfigSource::Topic),
            set("c", "3", ConfigSource::Default),
            set("d", "4", ConfigSource::Topic),
        ];
        // A default that is written down is set, so that it stays when the default changes.
        let wanted_topic = wanted(Some(6), &[("a", "1"), ("b", "5"), ("c", "3")]);
        let step = Step::change(&wanted_topic, &found(3, 1), &configs);
        assert_eq!(step.action, Action::Change);
        let expected = "~ topic t\n    ~ partitions 3 -> 6\n    ~ b 2 -> 5\n    + c 3\n    - d 4\n";
        assert_eq!(step.to_string(), expected);
        assert_eq!(step.config_changes().len(), 3);
        let same = Step::change(&wanted(Some(3), &[("a", "1")]), &found(3, 1), &configs[..1]);
        assert_eq!((same.action, same.to_string().as_str()), (Action::Keep, "= topic t\n"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let fewer = Step::change(&wanted(Some(2), &[]), &found(3, 1), &[]);
        assert_eq!(fewer.action, Action::Refuse);
        assert!(fewer.to_string().contains("none can be taken away"), "{fewer}");
        let mut more_replicas = wanted(None, &[]);
        more_replicas.replicas = Some(3);
        let step = Step::change(&more_replicas, &found(3, 1), &[]);
        assert_eq!(step.action, Action::Refuse);
        more_replicas.replicas = Some(1);
        assert_eq!(Step::change(&more_replicas, &found(3, 1), &[]).action, Action::Keep);
    }
}
