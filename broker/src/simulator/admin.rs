//! Topics come and go through the controller, and the run learns of what was decided.

use synod_log::key::PartitionKey;
use tokio::sync::oneshot::error::TryRecvError;

use super::agenda::{MS, Micros, SECOND};
use super::clients::key_of;
use super::control::Answering;
use super::process::Input;
use super::world::{Event, World};
use crate::metadata::request::{CreateTopics, NewTopic, TopicRef};
use crate::metadata::{Ask, ControllerRequest, TopicId};

/// How often the administrator looks at what became of its requests.
const INTERVAL: Micros = 50 * MS;

/// Topics that come and go.
const PASSING: [&str; 2] = ["passing a", "passing b"];

/// Creates and deletes topics.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    under_way: Option<Answering>,
    /// When a passing topic is created or deleted next.
    due: Micros,
    created: u64,
}

impl World {
    /// Has the lasting topic created, and others created and deleted.
    pub(crate) fn administer(&mut self) {
        self.agenda.add(self.now + INTERVAL, Event::Administer);
        if let Some(answer) = &mut self.admin.under_way {
            if matches!(answer.try_recv(), Err(TryRecvError::Empty)) {
                return;
            }
            self.admin.under_way = None;
        }
        if self.controller.get(key_of(0)).is_none() {
            let count = self.options.partition_count as i32;
            let lasting = (key_of(0).topic, "lasting", count, self.options.replica_count);
            return self.ask(create(lasting));
        }
        if self.options.passing_topics && self.healed_at.is_none() && self.now >= self.admin.due {
            self.admin.due = self.now + self.random.range(200 * MS, SECOND);
            let name = self.random.pick(&PASSING);
            let ask = match self.controller.has_topic(name) {
                true => Ask::DeleteTopics(vec![TopicRef::Name(name.into())]),
                false => {
                    self.admin.created += 1;
                    let mut id = *b"passing topic   ";
                    id[13..].copy_from_slice(&self.admin.created.to_be_bytes()[5..]);
                    let replicas = self.random.range(1, self.options.broker_count as u64);
                    create((id, name, self.random.range(1, 2) as i32, replicas as usize))
                }
            };
            self.ask(ask);
        }
    }

    /// Asks some broker.
    fn ask(&mut self, ask: Ask) {
        let broker = self.random.index(self.machines.len());
        let (request, answer) = ControllerRequest::new(ask);
        self.admin.under_way = Some(answer);
        let at = self.now + self.random.range(100, MS);
        self.agenda.add(at, Event::Input { broker, life: None, input: Input::Ask(request) });
    }

    /// Learns what a broker knows to be decided, as its clients do.
    pub(crate) fn learn(&mut self, broker: usize) {
        let process = self.machines[broker].process.as_ref();
        let Some(control) = process.and_then(|process| process.control.as_ref()) else { return };
        let image = control.image();
        let news = self.controller.follow(&image, self.now);
        for key in news.created.into_iter().filter(|key| key.topic != key_of(0).topic) {
            let producer = self.clients.add_passing(key);
            self.agenda.add(self.now, Event::Send(producer));
        }
        for topic in news.deleted {
            self.clients.forget(topic);
        }
    }
}

/// A request for one topic: its id, name, partitions and replicas of each.
fn create((id, name, partitions, replicas): ([u8; 16], &str, i32, usize)) -> Ask {
    let topic = NewTopic {
        partition_count: Some(partitions),
        replication_factor: Some(replicas as i16),
        ..NewTopic::with_defaults(TopicId::from_bytes(id), name)
    };
    Ask::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false })
}

/// What changed among the topics.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) created: Vec<PartitionKey>,
    pub(crate) deleted: Vec<[u8; 16]>,
}
