//! Request frames from arbitrary bytes: what is accepted must survive its own encoding.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use synod_wire::{
    Message, Reader, RequestHeader, decode_body, decode_request, encode_request, for_each_request,
    messages,
};

macro_rules! define_dispatch {
    ($($module:ident::$request:ident,)*) => {
        fn dispatch(header: &RequestHeader, body: Reader) {
            $(
                if header.key() == <messages::$module::$request as Message>::KEY {
                    check::<messages::$module::$request>(header, body.clone());
                }
            )*
        }
    };
}

for_each_request!(define_dispatch);

fn check<R: synod_wire::Request>(header: &RequestHeader, mut body: Reader) {
    let Ok(request) = decode_body::<R>(&mut body, header.api_version) else { return };
    let frame = encode_request(
        header.correlation_id,
        header.client_id.as_ref(),
        header.api_version,
        &request,
    );
    let frame = frame.expect("what was decoded has a form").to_body();
    let (again_header, again) = decode_request::<R>(frame).expect("the form decodes");
    assert_eq!((&again_header, &again), (header, &request));
}

fuzz_target!(|data: &[u8]| {
    let mut body = Reader::new(Bytes::copy_from_slice(data));
    if let Ok(header) = RequestHeader::decode(&mut body) {
        dispatch(&header, body);
    }
});
