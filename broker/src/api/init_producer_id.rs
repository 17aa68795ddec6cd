//! InitProducerId (22): ids for idempotent producers.

use synod_wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use synod_wire::{ErrorCode, RequestHeader};

use super::error_codes::of_admin_error;
use crate::context::Context;

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let id = match request.transactional_id.as_deref() {
        // An id and its epoch make sense together only; without a transactional id a producer gets
        // a new id whatever it had.
        None if (request.producer_id < 0) != (request.producer_epoch < 0) => {
            Err(ErrorCode::INVALID_REQUEST)
        }
        None => next_id(context).await,
        Some("") => Err(ErrorCode::INVALID_REQUEST),
        // There is no transaction coordinator; this code ends the producer instead of letting it
        // try for ever.
        Some(_) => Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    };
    match id {
        Ok(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
        }
        Err(error_code) => InitProducerIdResponse {
            error_code,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    }
}

async fn next_id(context: &Context) -> Result<i64, ErrorCode> {
    let broker = context.broker();
    let id = broker.producer_ids().next(broker.id(), context.controller()).await;
    id.map_err(|error| of_admin_error(&error))
}
