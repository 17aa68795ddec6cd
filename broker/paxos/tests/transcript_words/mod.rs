//! How transcripts put outputs, messages and nodes into words.

use synod_paxos::{Batch, Message, Output, Role};

use crate::cluster::node::Node;

/// `0..3@1#7`: offsets, round, value.
fn batches(batches: &[Batch]) -> String {
    let one = |b: &Batch| format!("{}..{}@{}#{}", b.base, b.end, b.round, b.checksum);
    format!("[{}]", batches.iter().map(one).collect::<Vec<_>>().join(" "))
}

fn option<T: std::fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or("-".into(), ToString::to_string)
}

fn role(role: &Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader { ready: false, quorum: true } => "leader, not ready",
        Role::Leader { ready: true, quorum: true } => "leader, ready",
        Role::Leader { quorum: false, .. } => "leader without quorum",
    }
}

pub(crate) fn describe_message(message: &Message) -> String {
    match message {
        Message::Prepare(m) => format!(
            "Prepare({}) accepted {} end {} decided {}",
            m.ballot, m.accepted_ballot, m.accepted_end, m.decided_end
        ),
        Message::Promise(m) => {
            let rounds: Vec<_> =
                m.rounds.iter().map(|r| format!("{}@{}", r.base, r.round)).collect();
            format!(
                "Promise({}) accepted {} log {}..{} faulty {} decided {} rounds [{}]",
                m.ballot,
                m.accepted_ballot,
                m.log_start,
                m.durable_end,
                option(&m.faulty_end),
                m.decided_end,
                rounds.join(" ")
            )
        }
        Message::Read(m) => format!("Read({}) {}..{}", m.ballot, m.from, m.end),
        Message::Entries(m) => format!("Entries({}) {}", m.ballot, batches(&m.batches)),
        Message::Adopt(m) => format!(
            "Adopt({}) start {} from {} prev {}{} {} to {} decided {}",
            m.ballot,
            m.log_start,
            m.from,
            option(&m.prev_round),
            if m.restart { " restart" } else { "" },
            batches(&m.batches),
            m.adopted_end,
            m.decided_end
        ),
        Message::Copied(m) => format!("Copied({}) {}", m.ballot, m.end),
        Message::Accept(m) => format!(
            "Accept({}) at {} {} decided {}",
            m.ballot,
            m.base,
            batches(&m.batches),
            m.decided_end
        ),
        Message::Accepted(m) => {
            format!("Accepted({}) {} gap {}", m.ballot, m.durable_end, option(&m.gap))
        }
        Message::Decide(m) => format!(
            "Decide({}) start {} sent {} decided {}{}",
            m.ballot,
            m.log_start,
            m.sent_end,
            m.decided_end,
            if m.probe { " probe" } else { "" }
        ),
        Message::Nack(m) => format!("Nack({}) promised {}", m.ballot, m.promised),
        Message::Confirm(m) => format!("Confirm({}) {}", m.ballot, m.number),
        Message::Confirmed(m) => format!("Confirmed({}) {}", m.ballot, m.number),
    }
}

pub(crate) fn describe_output(output: &Output) -> String {
    match output {
        Output::Vow { write, promised, accepted_ballot } => {
            format!("vow {write}: promised {promised} accepted {accepted_ballot}")
        }
        Output::Append { write, batches: b } => format!("append {write}: {}", batches(b)),
        Output::Truncate { write, end } => format!("truncate {write}: to {end}"),
        Output::RestartLog { write, at } => format!("restart log {write}: at {at}"),
        Output::Send { to, message, after } => {
            let after = after.map_or(String::new(), |write| format!(" after {write}"));
            format!("-> {to} {}{after}", describe_message(message))
        }
        Output::Read { read, from, end, .. } => format!("read {read}: {from}..{end}"),
        Output::Decided { end } => format!("decided {end}"),
        Output::TrimHint { start } => format!("may trim to {start}"),
        Output::RoleChanged { role: r, ballot } => format!("is {} of {ballot}", role(r)),
    }
}

pub(crate) fn describe_node(node: &Node) -> String {
    let disk = &node.disk;
    let synced = format!(
        "disk: promised {} accepted {} {}",
        disk.promised,
        disk.accepted_ballot,
        batches(&disk.log.batches)
    );
    match &node.replica {
        None => format!("{} is down; {synced}", node.id()),
        Some(r) => format!(
            "{} {} of {}: start {} decided {} durable {} end {} faulty {}; {synced}",
            node.id(),
            role(&r.role()),
            r.ballot(),
            r.log_start(),
            r.decided_end(),
            r.durable_end(),
            r.log_end(),
            option(&r.faulty_end())
        ),
    }
}
