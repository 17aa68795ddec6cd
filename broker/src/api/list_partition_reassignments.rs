//! ListPartitionReassignments: replicas are never on the move yet, and tools ask all the same.

use synod_wire::RequestHeader;
use synod_wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::context::Context;

pub(crate) async fn handle(
    _context: &Context,
    _header: &RequestHeader,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
