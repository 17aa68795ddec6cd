//! Behaviour at the edges, case by case, against what a real Apache Kafka answers.
//!
//! `oracle.txt` holds the oracle's answers, one line for each case. Without further settings the
//! suite runs the cases against a `synod serve` of its own and compares; what differs on purpose
//! stands in `differences.toml`. With `SYNOD_ORACLE_BROKERS=host:port` it runs them against the
//! oracle and checks the recorded answers; with `SYNOD_ORACLE_RECORD=1` as well it records them
//! anew.

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod run;

use std::path::{Path, PathBuf};
use std::{env, fs};

use run::Run;
use support::broker::Broker;
use support::differences::Differences;

/// Bound on the broker's resident memory through all cases, in bytes. The cases move a few
/// MiB; a count or size taken from the wire on trust would show as far more.
const RESIDENT_SIZE_MAX: u64 = 256 << 20;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential").join(name)
}

#[test]
fn answers_are_the_oracles() {
    match env::var("SYNOD_ORACLE_BROKERS") {
        Ok(address) => check_oracle(&address),
        Err(_) => check_synod(),
    }
}

fn check_oracle(address: &str) {
    let mut run = Run::against(address);
    cases::run_all(&mut run);
    let answers = run.transcript();
    if env::var("SYNOD_ORACLE_RECORD").is_ok_and(|value| value == "1") {
        fs::write(file("oracle.txt"), answers).expect("the recorded answers can be written");
        return;
    }
    let recorded = fs::read_to_string(file("oracle.txt")).expect("recorded answers");
    let wrong: Vec<String> = (recorded.lines().zip(answers.lines()))
        .filter(|(recorded, answer)| recorded != answer)
        .map(|(recorded, answer)| format!("recorded {recorded}\nanswered {answer}"))
        .collect();
    assert!(wrong.is_empty(), "the oracle changed its mind:\n{}", wrong.join("\n"));
    assert_eq!(recorded.lines().count(), answers.lines().count(), "number of cases");
}

fn check_synod() {
    // As the oracle is set.
    let mut broker = Broker::start_with(&["--set", "groups.initial_rebalance_delay=0ms"]);
    let mut run = Run::against(broker.kafka());
    cases::run_all(&mut run);
    assert!(broker.is_running(), "the broker ended:\n{}", broker.stderr());
    let resident = broker.peak_resident_size();
    assert!(resident < RESIDENT_SIZE_MAX, "{resident} bytes resident at the peak");

    let recorded = fs::read_to_string(file("oracle.txt")).expect("recorded answers");
    let mut differences = Differences::load(&file("differences.toml"));
    let mut wrong = Vec::new();
    let mut lines = recorded.lines();
    for (case, answer) in run.answers() {
        let line = lines.next().unwrap_or_default();
        let (name, oracle) = line.split_once(" => ").unwrap_or((line, ""));
        assert_eq!(name, case, "oracle.txt is not of these cases: record it anew");
        if answer == oracle {
            continue;
        }
        match differences.expected(case) {
            Some(known) if known.synod == *answer => {}
            _ => wrong.push(format!("{case}\n  oracle {oracle}\n  synod  {answer}")),
        }
    }
    assert_eq!(lines.next(), None, "oracle.txt has more cases: record it anew");
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} cases differ from the oracle:\n{}", wrong.join("\n"));
    let unmet = differences.unmet();
    assert!(unmet.is_empty(), "no longer different, drop from differences.toml: {unmet:?}");
}
