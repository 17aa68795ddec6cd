//! Groups of our client and Java's, spread by each assignor and led by either: what the members
//! tell each other has to mean the same to both.

use std::collections::BTreeSet;
use std::fs::File;

use synod_client::consumer::Assignor;

use crate::client::Client;
use crate::coordinator::Scene;
use crate::members::{Job, Library, Member};
use crate::offsets_log::{OffsetsLog, Owners};

const PARTITIONS: usize = 6;

const ASSIGNORS: [Assignor; 4] =
    [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

/// Lets one more member join, and waits until all of them share all partitions. Returns who led the
/// group, and who got what.
fn joined(scene: &mut Scene, library: Library) -> (String, Owners) {
    scene.members.push(Member::start(library, &scene.job, &scene.world));
    scene.until_stable();
    let mut found = None;
    scene.until("all partitions are shared", |scene| {
        let log = OffsetsLog::read(&scene.world, &scene.job.group);
        assert!(log.faults.is_empty(), "{:#?}", log.faults);
        let whole = log.whole(scene.members.len(), PARTITIONS);
        found = whole.map(|(leader, owners)| (leader.to_owned(), owners.clone()));
        found.is_some()
    });
    found.expect("found above")
}

/// What each of so many members gets of one topic from an assignor that goes by their order.
fn by_order(assignor: Assignor, members: usize) -> Vec<BTreeSet<i32>> {
    let each = PARTITIONS / members;
    let rank_of = |partition: usize| match assignor {
        Assignor::Range => partition / each,
        _ => partition % members,
    };
    let of = |rank| (0..PARTITIONS).filter(move |partition| rank_of(*partition) == rank);
    (0..members).map(|rank| of(rank).map(|partition| partition as i32).collect()).collect()
}

/// Three members join one after the other; the first one leads.
fn spreads(name: &str, libraries: [Library; 3], leader: &str) {
    let mut scene = Scene::start_after("100ms", name, Assignor::Range, &[]);
    for assignor in ASSIGNORS {
        let topic = assignor.name().to_owned();
        scene.world.create(&topic, PARTITIONS as i32);
        let stop = scene.world.directory.path().join(&topic);
        scene.job = Job { group: format!("{name}-{topic}"), topic, assignor, stop };
        let [first, second, third] = libraries;
        joined(&mut scene, first);
        let (_, two) = joined(&mut scene, second);
        let (led_by, three) = joined(&mut scene, third);
        assert!(led_by.starts_with(leader), "{assignor:?}: led by {led_by}");
        let told = format!("{assignor:?}: {two:?}, then {three:?}");
        for (owners, members) in [(&two, 2), (&three, 3)] {
            let shares: Vec<_> = owners.values().cloned().collect();
            match assignor {
                Assignor::Range | Assignor::RoundRobin => {
                    assert_eq!(shares, by_order(assignor, members), "{told}");
                }
                _ => assert!(shares.iter().all(|it| it.len() == PARTITIONS / members), "{told}"),
            }
        }
        if matches!(assignor, Assignor::Sticky | Assignor::CooperativeSticky) {
            for (member, before) in &two {
                assert!(three[member].is_subset(before), "a partition moved for nothing: {told}");
            }
        }
        File::create(&scene.job.stop).expect("the sign to stop");
        for member in scene.members.drain(..) {
            member.join();
        }
    }
}

#[test]
fn our_member_leads_a_group_with_java() {
    spreads("led-by-us", [Library::Own, Library::Other(Client::Java), Library::Own], "synod-");
}

#[test]
fn java_leads_a_group_with_our_members() {
    let java = Library::Other(Client::Java);
    spreads("led-by-java", [java, Library::Own, java], "consumer-");
}
