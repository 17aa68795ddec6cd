//! Telling the controller of this start of the broker, until it is known.

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::metadata::{
    AdminError, AdminErrorKind, Answer, Ask, ControllerRequest, MetadataImage, RegisterBroker,
};
use crate::peers::Incarnation;
use crate::state_log::NotDone;

/// Time between two attempts.
const RETRY_TICKS: u64 = 10;

/// Registers one start of the broker, again and again until the image has it.
#[derive(Debug)]
pub(super) struct Registering {
    registration: RegisterBroker,
    tick: u64,
    due_tick: u64,
    asked: Option<oneshot::Receiver<Result<Answer, NotDone>>>,
    refusal: Option<AdminError>,
}

impl Registering {
    pub(super) fn new(registration: RegisterBroker) -> Registering {
        Registering { registration, tick: 0, due_tick: 0, asked: None, refusal: None }
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        let RegisterBroker { start, incarnation, .. } = &self.registration;
        Incarnation { start: *start, random: incarnation.bytes() }
    }

    /// Why this start is not taken for good.
    pub(super) fn refusal(&self) -> Option<&AdminError> {
        self.refusal.as_ref()
    }

    /// A tick passed. Returns the request to make, if it is time.
    pub(super) fn handle_tick(&mut self, image: &MetadataImage) -> Option<ControllerRequest> {
        self.tick += 1;
        self.take_answer();
        (self.tick >= self.due_tick).then(|| self.ask(image)).flatten()
    }

    /// Asks now: the controller is this broker itself.
    pub(super) fn hurry(&mut self, image: &MetadataImage) -> Option<ControllerRequest> {
        self.take_answer();
        self.ask(image)
    }

    fn ask(&mut self, image: &MetadataImage) -> Option<ControllerRequest> {
        let RegisterBroker { broker, incarnation, .. } = &self.registration;
        let registered = image.broker(*broker).is_some_and(|it| it.incarnation == *incarnation);
        if registered || self.asked.is_some() || self.refusal.is_some() {
            return None;
        }
        let (request, answer) =
            ControllerRequest::new(Ask::RegisterBroker(self.registration.clone()));
        self.asked = Some(answer);
        Some(request)
    }

    fn take_answer(&mut self) {
        let Some(answer) = &mut self.asked else { return };
        let outcome = match answer.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Closed) => Err(NotDone::Unknown),
            Ok(outcome) => outcome,
        };
        self.asked = None;
        self.due_tick = self.tick + RETRY_TICKS;
        match outcome {
            Ok(Answer::Done(Ok(()))) => {}
            Ok(Answer::Done(Err(error))) if error.kind == AdminErrorKind::StaleIncarnation => {
                tracing::error!(%error, "the cluster does not take this start of the broker");
                self.refusal = Some(error);
            }
            outcome => tracing::debug!(?outcome, "not registered yet"),
        }
    }
}
