//! Record batches from arbitrary bytes: split, decompress under a cap, read every record.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use synod_wire::batch::Batches;

const MAX_SIZE: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    for batch in Batches::new(Bytes::copy_from_slice(data)) {
        let Ok(batch) = batch else { return };
        // The checksum is looked at but not demanded: damage has to reach the parser.
        let _ = batch.verify_crc();
        let Ok(records) = batch.records(MAX_SIZE) else { return };
        for record in records {
            if record.is_err() {
                return;
            }
        }
    }
});
