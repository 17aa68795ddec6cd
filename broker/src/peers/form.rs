//! The serde forms of the replicas' messages, field for field.
//!
//! The core depends on nothing, serde included; so its types are mirrored here for serde's `remote`
//! derive, which makes a field that is added there an error here. What these forms encode to is
//! part of the peers' protocol: a change of them is a new protocol version.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use synod_paxos::{
    Accept, Accepted, Adopt, Ballot, Batch, Confirm, Confirmed, Copied, Decide, Entries, Heartbeat,
    Message, Nack, NodeId, Prepare, Promise, Read, RoundStart,
};

#[derive(Serialize, Deserialize)]
#[serde(remote = "NodeId")]
pub(super) struct NodeIdForm(u32);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ballot")]
pub(super) struct BallotForm {
    round: u32,
    #[serde(with = "NodeIdForm")]
    node: NodeId,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Batch")]
struct BatchForm {
    base: u64,
    end: u64,
    round: u32,
    size: u32,
    checksum: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RoundStart")]
struct RoundStartForm {
    round: u32,
    base: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Heartbeat")]
pub(super) struct HeartbeatForm {
    round: u32,
    quorum: bool,
    #[serde(with = "ballot_option")]
    leads: Option<Ballot>,
    #[serde(with = "ballot_option")]
    follows: Option<Ballot>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Message")]
pub(super) enum MessageForm {
    Prepare(#[serde(with = "PrepareForm")] Prepare),
    Promise(#[serde(with = "PromiseForm")] Promise),
    Read(#[serde(with = "ReadForm")] Read),
    Entries(#[serde(with = "EntriesForm")] Entries),
    Adopt(#[serde(with = "AdoptForm")] Adopt),
    Copied(#[serde(with = "CopiedForm")] Copied),
    Accept(#[serde(with = "AcceptForm")] Accept),
    Accepted(#[serde(with = "AcceptedForm")] Accepted),
    Decide(#[serde(with = "DecideForm")] Decide),
    Nack(#[serde(with = "NackForm")] Nack),
    Confirm(#[serde(with = "ConfirmForm")] Confirm),
    Confirmed(#[serde(with = "ConfirmedForm")] Confirmed),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Prepare")]
struct PrepareForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    #[serde(with = "BallotForm")]
    accepted_ballot: Ballot,
    accepted_end: u64,
    decided_end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Promise")]
struct PromiseForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    #[serde(with = "BallotForm")]
    accepted_ballot: Ballot,
    log_start: u64,
    durable_end: u64,
    faulty_end: Option<u64>,
    decided_end: u64,
    #[serde(with = "round_starts")]
    rounds: Vec<RoundStart>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Read")]
struct ReadForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    from: u64,
    end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Entries")]
struct EntriesForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    from: u64,
    #[serde(with = "batches")]
    batches: Vec<Batch>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Adopt")]
struct AdoptForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    log_start: u64,
    from: u64,
    prev_round: Option<u32>,
    restart: bool,
    #[serde(with = "batches")]
    batches: Vec<Batch>,
    adopted_end: u64,
    decided_end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Copied")]
struct CopiedForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Accept")]
struct AcceptForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    base: u64,
    #[serde(with = "batches")]
    batches: Vec<Batch>,
    decided_end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Accepted")]
struct AcceptedForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    durable_end: u64,
    gap: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Decide")]
struct DecideForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    log_start: u64,
    sent_end: u64,
    decided_end: u64,
    probe: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Nack")]
struct NackForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    #[serde(with = "BallotForm")]
    promised: Ballot,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Confirm")]
struct ConfirmForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    number: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Confirmed")]
struct ConfirmedForm {
    #[serde(with = "BallotForm")]
    ballot: Ballot,
    number: u64,
}

/// serde's `with` reaches a field, not what is inside an option or a list; these carry it there.
macro_rules! inside {
    ($module:ident, $list:ident of $type:ty as $form:literal) => {
        pub(super) mod $module {
            use super::*;

            #[derive(Serialize)]
            struct Item<'a>(#[serde(with = $form)] &'a $type);

            #[derive(Deserialize)]
            struct Owned(#[serde(with = $form)] $type);

            inside!(@$list $type);
        }
    };
    (@Vec $type:ty) => {
        pub(in crate::peers) fn serialize<S: Serializer>(
            items: &[$type],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(items.iter().map(Item))
        }

        pub(in crate::peers) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Vec<$type>, D::Error> {
            let items = Vec::<Owned>::deserialize(deserializer)?;
            Ok(items.into_iter().map(|item| item.0).collect())
        }
    };
    (@Option $type:ty) => {
        pub(in crate::peers) fn serialize<S: Serializer>(
            item: &Option<$type>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            item.as_ref().map(Item).serialize(serializer)
        }

        pub(in crate::peers) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<$type>, D::Error> {
            Ok(Option::<Owned>::deserialize(deserializer)?.map(|item| item.0))
        }
    };
}

inside!(batches, Vec of Batch as "BatchForm");
inside!(round_starts, Vec of RoundStart as "RoundStartForm");
inside!(node_ids, Vec of NodeId as "NodeIdForm");
inside!(ballot_option, Option of Ballot as "BallotForm");
