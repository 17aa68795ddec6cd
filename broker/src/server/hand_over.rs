//! Handing leaderships over before the broker stops.

use crate::broker::Broker;
use crate::limits::HAND_OVER_TIMEOUT;
use crate::metadata::request::ShutDown;

/// Has the controller move this broker's leaderships to others, so that clients find the next
/// leader at once instead of missing one until the silence is noticed. Waits a moment at most:
/// without a controller the others help themselves.
pub(super) async fn hand_over(broker: &Broker) {
    if broker.config().voter_count() == 1 {
        return;
    }
    let request = ShutDown { broker: broker.id(), incarnation: broker.incarnation() };
    let moved = broker.controller().shut_down(request);
    match tokio::time::timeout(HAND_OVER_TIMEOUT, moved).await {
        Ok(Ok(())) => tracing::info!("leaderships are handed over"),
        Ok(Err(error)) => tracing::warn!(%error, "leaderships are not handed over"),
        Err(_) => tracing::warn!("no controller took the leaderships in time"),
    }
}
