//! The answer to a request that is under way.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use synod_wire::Request;
use tokio::sync::oneshot;

use crate::Error;

/// Future of the answer to a request. Dropping it gives up the answer; the request itself may still
/// take effect.
///
/// ```no_run
/// use std::time::Duration;
/// use synod_client::Pending;
/// use synod_client::wire::messages::list_groups::ListGroupsRequest;
/// # async fn example(connection: synod_client::Connection)
/// # -> Result<(), synod_client::Error> {
/// let request = ListGroupsRequest::default();
/// let within = Duration::from_secs(1);
/// let pending: Pending<ListGroupsRequest> = connection.start(&request, within).await?;
/// println!("{} groups", pending.await?.groups.len());
/// # Ok(())
/// # }
/// ```
#[must_use = "the answer comes only to who waits for it"]
pub struct Pending<R> {
    answer: oneshot::Receiver<Result<Bytes, Error>>,
    version: i16,
    address: Arc<str>,
    request: PhantomData<fn() -> R>,
}

impl<R> Pending<R> {
    pub(super) fn new(
        answer: oneshot::Receiver<Result<Bytes, Error>>,
        version: i16,
        address: Arc<str>,
    ) -> Self {
        Self { answer, version, address, request: PhantomData }
    }

    /// Waits for the answer's bytes, undecoded.
    pub(super) async fn bytes(self) -> Result<Bytes, Error> {
        let address = self.address;
        self.answer.await.unwrap_or_else(|_| Err(abandoned(&address)))
    }
}

impl<R: Request> Future for Pending<R> {
    type Output = Result<R::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let answer = match Pin::new(&mut this.answer).poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(answer) => answer,
        };
        let bytes = answer.unwrap_or_else(|_| Err(abandoned(&this.address)));
        Poll::Ready(bytes.and_then(|bytes| decode::<R>(bytes, this.version, &this.address)))
    }
}

impl<R> fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Decodes a response body, with its header in front.
pub(super) fn decode<R: Request>(
    bytes: Bytes,
    version: i16,
    address: &str,
) -> Result<R::Response, Error> {
    match synod_wire::decode_response::<R>(bytes, version) {
        Ok((_, response)) => Ok(response),
        Err(error) => {
            Err(Error::Protocol { address: address.into(), reason: error.to_string().into() })
        }
    }
}

/// The driver ended without a word: the runtime is shutting down.
fn abandoned(address: &str) -> Error {
    Error::Disconnected { address: address.into(), reason: "the connection was shut down".into() }
}
