//! Memory that decoding takes, measured: hostile counts and lengths of every message and version
//! never make it exceed the reader's budget.

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use synod_wire::{Message, Reader, Request, for_each_request, messages};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What the test and the buffer of the frame itself take beside the decoded structs.
const SLACK: usize = 4 << 10;

/// Frames that announce far more than they hold, and frames dense with the smallest elements.
fn frames() -> Vec<Bytes> {
    let mut frames = Vec::new();
    for size in [0, 1, 9, 64, 1000, 100_000] {
        for fill in [0x00, 0x01, 0x02, 0x05, 0x7f, 0xff] {
            frames.push(vec![fill; size].into());
        }
        // Compact and classic counts near their maximum, at every place a count may stand.
        for prefix in 0..24.min(size) {
            let mut frame = vec![0u8; prefix];
            frame.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
            frame.resize(size.max(frame.len()), 0);
            frames.push(frame.into());
            let mut frame = vec![0u8; prefix];
            frame.extend_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
            frame.resize(size.max(frame.len()), 0);
            frames.push(frame.into());
            // A count that the rest of the frame could just hold, of elements of one byte.
            let mut frame = vec![0u8; prefix];
            frame.extend_from_slice(&(size.saturating_sub(prefix + 4) as i32).to_be_bytes());
            frame.resize(size.max(frame.len()), 0);
            frames.push(frame.into());
        }
    }
    frames
}

fn measure<M: Message>(frames: &[Bytes], budget: usize, worst: &mut usize) {
    for version in M::VERSIONS {
        for (index, frame) in frames.iter().enumerate() {
            let mut r = Reader::with_budget(frame.clone(), budget);
            let before = HEAP.current_usage();
            HEAP.reset_peak_usage();
            let message = M::decode(&mut r, version);
            let peak = HEAP.peak_usage().saturating_sub(before);
            drop(message);
            *worst = peak.max(*worst);
            assert!(
                peak <= budget + SLACK,
                "{} v{version}, frame {index} of {} bytes: {peak} bytes used, budget {budget}",
                M::NAME,
                frame.len()
            );
        }
    }
}

macro_rules! define_measure_all {
    ($($module:ident::$request:ident,)*) => {
        fn measure_all(frames: &[Bytes], budget: usize, worst: &mut usize) {
            $(
                measure::<messages::$module::$request>(frames, budget, worst);
                measure::<<messages::$module::$request as Request>::Response>(
                    frames, budget, worst,
                );
            )*
        }
    };
}

for_each_request!(define_measure_all);

// One test only: the heap is measured for the whole process.
#[test]
fn decoding_stays_within_its_budget() {
    let frames = frames();
    for budget in [0, 10_000, 1 << 20] {
        let mut worst = 0;
        measure_all(&frames, budget, &mut worst);
        println!("budget {budget}: at most {worst} bytes");
        // The measurement itself must be able to see something.
        assert!(budget < 1 << 20 || worst > 100_000, "only {worst} bytes seen");
    }
}
