//! ApiVersions (18): what this broker serves.

use synod_wire::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use synod_wire::{EncodeError, ErrorCode, Frame, Message, RequestHeader, encode_response};

use super::{produce, served};
use crate::context::Context;

pub(super) const KEY: i16 = ApiVersionsRequest::KEY.0;

/// First version in which the client names its software.
const SOFTWARE_FROM: i16 = 3;

pub(super) async fn handle(
    _: &Context,
    header: &RequestHeader,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let named = is_software_text(&request.client_software_name)
        && is_software_text(&request.client_software_version);
    if header.api_version >= SOFTWARE_FROM && !named {
        return ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..Default::default()
        };
    }
    ApiVersionsResponse { api_keys: api_keys(), ..Default::default() }
}

/// The answer to a version that is not known, in the form of version 0, which every client reads.
pub(super) fn refuse_version(correlation_id: i32) -> Result<Frame, EncodeError> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: api_keys(),
        ..Default::default()
    };
    encode_response(correlation_id, 0, &response)
}

fn api_keys() -> Vec<ApiVersion> {
    let produce = std::iter::once((produce::KEY, produce::ADVERTISED));
    let all = produce.chain(served()).map(|(api_key, versions)| ApiVersion {
        api_key,
        min_version: *versions.start(),
        max_version: *versions.end(),
    });
    all.collect()
}

/// KIP-511's rule for the name and version of a client's software.
fn is_software_text(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return false;
    };
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_texts_are_checked_as_kafka_checks_them() {
        for good in ["librdkafka", "v2.3.0-rc1", "7", "apache-kafka-java"] {
            assert!(is_software_text(good), "{good}");
        }
        for bad in ["", "-x", "x-", "a b", "ü", "a/b"] {
            assert!(!is_software_text(bad), "{bad}");
        }
    }

    #[test]
    fn every_api_is_listed_once() {
        let keys: Vec<i16> = api_keys().iter().map(|api| api.api_key).collect();
        let unique: std::collections::BTreeSet<i16> = keys.iter().copied().collect();
        assert_eq!(keys.len(), unique.len());
        for key in [0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 44, 46, 60] {
            assert!(unique.contains(&key), "{key}");
        }
    }
}
