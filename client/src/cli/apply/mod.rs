//! `synod topic apply`

mod file;
mod plan;

use std::io::{self, BufRead, IsTerminal, Read, Write};

use serde::Serialize;

use super::output::{Failure, all_well, complain, print};
use super::progress::Progress;
use super::topic::ApplyArgs;
use crate::Error;
use crate::admin::{Admin, ConfigResource};
use file::WantedTopic;
use plan::{Action, Step};

/// Largest file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 16 << 20;

#[derive(Serialize)]
struct Applied {
    topics: Vec<Step>,
    /// Whether the changes were made.
    applied: bool,
}

pub(super) async fn run(args: ApplyArgs) -> Result<(), Failure> {
    let is_asking = !args.dry_run && !args.yes;
    if is_asking && (args.file == "-" || !io::stdin().is_terminal()) {
        let reason = "nobody can be asked: give --yes to make the changes, --dry-run to see them";
        return Err(Failure::usage(reason));
    }
    let wanted = read(&args.file)?;
    let admin = args.admin.admin().await?;
    let mut steps = plan(&admin, &wanted).await?;
    for step in &mut steps {
        check(&admin, step).await;
    }
    if !args.admin.json {
        print(&describe(&steps))?;
    }
    let may = !steps.iter().any(|step| step.action == Action::Refuse);
    let is_needed = steps.iter().any(|step| step.action != Action::Keep);
    let goes = may && is_needed && !args.dry_run && (args.yes || is_agreed()?);
    if goes {
        apply(&admin, &mut steps).await;
    }
    let applied = goes && steps.iter().all(|step| step.error.is_none());
    let result = Applied { topics: steps, applied };
    args.admin.show(&result, |result| if result.applied { print("applied\n") } else { Ok(()) })?;
    all_well(result.topics.into_iter().filter_map(|step| step.error))
}

/// What the file says; every mistake in it is told.
fn read(path: &str) -> Result<Vec<WantedTopic>, Failure> {
    let cannot = |error: io::Error| Failure::failed(format!("cannot read {path}: {error}"));
    let mut bytes = Vec::new();
    let limit = MAX_FILE_SIZE + 1;
    let size = match path {
        "-" => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        _ => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    if size.map_err(cannot)? as u64 > MAX_FILE_SIZE {
        return Err(Failure::usage(format!("{path}: more than {MAX_FILE_SIZE} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("{path}: not UTF-8: {error}")))?;
    file::parse(path, &text).map_err(|mut problems| {
        let last = problems.pop().unwrap_or_default();
        problems.iter().for_each(|problem| complain(problem));
        Failure::Usage(last)
    })
}

async fn plan(admin: &Admin, wanted: &[WantedTopic]) -> Result<Vec<Step>, Failure> {
    let topics = admin.topics().await?;
    let mut progress = Progress::new("topics compared", Some(wanted.len() as u64));
    let mut steps = Vec::new();
    for wanted in wanted {
        progress.show(steps.len() as u64);
        let found = topics.iter().find(|topic| *topic.name == *wanted.name);
        steps.push(match found {
            None => Step::create(wanted),
            Some(topic) => {
                let resource = ConfigResource::Topic(wanted.name.clone());
                Step::change(wanted, topic, &admin.describe_config(&resource).await?)
            }
        });
    }
    Ok(steps)
}

/// Lets the cluster check a step, so that nothing is changed unless all can be.
async fn check(admin: &Admin, step: &mut Step) {
    let checked = match step.action {
        Action::Create => admin.check_topic(step.new_topic()).await,
        Action::Change => change(admin, step, true).await,
        Action::Keep | Action::Refuse => Ok(()),
    };
    if let Err(error) = checked {
        step.action = Action::Refuse;
        step.error = Some(error.to_string());
    }
}

async fn change(admin: &Admin, step: &Step, validate_only: bool) -> Result<(), Error> {
    match step.partitions_to {
        Some(total) if validate_only => admin.check_partitions(&step.topic, total).await?,
        Some(total) => admin.create_partitions(&step.topic, total).await?,
        None => {}
    }
    let changes = step.config_changes();
    if changes.is_empty() {
        return Ok(());
    }
    let resource = ConfigResource::Topic(step.topic.clone());
    admin.alter_config(&resource, &changes, validate_only).await
}

/// Makes the changes; what fails is noted, and the rest is still done.
async fn apply(admin: &Admin, steps: &mut [Step]) {
    let mut progress = Progress::new("topics", Some(steps.len() as u64));
    for (count, step) in steps.iter_mut().enumerate() {
        progress.show(count as u64);
        let done = match step.action {
            Action::Create => admin.create_topic(step.new_topic()).await.map(drop),
            Action::Change => change(admin, step, false).await,
            Action::Keep | Action::Refuse => Ok(()),
        };
        step.error = done.err().map(|error| error.to_string());
    }
}

fn describe(steps: &[Step]) -> String {
    let mut text: String = steps.iter().map(Step::to_string).collect();
    let count = |action| steps.iter().filter(|step| step.action == action).count();
    text.push_str(&format!(
        "{} to create, {} to change, {} as they shall be, {} impossible\n",
        count(Action::Create),
        count(Action::Change),
        count(Action::Keep),
        count(Action::Refuse),
    ));
    text
}

/// Asks the person at the terminal.
fn is_agreed() -> Result<bool, Failure> {
    let mut stderr = io::stderr();
    write!(stderr, "Make these changes? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
