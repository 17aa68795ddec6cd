//! The whole run: machines, network, controller, clients, and one agenda of what happens next.

use std::sync::Arc;

use synod_log::key::PartitionKey;
use synod_paxos::{Message, Role};

use super::admin::Admin;
use super::agenda::{Agenda, MS, Micros, SECOND};
use super::bug::Bug;
use super::clients::{Clients, key_of};
use super::controller::{Assignment, Controller};
use super::fault::Planned;
use super::history::History;
use super::invariants::Invariants;
use super::machine::Machine;
use super::network::Network;
use super::options::Options;
use super::process::{Input, Packet, node};
use super::random::Random;
use super::request::Answered;
use super::run::Run;
use super::setting::Setting;
use super::strike::Undo;
use super::trace::Trace;
use super::violation::{Checked, Violation};
use crate::limits::REPLICA_TICK;
use crate::peers::ControlMessage;

/// Ticks of data partitions, where a script appoints leaders.
const TICK: Micros = 100 * MS;
/// Ticks of a broker with the real controller.
const BROKER_TICK: Micros = REPLICA_TICK.as_micros() as Micros;
const HEARTBEAT: Micros = 100 * MS;
const UPKEEP: Micros = SECOND;
const CONTROL: Micros = 100 * MS;

/// What a turn of a broker costs, when it is slow enough for that to matter.
const TURN_COST: Micros = 20;

/// What can happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something reaches a broker; with a life, only that process.
    Input {
        broker: usize,
        life: Option<u64>,
        input: Input,
    },
    /// A broker goes on after a pause or a long turn.
    Wake {
        broker: usize,
    },
    Start {
        broker: usize,
    },
    /// A broker without a cluster looks for the others.
    Form {
        broker: usize,
        life: u64,
    },
    /// Somebody creates and deletes topics.
    Administer,
    /// A broker's timer, by its life.
    Tick {
        broker: usize,
        life: u64,
    },
    Heartbeat {
        broker: usize,
        life: u64,
    },
    Upkeep {
        broker: usize,
        life: u64,
    },
    Control,
    Fault(usize),
    Undo(Undo),
    /// A producer may send.
    Send(usize),
    /// A producer tries a batch again.
    Retry {
        producer: usize,
        id: u64,
    },
    Answer(Answered),
    Fetch(usize),
    Trim,
    Heal,
    /// Time for a step of the liveness phase.
    Settle,
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Micros,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) options: Options,
    pub(crate) setting: Setting,
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) machines: Vec<Machine>,
    pub(crate) controller: Controller,
    pub(crate) clients: Clients,
    pub(crate) admin: Admin,
    pub(crate) history: History,
    pub(crate) invariants: Invariants,
    pub(crate) faults: Vec<Planned>,
    pub(crate) trace: Trace,
    /// Up to where each replica's decided log was looked at, in this life of its broker.
    pub(crate) seen: std::collections::BTreeMap<(usize, PartitionKey), u64>,
    /// Partitions of which something decided could not be looked at once.
    pub(crate) unseen: std::collections::BTreeSet<PartitionKey>,
    pub(crate) event_count: u64,
    pub(crate) lives: u64,
    /// Faults that struck.
    pub(crate) fault_count: u32,
    /// The round of each partition when everything healed.
    pub(crate) rounds_at_heal: std::collections::BTreeMap<PartitionKey, u32>,
    /// When everything healed.
    pub(crate) healed_at: Option<Micros>,
    pub(crate) is_over: bool,
}

impl World {
    pub(crate) fn new(run: &Run) -> World {
        let mut options = Options::draw(run.seed, run.scale);
        options.scripted = !run.governed;
        options.carries = run.carries;
        World::of(run.seed, options, run.faults(), run.bug, run.printed)
    }

    /// A run of these options, in which these faults strike.
    pub(crate) fn of(
        seed: u64,
        options: Options,
        faults: Vec<Planned>,
        bug: Option<Bug>,
        printed: bool,
    ) -> World {
        let setting = Setting::new(&options, bug);
        let mut random = Random::of(seed, 3);
        let count = options.broker_count;
        let machines = (0..count).map(|broker| Machine::new(broker, random.next())).collect();
        let mut world = World {
            now: 0,
            agenda: Agenda::default(),
            network: Network::new(count, options.weather),
            clients: Clients::new(&options, &mut random),
            admin: Admin::default(),
            options,
            setting,
            random,
            machines,
            controller: Controller::default(),
            history: History::default(),
            invariants: Invariants::default(),
            faults,
            trace: Trace::new(printed),
            seen: std::collections::BTreeMap::new(),
            unseen: std::collections::BTreeSet::new(),
            event_count: 0,
            lives: 0,
            fault_count: 0,
            rounds_at_heal: std::collections::BTreeMap::new(),
            healed_at: None,
            is_over: false,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let count = self.options.broker_count;
        if self.options.scripted {
            for index in 0..self.options.partition_count {
                let first = self.random.index(count);
                let voters = (0..self.options.replica_count).map(|i| node((first + i) % count));
                self.controller.assign(key_of(index as u32), voters.collect());
            }
        } else {
            self.agenda.add(50 * MS, Event::Administer);
        }
        for broker in 0..count {
            let at = self.random.below(20 * MS);
            self.agenda.add(at, Event::Start { broker });
        }
        for (index, planned) in self.faults.iter().enumerate() {
            self.agenda.add(planned.at, Event::Fault(index));
        }
        for producer in 0..self.options.load.producer_count {
            self.agenda.add(self.random.below(100 * MS), Event::Send(producer));
        }
        for consumer in 0..self.options.load.consumer_count {
            self.agenda.add(self.random.below(100 * MS), Event::Fetch(consumer));
        }
        if self.options.trims {
            self.agenda.add(self.random.below(SECOND), Event::Trim);
        }
        if self.options.scripted {
            self.agenda.add(self.random.below(CONTROL), Event::Control);
        }
        self.agenda.add(self.options.horizon, Event::Heal);
    }

    /// Everything that happened and all that it left on the disks, as one number.
    pub(crate) fn trace_hash(&mut self) -> u64 {
        for machine in &self.machines {
            self.trace.note(machine.storage.state_hash());
        }
        self.trace.hash()
    }

    /// Lets the next event happen.
    ///
    /// # Errors
    /// An invariant does not hold.
    pub(crate) fn step(&mut self) -> Checked {
        let Some((at, event)) = self.agenda.next() else {
            return Err(Violation::new("simulator", "nothing is going to happen"));
        };
        self.now = at;
        self.event_count += 1;
        self.trace.note(at);
        match event {
            Event::Input { broker, life, input } => self.arrive(broker, life, input),
            Event::Wake { broker } => self.wake(broker),
            Event::Start { broker } => self.start(broker),
            Event::Form { broker, life } => self.form(broker, life),
            Event::Administer => {
                self.administer();
                Ok(())
            }
            Event::Tick { broker, life } => self.tick(broker, life),
            Event::Heartbeat { broker, life } => {
                self.heartbeat(broker, life);
                Ok(())
            }
            Event::Upkeep { broker, life } => self.upkeep(broker, life),
            Event::Control => {
                self.control();
                Ok(())
            }
            Event::Fault(index) => {
                let fault = self.faults[index].fault.clone();
                self.strike(fault);
                Ok(())
            }
            Event::Undo(undo) => {
                self.undo(undo);
                Ok(())
            }
            Event::Send(producer) => {
                self.send(producer);
                Ok(())
            }
            Event::Retry { producer, id } => {
                self.retry(producer, id);
                Ok(())
            }
            Event::Answer(answered) => {
                self.hear(&answered);
                Ok(())
            }
            Event::Fetch(consumer) => self.fetch(consumer),
            Event::Trim => {
                self.trim();
                Ok(())
            }
            Event::Heal => {
                self.heal();
                Ok(())
            }
            Event::Settle => self.settle(),
        }
    }

    // ---- a broker's events -------------------------------------------------------------------

    fn arrive(&mut self, broker: usize, life: Option<u64>, input: Input) -> Checked {
        let machine = &mut self.machines[broker];
        let current = machine.process.as_ref().map(|process| process.life);
        if current.is_none() || life.is_some_and(|life| Some(life) != current) {
            if let Input::Produce(produce) = input {
                // Nobody listens.
                let at = self.now + self.random.range(100, 1_000);
                self.agenda.add(at, Event::Answer(Answered { produce, outcome: None }));
            }
            return Ok(());
        }
        let ready_at = machine.paused_until.max(machine.busy_until);
        if ready_at > self.now || !machine.inbox.is_empty() {
            machine.inbox.push_back(input);
            if !machine.will_wake {
                machine.will_wake = true;
                self.agenda.add(ready_at.max(self.now), Event::Wake { broker });
            }
            return Ok(());
        }
        self.turn(broker, vec![input])
    }

    fn wake(&mut self, broker: usize) -> Checked {
        let machine = &mut self.machines[broker];
        machine.will_wake = false;
        let ready_at = machine.paused_until.max(machine.busy_until);
        if machine.inbox.is_empty() {
            return Ok(());
        }
        if ready_at > self.now {
            machine.will_wake = true;
            self.agenda.add(ready_at, Event::Wake { broker });
            return Ok(());
        }
        let inputs = std::mem::take(&mut machine.inbox).into();
        self.turn(broker, inputs)
    }

    /// One turn of a broker's loop: handles all inputs, then starts what they ask for.
    pub(crate) fn turn(&mut self, broker: usize, inputs: Vec<Input>) -> Checked {
        let now = self.now;
        let machine = &mut self.machines[broker];
        let (slowness, wall_ms) = (machine.slowness(now), machine.wall_ms(now));
        let Some(process) = &mut machine.process else { return Ok(()) };
        let count = inputs.len() as u64;
        let mut inputs = inputs.into_iter();
        let handled = inputs.try_for_each(|input| process.handle(input, now, wall_ms));
        let concluded = handled.and_then(|()| process.conclude(now, wall_ms, &self.setting));
        if let Err(error) = concluded {
            let reason = error.to_string();
            self.trace.say(now, format_args!("n{} ends: {reason}", broker + 1));
            self.note_ends(broker, true);
            self.observe(broker)?;
            self.abort(broker, &reason);
            return Ok(());
        }
        self.observe_all_begun(broker)?;
        self.note_ends(broker, false);
        // What a replica said counts although its incarnation may have ended in the same turn.
        self.observe(broker)?;
        let machine = &mut self.machines[broker];
        machine.note_ended();
        let Some(process) = &mut machine.process else { return Ok(()) };
        let ended = process.take_ended();
        if slowness > 1 {
            machine.busy_until = now + count * TURN_COST * slowness;
        }
        self.reopen(broker, ended)?;
        self.flush(broker)
    }

    /// Starts writes and sends what a turn left.
    pub(crate) fn flush(&mut self, broker: usize) -> Checked {
        let now = self.now;
        let machine = &mut self.machines[broker];
        let factor = machine.disk_factor(now);
        let Some(process) = &mut machine.process else { return Ok(()) };
        let life = process.life;
        let flushed = process.flush(now);
        let (sync, background) = (self.options.device.sync, self.options.device.background);
        let mut add = |at, input| {
            self.agenda.add(at, Event::Input { broker, life: Some(life), input });
        };
        for job in flushed.syncs {
            add(now + self.random.range(sync.0, sync.1) * factor, Input::Job(job));
        }
        for job in flushed.background {
            add(now + self.random.range(background.0, background.1) * factor, Input::Job(job));
        }
        if flushed.journal_began {
            add(now + self.random.range(sync.0, sync.1) * factor, Input::Journal);
        }
        if let Some(due) = flushed.lazy_due {
            add(due.max(now), Input::LazyMarks);
        }
        for (to, messages) in flushed.packets {
            for message in &messages {
                self.check_sent(broker, message.key, &message.message)?;
            }
            self.post(broker, to, Packet::Messages(messages));
        }
        for (to, messages) in flushed.control {
            for message in &messages {
                if let ControlMessage::Partition(it) = message {
                    self.check_sent(broker, it.key, &it.message)?;
                }
            }
            self.post(broker, to, Packet::Control(messages));
        }
        for resignation in flushed.resignations {
            self.resign(broker, resignation);
        }
        for answered in flushed.answers {
            self.answer(answered)?;
        }
        Ok(())
    }

    fn check_sent(&mut self, broker: usize, key: PartitionKey, message: &Message) -> Checked {
        let Some(process) = &self.machines[broker].process else { return Ok(()) };
        let journaled = process.journal.partition(key);
        self.trace.note(u64::from(message.ballot().round) << 8 | broker as u64);
        self.trace.note(message.batches().last().map_or(0, |batch| batch.end));
        if let Some(control) = &process.control {
            self.invariants.strangers.sent(node(broker), &control.introduction, message)?;
        }
        self.invariants.vows.sent(node(broker), key, message, journaled)
    }

    /// Whether a broker takes what another one sends: their introductions fit together.
    fn are_acquainted(&self, from: usize, to: usize) -> bool {
        let sender = self.machines[from].introduction();
        let receiver = self.machines[to].introduction();
        match (sender, receiver) {
            (Some(sender), Some(receiver)) => {
                receiver.cluster.is_some() && receiver.fits(sender, None).is_ok()
            }
            // Scripted, or down: then nothing arrives, unless it comes up in time.
            _ => true,
        }
    }

    /// Gives a packet to the network.
    pub(crate) fn post(&mut self, from: usize, to: usize, packet: Packet) {
        if !self.are_acquainted(from, to) {
            return;
        }
        if self.trace.is_printed()
            && let Packet::Messages(messages) = &packet
        {
            for message in messages {
                let text = format!("{:?}", message.message);
                self.trace.say(
                    self.now,
                    format_args!("n{}>n{} {} {text}", from + 1, to + 1, message.key.partition),
                );
            }
        }
        let arrivals = self.network.arrivals(from, to, self.now, &mut self.random);
        for at in arrivals.into_iter().flatten() {
            let input = Input::Packet(from, packet.clone());
            self.agenda.add(at, Event::Input { broker: to, life: None, input });
        }
    }

    fn tick(&mut self, broker: usize, life: u64) -> Checked {
        let interval = if self.options.scripted { TICK } else { BROKER_TICK };
        let again = |broker, life| Event::Tick { broker, life };
        self.timer(broker, life, interval, again, Input::Tick)
    }

    fn upkeep(&mut self, broker: usize, life: u64) -> Checked {
        let again = |broker, life| Event::Upkeep { broker, life };
        self.timer(broker, life, UPKEEP, again, Input::Upkeep)
    }

    fn timer(
        &mut self,
        broker: usize,
        life: u64,
        interval: Micros,
        again: impl Fn(usize, u64) -> Event,
        input: Input,
    ) -> Checked {
        if self.life(broker) != Some(life) {
            return Ok(());
        }
        self.agenda.add(self.now + interval, again(broker, life));
        // A process that does not run misses ticks; they do not pile up.
        let machine = &self.machines[broker];
        if machine.paused_until > self.now || machine.inbox.len() > 1_000 {
            return Ok(());
        }
        self.arrive(broker, Some(life), input)
    }

    fn heartbeat(&mut self, broker: usize, life: u64) {
        if self.life(broker) != Some(life) {
            return;
        }
        self.agenda.add(self.now + HEARTBEAT, Event::Heartbeat { broker, life });
        if self.machines[broker].paused_until > self.now {
            return;
        }
        for to in (0..self.machines.len()).filter(|to| *to != broker) {
            self.post(broker, to, Packet::Heartbeat);
        }
    }

    pub(crate) fn life(&self, broker: usize) -> Option<u64> {
        self.machines[broker].process.as_ref().map(|process| process.life)
    }

    // ---- the controller ----------------------------------------------------------------------

    fn control(&mut self) {
        self.agenda.add(self.now + CONTROL, Event::Control);
        let (machines, network, now) = (&self.machines, &self.network, self.now);
        let can_lead = |a: &Assignment, node| can_lead(machines, network, now, a, node);
        self.controller.check(now, can_lead, &mut self.random);
        for (_, assignment) in self.controller.assignments() {
            self.trace.note(u64::from(assignment.ballot.round));
        }
        // As brokers that tail the metadata would, all hear of all appointments, sooner or later.
        let keys: Vec<PartitionKey> = self.controller.assignments().map(|(key, _)| key).collect();
        for key in keys {
            self.tell_of(key);
        }
    }

    /// Tells the brokers of a partition who leads it.
    pub(crate) fn tell_of(&mut self, key: PartitionKey) {
        let Some(assignment) = self.controller.get(key).cloned() else { return };
        for voter in &assignment.voters {
            let at = self.now + self.random.range(500, 20 * MS);
            let input = Input::Appoint(key, assignment.ballot, assignment.set());
            self.agenda.add(at, Event::Input { broker: voter.0 as usize - 1, life: None, input });
        }
    }

    fn resign(&mut self, broker: usize, resignation: crate::partition::Resignation) {
        let (machines, network, now) = (&self.machines, &self.network, self.now);
        let can_lead = |a: &Assignment, node| can_lead(machines, network, now, a, node);
        let crate::partition::Resignation { key, round, reason } = resignation;
        self.trace.say(now, format_args!("n{} resigns {key} {round}: {reason:?}", broker + 1));
        let promised = match reason {
            crate::metadata::request::ResignReason::Stale { promised_round } => promised_round,
            _ => 0,
        };
        if self.controller.resigned(key, round, promised, now, can_lead, &mut self.random) {
            self.tell_of(key);
        }
    }
}

/// Whether a replica is up and reaches a majority of its partition's replicas, as seen from above.
fn can_lead(
    machines: &[Machine],
    network: &Network,
    now: Micros,
    assignment: &Assignment,
    candidate: synod_paxos::NodeId,
) -> bool {
    let works = |broker: usize| {
        let machine: &Machine = &machines[broker];
        machine.is_up() && machine.paused_until <= now && machine.put_aside.is_none()
    };
    let broker = candidate.0 as usize - 1;
    let reached = |other: synod_paxos::NodeId| {
        let other = other.0 as usize - 1;
        works(other) && network.connects(broker, other)
    };
    works(broker) && assignment.set().is_quorum(reached)
}

/// The share of the request budget that simulated requests hold.
pub(crate) fn budget_share() -> Arc<crate::budget::BudgetShare> {
    use futures_util::FutureExt as _;
    let share = crate::budget::Budget::new(1).take(1).now_or_never();
    Arc::new(share.unwrap_or_else(|| unreachable!("nobody else takes of it")))
}

/// Whether a replica leads and serves.
pub(crate) fn is_ready(role: Role) -> bool {
    matches!(role, Role::Leader { ready: true, .. })
}
