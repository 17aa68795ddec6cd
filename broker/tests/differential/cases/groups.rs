//! Group membership: the same scripted members against both.

use std::thread;
use std::time::Duration;

use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, ListGroupsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::members::{Member, Script, group_id, subscription};
use crate::run::{Answer, Run, error, list};
use crate::support::batch::Batch;
use crate::support::wire::text;

pub(crate) fn run(run: &mut Run) {
    coordinators(run);
    first_joins(run);
    bad_joins(run);
    a_group_lives(run);
    a_member_dies(run);
    static_members(run);
    a_cooperative_group(run);
    a_group_of_workers(run);
}

fn coordinators(run: &mut Run) {
    // A broker that has to make its offsets topic first may ask for a little patience.
    let ready = FindCoordinatorRequest::default().with_key(text("g"));
    for _ in 0..300 {
        if run.call(2, &ready).expect("an answer").error_code == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let answer = super::produce::produce(run, "__consumer_offsets", Batch::of(&["a"]).encode());
    run.note("produce to the offsets topic", answer);
    for version in 0..=4 {
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys = ["g", "", "h"].map(StrBytes::from_static_str).into();
        } else {
            request.key = StrBytes::from_static_str("g");
        }
        let answer = run.call(version, &request).map(|answer| show(version, &answer));
        run.note(&format!("find coordinator v{version}"), answer);
    }
    for kind in [3, -1] {
        let request = FindCoordinatorRequest::default().with_key(text("g")).with_key_type(kind);
        let answer = run.call(3, &request).map(|answer| show(3, &answer));
        run.note(&format!("find coordinator of type {kind}"), answer);
    }
    let request = FindCoordinatorRequest::default();
    let answer = run.call(4, &request).map(|answer| show(4, &answer));
    run.note("find coordinator of nothing", answer);
}

fn show(version: i16, answer: &FindCoordinatorResponse) -> String {
    let one = |code, node: i32, port| {
        format!("{} node {node} {}", error(code), if port > 0 { "port" } else { "no port" })
    };
    if version < 4 {
        return one(answer.error_code, answer.node_id.0, answer.port);
    }
    list(&answer.coordinators, |it| {
        format!("{:?} {}", it.key, one(it.error_code, it.node_id.0, it.port))
    })
}

fn first_joins(run: &mut Run) {
    for version in 0..=9 {
        let mut script = Script::new(run, &format!("first-{version}"));
        let mut member = script.member(run, "a");
        let answer = script.join(&mut member, version);
        run.note(&format!("join v{version}, first call"), answer);
        if version >= 4 {
            let answer = script.join(&mut member, version);
            run.note(&format!("join v{version}, second call"), answer);
        }
    }
}

fn bad_joins(run: &mut Run) {
    type Change = fn(&mut Member);
    let cases: [(&str, Change); 9] = [
        ("session time-out 5999", |it| it.session_ms = 5_999),
        ("session time-out 6000", |it| it.session_ms = 6_000),
        ("session time-out 1800001", |it| it.session_ms = 1_800_001),
        ("session time-out -1", |it| it.session_ms = -1),
        ("a member id in a new group", |it| it.id = "stranger".into()),
        ("no protocol type", |it| it.protocol_type = ""),
        ("no protocols", |it| it.protocols.clear()),
        ("a protocol twice", |it| it.protocols = vec!["range", "range"]),
        ("an instance without an id, with a member id", |it| {
            it.instance = Some("i".into());
            it.id = "stranger".into();
        }),
    ];
    for (case, change) in cases {
        let mut script = Script::new(run, "bad");
        let mut member = script.member(run, "a");
        change(&mut member);
        let answer = script.join(&mut member, 9);
        run.note(&format!("join, {case}"), answer);
    }
    let mut script = Script::new(run, "bad");
    script.group.clear();
    let mut member = script.member(run, "a");
    let answer = script.join(&mut member, 9);
    run.note("join, no group id", answer);
    let answer = script.heartbeat(&mut member);
    run.note("heartbeat, no group id", answer);
    run.note("sync, no group id", script.sync(&mut member, &[]));
    let answer = script.leave(run, &[("x", None)]);
    run.note("leave, no group id", answer);
    let mut script = Script::new(run, "never");
    let mut member = script.member(run, "a");
    member.id = "x".into();
    run.note("heartbeat, unknown group", script.heartbeat(&mut member));
    run.note("sync, unknown group", script.sync(&mut member, &[]));
    let answer = script.leave(run, &[("x", None), ("", Some("i"))]);
    run.note("leave, unknown group", answer);
    for version in 0..=2 {
        let request = kafka_protocol::messages::LeaveGroupRequest::default()
            .with_group_id(group_id(&script.group))
            .with_member_id(text("x"));
        let answer = run.call(version, &request).map(|answer| error(answer.error_code));
        run.note(&format!("leave v{version}, unknown group"), answer);
    }
    script.group = "bad".into();
    let _ = script.join(&mut member, 9);
}

fn describe(run: &Run, script: &Script, version: i16) -> Answer<String> {
    let request = DescribeGroupsRequest::default()
        .with_groups(vec![group_id(&script.group)])
        .with_include_authorized_operations(version >= 3);
    let answer = run.call(version, &request)?;
    Ok(script.named(&list(&answer.groups, |group| {
        let mut members: Vec<String> = group
            .members
            .iter()
            .map(|one| {
                let metadata = match &one.member_metadata {
                    none if none.is_empty() => "none",
                    known if *known == subscription() => "metadata",
                    _ => "?",
                };
                let assignment = String::from_utf8_lossy(&one.member_assignment).into_owned();
                let (id, instance) = (script.named(&one.member_id), &one.group_instance_id);
                let (client, host) = (&one.client_id, &one.client_host);
                format!("{id} {instance:?} {client} {host} {metadata} {assignment:?}")
            })
            .collect();
        members.sort();
        format!(
            "{} {} {:?} {:?} operations {} {members:?}",
            error(group.error_code),
            group.group_state,
            group.protocol_type,
            group.protocol_data,
            group.authorized_operations
        )
    })))
}

fn listed(run: &Run, script: &Script, states: &[&str], types: &[&str]) -> Answer<String> {
    let request = ListGroupsRequest::default()
        .with_states_filter(states.iter().map(|state| text(state)).collect())
        .with_types_filter(types.iter().map(|kind| text(kind)).collect());
    let answer = run.call(5, &request)?;
    let own = answer.groups.iter().filter(|one| one.group_id.as_str() == script.group);
    let own: Vec<_> = own
        .map(|one| format!("{} {} {}", one.protocol_type, one.group_state, one.group_type))
        .collect();
    Ok(format!("{} {own:?}", error(answer.error_code)))
}

fn delete(run: &Run, script: &Script) -> Answer<String> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&script.group)]);
    let answer = run.call(2, &request)?;
    Ok(list(&answer.results, |one| error(one.error_code)))
}

fn a_group_lives(run: &mut Run) {
    let topic = run.create("group-topic", 1, &[]);
    let mut script = Script::new(run, "lives");
    run.note("group: described before", describe(run, &script, 5));
    run.note("group: deleted before", delete(run, &script));
    let (mut a, mut b) = (script.member(run, "a"), script.member(run, "b"));
    script.send_join_anew(&mut a);
    let answer = script.joined(&mut a, 9);
    run.note("group: a joins", answer);
    run.note("group: described while completing", describe(run, &script, 5));
    run.note("group: a commits before it syncs", script.commit(&mut a, &topic, 1));
    let answer = script.join(&mut a, 9);
    run.note("group: a joins again before it syncs", answer);
    let id = a.id.clone();
    run.note("group: a syncs", script.sync(&mut a, &[(&id, "all"), ("stranger", "nothing")]));
    run.note("group: a beats", script.heartbeat(&mut a));
    run.note("group: a commits", script.commit(&mut a, &topic, 2));
    for version in 0..=5 {
        let answer = describe(run, &script, version);
        run.note(&format!("group: described while stable, v{version}"), answer);
    }
    for (case, states, types) in [
        ("all", &[][..], &[][..]),
        ("stable", &["sTable "], &[]),
        ("empty", &["Empty"], &[]),
        ("classic", &[], &["Classic"]),
        ("consumer type", &[], &["consumer"]),
        ("nonsense", &["nonsense"], &[]),
    ] {
        run.note(&format!("group: listed, {case}"), listed(run, &script, states, types));
    }
    run.note("group: deleted while stable", delete(run, &script));
    wrong_claims(run, &script, &topic, &mut a);

    script.send_join_anew(&mut b);
    wait_until_rebalancing(run, &script, &mut a);
    run.note("group: a beats while b joins", script.heartbeat(&mut a));
    run.note("group: a syncs while b joins", script.sync(&mut a, &[]));
    run.note("group: a commits while b joins", script.commit(&mut a, &topic, 3));
    run.note("group: described while preparing", describe(run, &script, 5));
    let answer = script.join(&mut a, 9);
    run.note("group: a joins again", answer);
    let answer = script.joined(&mut b, 9);
    run.note("group: b has joined", answer);
    script.send_sync(&mut b, &[]);
    let ids = (a.id.clone(), b.id.clone());
    run.note("group: a assigns", script.sync(&mut a, &[(&ids.0, "half"), (&ids.1, "rest")]));
    run.note("group: b has synced", script.synced(&mut b));
    run.note("group: b syncs again", script.sync(&mut b, &[]));
    let answer = script.join(&mut b, 9);
    run.note("group: b joins again with nothing new", answer);
    let answer = script.leave(run, &[(&ids.0, None), ("stranger", None)]);
    run.note("group: a leaves", answer);
    run.note("group: a beats after it left", script.heartbeat(&mut a));
    run.note("group: b beats after a left", script.heartbeat(&mut b));
    let answer = script.join(&mut b, 9);
    run.note("group: b leads", answer);
    run.note("group: b syncs alone", script.sync(&mut b, &[(&ids.1, "all")]));
    let answer = script.leave(run, &[(&ids.1, None)]);
    run.note("group: b leaves", answer);
    run.note("group: described while empty", describe(run, &script, 5));
    run.note("group: listed while empty", listed(run, &script, &["empty"], &[]));
    run.note("group: b commits after it left", script.commit(&mut b, &topic, 9));
    let mut c = script.member(run, "c");
    script.send_join_anew(&mut c);
    let answer = script.joined(&mut c, 9);
    run.note("group: c joins the empty group", answer);
    let id = c.id.clone();
    let _ = script.leave(run, &[(&id, None)]);
    run.note("group: deleted while empty", delete(run, &script));
    run.note("group: deleted again", delete(run, &script));
    run.note("group: described after", describe(run, &script, 5));
}

fn wrong_claims(run: &mut Run, script: &Script, topic: &str, a: &mut Member) {
    let (id, generation) = (a.id.clone(), a.generation);
    for (case, other, at) in [
        ("an older generation", &*id, 0),
        ("a newer generation", &*id, generation + 1),
        ("generation -1", &*id, -1),
        ("a stranger", "stranger", generation),
        ("nobody", "", generation),
        ("nobody at -1", "", -1),
    ] {
        (a.id, a.generation) = (other.to_owned(), at);
        run.note(&format!("group: heartbeat of {case}"), script.heartbeat(a));
        run.note(&format!("group: sync of {case}"), script.sync(a, &[]));
        run.note(&format!("group: commit of {case}"), script.commit(a, topic, 7));
    }
    (a.id, a.generation) = (id, generation);
    a.instance = Some("no such instance".into());
    run.note("group: heartbeat of an unknown instance", script.heartbeat(a));
    run.note("group: commit of an unknown instance", script.commit(a, topic, 7));
    a.instance = None;
    a.protocols = vec!["roundrobin"];
    run.note("group: sync with another protocol", script.sync(a, &[]));
    a.protocols = vec!["range", "roundrobin"];
    let mut other = script.member(run, "other");
    other.protocols = vec!["sticky"];
    let mut script = Script::new(run, "lives");
    let answer = script.join(&mut other, 9);
    run.note("group: a stranger with another protocol", answer);
    other.protocol_type = "connect";
    other.protocols = vec!["range"];
    let answer = script.join(&mut other, 9);
    run.note("group: a stranger of another type", answer);
}

/// Until the broker has seen that somebody else joins.
fn wait_until_rebalancing(run: &Run, script: &Script, member: &mut Member) {
    for _ in 0..300 {
        if script.heartbeat(member).is_ok_and(|code| code == "RebalanceInProgress") {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no rebalance: {:?}", describe(run, script, 5));
}

fn a_member_dies(run: &mut Run) {
    let mut script = Script::new(run, "dies");
    let (mut a, mut b) = (script.member(run, "a"), script.member(run, "b"));
    (a.session_ms, b.session_ms) = (6_000, 6_000);
    script.send_join_anew(&mut a);
    let _ = script.joined(&mut a, 9);
    script.send_join_anew(&mut b);
    wait_until_rebalancing(run, &script, &mut a);
    let answer = script.join(&mut a, 9);
    run.note("death: a joins again", answer);
    let answer = script.joined(&mut b, 9);
    run.note("death: b joins", answer);
    script.send_sync(&mut b, &[]);
    let ids = (a.id.clone(), b.id.clone());
    let _ = script.sync(&mut a, &[(&ids.0, "half"), (&ids.1, "rest")]);
    let _ = script.synced(&mut b);
    // Only a goes on to beat.
    let mut after = script.heartbeat(&mut a);
    for _ in 0..300 {
        after = script.heartbeat(&mut a);
        if after.as_ref().is_ok_and(|code| code != "ok") {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    run.note("death: a beats when b is missed", after);
    run.note("death: b beats at last", script.heartbeat(&mut b));
    let answer = script.join(&mut b, 9);
    run.note("death: b joins under its old id", answer);
    let answer = script.join(&mut a, 9);
    run.note("death: a goes on alone", answer);
}

fn static_members(run: &mut Run) {
    let topic = run.create("static-topic", 1, &[]);
    let mut script = Script::new(run, "statics");
    let (mut a, mut b) = (script.member(run, "a"), script.member(run, "b"));
    (a.instance, b.instance) = (Some("ia".into()), Some("ib".into()));
    let answer = script.join(&mut a, 9);
    run.note("static: a joins", answer);
    script.send_join(&mut b, 9);
    wait_until_rebalancing(run, &script, &mut a);
    let answer = script.join(&mut a, 9);
    run.note("static: a joins again", answer);
    let answer = script.joined(&mut b, 9);
    run.note("static: b joins", answer);
    script.send_sync(&mut b, &[]);
    let ids = (a.id.clone(), b.id.clone());
    let _ = script.sync(&mut a, &[(&ids.0, "half"), (&ids.1, "rest")]);
    run.note("static: b syncs", script.synced(&mut b));

    let mut again = script.member(run, "b");
    again.instance = Some("ib".into());
    let answer = script.join(&mut again, 9);
    run.note("static: b restarts", answer);
    run.note("static: b gets its assignment back", script.sync(&mut again, &[]));
    run.note("static: the old b beats", script.heartbeat(&mut b));
    run.note("static: the old b syncs", script.sync(&mut b, &[]));
    run.note("static: the old b commits", script.commit(&mut b, &topic, 5));
    let answer = script.join(&mut b, 9);
    run.note("static: the old b joins", answer);
    run.note("static: a did not notice", script.heartbeat(&mut a));
    run.note("static: described", describe(run, &script, 5));

    let mut leader = script.member(run, "a");
    leader.instance = Some("ia".into());
    let answer = script.join(&mut leader, 8);
    run.note("static: the leader restarts, v8", answer);
    leader.id.clear();
    let answer = script.join(&mut leader, 9);
    run.note("static: the leader restarts, v9", answer);
    let answer = script.leave(run, &[(&ids.0, Some("ib")), ("", Some("none")), ("", Some("ib"))]);
    run.note("static: b is removed by its instance", answer);
    run.note("static: the leader beats", script.heartbeat(&mut leader));
}

fn a_cooperative_group(run: &mut Run) {
    let mut script = Script::new(run, "cooperative");
    let (mut a, mut b) = (script.member(run, "a"), script.member(run, "b"));
    a.protocols = vec!["cooperative-sticky"];
    b.protocols = vec!["cooperative-sticky", "range"];
    script.send_join_anew(&mut a);
    let _ = script.joined(&mut a, 9);
    let ids = (a.id.clone(), String::new());
    run.note("cooperative: a owns all", script.sync(&mut a, &[(&ids.0, "0 1")]));
    script.send_join_anew(&mut b);
    wait_until_rebalancing(run, &script, &mut a);
    let answer = script.join(&mut a, 9);
    run.note("cooperative: a keeps what it owns and joins", answer);
    let answer = script.joined(&mut b, 9);
    run.note("cooperative: b joins", answer);
    let ids = (ids.0, b.id.clone());
    script.send_sync(&mut b, &[]);
    run.note("cooperative: a is to revoke", script.sync(&mut a, &[(&ids.0, "0"), (&ids.1, "")]));
    run.note("cooperative: b has nothing yet", script.synced(&mut b));
    script.send_join(&mut a, 9);
    wait_until_rebalancing(run, &script, &mut b);
    let answer = script.join(&mut b, 9);
    run.note("cooperative: b joins again", answer);
    let answer = script.joined(&mut a, 9);
    run.note("cooperative: a has revoked", answer);
    script.send_sync(&mut b, &[]);
    run.note("cooperative: a owns half", script.sync(&mut a, &[(&ids.0, "0"), (&ids.1, "1")]));
    run.note("cooperative: b owns half", script.synced(&mut b));
}

fn a_group_of_workers(run: &mut Run) {
    let mut script = Script::new(run, "workers");
    let mut a = script.member(run, "a");
    a.protocol_type = "connect";
    a.protocols = vec!["sessioned", "compatible"];
    script.send_join_anew(&mut a);
    let answer = script.joined(&mut a, 9);
    run.note("workers: a joins", answer);
    let id = a.id.clone();
    run.note("workers: a syncs", script.sync(&mut a, &[(&id, "tasks")]));
    run.note("workers: described", describe(run, &script, 5));
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(&script.group))
        .with_generation_id(1)
        .with_member_id(text(&id));
    for version in 0..=4 {
        let answer = run.call(version, &request).map(|answer| error(answer.error_code));
        run.note(&format!("workers: heartbeat v{version}"), answer);
    }
    super::committed::delete_offsets_of_workers(run, &script.group);
}
