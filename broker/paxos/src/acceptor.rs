//! The acceptor and learner: what a replica does with a candidate's or a leader's messages.

use crate::batch::MAX_OFFSET;
use crate::core::{Core, Reader};
use crate::planted::PlantedBug;
use crate::{
    Accept, Accepted, Adopt, Ballot, Batch, Confirm, Confirmed, Copied, Decide, Entries,
    InputError, Message, NodeId, Output, Prepare, Promise, Read,
};

impl Core {
    pub(crate) fn may_promise(&self, ballot: Ballot) -> bool {
        let twice = self.planted(PlantedBug::RoundPromisedTwice);
        ballot.may_replace(self.promised) || (twice && ballot.round == self.promised.round)
    }

    /// Phase 1b. The caller has stepped down if the ballot is news.
    pub(crate) fn handle_prepare(&mut self, message: &Prepare) {
        let candidate = message.ballot.node;
        if !self.may_promise(message.ballot) {
            self.nack(candidate, message.ballot);
            return;
        }
        if message.ballot != self.promised {
            self.promised = message.ballot;
            self.complained = false;
            self.write_vow();
        }
        let promise = self.promise(message.decided_end);
        // The barrier covers the vow and every append before it: what the promise reports as the
        // log's end is durable when it leaves.
        let mut after = self.writes.barrier();
        if self.planted(PlantedBug::VowNotSynced) {
            after = None;
        }
        self.send_after(candidate, Message::Promise(promise), after);
    }

    /// What this replica can say of its log to one that knows `their_decided_end` to be decided.
    /// True once every write issued so far is synced.
    pub(crate) fn promise(&self, their_decided_end: u64) -> Promise {
        let known = self.log.decided_end().min(their_decided_end);
        let denied = self.planted(PlantedBug::FaultyDenied);
        Promise {
            ballot: self.promised,
            accepted_ballot: self.accepted_ballot,
            log_start: self.log.start(),
            durable_end: self.log.end(),
            faulty_end: self.log.faulty_end().filter(|_| !denied),
            decided_end: self.log.decided_end(),
            rounds: self.log.history().since(known),
        }
    }

    /// Serves a candidate that adopts this replica's log.
    pub(crate) fn handle_read_request(&mut self, message: &Read) {
        let candidate = message.ballot.node;
        if message.ballot != self.promised {
            self.nack(candidate, message.ballot);
            return;
        }
        let end = message.end.min(self.log.end());
        if message.from < self.log.start() || message.from >= end {
            return;
        }
        let reader = Reader::Candidate { node: candidate, ballot: message.ballot };
        self.read(reader, message.from, end, self.config.message_size);
    }

    pub(crate) fn handle_read_for_candidate(
        &mut self,
        candidate: NodeId,
        ballot: Ballot,
        batches: Vec<Batch>,
    ) {
        let Some(first) = batches.first() else { return };
        if ballot == self.promised {
            let entries = Entries { ballot, from: first.base, batches };
            self.send(candidate, Message::Entries(entries));
        }
    }

    /// One part of an adoption: match, cut what diverges, append; note the acceptance last.
    pub(crate) fn handle_adopt(&mut self, message: Adopt) -> Result<(), InputError> {
        let ballot = message.ballot;
        let covered = message.batches.last().map_or(message.from, |batch| batch.end);
        if !Batch::are_contiguous(&message.batches, message.from, ballot.round)
            || covered > message.adopted_end
            || message.from < message.log_start
            || message.from > MAX_OFFSET
            || (message.batches.is_empty() && message.from != message.adopted_end)
        {
            return Err(InputError::MalformedBatches);
        }
        if ballot != self.promised {
            self.nack(ballot.node, ballot);
            return Ok(());
        }
        let restarts = message.restart && !self.joins_log_at(&message);
        let noted = self.accepted_ballot == ballot;
        if noted && !restarts && self.log.end() >= message.adopted_end {
            self.decide(message.decided_end.min(covered));
            self.send_accepted(None);
            return Ok(());
        }
        if covered == message.adopted_end && self.log.decided_end() > covered {
            return Err(InputError::ContradictsDecided);
        }
        if restarts {
            self.restart_log(message.from);
        } else if !message.restart && !self.log.is_proved_below(message.from, message.prev_round) {
            self.complain(message.decided_end);
            return Ok(());
        }
        if self.planted(PlantedBug::AdoptNotesFirst) {
            self.accepted_ballot = ballot;
            self.write_vow();
        }
        self.overlay(message.batches)?;
        self.decide(message.decided_end.min(covered));
        if covered == message.adopted_end || self.planted(PlantedBug::AdoptNotesEarly) {
            self.finish_adoption(covered, noted);
        } else {
            let copied = Copied { ballot, end: covered };
            self.send_after(ballot.node, Message::Copied(copied), self.writes.barrier());
        }
        Ok(())
    }

    /// The log holds the leader's log up to the adopted end.
    fn finish_adoption(&mut self, end: u64, noted: bool) {
        if noted {
            // It was accepted before, and lost to corruption or trimmed since. What is faulty
            // beyond stays so until it is here again: it counted under this very ballot.
            return;
        }
        if self.log.end() > end {
            // The leader's log holds nothing but batches of its own round from here on.
            self.truncate(end);
        }
        self.note_accepted();
    }

    /// Whether the own log goes on through the start of the leader's log after all: the leader may
    /// have judged by an old answer. Cutting it there would take back what was accepted since.
    fn joins_log_at(&self, message: &Adopt) -> bool {
        let from = message.from;
        let accepted = self.accepted_ballot == message.ballot && from <= self.log.end();
        let holds_next = message.batches.first().is_some_and(|batch| self.log.holds(batch));
        accepted || from <= self.log.decided_end() || holds_next
    }

    /// Phase 2a: contiguous and under the accepted ballot, or refused.
    pub(crate) fn handle_accept(&mut self, message: Accept) -> Result<(), InputError> {
        let ballot = message.ballot;
        if !Batch::are_contiguous(&message.batches, message.base, ballot.round) {
            return Err(InputError::MalformedBatches);
        }
        if ballot != self.promised {
            self.learn_unadopted(message.decided_end);
            self.nack(ballot.node, ballot);
            return Ok(());
        }
        if self.accepted_ballot != ballot {
            self.learn_unadopted(message.decided_end);
            self.complain(message.decided_end);
            return Ok(());
        }
        if message.base > self.log.end() {
            self.report_gap();
            if self.planted(PlantedBug::AcceptOverGap) {
                self.append_over_gap(message.batches);
            }
            return Ok(());
        }
        let end = self.log.end();
        self.overlay(message.batches)?;
        self.decide(message.decided_end);
        if self.log.end() == end || self.planted(PlantedBug::AckBeforeSync) {
            self.send_accepted(None);
        }
        Ok(())
    }

    /// What is decided, and whether anything sent before was lost.
    pub(crate) fn handle_decide(&mut self, message: &Decide) {
        let ballot = message.ballot;
        if ballot != self.promised {
            self.learn_unadopted(message.decided_end);
            self.nack(ballot.node, ballot);
            return;
        }
        if self.accepted_ballot != ballot {
            self.learn_unadopted(message.decided_end);
            self.complain(message.decided_end);
            return;
        }
        self.decide(message.decided_end);
        if message.log_start > self.log.start() && message.log_start <= self.log.decided_end() {
            self.emit(Output::TrimHint { start: message.log_start });
        }
        if message.sent_end > self.log.end() {
            self.report_gap();
        } else if message.probe {
            self.send_accepted(None);
        }
    }

    /// Whether the sender is superseded, as far as this replica knows. A promise to another comes
    /// after this answer, or the answer is a refusal.
    pub(crate) fn handle_confirm(&mut self, message: &Confirm) {
        let Confirm { ballot, number } = *message;
        if ballot != self.promised {
            self.nack(ballot.node, ballot);
            return;
        }
        self.send(ballot.node, Message::Confirmed(Confirmed { ballot, number }));
    }

    /// Tells the leader of the accepted ballot what is synced here under it.
    pub(crate) fn send_accepted(&mut self, gap: Option<u64>) {
        let ballot = self.accepted_ballot;
        let synced = *self.writes.synced();
        if self.planted(PlantedBug::AckBeforeSync) {
            let accepted = Accepted { ballot, durable_end: self.log.end(), gap };
            self.send(ballot.node, Message::Accepted(accepted));
        } else if synced.accepted_ballot == ballot {
            let accepted = Accepted { ballot, durable_end: synced.log_end, gap };
            self.send(ballot.node, Message::Accepted(accepted));
        }
        // Otherwise the acceptance is still on its way to the disk and will be told then.
    }

    /// Something begins beyond the end of the log: says so, once.
    fn report_gap(&mut self) {
        if !self.complained {
            self.complained = true;
            self.send_accepted(Some(self.log.end()));
        }
    }

    /// The leader takes this replica to be further than it is (it lost unsynced writes in a crash,
    /// or a part of the adoption went missing): says where it stands, once.
    fn complain(&mut self, their_decided_end: u64) {
        if !self.complained {
            self.complained = true;
            let promise = self.promise(their_decided_end);
            let leader = self.promised.node;
            self.send_after(leader, Message::Promise(promise), self.writes.barrier());
        }
    }

    /// Planted: what is decided in a leader's log says nothing of a log that differs from it.
    fn learn_unadopted(&mut self, decided_end: u64) {
        if self.planted(PlantedBug::StaleDecided) {
            self.decide(decided_end);
        }
    }

    /// Planted: pretends that what is missing was there.
    fn append_over_gap(&mut self, mut batches: Vec<Batch>) {
        if let Some(first) = batches.first_mut() {
            first.base = self.log.end();
            self.append(batches);
        }
    }
}
