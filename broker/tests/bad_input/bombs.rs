//! Small requests that stand for large work.

use std::io::{self, Read};

use crate::Watched;
use crate::support::batch::Batch;
use crate::support::wire::produce_request;

const GZIP: i16 = 1;
const ZSTD: i16 = 4;

/// What the bombs would expand to, in bytes.
const EXPANDED: u64 = 1 << 30;

/// What looking into one batch may cost, in bytes: the broker's bound and what surrounds it.
const DECOMPRESSED_MAX: u64 = 320 << 20;

#[test]
fn batches_that_expand_to_gigabytes() {
    let mut watched = Watched::start();
    let zeros = || io::repeat(0).take(EXPANDED);
    let zstd = zstd::stream::encode_all(zeros(), 1).expect("zeros can be compressed");
    // Gzip reaches a thousandth only, so less has to do to stay below the batch size limit.
    let mut gzip = Vec::new();
    let smaller = io::repeat(0).take(EXPANDED / 4);
    flate2::read::GzEncoder::new(smaller, flate2::Compression::best())
        .read_to_end(&mut gzip)
        .expect("zeros can be compressed");
    for (attributes, body) in [(ZSTD, zstd), (GZIP, gzip)] {
        assert!(body.len() < 1_000_000, "{} bytes", body.len());
        for count in [1, 1000, i32::MAX] {
            let batch = Batch {
                attributes,
                body: Some(body.clone()),
                record_count: Some(count),
                last_offset_delta: Some(count - 1),
                ..Batch::of(&["replaced"])
            };
            let request = produce_request("bombed", 0, -1, batch.encode());
            watched.create("bombed");
            let response = watched.connect().call(9, &request);
            let code = response.responses[0].partition_responses[0].error_code;
            assert_ne!(code, 0, "codec {attributes}, {count} records");
        }
    }
    watched.check_memory_within(DECOMPRESSED_MAX);
}
