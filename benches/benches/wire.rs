//! The Kafka codec and record batches, as every request goes through them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod_wire::batch::{Batch, BatchBuilder, Batches, Compression, NewRecord, ProducerStamp};
use synod_wire::messages::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use synod_wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use synod_wire::{Str, decode_request, encode_request, encode_response};

/// A batch of about `size` bytes with records of `record_size`.
fn batch(record_size: usize, size: usize) -> Bytes {
    let value = vec![0x5a; record_size];
    let mut builder = BatchBuilder::with_capacity(size + record_size + 128);
    while builder.size() < size {
        let record = NewRecord { value: Some(&value), ..NewRecord::default() };
        builder.append(&record).expect("it fits");
    }
    builder.build(Compression::None, ProducerStamp::NONE).expect("it fits")
}

/// A request with this batch for each of `partitions`.
fn produce_request(records: &Bytes, partitions: i32) -> ProduceRequest {
    let data = |index| PartitionProduceData { index, records: Some(records.clone()) };
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: Str::from("orders"),
            partition_data: (0..partitions).map(data).collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    let records = batch(1024, 16 << 10);
    for partitions in [1, 60] {
        let request = produce_request(&records, partitions);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(format!("encode produce request, {partitions} batches"), |b| {
            b.iter(|| encode_request(7, None, 9, black_box(&request)).expect("it has a form"));
        });
        let frame = encode_request(7, None, 9, &request).expect("it has a form").to_body();
        group.bench_function(format!("decode produce request, {partitions} batches"), |b| {
            b.iter(|| decode_request::<ProduceRequest>(black_box(frame.clone())).expect("ours"));
        });
    }
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..MetadataResponsePartition::default()
    };
    let response = MetadataResponse {
        topics: vec![MetadataResponseTopic {
            name: Some(Str::from("orders")),
            partitions: (0..1000).map(partition).collect(),
            ..MetadataResponseTopic::default()
        }],
        ..MetadataResponse::default()
    };
    group.throughput(Throughput::Elements(1000));
    group.bench_function("encode metadata, 1000 partitions", |b| {
        b.iter(|| encode_response(7, 12, black_box(&response)).expect("it has a form"));
    });
    group.finish();
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    for (record_size, name) in [(100, "100 B"), (1024, "1 KiB")] {
        let bytes = batch(record_size, 1 << 20);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("build 1 MiB of {name}"), |b| {
            b.iter(|| batch(record_size, black_box(1 << 20)));
        });
        group.bench_function(format!("split and check 1 MiB of {name}"), |b| {
            b.iter(|| {
                for batch in Batches::new(black_box(bytes.clone())) {
                    batch.expect("ours").verify_crc().expect("ours");
                }
            });
        });
        let one = Batch::split_from(&mut bytes.clone()).expect("ours");
        group.bench_function(format!("scan the records of 1 MiB of {name}"), |b| {
            b.iter(|| {
                let records = black_box(&one).records(2 << 20).expect("ours");
                records.map(|record| record.expect("ours").offset).max()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec, batches);
criterion_main!(benches);
