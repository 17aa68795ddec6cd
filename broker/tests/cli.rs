//! The built `synod` binary as a shell sees it: what goes where, and the exit codes.

use std::io::Read;
use std::process::{Command, Output, Stdio};

fn synod() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SYNOD_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(args: &[&str]) -> Output {
    synod().args(args).stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Each mistake: nothing on stdout, one line that begins with `synod:` per problem on stderr.
fn assert_refused(output: &Output, code: i32, lines: usize) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(text(&output.stdout), "");
    assert_eq!(stderr.lines().count(), lines, "{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("synod: ")), "{stderr}");
}

#[test]
fn help_and_version_go_to_stdout_and_nothing_gives_help_on_stderr() {
    for args in [&["--help"][..], &["help", "serve"], &["--version"], &["version"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(text(&output.stdout).contains("synod"), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}");
    }
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("Usage: synod <COMMAND>"));
}

#[test]
fn mistakes_are_one_line_each_with_exit_code_2() {
    assert_refused(&run(&["serv"]), 2, 1);
    assert_refused(&run(&["serve", "--lisen", "a:1"]), 2, 1);
    assert_refused(&run(&["serve", "--listen", "nowhere"]), 2, 1);
    assert_refused(&run(&["serve", "--node-id", "0", "--set", "lisen=a:1"]), 2, 2);
    assert_refused(&run(&["serve", "--config", "/no/such/file.toml"]), 2, 1);
    assert_refused(&run(&["config", "check", "--set", "shards=none"]), 2, 1);
    assert_refused(&run(&["serve", "--node-id", "4", "--cluster", "1@a:1,2@b:2,3@c:3"]), 2, 1);
    let mut bad_filter = synod();
    bad_filter.env("SYNOD_LOG", "=/=").args(["serve", "--listen", "127.0.0.1:0"]);
    assert_refused(&bad_filter.output().expect("runs"), 2, 1);
}

#[test]
fn files_that_are_no_logs_are_refused_with_exit_code_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    assert_refused(&run(&["log", "dump", &format!("{path}/none.log")]), 1, 1);
    assert_refused(&run(&["log", "dump", path]), 1, 1);
    assert_refused(&run(&["log", "check", path]), 1, 1);
    assert_refused(&run(&["log", "check", &format!("{path}/none")]), 1, 1);
}

#[test]
fn layers_meet_in_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("synod.toml");
    std::fs::write(&path, "node_id = 3\nshards = 4\nrack = 'file'\n").expect("written");
    let output = synod()
        .env("SYNOD_CONFIG", &path)
        .env("SYNOD_SHARDS", "5")
        .env("SYNOD_RACK", "variable")
        .args(["config", "check", "--json", "--rack", "flag"])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let value = |key: &str| shown[key]["value"].clone();
    assert_eq!(value("node_id"), 3);
    assert_eq!(value("shards"), 5);
    assert_eq!(value("rack"), "flag");
    assert_eq!(shown["node_id"]["source"], format!("{}:1", path.display()));
    assert_eq!(shown["shards"]["source"], "environment variable SYNOD_SHARDS");
    assert_eq!(shown["rack"]["source"], "flag --rack");
}

#[test]
fn the_default_file_passes_its_own_check() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("synod.toml");
    std::fs::write(&path, run(&["config", "show-default"]).stdout).expect("written");
    let output = run(&["config", "check", "--config", path.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("listen = \"127.0.0.1:9092\""));
}

#[test]
fn every_command_has_a_manual_page_and_every_shell_its_completions() {
    for (args, title) in [
        (&["man"][..], ".TH synod 1"),
        (&["man", "topic", "apply"], ".TH synod-topic-apply 1"),
        (&["man", "doctor"], ".TH synod-doctor 1"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(text(&output.stdout).contains(title), "{args:?}: {}", text(&output.stdout));
    }
    assert_refused(&run(&["man", "topic", "aply"]), 2, 1);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("doctor"), "{shell}");
    }
    assert_refused(&run(&["completions", "csh"]), 2, 1);
}

/// `synod config show-default | head -0` must not panic.
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = synod()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
    assert_eq!(child.wait().expect("ends").code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
}
