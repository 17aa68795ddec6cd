//! A group's member against a coordinator that refuses, forgets it, moves, and says nonsense.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use synod_client::consumer::{Assignor, Consumer, ConsumerConfig, ConsumerEvent, GroupConfig};
use synod_client::wire::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use synod_client::wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use synod_client::wire::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use synod_client::wire::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use synod_client::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
};
use synod_client::wire::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use synod_client::wire::{ApiKey, ErrorCode, Str};
use synod_client::{Cluster, Error};

use crate::consumer::list_offsets;
use crate::fake::{Call, Fake, Reply, basics, config};

/// Catches what never happens. Far shorter than the time-outs of [`config`] together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the coordinator was asked: by which id, in which generation.
type Asked = (ApiKey, Str, i32);

/// A group of one member, coordinated by one of two brokers.
#[derive(Default)]
struct Group {
    addresses: Vec<SocketAddr>,
    coordinator: i32,
    generation: i32,
    /// Ids given out so far.
    ids: u32,
    /// The member that is known.
    member: Str,
    assignment: Bytes,
    /// What is answered instead, to the next request of that kind.
    faults: VecDeque<(ApiKey, Fault)>,
    asked: Vec<Asked>,
}

#[derive(Clone, Debug)]
enum Fault {
    Error(ErrorCode),
    /// The connection ends without an answer.
    Close,
    /// The coordinator is the other broker from now on, and knows what this one knew.
    Move,
    /// The group has forgotten its member, and says so.
    Forget,
    /// The group chose a protocol that nobody offered.
    Protocol,
    /// An assignment that is none.
    Assignment,
}

impl Group {
    fn answer(&mut self, broker: i32, call: &Call) -> Reply {
        if let Some(reply) = basics(call, &self.addresses, &[1]) {
            return reply;
        }
        match call.key {
            ApiKey::FIND_COORDINATOR => return self.find(call),
            ApiKey::LIST_OFFSETS => return list_offsets(call, 0, 0),
            // There is nothing to read, and a fetch waits for that.
            ApiKey::FETCH => return Reply::Silence,
            _ => {}
        }
        let fault = match self.faults.front() {
            Some((key, _)) if *key == call.key => self.faults.pop_front().map(|(_, fault)| fault),
            _ => None,
        };
        match fault {
            Some(Fault::Close) => return Reply::Close,
            Some(Fault::Move) => self.coordinator = 3 - self.coordinator,
            Some(Fault::Forget) => self.member = Str::EMPTY,
            _ => {}
        }
        let refusal = match fault {
            _ if broker != self.coordinator => ErrorCode::NOT_COORDINATOR,
            Some(Fault::Error(error)) => error,
            _ => ErrorCode::NONE,
        };
        match call.key {
            ApiKey::JOIN_GROUP => self.join(call, refusal, matches!(fault, Some(Fault::Protocol))),
            ApiKey::SYNC_GROUP => {
                self.sync(call, refusal, matches!(fault, Some(Fault::Assignment)))
            }
            ApiKey::HEARTBEAT => self.heartbeat(call, refusal),
            ApiKey::LEAVE_GROUP => {
                let request: LeaveGroupRequest = call.request();
                self.note(call, request.members[0].member_id.clone(), -1);
                call.answer(&LeaveGroupResponse { error_code: refusal, ..Default::default() })
            }
            ApiKey::OFFSET_FETCH => {
                let request: OffsetFetchRequest = call.request();
                let group_id = request.groups[0].group_id.clone();
                let group = OffsetFetchResponseGroup {
                    group_id,
                    error_code: refusal,
                    ..OffsetFetchResponseGroup::default()
                };
                call.answer(&OffsetFetchResponse { groups: vec![group], ..Default::default() })
            }
            key => panic!("nobody asks for {key:?}"),
        }
    }

    fn note(&mut self, call: &Call, member: Str, generation: i32) {
        self.asked.push((call.key, member, generation));
    }

    fn find(&self, call: &Call) -> Reply {
        let request: FindCoordinatorRequest = call.request();
        let address = self.addresses[self.coordinator as usize - 1];
        let found = Coordinator {
            key: request.coordinator_keys[0].clone(),
            node_id: self.coordinator,
            host: address.ip().to_string().into(),
            port: i32::from(address.port()),
            ..Coordinator::default()
        };
        call.answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() })
    }

    fn join(&mut self, call: &Call, refusal: ErrorCode, other_protocol: bool) -> Reply {
        let request: JoinGroupRequest = call.request();
        self.note(call, request.member_id.clone(), -1);
        let mut answer = JoinGroupResponse { error_code: refusal, ..JoinGroupResponse::default() };
        if refusal.is_error() {
            answer.member_id = request.member_id;
        } else if request.member_id.is_empty() {
            self.ids += 1;
            self.member = format!("m{}", self.ids).into();
            answer.error_code = ErrorCode::MEMBER_ID_REQUIRED;
            answer.member_id = self.member.clone();
        } else if request.member_id != self.member {
            answer.error_code = ErrorCode::UNKNOWN_MEMBER_ID;
            answer.member_id = request.member_id;
        } else {
            self.generation += 1;
            let offered = &request.protocols[0];
            let name = if other_protocol { "odd".into() } else { offered.name.clone() };
            let member = JoinGroupResponseMember {
                member_id: self.member.clone(),
                metadata: offered.metadata.clone(),
                ..JoinGroupResponseMember::default()
            };
            answer.generation_id = self.generation;
            answer.protocol_name = Some(name);
            answer.leader = self.member.clone();
            answer.member_id = self.member.clone();
            answer.members = vec![member];
        }
        call.answer(&answer)
    }

    fn sync(&mut self, call: &Call, refusal: ErrorCode, nonsense: bool) -> Reply {
        let request: SyncGroupRequest = call.request();
        self.note(call, request.member_id.clone(), request.generation_id);
        let mut answer = SyncGroupResponse { error_code: refusal, ..SyncGroupResponse::default() };
        if !refusal.is_error() {
            answer.error_code = self.check(&request.member_id, request.generation_id);
            if let Some(own) = request.assignments.first() {
                self.assignment = own.assignment.clone();
            }
            answer.assignment = self.assignment.clone();
        }
        if nonsense {
            answer.assignment = Bytes::from_static(b"\0\x01\x7f");
        }
        call.answer(&answer)
    }

    fn heartbeat(&mut self, call: &Call, refusal: ErrorCode) -> Reply {
        let request: HeartbeatRequest = call.request();
        self.note(call, request.member_id.clone(), request.generation_id);
        let checked = self.check(&request.member_id, request.generation_id);
        let error_code = if refusal.is_error() { refusal } else { checked };
        call.answer(&HeartbeatResponse { error_code, ..HeartbeatResponse::default() })
    }

    fn check(&self, member: &Str, generation: i32) -> ErrorCode {
        match (*member == self.member, generation == self.generation) {
            (false, _) => ErrorCode::UNKNOWN_MEMBER_ID,
            (true, false) => ErrorCode::ILLEGAL_GENERATION,
            (true, true) => ErrorCode::NONE,
        }
    }
}

/// Two brokers and a member of the group that they coordinate.
struct Stage {
    group: Arc<Mutex<Group>>,
    consumer: Consumer,
    _brokers: Vec<Fake>,
}

impl Stage {
    async fn start(faults: impl IntoIterator<Item = (ApiKey, Fault)>) -> Stage {
        let settings = GroupConfig::new("g")
            .assignors([Assignor::Range])
            .heartbeat_interval(Duration::from_millis(10))
            .auto_commit(None);
        Stage::start_as(settings, faults).await
    }

    async fn start_as(
        settings: GroupConfig,
        faults: impl IntoIterator<Item = (ApiKey, Fault)>,
    ) -> Stage {
        let listeners = [Fake::bind().await, Fake::bind().await];
        let group = Group {
            addresses: listeners.iter().map(|(_, address)| *address).collect(),
            coordinator: 1,
            faults: faults.into_iter().collect(),
            ..Group::default()
        };
        let address = group.addresses[0];
        let group = Arc::new(Mutex::new(group));
        let brokers = (1..).zip(listeners).map(|(id, (listener, _))| {
            let group = group.clone();
            Fake::run(listener, move |call| group.lock().unwrap().answer(id, call))
        });
        let brokers = brokers.collect();
        let cluster = Cluster::connect(config(address)).await.unwrap();
        let config = ConsumerConfig::default().group(settings);
        let mut consumer = Consumer::new(cluster, config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        Stage { group, consumer, _brokers: brokers }
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap()
    }

    async fn event(&mut self) -> Result<ConsumerEvent, Error> {
        tokio::time::timeout(PATIENCE, self.consumer.next_event()).await.expect("an event")
    }

    /// The next event is that the partition is assigned.
    async fn assigned(&mut self) {
        let event = self.event().await.unwrap();
        assert!(matches!(event, ConsumerEvent::Assigned(_)), "{event:?}");
    }

    /// From now on this is answered instead.
    fn harm(&self, key: ApiKey, fault: Fault) {
        let mut group = self.group();
        group.asked.clear();
        group.faults.push_back((key, fault));
    }

    /// Lets time pass until the coordinator has heard so many heartbeats more.
    async fn beats(&mut self, count: usize) {
        let so_far = self.heartbeats();
        let beating = async {
            while self.heartbeats() < so_far + count {
                self.consumer.poll(Duration::from_millis(5)).await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, beating).await.expect("heartbeats");
    }

    fn heartbeats(&self) -> usize {
        self.group().asked.iter().filter(|(key, ..)| *key == ApiKey::HEARTBEAT).count()
    }

    /// The ids with which it joined since the last harm.
    fn joins(&self) -> Vec<Str> {
        let group = self.group();
        let joins = group.asked.iter().filter(|(key, ..)| *key == ApiKey::JOIN_GROUP);
        joins.map(|(_, member, _)| member.clone()).collect()
    }
}

#[tokio::test]
async fn a_member_that_was_forgotten_joins_as_another() {
    let mut stage = Stage::start([]).await;
    stage.assigned().await;
    stage.harm(ApiKey::HEARTBEAT, Fault::Forget);
    let lost = stage.event().await.unwrap();
    assert!(matches!(&lost, ConsumerEvent::Lost(gone) if gone.len() == 1), "{lost:?}");
    stage.assigned().await;
    assert_eq!(stage.joins(), ["", "m2"]);
}

#[tokio::test]
async fn a_member_of_an_older_generation_joins_again_under_its_id() {
    let mut stage = Stage::start([]).await;
    stage.assigned().await;
    stage.harm(ApiKey::HEARTBEAT, Fault::Error(ErrorCode::ILLEGAL_GENERATION));
    let lost = stage.event().await.unwrap();
    assert!(matches!(&lost, ConsumerEvent::Lost(gone) if gone.len() == 1), "{lost:?}");
    stage.assigned().await;
    assert_eq!(stage.joins(), ["m1"]);
}

#[tokio::test]
async fn a_member_that_is_told_of_a_rebalance_lets_go_and_joins_again() {
    let mut stage = Stage::start([]).await;
    stage.assigned().await;
    stage.harm(ApiKey::HEARTBEAT, Fault::Error(ErrorCode::REBALANCE_IN_PROGRESS));
    let revoking = stage.event().await.unwrap();
    assert!(matches!(&revoking, ConsumerEvent::Revoking(gone) if gone.len() == 1), "{revoking:?}");
    stage.assigned().await;
    assert_eq!(stage.joins(), ["m1"]);
    assert_eq!(stage.group().generation, 2);
}

#[tokio::test]
async fn a_fenced_member_does_not_come_back() {
    for key in [ApiKey::HEARTBEAT, ApiKey::JOIN_GROUP, ApiKey::SYNC_GROUP] {
        let settings = GroupConfig::new("g")
            .instance_id("static")
            .heartbeat_interval(Duration::from_millis(10));
        let fault = Fault::Error(ErrorCode::FENCED_INSTANCE_ID);
        let mut stage = Stage::start_as(settings, [(key, fault)]).await;
        let error = loop {
            match stage.event().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Some(ErrorCode::FENCED_INSTANCE_ID), "{key:?}");
        stage.group().asked.clear();
        let again = stage.consumer.poll(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(again.code(), Some(ErrorCode::FENCED_INSTANCE_ID), "{key:?}");
        assert_eq!(stage.group().asked, [], "{key:?}: it keeps quiet");
    }
}

#[tokio::test]
async fn a_coordinator_that_moves_is_followed_without_a_rebalance() {
    let passing = [
        Fault::Move,
        Fault::Close,
        Fault::Error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        Fault::Error(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        Fault::Error(ErrorCode::NOT_COORDINATOR),
    ];
    let mut stage = Stage::start([]).await;
    stage.assigned().await;
    for fault in passing {
        stage.harm(ApiKey::HEARTBEAT, fault.clone());
        stage.beats(3).await;
        assert_eq!(stage.joins(), [""; 0], "{fault:?}");
        assert_eq!(stage.group().generation, 1);
        assert_eq!(stage.consumer.assignment().count(), 1);
    }
    assert_eq!(stage.group().coordinator, 2);
}

#[tokio::test]
async fn joining_survives_whatever_passes() {
    let passing = [
        Fault::Move,
        Fault::Close,
        Fault::Error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        Fault::Error(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        Fault::Error(ErrorCode::NOT_COORDINATOR),
        Fault::Error(ErrorCode::REBALANCE_IN_PROGRESS),
        Fault::Error(ErrorCode::UNKNOWN_MEMBER_ID),
        Fault::Error(ErrorCode::ILLEGAL_GENERATION),
    ];
    for key in [ApiKey::JOIN_GROUP, ApiKey::SYNC_GROUP] {
        for fault in &passing {
            let mut stage = Stage::start([(key, fault.clone())]).await;
            stage.assigned().await;
            assert!(stage.group().faults.is_empty(), "{key:?} {fault:?}");
            stage.beats(1).await;
            let last = stage.group().asked.last().cloned();
            let expected = (ApiKey::HEARTBEAT, stage.group().member.clone());
            assert_eq!(last.map(|(key, member, _)| (key, member)), Some(expected));
        }
    }
}

#[tokio::test]
async fn what_no_repetition_can_change_is_told() {
    let lasting = [
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ErrorCode::INVALID_SESSION_TIMEOUT,
        ErrorCode::GROUP_MAX_SIZE_REACHED,
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ErrorCode::INVALID_GROUP_ID,
    ];
    for code in lasting {
        let mut stage = Stage::start([(ApiKey::JOIN_GROUP, Fault::Error(code))]).await;
        let error = stage.event().await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert!(error.to_string().contains("group g"), "{error}");
    }
}

#[tokio::test]
async fn a_group_that_talks_nonsense_is_left_alone() {
    let mut stage = Stage::start([]).await;
    stage.assigned().await;
    stage.harm(ApiKey::HEARTBEAT, Fault::Error(ErrorCode::REBALANCE_IN_PROGRESS));
    stage.group().faults.push_back((ApiKey::JOIN_GROUP, Fault::Protocol));
    let error = loop {
        match stage.event().await {
            Ok(ConsumerEvent::Revoking(_)) => {}
            Ok(event) => panic!("{event:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL), "{error}");

    let mut stage = Stage::start([(ApiKey::SYNC_GROUP, Fault::Assignment)]).await;
    let error = stage.event().await.unwrap_err();
    assert!(error.to_string().contains("assignment"), "{error}");
}

#[tokio::test]
async fn one_that_leaves_says_so_under_its_id() {
    let mut stage = Stage::start([]).await;
    stage.assigned().await;
    stage.group().asked.clear();
    let Stage { group, consumer, _brokers } = stage;
    tokio::time::timeout(PATIENCE, consumer.close()).await.expect("it leaves");
    let asked = group.lock().unwrap().asked.clone();
    assert!(asked.contains(&(ApiKey::LEAVE_GROUP, "m1".into(), -1)), "{asked:?}");
}
