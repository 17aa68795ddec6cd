//! Rules of the tree that no compiler checks: sizes, who may depend on whom, where `unsafe` lives,
//! words we do not use. All violations are told at once.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest line, in characters.
const LINE_LENGTH: usize = 100;

/// Longest line that rustfmt may leave: it folds at [`LINE_LENGTH`] what can be folded, and passes
/// over long paths, strings and the inside of macros.
const UNFOLDED_LENGTH: usize = 112;

/// Most lines of one file.
const FILE_LINES: usize = 600;

/// Most lines of one function.
const FUNCTION_LINES: usize = 80;

/// The command that runs every test; the README tells it and `.ci/run` runs it.
const TEST_COMMAND: &str = "cargo test --workspace";

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package stands in the workspace").to_owned()
}

/// A source file: its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

fn rust_files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut directories: Vec<PathBuf> =
        ["log", "broker", "client", "benches"].map(|name| root.join(name)).into();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                directories.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let path = path.strip_prefix(&root).expect("below the root");
                files.push(File { path: path.display().to_string(), text });
            }
        }
    }
    assert!(files.len() > 50, "the walk lost its way");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn refuse(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn lines_and_files_are_of_readable_size() {
    let mut violations = Vec::new();
    for File { path, text } in rust_files() {
        let line_count = text.lines().count();
        if line_count > FILE_LINES {
            violations.push(format!("{path}: {line_count} lines; at most {FILE_LINES}"));
        }
        for (index, line) in text.lines().enumerate() {
            let length = line.chars().count();
            let comment = line.trim_start().strip_prefix("//");
            let limit = match comment.map(|text| text.trim_start_matches(['/', '!'])) {
                // A table cannot be folded.
                Some(text) if text.starts_with(" |") => usize::MAX,
                Some(_) => LINE_LENGTH,
                None => UNFOLDED_LENGTH,
            };
            if length > limit {
                let at = index + 1;
                violations.push(format!("{path}:{at}: {length} columns; at most {limit}"));
            }
        }
    }
    refuse(violations);
}

/// rustfmt puts a function's closing brace below its first letter, so indentation finds its end.
#[test]
fn functions_are_of_readable_size() {
    let mut violations = Vec::new();
    for File { path, text } in rust_files() {
        let mut open: Option<(usize, usize, &str)> = None;
        for (index, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if let Some((begin, at_indent, name)) = open {
                let (head, tail) = (line.trim_start(), line.trim_end());
                if indent == at_indent && head.starts_with(')') && tail.ends_with(';') {
                    open = None;
                } else if indent == at_indent && head.starts_with('}') {
                    let length = index + 1 - begin;
                    if length > FUNCTION_LINES {
                        violations.push(format!(
                            "{path}:{begin}: {name} has {length} lines; at most {FUNCTION_LINES}"
                        ));
                    }
                    open = None;
                }
            } else if let Some(name) = function_name(line)
                && !line.trim_end().ends_with(['}', ';'])
            {
                open = Some((index, indent, name));
            }
        }
    }
    refuse(violations);
}

/// The name of the function whose head begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        word.starts_with("pub")
            || ["const", "async", "extern", "in", "unsafe"].contains(&word)
            || word.ends_with(')')
    });
    is_head.then(|| after.split(['(', '<']).next().unwrap_or(after))
}

#[test]
fn unsafe_lives_in_one_file() {
    let mut violations = Vec::new();
    for File { path, text } in rust_files() {
        if path == "log/src/mmap.rs" || path == "broker/tests/tidy.rs" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let forms = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            if forms.iter().any(|form| code.contains(form)) {
                violations.push(format!("{path}:{}: unsafe outside log/src/mmap.rs", index + 1));
            }
        }
    }
    refuse(violations);
}

#[test]
fn packages_depend_downwards_only() {
    let mut violations = Vec::new();
    for (package, forbidden) in [
        ("broker/paxos", &["*"][..]),
        ("log", &["synod-*", "tokio", "tokio-util"]),
        ("client/wire", &["synod-*", "tokio", "tokio-util"]),
        ("client", &["synod-broker", "synod-log", "synod-paxos"]),
        ("benches", &["synod-paxos"]),
    ] {
        let text = fs::read_to_string(root().join(package).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        let dependencies = manifest.get("dependencies").and_then(|d| d.as_table());
        for name in dependencies.into_iter().flat_map(toml::Table::keys) {
            let is_forbidden = forbidden.iter().any(|rule| match rule.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == rule,
            });
            if is_forbidden {
                violations.push(format!("{package} must not depend on {name}"));
            }
        }
    }
    refuse(violations);
}

#[test]
fn words_and_names_are_ours() {
    let mut violations = Vec::new();
    for File { path, text } in rust_files() {
        let name = path.rsplit('/').next().unwrap_or_default();
        if ["util.rs", "utils.rs", "helpers.rs", "common.rs", "manager.rs", "impls.rs"]
            .contains(&name)
        {
            violations.push(format!("{path}: the name says nothing; name the noun it owns"));
        }
        if path == "broker/tests/tidy.rs" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let at = index + 1;
            if function_name(line).is_some_and(|name| name.starts_with("get_")) {
                violations.push(format!("{path}:{at}: getters have no get_"));
            }
            for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if ["TODO", "FIXME", "XXX", "leo", "lso", "HW", "LEO", "LSO"].contains(&word) {
                    violations.push(format!("{path}:{at}: {word:?} is no word of ours"));
                }
            }
        }
    }
    refuse(violations);
}

/// The command line is shown by its help and manual pages instead.
#[test]
fn every_public_type_of_the_client_has_an_example() {
    let mut violations = Vec::new();
    let mut count = 0;
    for File { path, text } in rust_files() {
        if !path.starts_with("client/src/") || path.starts_with("client/src/cli/") {
            continue;
        }
        let mut has_example = false;
        for (index, line) in text.lines().enumerate() {
            let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
            if line.starts_with("///") {
                has_example |= line.contains("```");
            } else if kinds.iter().any(|kind| line.starts_with(kind)) {
                count += 1;
                if !has_example {
                    violations.push(format!("{path}:{}: a type without example", index + 1));
                }
            }
            has_example &= line.starts_with("///") || line.starts_with("#[");
        }
    }
    assert!(count > 40, "the walk lost its way: {count} types");
    refuse(violations);
}

#[test]
fn readme_and_ci_agree_on_the_test_command() {
    for name in ["README.md", ".ci/run"] {
        let text = fs::read_to_string(root().join(name)).expect(name);
        assert!(text.lines().any(|line| line.trim().ends_with(TEST_COMMAND)), "{name}");
    }
}

#[test]
fn the_top_level_stays_small() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "benches",
        "broker",
        "client",
        "deploy",
        "docs",
        "log",
        "synod-data",
        "target",
    ];
    let unknown: Vec<String> = fs::read_dir(root())
        .expect("the root")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !known.contains(&name.as_str()))
        .collect();
    refuse(unknown.into_iter().map(|name| format!("{name} at the top level")).collect());
}
