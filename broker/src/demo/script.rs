//! What happens in the demonstration, and when.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::history::{Guarantee, Report};
use synod_client::producer::ProducerConfig;
use synod_client::{Cluster, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::brokers::{BrokerError, Brokers, Setup};
use super::clients::{Counters, Load, Partitions, silence};
use super::links::Link;
use super::scratch::Scratch;
use super::screen::{BrokerState, PartitionView, Picture, Screen};
use super::workload::{Workload, WorkloadError, connect};

const TOPIC: &str = "demo";
const BROKERS: u32 = 3;
const PARTITIONS: i32 = 3;

/// Size of a record's value in bytes.
const VALUE_SIZE: usize = 256;

/// Records of one producer under way at once; there is one for each partition.
const IN_FLIGHT: usize = 200;

/// Time from one record of a producer to its next, so that the whole can be checked in time.
const PACE: Duration = Duration::from_micros(200);

/// Time between two pictures.
const REFRESH: Duration = Duration::from_millis(100);

/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the final reading may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long each part lasts.
const CALM: Duration = Duration::from_secs(3);
const WITHOUT_LEADER: Duration = Duration::from_secs(5);
const RETURNED: Duration = Duration::from_secs(2);
const WITHOUT_LINK: Duration = Duration::from_secs(4);
const HEALED: Duration = Duration::from_secs(2);

/// What all of it takes, as far as it can be known.
const WHOLE: Duration = Duration::from_secs(20);

/// Why the demonstration cannot be shown to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The operating system refuses something.
    #[error("cannot prepare the brokers: {0}")]
    Prepare(#[from] io::Error),
    /// A broker does not do what it should.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A client does not get what it should.
    #[error(transparent)]
    Client(#[from] Error),
    /// The workload could not be judged.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The first partition has no leader to be killed.
    #[error("partition 0 of topic {TOPIC} has no leader")]
    NoLeader,
    /// It takes too long.
    #[error("not done after {} s", .0.as_secs())]
    Late(Duration),
}

/// How it went.
#[derive(Debug)]
pub struct Summary {
    /// What the records of all clients say.
    pub report: Report,
    /// Without an acknowledgement on the partition whose leader was killed.
    pub failover: Duration,
    /// The longest silence of any partition while the link was cut.
    pub cut: Duration,
    /// From the beginning to the end.
    pub took: Duration,
    /// Where logs and data were left, if something is wrong with the records.
    pub evidence: Option<PathBuf>,
}

/// The demonstration while it runs.
struct Demo {
    brokers: Brokers,
    states: BTreeMap<u32, BrokerState>,
    cut: Option<(u32, u32)>,
    counters: Arc<Counters>,
    view: watch::Receiver<Vec<PartitionView>>,
    screen: Screen,
    started: Instant,
    /// Acknowledged records at the last pictures, oldest first.
    rates: Vec<(Instant, u64)>,
}

/// Runs the demonstration with brokers of this binary, which ends after `limit` at the latest.
///
/// # Errors
/// What kept it from coming to its end; whether the cluster kept its promises tells the summary.
pub async fn run(binary: PathBuf, limit: Duration) -> Result<Summary, DemoError> {
    let mut scratch = Scratch::new()?;
    // The brokers end before their directory does.
    let played = timeout(limit, play(binary, scratch.path().into())).await;
    let mut summary = played.map_err(|_| DemoError::Late(limit))??;
    if !summary.report.is_clean() {
        scratch.keep();
        summary.evidence = Some(scratch.path().into());
    }
    Ok(summary)
}

async fn play(binary: PathBuf, directory: PathBuf) -> Result<Summary, DemoError> {
    let started = Instant::now();
    let setup = Setup { binary, directory, broker_count: BROKERS, args: Vec::new() };
    let mut demo = Demo {
        brokers: Brokers::prepare(setup)?,
        states: BTreeMap::new(),
        cut: None,
        counters: Arc::default(),
        view: watch::channel(Vec::new()).1,
        screen: Screen::new(),
        started,
        rates: Vec::new(),
    };
    demo.tell(&format!("starting {BROKERS} brokers"));
    demo.start(&(1..=BROKERS).collect::<Vec<_>>()).await?;
    let admin = Admin::new(connect(&demo.brokers.bootstrap(), "demo").await?);
    let topic = NewTopic::new(TOPIC).partitions(PARTITIONS).replicas(BROKERS as i16);
    admin.create_topic(topic).await?;
    let (sender, view) = watch::channel(Vec::new());
    demo.view = view;
    let looking = tokio::spawn(look(admin.cluster().clone(), sender));
    let outcome = demo.endure(admin.cluster()).await;
    looking.abort();
    demo.screen.clear();
    let (report, failover, cut) = outcome?;
    Ok(Summary { report, failover, cut, took: started.elapsed(), evidence: None })
}

impl Demo {
    /// The faults, and the judgement of what clients saw meanwhile.
    async fn endure(
        &mut self,
        client: &Cluster,
    ) -> Result<(Report, Duration, Duration), DemoError> {
        let mut workload = self.workload().await?;
        self.tell("three idempotent producers write, a consumer reads");
        self.watch(CALM).await;

        let victim = leader(client).await?;
        self.tell(&format!("kill -9 of broker {victim}, which leads partition 0"));
        let killed = Instant::now();
        self.brokers.kill(victim);
        self.states.insert(victim, BrokerState::Killed);
        self.watch(WITHOUT_LEADER).await;
        let returned = Instant::now();
        self.tell(&format!("broker {victim} is started again"));
        self.start(&[victim]).await?;
        self.watch(RETURNED).await;

        let one = leader(client).await?;
        let other = if one == BROKERS { 1 } else { one + 1 };
        self.tell(&format!("the link between brokers {one} and {other} is cut"));
        let cut = Instant::now();
        self.brokers.links().set_both(one, other, Link::Cut);
        self.cut = Some((one, other));
        self.watch(WITHOUT_LINK).await;
        let healed = Instant::now();
        self.tell("the link is up again");
        self.brokers.links().heal();
        self.cut = None;
        self.watch(HEALED).await;

        self.tell("the producers stop; every record is read once more and checked");
        let acks = workload.stop_senders().await?;
        let judgement = workload.judge(DRAIN_TIMEOUT).await?;
        let failover = acks.first().map(|acks| silence(acks, killed, returned));
        let silent = acks.iter().map(|acks| silence(acks, cut, healed)).max();
        Ok((judgement.report, failover.unwrap_or_default(), silent.unwrap_or_default()))
    }

    async fn workload(&mut self) -> Result<Workload, DemoError> {
        let partitions = Partitions::of([(TOPIC, PARTITIONS)]);
        let mut workload = Workload::new(self.brokers.bootstrap(), partitions.clone());
        self.counters = workload.counters();
        for (target, _) in partitions.iter() {
            let load = Load {
                targets: vec![target],
                value_size: VALUE_SIZE,
                in_flight: IN_FLIGHT,
                pace: Some(PACE),
            };
            let config = ProducerConfig::default();
            workload.add_sender(Guarantee::Exact, config, load).await?;
        }
        workload.add_reader().await?;
        Ok(workload)
    }

    /// Starts brokers and waits until they are ready.
    async fn start(&mut self, nodes: &[u32]) -> Result<(), DemoError> {
        for node in nodes {
            self.brokers.start(*node)?;
            self.states.insert(*node, BrokerState::Starting);
        }
        let deadline = Instant::now() + START_TIMEOUT;
        for node in nodes {
            while !self.brokers.is_ready(*node)? {
                if Instant::now() > deadline {
                    self.brokers.wait_ready(*node, Duration::ZERO)?;
                }
                self.show();
                sleep(REFRESH / 4).await;
            }
            self.states.insert(*node, BrokerState::Up);
        }
        Ok(())
    }

    /// Shows what happens for a while.
    async fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.show();
            sleep(REFRESH).await;
        }
    }

    fn tell(&mut self, text: &str) {
        self.screen.tell(self.started.elapsed(), text);
        self.show();
    }

    fn show(&mut self) {
        let (now, written) = (Instant::now(), self.counters.written());
        self.rates.retain(|(at, _)| now - *at <= Duration::from_secs(1));
        self.rates.push((now, written));
        let since = self.rates.first().map_or((now, written), |first| *first);
        let seconds = (now - since.0).as_secs_f64().max(REFRESH.as_secs_f64());
        let brokers = self
            .states
            .iter()
            .map(|(node, state)| (*node, self.brokers.kafka(*node).to_string(), *state));
        let picture = Picture {
            elapsed: now - self.started,
            whole: WHOLE,
            brokers: brokers.collect(),
            cut: self.cut,
            partitions: self.view.borrow().clone(),
            written,
            read: self.counters.read(),
            rate: ((written - since.1) as f64 / seconds) as u64,
        };
        self.screen.show(&picture);
    }
}

/// The leader of the first partition.
async fn leader(client: &Cluster) -> Result<u32, DemoError> {
    let topic = client.refresh_topic(TOPIC).await?;
    let leader = topic.partition(0).and_then(|partition| partition.leader);
    leader.and_then(|leader| u32::try_from(leader).ok()).ok_or(DemoError::NoLeader)
}

/// Looks at the topic again and again.
async fn look(client: Cluster, view: watch::Sender<Vec<PartitionView>>) {
    while !view.is_closed() {
        let topic = timeout(REFRESH * 5, client.refresh_topic(TOPIC)).await;
        if let Ok(Ok(topic)) = topic {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                let before = view.borrow().get(partitions.len()).and_then(|p| p.decided_end);
                partitions.push(PartitionView {
                    leader: partition.leader,
                    round: partition.leader_epoch,
                    replicas: partition.replicas.clone(),
                    in_sync: partition.in_sync.clone(),
                    decided_end: decided_end(&client, partition.index).await.or(before),
                });
            }
            view.send_replace(partitions);
        }
        sleep(REFRESH).await;
    }
}

/// The end of what consumers can read, if the leader says it at once.
async fn decided_end(client: &Cluster, partition: i32) -> Option<i64> {
    let asked = [TopicPartition::new(TOPIC, partition)];
    let answer = client.list_offsets(asked, OffsetSpec::End, Isolation::ReadUncommitted);
    let answer = timeout(REFRESH, answer).await.ok()?;
    answer.into_values().next()?.ok()?.map(|found| found.offset)
}
