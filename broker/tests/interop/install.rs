//! Installs client software once, under a file lock, into `target/interop`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where everything lands: `SYNOD_INTEROP_DIR`, or `target/interop` of the workspace.
fn root() -> PathBuf {
    match env::var("SYNOD_INTEROP_DIR") {
        Ok(dir) => PathBuf::from(dir),
        Err(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop"),
    }
}

/// Folder of the client drivers.
pub(crate) fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/clients")
}

/// Returns the folder with what `install` puts there. It is made once for each `recipe`; tests that
/// come meanwhile, also of other processes, wait. A half-made folder never counts.
pub(crate) fn once(name: &str, recipe: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let root = root();
    fs::create_dir_all(&root).expect("target/interop can be created");
    let root = root.canonicalize().expect("target/interop exists");
    let lock = File::create(root.join(format!("{name}.lock"))).expect("a lock file");
    lock.lock().expect("a file lock");
    let done = root.join(format!("{name}-{:08x}", crc_fast::crc32_iscsi(recipe.as_bytes())));
    if !done.exists() {
        let partial = root.join(format!("{name}-partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).expect("an unfinished installation can be removed");
        }
        fs::create_dir_all(&partial).expect("a folder to install into");
        install(&partial);
        fs::rename(&partial, &done).expect("a finished installation can be renamed");
    }
    done
}

/// Runs an installing command; it must work.
fn run(command: &mut Command, hint: &str) {
    let shown = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{hint}\n{shown}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{hint}\n{shown}: {error}"),
    }
}

/// Installs the pinned packages of a requirements file. Returns the folder for `PYTHONPATH`.
pub(crate) fn python(requirements: &str) -> PathBuf {
    let file = drivers().join("python").join(requirements);
    let recipe = fs::read_to_string(&file).expect("a requirements file");
    once(requirements.trim_end_matches(".txt"), &recipe, |dir| {
        let hint = "pip cannot install (is pip present and the package index reachable?)";
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--no-deps"]);
        run(pip.arg("--target").arg(dir).arg("--requirement").arg(&file), hint);
    })
}

/// Installs kafkajs. Returns the folder that holds `node_modules`.
pub(crate) fn node() -> PathBuf {
    let source = drivers().join("node");
    let recipe = fs::read_to_string(source.join("package-lock.json")).expect("a lock file");
    once("kafkajs", &recipe, |dir| {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), dir.join(name)).expect("package files can be copied");
        }
        let hint = "npm cannot install (is npm present and the registry reachable?)";
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--no-fund", "--no-audit"]).current_dir(dir);
        run(&mut npm, hint);
    })
}

/// Builds the franz-go driver. Returns its path.
pub(crate) fn go() -> PathBuf {
    let source = drivers().join("go");
    let files = ["main.go", "go.mod", "go.sum"].map(|name| source.join(name));
    let texts = files.map(|file| fs::read_to_string(file).expect("a Go source file"));
    let dir = once("franz-go", &texts.concat(), |dir| {
        let hint = "go cannot build (is Go present and the module proxy reachable?)";
        let mut go = Command::new("go");
        go.args(["build", "-mod=readonly", "-o"]).arg(dir.join("driver")).arg(".");
        run(go.current_dir(&source), hint);
    });
    dir.join("driver")
}

/// Resolves Apache Kafka's jars as the oracle does. Returns a class path.
pub(crate) fn java() -> String {
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let recipe = fs::read_to_string(oracle.join("pom.xml")).expect("the oracle's pom.xml");
    let dir = once("java", &recipe, |dir| {
        let hint = "the jars cannot be resolved (are Java 17, Maven and the repository there?)";
        run(Command::new(oracle.join("oracle")).arg("jars").env("SYNOD_ORACLE_DIR", dir), hint);
    });
    format!("{}/jars/*", dir.display())
}

/// Unpacks Debian's kcat with librdkafka. Returns the folder that stands for `/`.
pub(crate) fn kcat() -> PathBuf {
    let packages = ["kcat=1.7.1-2", "librdkafka1=2.0.2-1", "libyajl2"];
    once("kcat", &packages.join(" "), |dir| {
        let hint = "apt-get cannot download kcat (is this Debian 12, and its archive reachable?)";
        // Package lists of our own: the machine's may be missing or old, and are root's to renew.
        let apt = || {
            let mut apt = Command::new("apt-get");
            for (key, folder) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
                apt.arg("-o").arg(format!("{key}={}", dir.join(folder).display()));
            }
            apt.current_dir(dir);
            apt
        };
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(folder)).expect("a folder for apt-get");
        }
        run(apt().arg("update"), hint);
        run(apt().arg("download").args(packages), hint);
        for entry in fs::read_dir(dir).expect("downloaded packages") {
            let package = entry.expect("a downloaded package").path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg").arg("-x").arg(&package).arg(dir), "dpkg cannot unpack");
            }
        }
        for folder in ["lists", "cache"] {
            fs::remove_dir_all(dir.join(folder)).expect("apt-get's folders");
        }
    })
}
