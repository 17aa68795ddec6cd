//! The broker's journal: vows of one failover, marks of one round, and its group commit.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod_log::journal::{JournalStore, OpenedJournal};
use synod_log::{
    Ballot, ClusterId, Identity, Journal, JournalConfig, JournalRecord, OsStorage, PartitionKey,
    Vow,
};

const OWNER: Identity = Identity { cluster_id: ClusterId([3; 16]), node_id: 1 };

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: [7; 16], partition }
}

fn journal(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    JournalStore::create(&OsStorage, &path, OWNER).expect("a new journal");
    let opened = Journal::open(Arc::new(OsStorage), &path, OWNER, JournalConfig::default());
    let OpenedJournal { journal, .. } = opened.expect("an open journal");
    let mut group = c.benchmark_group("journal");
    group.sample_size(20);
    let mut end = 0;
    for count in [1_u32, 100, 10_000] {
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(format!("{count} marks, synced"), |b| {
            b.iter(|| {
                end += 1;
                let mark = |p| JournalRecord::Mark { key: key(p), durable_end: end };
                journal.submit_and_wait((0..count).map(mark).collect()).expect("a sync");
            });
        });
    }
    let mut round = 0;
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("10000 vows, synced", |b| {
        b.iter(|| {
            round += 1;
            let ballot = Ballot { round, node: 1 };
            let vow = Vow { promised: ballot, accepted: ballot };
            let vow = |p| JournalRecord::Vow { key: key(p), vow };
            journal.submit_and_wait((0..10_000).map(vow).collect()).expect("a sync");
        });
    });
    group.finish();
    journal.close().expect("a clean end");
}

criterion_group!(benches, journal);
criterion_main!(benches);
