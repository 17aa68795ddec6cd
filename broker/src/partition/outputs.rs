//! Carrying out what the core asks for.

use std::ops::Range;

use synod_log::LogError;
use synod_paxos::{Message, NodeId, Output, ReadId, Role, WriteId};

use super::writes::{Cut, Write};
use super::{
    Effects, EndReason, Outgoing, Partition, PartitionError, Vow, journal_ballot, payload,
};
use crate::limits::HELD_MESSAGES;
use crate::peers::PartitionMessage;
use crate::planted::{PlantedBug, is_planted};

impl Partition {
    pub(super) fn carry_out(
        &mut self,
        output: Output,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        match output {
            Output::Vow { write, promised, accepted_ballot } => {
                let vow = Vow {
                    promised: journal_ballot(promised),
                    accepted: journal_ballot(accepted_ballot),
                };
                self.writes.push(write, Write::Vow(vow));
            }
            Output::Append { write, batches } => self.take_append(write, &batches),
            Output::Truncate { write, end } => {
                self.writes.push(write, Write::Cut(Cut::Truncate { end }));
            }
            Output::RestartLog { write, at } => {
                self.writes.push(write, Write::Cut(Cut::Restart { at }));
            }
            // Shown when the log holds it.
            Output::Decided { .. } => {}
            Output::RoleChanged { role, ballot } => {
                tracing::debug!(partition = %self.key, ?role, %ballot, "role changed");
                if !matches!(role, Role::Leader { .. }) {
                    self.give_up_waiting();
                }
            }
            Output::Send { to, message, after: None } => self.send(to, message, effects),
            Output::Send { to, message, .. } if is_planted(PlantedBug::MessagesNotHeld) => {
                self.send(to, message, effects);
            }
            Output::Send { to, message, after: Some(write) } => self.hold(write, to, message),
            Output::Read { read, from, end, max_size } => {
                self.answer_read(read, from, end, max_size);
            }
            Output::TrimHint { start } => self.follow_trim(start)?,
        }
        Ok(())
    }

    /// Notes an append that a proposal put into the log already, or gives it the batches that came
    /// beside the message.
    fn take_append(&mut self, write: WriteId, described: &[synod_paxos::Batch]) {
        let (Some(first), Some(last)) = (described.first(), described.last()) else {
            unreachable!("the core appends nothing");
        };
        if let Some(end) = self.written_ahead.take() {
            assert_eq!(end, last.end, "only what was written is proposed");
            self.writes.push_appended(write, end);
            return;
        }
        while self.incoming.front().is_some_and(|batch| batch.base_offset() < first.base) {
            self.incoming.pop_front();
        }
        assert!(described.len() <= self.incoming.len(), "the core appends what came");
        let batches: Vec<_> = self.incoming.drain(..described.len()).collect();
        assert!(batches.first().is_some_and(|batch| batch.base_offset() == first.base));
        self.writes.push(write, Write::Append { end: last.end, batches });
    }

    /// Keeps a message until `write` is durable.
    fn hold(&mut self, write: WriteId, to: NodeId, message: Message) {
        if self.held.len() < HELD_MESSAGES {
            self.held.push_back((write, to, message));
        }
    }

    /// Sends the messages that waited for `write` or one before it.
    pub(super) fn release(&mut self, write: WriteId, effects: &mut Effects) {
        while self.held.front().is_some_and(|(after, ..)| *after <= write)
            && let Some((_, to, message)) = self.held.pop_front()
        {
            self.send(to, message, effects);
        }
    }

    /// Sends a message with the batches that it describes: those in hand, else as they stand in the
    /// own log. If the log holds them no longer, nobody needs the message.
    fn send(&mut self, to: NodeId, message: Message, effects: &mut Effects) {
        let payload = match self.in_hand.payload(message.batches()) {
            Some(payload) => payload,
            None => match payload::read(self.view.log(), message.batches()) {
                Ok(Some(payload)) => payload,
                Ok(None) => {
                    tracing::debug!(partition = %self.key, %to, "a message's batches are gone");
                    return;
                }
                Err(error) => return self.note_unreadable(error),
            },
        };
        let message = PartitionMessage { key: self.key, message, payload };
        effects.messages.push(Outgoing { to, message });
    }

    /// Tells the core what its log holds. While a cut is under way that is not what the log on the
    /// disk holds; the core asks again.
    fn answer_read(&mut self, read: ReadId, from: u64, end: u64, max_size: u64) {
        let held = if self.writes.has_cut() {
            Ok(Vec::new())
        } else {
            payload::describe_range(self.view.log(), from, end, max_size)
        };
        let batches = held.unwrap_or_else(|error| {
            self.note_unreadable(error);
            Vec::new()
        });
        if let Err(error) = self.replica.handle_read(read, batches) {
            tracing::error!(partition = %self.key, %error, from, "the log and the core disagree");
        }
    }

    /// Notes that something in the log cannot be read. Where peers have it, this incarnation ends,
    /// and the next one says that it is faulty.
    pub(super) fn note_unreadable(&mut self, error: LogError) {
        tracing::error!(partition = %self.key, %error, "cannot read the log for a peer");
        if let LogError::Corrupt { offsets, .. } = error
            && !offsets.is_empty()
            && self.has_peers()
        {
            self.handle_unreadable(offsets);
        }
    }

    /// Ends this incarnation because its owner found offsets that it cannot read, and peers have.
    pub(crate) fn handle_unreadable(&mut self, offsets: Range<u64>) {
        self.corrupt.push(offsets);
        self.end(EndReason::Corrupt);
    }
}
