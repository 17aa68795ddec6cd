//! The time that an administrative request gives the controller.

use std::future::Future;
use std::time::Duration;

use crate::metadata::{AdminError, AdminErrorKind};

/// Waits for the controller's answer as long as the client said. What was asked may still happen
/// after that: the answer then says that it is not known.
///
/// Even with no time at all, the request is handed over first, as in Kafka.
pub(super) async fn within<T>(
    timeout_ms: i32,
    work: impl Future<Output = Result<T, AdminError>>,
) -> Result<T, AdminError> {
    let limit = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("The request was not completed within {} ms.", timeout_ms.max(0));
        Err(AdminError::new(AdminErrorKind::OutcomeUnknown, message))
    })
}
