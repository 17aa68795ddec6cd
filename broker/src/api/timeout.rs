//! The time that an administrative request gives the controller.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;

use crate::metadata::{AdminError, AdminErrorKind};

/// Waits for the controller's answer as long as the client said. What was asked may still happen
/// after that: the answer then says that it is not known.
///
/// With no time at all the request is handed over, and the answer is not waited for, as in Kafka.
pub(super) async fn within<T>(
    timeout_ms: i32,
    work: impl Future<Output = Result<T, AdminError>>,
) -> Result<T, AdminError> {
    let limit = u64::try_from(timeout_ms).ok().filter(|limit| *limit > 0);
    let done = match limit {
        Some(limit) => tokio::time::timeout(Duration::from_millis(limit), work).await.ok(),
        None => work.now_or_never(),
    };
    done.unwrap_or_else(|| {
        let message = format!("The request was not completed within {} ms.", timeout_ms.max(0));
        Err(AdminError::new(AdminErrorKind::OutcomeUnknown, message))
    })
}
