//! The coordinator is killed in the middle of a rebalance: what was not decided is forgotten, and
//! the members find each other again by themselves.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use synod_client::consumer::Assignor;
use synod_client::wire::ErrorCode;
use synod_client::wire::consumer_protocol::Subscription;

use crate::coordinator::Scene;
use crate::members::{Job, Library, Member};
use crate::support::wire::{Connection, text};
use crate::world::id;

/// A member without a library, which goes no further than it is told to.
struct Slow {
    connection: Connection,
    job: Job,
    member: StrBytes,
}

impl Slow {
    fn open(scene: &Scene) -> Slow {
        let job = scene.job.clone();
        let mut any = Connection::open(&scene.world.brokers.kafka(1).to_string());
        let find = FindCoordinatorRequest::default().with_key(text(&job.group));
        let coordinator = loop {
            let found = any.call(3, &find);
            if found.error_code == 0 {
                break found.node_id.0;
            }
        };
        let address = scene.world.brokers.kafka(id(coordinator)).to_string();
        Slow { connection: Connection::open(&address), job, member: StrBytes::default() }
    }

    /// Joins, again if need be, and knows the next generation.
    fn join(&mut self) -> JoinGroupResponse {
        let topics = vec![self.job.topic.as_str().into()];
        let subscription = Subscription { topics, ..Subscription::default() };
        let metadata = subscription.encode().expect("a subscription");
        loop {
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from(metadata.to_vec()));
            let request = JoinGroupRequest::default()
                .with_group_id(GroupId(text(&self.job.group)))
                .with_session_timeout_ms(30_000)
                .with_rebalance_timeout_ms(30_000)
                .with_member_id(self.member.clone())
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol]);
            let answer = self.connection.call(7, &request);
            self.member = answer.member_id.clone();
            match ErrorCode::from_code(answer.error_code) {
                ErrorCode::NONE => return answer,
                ErrorCode::MEMBER_ID_REQUIRED | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {}
                error => panic!("{error}"),
            }
        }
    }
}

/// The members have found a generation of their own, and lose nothing.
fn goes_on(mut scene: Scene) {
    scene.until_stable();
    let load = scene.load();
    scene.until_all_move("members commit");
    load.end(&scene);
    scene.judge();
}

#[test]
fn the_coordinator_is_killed_while_members_gather() {
    let mut scene = Scene::start_after("5s", "gathering", Assignor::Range, &[Library::Own; 2]);
    scene.until_state("PreparingRebalance", 2);
    let victim = scene.coordinator();
    scene.world.kill(victim);
    scene.until_stable();
    scene.world.restart(victim);
    goes_on(scene);
}

#[test]
fn the_coordinator_is_killed_while_assignments_are_due() {
    let mut scene = Scene::start_after("100ms", "assigning", Assignor::Range, &[]);
    // It leads the group, and owes everybody the assignments.
    let mut slow = Slow::open(&scene);
    slow.join();
    let member = Member::start(Library::Own, &scene.job, &scene.world);
    scene.members.push(member);
    scene.until_state("PreparingRebalance", 2);
    let joined = slow.join();
    assert_eq!((joined.generation_id, &joined.leader), (2, &slow.member));
    scene.until_state("CompletingRebalance", 2);
    let victim = scene.coordinator();
    scene.world.kill(victim);
    scene.until_stable();
    scene.world.restart(victim);
    goes_on(scene);
}
