//! Every family that `/metrics` shows, with its name and meaning.
//!
//! Names that begin with `synod_` are ours; `kafka_…` are kafka_exporter's, so that dashboards and
//! alerts made for it go on working; `process_…` are what Prometheus clients call them everywhere.

use super::encode::{CONTENT_TYPE, Encoder, Kind, label};
use super::groups::groups;
use super::names::{api_name, error_name};
use super::process::Process;
use super::source::{LogSnapshot, PartitionSnapshot, Snapshot};
use super::{Metrics, TopicMetrics};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Metrics {
    /// Content type of [`Metrics::exposition`].
    pub const CONTENT_TYPE: &'static str = CONTENT_TYPE;

    /// Everything in Prometheus' text format.
    pub fn exposition(&self) -> String {
        let mut out = Encoder::default();
        out.family("synod_build_info", Kind::Gauge, "Version of the running broker; always 1.");
        out.sample(&label("version", env!("CARGO_PKG_VERSION")), 1);
        self.requests(&mut out);
        self.connections(&mut out);
        self.links(&mut out);
        self.topics(&mut out);
        self.disk(&mut out);
        process(&mut out, &Process::read());
        if let Some(source) = self.source.get() {
            let snapshot = source.snapshot();
            memory(&mut out, &snapshot);
            partitions(&mut out, &snapshot.partitions);
            kafka_exporter(&mut out, &snapshot);
            groups(&mut out, &snapshot.groups);
        }
        out.finish()
    }

    fn requests(&self, out: &mut Encoder) {
        let called: Vec<_> = self
            .apis
            .iter()
            .enumerate()
            .filter(|(_, api)| api.latency.count() > 0 || api.errors.get().is_some())
            .map(|(key, api)| (label("api", &api_name(key)), api))
            .collect();
        out.family(
            "synod_request_duration_seconds",
            Kind::Histogram,
            "Time from a request's last byte to its response being ready, waiting included.",
        );
        for (labels, api) in &called {
            out.histogram(labels, &api.latency);
        }
        out.family(
            "synod_request_errors_total",
            Kind::Counter,
            "Error codes in responses; a response may hold several.",
        );
        for (labels, api) in &called {
            for (index, errors) in api.errors.get().into_iter().flatten().enumerate() {
                let code = i16::try_from(index).unwrap_or(i16::MAX) - 1;
                if errors.value() > 0 {
                    let labels = format!("{labels},{}", label("error", &error_name(code)));
                    out.sample(&labels, errors.value());
                }
            }
        }
    }

    fn connections(&self, out: &mut Encoder) {
        let ours = &self.connections;
        out.single("synod_connections", Kind::Gauge, "Open client connections.", ours.open.value());
        out.single(
            "synod_connections_accepted_total",
            Kind::Counter,
            "Client connections accepted.",
            ours.accepted.value(),
        );
        out.family(
            "synod_connections_closed_total",
            Kind::Counter,
            "Client connections that the broker closed, by reason.",
        );
        for (reason, counter) in [
            ("limit", &ours.refused),
            ("idle", &ours.idle_closed),
            ("invalid", &ours.invalid_closed),
        ] {
            out.sample(&label("reason", reason), counter.value());
        }
        out.single(
            "synod_received_bytes_total",
            Kind::Counter,
            "Bytes of requests, length prefixes included.",
            ours.received_size.value(),
        );
        out.single(
            "synod_sent_bytes_total",
            Kind::Counter,
            "Bytes of responses, length prefixes included.",
            ours.sent_size.value(),
        );
    }

    fn topics(&self, out: &mut Encoder) {
        let topics: BTreeMap<String, Arc<TopicMetrics>> = self
            .read_topics()
            .iter()
            .map(|(name, topic)| (label("topic", name), topic.clone()))
            .collect();
        type Pick = fn(&TopicMetrics) -> u64;
        let families: [(&str, &str, Pick); 6] = [
            (
                "synod_topic_received_bytes_total",
                "Bytes of record batches appended for producers.",
                |topic| topic.received_size.value(),
            ),
            ("synod_topic_received_records_total", "Records appended for producers.", |topic| {
                topic.received_records.value()
            }),
            (
                "synod_topic_sent_bytes_total",
                "Bytes of record batches handed to consumers.",
                |topic| topic.sent_size.value(),
            ),
            ("synod_topic_sent_records_total", "Records handed to consumers.", |topic| {
                topic.sent_records.value()
            }),
            ("synod_topic_produce_requests_total", "Partitions of Produce requests.", |topic| {
                topic.produce_requests.value()
            }),
            ("synod_topic_fetch_requests_total", "Partitions of Fetch requests.", |topic| {
                topic.fetch_requests.value()
            }),
        ];
        for (name, help, pick) in families {
            out.family(name, Kind::Counter, help);
            for (labels, topic) in &topics {
                out.sample(labels, pick(topic));
            }
        }
    }

    fn disk(&self, out: &mut Encoder) {
        out.family(
            "synod_sync_duration_seconds",
            Kind::Histogram,
            "Time that one sync of a file took.",
        );
        out.histogram("", &self.syncs);
        out.family(
            "synod_journal_sync_duration_seconds",
            Kind::Histogram,
            "Time that one write and sync of the journal of vows and durability marks took.",
        );
        out.histogram("", &self.journal_syncs);
        out.single(
            "synod_sync_failures_total",
            Kind::Counter,
            "Syncs that failed; the broker stops at the first.",
            self.sync_failures.value(),
        );
    }
}

fn process(out: &mut Encoder, process: &Process) {
    let mut gauge = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            out.single(name, Kind::Gauge, help, value);
        }
    };
    let float = |value: Option<u64>| value.map(|value| value as f64);
    gauge(
        "process_resident_memory_bytes",
        "Resident memory, mapped segments included.",
        float(process.resident_size),
    );
    gauge("process_virtual_memory_bytes", "Virtual memory.", float(process.virtual_size));
    gauge("process_threads", "Threads.", float(process.threads));
    gauge("process_open_fds", "Open file descriptors.", float(process.open_fds));
    gauge("process_max_fds", "Limit of open file descriptors.", float(process.max_fds));
    gauge(
        "process_start_time_seconds",
        "Start of the process in seconds since the Unix epoch.",
        process.start_time_seconds,
    );
    if let Some(seconds) = process.cpu_seconds {
        out.single(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time spent, user and system.",
            seconds,
        );
    }
}

fn memory(out: &mut Encoder, snapshot: &Snapshot) {
    out.single(
        "synod_request_memory_used_bytes",
        Kind::Gauge,
        "Bytes of requests held in memory.",
        snapshot.memory_used,
    );
    out.single(
        "synod_request_memory_limit_bytes",
        Kind::Gauge,
        "Bytes of requests that may be held in memory.",
        snapshot.memory_limit,
    );
}

fn partition_labels(partition: &PartitionSnapshot) -> String {
    format!("{},partition=\"{}\"", label("topic", &partition.topic), partition.partition)
}

fn partitions(out: &mut Encoder, partitions: &[PartitionSnapshot]) {
    // Labels are written once per partition, not once per sample.
    let partitions: Vec<_> = partitions.iter().map(|p| (partition_labels(p), p)).collect();
    type Pick = fn(&LogSnapshot) -> u64;
    let families: [(&str, &str, Pick); 4] = [
        ("synod_partition_log_start_offset", "First offset that can be read.", |log| {
            log.start_offset
        }),
        ("synod_partition_log_end_offset", "Offset of the next record.", |log| log.end_offset),
        ("synod_partition_high_watermark", "First offset that is not decided.", |log| {
            log.high_watermark
        }),
        ("synod_partition_size_bytes", "Bytes of record batches in the log.", |log| log.size),
    ];
    for (name, help, pick) in families {
        out.family(name, Kind::Gauge, help);
        for (labels, partition) in &partitions {
            if let Some(log) = &partition.log {
                out.sample(labels, pick(log));
            }
        }
    }
    out.family("synod_partition_leader_epoch", Kind::Gauge, "Round of the present leader.");
    for (labels, partition) in &partitions {
        out.sample(labels, partition.leader_epoch);
    }
}

/// kafka_exporter runs once per cluster and its dashboards sum over what they scrape, so each
/// partition is told by one broker: its leader. Without a leader, every broker tells.
fn kafka_exporter(out: &mut Encoder, snapshot: &Snapshot) {
    let ours: Vec<_> = snapshot
        .partitions
        .iter()
        .filter(|p| p.leader.is_none_or(|leader| leader == snapshot.broker_id))
        .map(|p| (partition_labels(p), p))
        .collect();
    out.single("kafka_brokers", Kind::Gauge, "Live brokers.", snapshot.brokers.len());
    out.family("kafka_broker_info", Kind::Gauge, "Id and address of a live broker; always 1.");
    for broker in &snapshot.brokers {
        let id = label("id", &broker.id.to_string());
        out.sample(&format!("{id},{}", label("address", &broker.address)), 1);
    }
    out.family("kafka_topic_partitions", Kind::Gauge, "Partitions of a topic.");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for partition in &snapshot.partitions {
        *counts.entry(&partition.topic).or_default() += 1;
    }
    for (_, first) in ours.iter().filter(|(_, p)| p.partition == 0) {
        out.sample(&label("topic", &first.topic), counts[&*first.topic]);
    }
    type Pick = fn(&PartitionSnapshot) -> Option<i64>;
    let families: [(&str, &str, Pick); 7] = [
        ("kafka_topic_partition_current_offset", "High watermark.", |p| {
            p.log.map(|log| log.high_watermark as i64)
        }),
        ("kafka_topic_partition_oldest_offset", "Log start offset.", |p| {
            p.log.map(|log| log.start_offset as i64)
        }),
        ("kafka_topic_partition_leader", "Broker id of the leader; -1 without one.", |p| {
            Some(p.leader.map_or(-1, i64::from))
        }),
        (
            "kafka_topic_partition_leader_is_preferred",
            "Whether the leader is the first replica.",
            |p| Some(i64::from(p.is_preferred_leader)),
        ),
        ("kafka_topic_partition_replicas", "Replicas.", |p| Some(p.replica_count.into())),
        ("kafka_topic_partition_in_sync_replica", "Replicas in sync.", |p| {
            Some(p.in_sync_count.into())
        }),
        (
            "kafka_topic_partition_under_replicated_partition",
            "Whether some replica is not in sync.",
            |p| Some(i64::from(p.in_sync_count < p.replica_count)),
        ),
    ];
    for (name, help, pick) in families {
        out.family(name, Kind::Gauge, help);
        for (labels, partition) in &ours {
            if let Some(value) = pick(partition) {
                out.sample(labels, value);
            }
        }
    }
}
