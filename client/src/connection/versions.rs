//! Which versions of each request a broker speaks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use synod_wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use synod_wire::{ErrorCode, Message, Request};

use super::{Shared, pending};
use crate::Error;

/// Where the error code stands in every version of the answer: behind the correlation id.
const ERROR_CODE_AT: usize = 4;

/// The broker's version range of each API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versions {
    ranges: BTreeMap<i16, RangeInclusive<i16>>,
}

impl Versions {
    /// Before the broker was asked.
    pub(super) fn unknown() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(crate) fn of(ranges: impl IntoIterator<Item = (i16, RangeInclusive<i16>)>) -> Self {
        Self { ranges: ranges.into_iter().collect() }
    }

    fn from_response(response: &ApiVersionsResponse) -> Self {
        let range = |api: &synod_wire::messages::api_versions::ApiVersion| {
            (api.api_key, api.min_version..=api.max_version)
        };
        Self { ranges: response.api_keys.iter().map(range).collect() }
    }

    /// The highest version of `R` that both sides know.
    pub(super) fn choose<R: Request>(&self, address: &str) -> Result<i16, Error> {
        let unsupported = || Error::Unsupported { address: address.into(), api: R::KEY.name() };
        let theirs = self.ranges.get(&R::KEY.0).ok_or_else(unsupported)?;
        let version = *R::VERSIONS.end().min(theirs.end());
        if version < *R::VERSIONS.start() || version < *theirs.start() {
            return Err(unsupported());
        }
        Ok(version)
    }
}

/// Asks the broker for its versions, in the highest version it understands.
pub(super) async fn negotiate(connection: &Shared, within: Duration) -> Result<Versions, Error> {
    let mut version = *ApiVersionsRequest::VERSIONS.end();
    let request = ApiVersionsRequest {
        client_software_name: "synod".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    };
    loop {
        let bytes = connection.start(&request, version, within).await?.bytes().await?;
        let unsupported = ErrorCode::UNSUPPORTED_VERSION.code().to_be_bytes();
        let refused = bytes.get(ERROR_CODE_AT..ERROR_CODE_AT + 2) == Some(&unsupported[..]);
        // A broker that does not know the version answers in the shape of version 0.
        let shape = if refused { 0 } else { version };
        let response = pending::decode::<ApiVersionsRequest>(bytes, shape, &connection.address)?;
        let versions = Versions::from_response(&response);
        if !refused {
            Error::check(response.error_code, || format!("broker {}", connection.address), None)?;
            return Ok(versions);
        }
        let known = versions.choose::<ApiVersionsRequest>(&connection.address).unwrap_or(0);
        if version == 0 || known >= version {
            let api = ApiVersionsRequest::KEY.name();
            return Err(Error::Unsupported { address: (*connection.address).into(), api });
        }
        version = known;
    }
}
