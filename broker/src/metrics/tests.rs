use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// A small reader of the text format that is stricter than Prometheus: it checks that names and
/// labels are well formed, each family is declared once and stands together, no series repeats,
/// and histograms cumulate.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family = (String::new(), String::new());
    let mut pending_help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help has a text");
            assert!(!help.is_empty() && !help.contains('\\'), "{line}");
            assert!(families.insert(name.to_owned()), "declared twice: {name}");
            pending_help = Some(name.to_owned());
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(pending_help.take().as_deref(), Some(name), "TYPE follows HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = (name.to_owned(), kind.to_owned());
            continue;
        }
        let (name_and_labels, value) = line.rsplit_once(' ').expect("a value");
        let value: f64 = value.parse().expect("a number");
        let name = name_and_labels.split('{').next().expect("a name");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        let base = match family.1.as_str() {
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .expect("a histogram's suffix"),
            _ => name,
        };
        assert_eq!(base, family.0, "families stand together");
        if let Some(labels) = name_and_labels.strip_prefix(name).filter(|l| !l.is_empty()) {
            check_labels(labels);
        }
        let repeated = series.insert(name_and_labels.to_owned(), value);
        assert_eq!(repeated, None, "series twice: {name_and_labels}");
    }
    assert_eq!(pending_help, None);
    series
}

fn check_labels(labels: &str) {
    let inner = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).expect("braces");
    let mut rest = inner;
    loop {
        let (name, after) = rest.split_once("=\"").expect("name=\"");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{labels}");
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (_, '\\') => {
                    let (_, escaped) = chars.next().expect("an escape");
                    assert!(matches!(escaped, '\\' | '"' | 'n'), "{labels}");
                }
                (index, '"') => break index,
                _ => {}
            }
        };
        match after[end + 1..].strip_prefix(',') {
            Some(next) => rest = next,
            None => return assert!(after[end + 1..].is_empty(), "{labels}"),
        }
    }
}

#[derive(Debug)]
struct Fixed(Snapshot);

impl Source for Fixed {
    fn snapshot(&self) -> Snapshot {
        self.0.clone()
    }
}

fn snapshot() -> Snapshot {
    let partition = |number: u32, leader: Option<i32>| PartitionSnapshot {
        topic: "orders".into(),
        partition: number,
        leader,
        is_preferred_leader: true,
        replica_count: 3,
        in_sync_count: 3 - number,
        leader_epoch: 4,
        log: Some(LogSnapshot { start_offset: 10, end_offset: 25, high_watermark: 20, size: 4096 }),
    };
    Snapshot {
        broker_id: 1,
        brokers: vec![
            BrokerSnapshot { id: 1, address: "127.0.0.1:9092".into() },
            BrokerSnapshot { id: 2, address: "127.0.0.1:9093".into() },
        ],
        memory_used: 512,
        memory_limit: 1024,
        groups: groups(),
        partitions: vec![
            partition(0, Some(1)),
            partition(1, Some(2)),
            PartitionSnapshot { log: None, ..partition(2, None) },
        ],
    }
}

fn groups() -> GroupsSnapshot {
    let offset = |partition, lag, lag_seconds| GroupOffsetSnapshot {
        topic: "orders".into(),
        partition,
        offset: 5,
        lag,
        lag_seconds,
    };
    GroupsSnapshot {
        groups: vec![
            GroupSnapshot {
                group: "billing".into(),
                state: "Stable",
                member_count: 2,
                offsets: vec![
                    offset(0, Some(15), Some(2.5)),
                    offset(1, Some(0), Some(0.0)),
                    offset(2, None, None),
                ],
            },
            GroupSnapshot {
                group: "idle".into(),
                state: "Empty",
                member_count: 0,
                offsets: Vec::new(),
            },
        ],
        rebalances: vec![RebalanceSnapshot { cause: "joined", count: 3, seconds: 0.25 }],
    }
}

fn full() -> Metrics {
    let metrics = Metrics::new();
    metrics.set_source(Arc::new(Fixed(snapshot())));
    metrics.request(0, Duration::from_micros(90));
    metrics.request(0, Duration::from_millis(3));
    metrics.request(1, Duration::from_secs(100));
    metrics.error(0, 3);
    metrics.error(0, 3);
    metrics.error(1, -1);
    metrics.error(1, 0);
    metrics.syncs.record(Duration::from_micros(84));
    metrics.connections.accepted.add(3);
    metrics.connections.open.add(3);
    metrics.connections.open.add(-1);
    let topic = metrics.topic("orders");
    topic.received_size.add(100);
    topic.received_records.add(2);
    topic.sent_size.add(50);
    topic.sent_records.add(1);
    metrics
}

/// The exact text, without the families that depend on the process and the build.
#[test]
fn exposition_matches_the_golden_file() {
    let text = full().exposition();
    parse(&text);
    let is_fixed = |line: &&str| !line.contains("process_") && !line.contains("synod_build_info");
    let fixed: String = text.lines().filter(is_fixed).map(|line| format!("{line}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.prom");
    if std::env::var_os("SYNOD_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &fixed).expect("write the golden file");
    }
    let golden = std::fs::read_to_string(path).expect("the golden file");
    assert_eq!(fixed, golden, "SYNOD_UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn values_arrive_where_they_belong() {
    let series = parse(&full().exposition());
    for (name, value) in [
        ("synod_connections", 2.0),
        ("synod_connections_accepted_total", 3.0),
        ("synod_topic_received_bytes_total{topic=\"orders\"}", 100.0),
        ("synod_topic_received_records_total{topic=\"orders\"}", 2.0),
        ("synod_topic_sent_bytes_total{topic=\"orders\"}", 50.0),
        ("synod_sync_duration_seconds_count", 1.0),
        ("synod_request_memory_used_bytes", 512.0),
        ("synod_partition_high_watermark{topic=\"orders\",partition=\"1\"}", 20.0),
        ("kafka_brokers", 2.0),
        ("kafka_topic_partitions{topic=\"orders\"}", 3.0),
        ("kafka_topic_partition_current_offset{topic=\"orders\",partition=\"0\"}", 20.0),
        ("kafka_topic_partition_oldest_offset{topic=\"orders\",partition=\"0\"}", 10.0),
        ("kafka_topic_partition_leader{topic=\"orders\",partition=\"2\"}", -1.0),
        ("kafka_topic_partition_under_replicated_partition{topic=\"orders\",partition=\"2\"}", 1.0),
        (
            "kafka_consumergroup_lag{consumergroup=\"billing\",topic=\"orders\",partition=\"0\"}",
            15.0,
        ),
        ("kafka_consumergroup_members{consumergroup=\"billing\"}", 2.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
    // Partition 1 is told by its leader, which is another broker.
    assert!(!series.keys().any(|k| k.starts_with("kafka_topic_") && k.contains("partition=\"1\"")));
    assert!(series["process_resident_memory_bytes"] > 0.0);
}

#[test]
fn histograms_cumulate_up_to_their_count() {
    let series = parse(&full().exposition());
    let produce: Vec<f64> = values::BUCKETS
        .iter()
        .map(|(_, bound)| {
            let labels = format!("{{api=\"{}\",le=\"{bound}\"}}", names::api_name(0));
            series[&format!("synod_request_duration_seconds_bucket{labels}")]
        })
        .collect();
    assert!(produce.is_sorted());
    assert_eq!((produce[0], produce[2], produce[7], produce[17]), (0.0, 1.0, 2.0, 2.0));
    let fetch = names::api_name(1);
    let bucket = |bound: &str| {
        series[&format!("synod_request_duration_seconds_bucket{{api=\"{fetch}\",le=\"{bound}\"}}")]
    };
    assert_eq!((bucket("10"), bucket("+Inf")), (0.0, 1.0));
    assert_eq!(series[&format!("synod_request_duration_seconds_sum{{api=\"{fetch}\"}}")], 100.0);
}

#[test]
fn an_idle_broker_exposes_valid_text() {
    let series = parse(&Metrics::new().exposition());
    assert_eq!(series["synod_connections"], 0.0);
    assert!(!series.keys().any(|name| name.contains("api=")));
}

#[test]
fn any_key_and_any_code_are_counted_somewhere() {
    let metrics = Metrics::new();
    for key in [i16::MIN, -1, 0, 92, 127, 128, i16::MAX] {
        metrics.request(key, Duration::ZERO);
        for code in [i16::MIN, -2, -1, 0, 1, 133, 190, 191, i16::MAX] {
            metrics.error(key, code);
        }
    }
    let series = parse(&metrics.exposition());
    let sum = |prefix: &str| -> f64 {
        series.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    };
    assert_eq!(sum("synod_request_duration_seconds_count"), 7.0);
    assert_eq!(sum("synod_request_errors_total"), 7.0 * 8.0);
}

#[test]
fn a_topic_is_one_set_of_counters_until_forgotten() {
    let metrics = Metrics::new();
    let first = metrics.topic("a");
    first.sent_size.add(5);
    assert!(Arc::ptr_eq(&first, &metrics.topic("a")));
    metrics.forget_topic("a");
    assert_eq!(metrics.topic("a").sent_size.value(), 0);
}

#[test]
fn a_connection_is_open_until_its_guard_is_dropped() {
    let metrics = Arc::new(Metrics::new());
    let (first, second) = (metrics.connection_opened(), metrics.connection_opened());
    assert_eq!(metrics.connections.open.value(), 2);
    drop(first);
    drop(second);
    assert_eq!(metrics.connections.open.value(), 0);
    assert_eq!(metrics.connections.accepted.value(), 2);
}

#[test]
fn label_values_are_escaped() {
    let metrics = Metrics::new();
    metrics.topic("a\"b\\c\nd");
    let series = parse(&metrics.exposition());
    assert!(series.contains_key("synod_topic_sent_bytes_total{topic=\"a\\\"b\\\\c\\nd\"}"));
}

#[test]
fn counting_from_many_threads_loses_nothing() {
    let metrics = Metrics::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    metrics.request(0, Duration::from_millis(1));
                    metrics.error(0, 7);
                    metrics.topic("t").received_records.add(3);
                }
            });
        }
    });
    let series = parse(&metrics.exposition());
    let api = names::api_name(0);
    assert_eq!(series[&format!("synod_request_duration_seconds_count{{api=\"{api}\"}}")], 4000.0);
    let error = names::error_name(7);
    let errors = format!("synod_request_errors_total{{api=\"{api}\",error=\"{error}\"}}");
    assert_eq!(series[&errors], 4000.0);
    assert_eq!(series["synod_topic_received_records_total{topic=\"t\"}"], 12_000.0);
}
