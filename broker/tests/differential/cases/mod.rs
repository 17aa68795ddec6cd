//! The cases, by kind of request.

mod alter_configs;
mod committed;
mod create_topics;
mod describe;
mod fetch;
mod frames;
mod groups;
mod idempotence;
mod members;
mod metadata;
mod offsets;
mod produce;
mod stored;
mod topics;

use crate::run::Run;

pub(crate) fn run_all(run: &mut Run) {
    create_topics::run(run);
    topics::run(run);
    alter_configs::run(run);
    describe::run(run);
    metadata::run(run);
    produce::run(run);
    idempotence::run(run);
    stored::run(run);
    fetch::run(run);
    offsets::run(run);
    groups::run(run);
    committed::run(run);
    frames::run(run);
}
