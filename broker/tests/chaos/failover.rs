//! Leaders and controllers that vanish, or move as planned: how long until somebody else leads.

use std::sync::Arc;
use std::time::Duration;

use synod_broker::demo::clients::{Ack, silence};
use synod_client::admin::Admin;
use synod_client::cluster::Topic;
use synod_wire::ErrorCode;
use synod_wire::messages::elect_leaders::ElectLeadersRequest;
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::figures::Figures;
use crate::probe::{PROBE_PACE, Probes};
use crate::{promised, variable};

/// Partitions that are probed.
const PROBED: i32 = 6;

/// Time for a fault to show and pass before the next.
const SETTLE: Duration = Duration::from_millis(2500);

/// Until somebody else leads, detection included.
const REPLACEMENT_LIMIT: Duration = Duration::from_secs(2);

/// Clients of leaders that nothing happens to see no longer gap than this.
const STALL_LIMIT: Duration = Duration::from_secs(1);

fn kill_count() -> u64 {
    variable("SYNOD_CHAOS_KILLS", 2)
}

/// The partitions that a broker leads.
fn led_by(topic: &Topic, node: u32) -> Vec<usize> {
    let is_led = |index: &usize| topic.partitions[*index].leader == Some(node as i32);
    (0..topic.partitions.len()).filter(is_led).collect()
}

/// Something that was done to a broker.
struct Incident {
    /// The partitions that it led.
    concerned: Vec<usize>,
    from: Instant,
    to: Instant,
}

impl Incident {
    /// The longest gaps between acknowledgements meanwhile, of the partitions that were concerned
    /// or of all others.
    fn gaps(&self, acks: &[Vec<Ack>], concerned: bool) -> Vec<Duration> {
        let chosen = acks.iter().enumerate();
        let chosen = chosen.filter(|(index, _)| self.concerned.contains(index) == concerned);
        chosen.map(|(_, acks)| silence(acks, self.from, self.to)).collect()
    }
}

/// A topic under probes whose brokers get into trouble one after the other.
struct Trial {
    cluster: TestCluster,
    admin: Admin,
    probes: Probes,
}

impl Trial {
    async fn start() -> Trial {
        let cluster = TestCluster::start(3).await;
        let partitions = cluster.create(&[("probed", PROBED)], 3).await;
        let admin = cluster.admin().await;
        let probes = Probes::start(&cluster, &partitions, PROBED as u32).await;
        sleep(SETTLE).await;
        Trial { cluster, admin, probes }
    }

    async fn topic(&self) -> Arc<Topic> {
        self.admin.cluster().refresh_topic("probed").await.expect("the topic")
    }

    async fn leader(&self) -> u32 {
        self.topic().await.partitions[0].leader.expect("a leader") as u32
    }

    async fn controller(&self) -> u32 {
        self.cluster.wait_all_there(self.admin.cluster()).await
    }

    /// Does something to a broker and gives it time to show.
    async fn incident(
        &mut self,
        victim: u32,
        harm: impl AsyncFnOnce(&mut TestCluster, &Admin),
    ) -> Incident {
        let concerned = led_by(&*self.topic().await, victim);
        let from = Instant::now();
        harm(&mut self.cluster, &self.admin).await;
        sleep(SETTLE).await;
        Incident { concerned, from, to: Instant::now() }
    }

    /// Brings a broker back.
    async fn restart(&mut self, node: u32) {
        self.cluster.restart(node);
        self.cluster.wait_whole(self.admin.cluster(), "probed").await;
        sleep(SETTLE).await;
    }

    /// The acknowledgements of each partition.
    async fn judge(self) -> Vec<Vec<Ack>> {
        self.probes.judge(&self.cluster).await
    }
}

/// The gaps of many incidents.
fn gaps(incidents: &[Incident], acks: &[Vec<Ack>], concerned: bool) -> Figures {
    let mut figures = Figures::default();
    figures.extend(incidents.iter().flat_map(|it| it.gaps(acks, concerned)));
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced() {
    let mut trial = Trial::start().await;
    let mut incidents = Vec::new();
    for _ in 0..kill_count() {
        let victim = trial.leader().await;
        incidents.push(trial.incident(victim, async |cluster, _| cluster.kill(victim)).await);
        trial.restart(victim).await;
    }
    let acks = trial.judge().await;
    let mut figures = Figures::default();
    let slowest = incidents.iter().map(|it| it.gaps(&acks, true).into_iter().max());
    figures.extend(slowest.map(|slowest| slowest.expect("a partition led by the victim")));
    println!("FIGURE leader killed: produce resumes after {figures}");
    assert!(figures.percentile(100) <= promised(REPLACEMENT_LIMIT), "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_moves_are_hardly_noticed() {
    let mut trial = Trial::start().await;
    let (mut stops, mut elections) = (Vec::new(), Vec::new());
    for _ in 0..kill_count() {
        let victim = trial.leader().await;
        let stop = async |cluster: &mut TestCluster, _: &Admin| {
            let asked = Instant::now();
            let status = cluster.stop(victim, PATIENCE).expect("it stops by itself");
            assert!(status.success(), "{status}");
            println!("broker {victim} stopped after {:?}", asked.elapsed());
        };
        stops.push(trial.incident(victim, stop).await);
        trial.restart(victim).await;
        // Whoever leads in its place gives back what it prefers to lead.
        trial.controller().await;
        let before = trial.topic().await;
        let elect = async |_: &mut TestCluster, admin: &Admin| elect_preferred(admin).await;
        let mut election = trial.incident(victim, elect).await;
        let after = trial.topic().await;
        let moved = |index: &usize| {
            before.partitions[*index].leader_epoch < after.partitions[*index].leader_epoch
        };
        election.concerned = (0..PROBED as usize).filter(moved).collect();
        elections.push(election);
    }
    let acks = trial.judge().await;
    for (name, incidents) in [("stop", stops), ("ElectLeaders", elections)] {
        let figures = gaps(&incidents, &acks, true);
        println!("FIGURE planned move ({name}): a partition is silent for {figures}");
        assert!(figures.percentile(100) < promised(STALL_LIMIT), "{name}: {figures}");
    }
}

/// Moves every partition to its preferred leader.
async fn elect_preferred(admin: &Admin) {
    let request = ElectLeadersRequest {
        election_type: 0,
        topic_partitions: None,
        timeout_ms: PATIENCE.as_millis() as i32,
    };
    let broker = admin.cluster().any_broker().await.expect("a broker");
    let response = broker.send(&request).await.expect("an answer");
    assert_eq!(response.error_code, ErrorCode::NONE, "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_controller_stalls_nobody_else() {
    let mut trial = Trial::start().await;
    let (mut calms, mut incidents) = (Vec::new(), Vec::new());
    for _ in 0..kill_count() {
        let controller = trial.controller().await;
        // The same time without a fault, to compare with.
        let mut calm = trial.incident(controller, async |_, _| {}).await;
        let kill = async |cluster: &mut TestCluster, _: &Admin| cluster.kill(controller);
        let incident = trial.incident(controller, kill).await;
        // What it got back just before it was killed had no calm end.
        calm.concerned.extend(&incident.concerned);
        calms.push(calm);
        incidents.push(incident);
        trial.restart(controller).await;
    }
    let acks = trial.judge().await;
    let (calm, others) = (gaps(&calms, &acks, false), gaps(&incidents, &acks, false));
    let own = gaps(&incidents, &acks, true);
    println!(
        "FIGURE controller killed, a record every {PROBE_PACE:?}, longest gaps before: {calm}"
    );
    println!("FIGURE controller killed, longest gaps of partitions led by others: {others}");
    println!("FIGURE controller killed, longest gaps of partitions led by it: {own}");
    assert!(others.percentile(100) < promised(STALL_LIMIT), "{others}");
    assert!(own.percentile(100) <= promised(REPLACEMENT_LIMIT), "{own}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_leaders_on_one_killed_broker_are_replaced() {
    let count = variable("SYNOD_CHAOS_PARTITIONS", 100) as i32;
    let mut trial = Trial::start().await;
    // With three brokers and evenly spread leaders, each leads a third of these.
    trial.cluster.create(&[("many", count * 3)], 3).await;
    let client = trial.admin.cluster().clone();
    let before = client.refresh_topic("many").await.expect("the topic");
    let victim = (1..=3).max_by_key(|node| led_by(&before, *node).len()).expect("three brokers");
    let led = led_by(&before, victim).len();
    let mut appointed = Duration::ZERO;
    let kill = async |cluster: &mut TestCluster, admin: &Admin| {
        let killed = Instant::now();
        cluster.kill(victim);
        let is_replaced = |topic: &Topic| {
            let mut leaders = topic.partitions.iter().map(|partition| partition.leader);
            leaders.all(|leader| leader.is_some_and(|leader| leader != victim as i32))
        };
        cluster.wait_for(admin.cluster(), "many", "new leaders", is_replaced).await;
        appointed = killed.elapsed();
    };
    let incident = trial.incident(victim, kill).await;
    println!("FIGURE {led} leaders on the killed broker: all appointed after {appointed:?}");
    trial.cluster.restart(victim);
    trial.cluster.wait_whole(&client, "many").await;
    let acks = trial.judge().await;
    let figures = gaps(&[incident], &acks, true);
    println!("FIGURE {led} leaders on the killed broker: produce resumes after {figures}");
    assert!(figures.percentile(100) < promised(2 * REPLACEMENT_LIMIT), "{figures}");
}
