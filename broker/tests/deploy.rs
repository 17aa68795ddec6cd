//! The files under `deploy/` and the documentation speak of settings and metrics that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use synod_broker::config::Layers;
use synod_broker::metrics::Metrics;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Families that `/metrics` declares: the golden file's, and those of the process and of peers.
fn families() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.link(2, "control");
    let text = read("broker/src/metrics/golden.prom") + &metrics.exposition();
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    declared.map(|rest| rest.split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// Words of a text that are named like our metrics.
fn metric_words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            word.starts_with("synod_") || word.starts_with("kafka_") || word.starts_with("process_")
        })
        .collect()
}

#[test]
fn dashboards_alerts_and_docs_name_metrics_that_exist() {
    let families = families();
    let crates = ["synod_broker", "kafka_exporter"];
    for path in ["deploy/grafana.json", "deploy/alerts.yml", "docs/operations.md"] {
        let text = read(path);
        let words = metric_words(&text);
        assert!(!words.is_empty(), "{path} names no metric");
        for word in words {
            let base = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .filter(|base| families.contains(*base));
            let is_known = families.contains(word) || base.is_some() || crates.contains(&word);
            assert!(is_known, "{path}: no metric is called {word}");
        }
    }
}

#[test]
fn the_dashboard_is_json_with_panels_that_do_not_overlap() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut cells = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{} leaves the grid", panel["title"]);
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{} overlaps", panel["title"]);
            }
        }
    }
}

#[test]
fn the_sample_configuration_loads() {
    let path = "deploy/synod.toml";
    let layers = Layers { file: Some((path.into(), read(path))), ..Layers::default() };
    let loaded = layers.load().unwrap_or_else(|error| panic!("{error}"));
    assert!(!loaded.config.auto_create_topics);
    assert_eq!(loaded.config.topic_defaults["retention.ms"], "604800000");
}

#[test]
fn the_unit_runs_a_command_line_that_exists() {
    let unit = read("deploy/synod.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    assert_eq!(command, "/usr/local/bin/synod serve --config /etc/synod/synod.toml");
    // The sample's data directory is the one that systemd creates.
    assert!(unit.contains("StateDirectory=synod\n"));
    assert!(read("deploy/synod.toml").contains("data_dir = \"/var/lib/synod\"\n"));
}
