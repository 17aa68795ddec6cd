//! Input that lies: every message and version, cut at every byte, continued, and with its counts
//! and lengths replaced. No panic, a typed error, nothing accepted that is not whole.

use bytes::{Bytes, BytesMut};

use super::sample::{Rng, Sample};
use super::{decode_any, encode_any, sample_of};
use crate::{DecodeErrorKind, Message, Reader, Request, for_each_request, messages};

/// A sample of moderate size, so that cutting it at every byte stays cheap.
fn small_sample<M: Message + Sample>(version: i16) -> (u64, Bytes) {
    (0..64)
        .map(|seed| (seed, encode_any(&sample_of::<M>(seed, version), version)))
        .filter_map(|(seed, encoded)| Some((seed, encoded.ok()?)))
        .filter(|(_, encoded)| encoded.len() <= 250)
        .max_by_key(|(_, encoded)| encoded.len())
        .expect("some sample is small")
}

struct CutAndContinued;

impl Check for CutAndContinued {
    fn check<M: Message + Sample>(version: i16) {
        let (seed, encoded) = small_sample::<M>(version);
        let what = format!("{} v{version} seed {seed}", M::NAME);
        for end in 0..encoded.len() {
            let cut: Result<M, _> = decode_any(encoded.slice(..end), version);
            assert!(cut.is_err(), "{what}: accepted when cut at {end}");
        }
        let mut longer = BytesMut::from(&encoded[..]);
        longer.extend_from_slice(&[0]);
        let error = decode_any::<M>(longer.freeze(), version).expect_err("goes on after the end");
        assert_eq!(error.kind, DecodeErrorKind::TrailingBytes(1), "{what}");
    }
}

/// Replaces bytes anywhere by what a length or count could be made of. What is accepted must be
/// a message that has a form, and the form must say the same.
struct Replaced;

impl Check for Replaced {
    fn check<M: Message + Sample>(version: i16) {
        const EVIL: [&[u8]; 8] = [
            &[0xff, 0xff, 0xff, 0xff],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0x80, 0x00, 0x00, 0x00],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x00, 0x01, 0x00, 0x00],
            &[0xff, 0xfe],
            &[0x00],
        ];
        let (seed, encoded) = small_sample::<M>(version);
        for start in 0..encoded.len() {
            for evil in EVIL {
                let mut bytes = encoded.to_vec();
                let end = bytes.len().min(start + evil.len());
                bytes.splice(start..end, evil.iter().copied());
                accepted_or_refused::<M>(&Bytes::from(bytes), version, seed, start);
            }
        }
    }
}

/// What is accepted has a form that says the same; what is refused says where.
fn accepted_or_refused<M: Message>(bytes: &Bytes, version: i16, seed: u64, start: usize) {
    let what = format!("{} v{version} seed {seed} at {start}", M::NAME);
    match decode_any::<M>(bytes.clone(), version) {
        Ok(message) => {
            let again = encode_any(&message, version).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(decode_any(again, version).as_ref(), Ok(&message), "{what}");
        }
        Err(error) => assert!(error.position <= bytes.len(), "{what}: {error}"),
    }
}

struct Noise;

impl Check for Noise {
    fn check<M: Message + Sample>(version: i16) {
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let size = rng.below(200);
            let mask = [0xff, 0x0f, 0x03][rng.below(3)];
            let bytes: Vec<u8> = (0..size).map(|_| rng.next() as u8 & mask).collect();
            accepted_or_refused::<M>(&Bytes::from(bytes), version, seed, 0);
        }
    }
}

/// What is done to one message type in one version.
trait Check {
    fn check<M: Message + Sample>(version: i16);
}

macro_rules! define_for_each_message {
    ($($module:ident::$request:ident,)*) => {
        fn for_each_message<C: Check>() {
            $(
                for version in messages::$module::$request::VERSIONS {
                    C::check::<messages::$module::$request>(version);
                    C::check::<<messages::$module::$request as Request>::Response>(version);
                }
            )*
        }
    };
}

for_each_request!(define_for_each_message);

#[test]
fn cut_anywhere_or_continued_is_refused() {
    for_each_message::<CutAndContinued>();
}

#[test]
fn replaced_lengths_and_counts_never_panic() {
    for_each_message::<Replaced>();
}

#[test]
fn noise_never_panics() {
    for_each_message::<Noise>();
}

#[test]
fn a_small_budget_stops_a_large_message() {
    use messages::metadata::{MetadataRequest, MetadataRequestTopic};
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic::default(); 1000]),
        ..Default::default()
    };
    let encoded = encode_any(&request, 8).expect("version 8 exists");
    let mut r = Reader::with_budget(encoded, 1000);
    let error = MetadataRequest::decode(&mut r, 8).expect_err("needs more than a kilobyte");
    assert_eq!(error.kind, DecodeErrorKind::BudgetExceeded);
    assert_eq!(error.context, "MetadataRequest.topics");
}
