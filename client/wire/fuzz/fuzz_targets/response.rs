//! Response frames from arbitrary bytes: what is accepted must survive its own encoding.
//!
//! The first two bytes choose API and version.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use synod_wire::{Request, decode_response, encode_response, for_each_request, messages};

macro_rules! define_checks {
    ($($module:ident::$request:ident,)*) => {
        const CHECKS: &[fn(Bytes, i16)] = &[$(check::<messages::$module::$request>),*];
    };
}

for_each_request!(define_checks);

fn check<R: Request>(body: Bytes, version: i16) {
    let Ok((header, response)) = decode_response::<R>(body, version) else { return };
    let frame = encode_response(header.correlation_id, version, &response)
        .expect("what was decoded has a form");
    let again = decode_response::<R>(frame.to_body(), version).expect("the form decodes");
    assert_eq!(again, (header, response));
}

fuzz_target!(|data: &[u8]| {
    if let [api, version, body @ ..] = data {
        let check = CHECKS[usize::from(*api) % CHECKS.len()];
        check(Bytes::copy_from_slice(body), i16::from(*version % 16));
    }
});
