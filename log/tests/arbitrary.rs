//! Recovery on arbitrary bytes, replayed without a fuzzer: inputs derived from seeds.

#[path = "support/arbitrary.rs"]
mod inputs;
mod support;

use std::path::Path;
use std::sync::Arc;

use support::{BatchSpec, Random, run_background, small_config, sync};
use synod_log::memory::MemoryStorage;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig};

/// The files of a sound log with a segment at 0 and one at 8.
fn sound() -> Vec<(String, Vec<u8>)> {
    let memory = MemoryStorage::new(0);
    memory.create_dir("/p".as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let config = LogConfig {
        segment_size: 1000.try_into().expect("not zero"),
        index_interval_size: 64.try_into().expect("not zero"),
        ..small_config()
    };
    let mut log = Log::create(storage, "/p".as_ref(), config).expect("created");
    for i in 0..7 {
        let spec = BatchSpec::new(i * 2, 2).leader_epoch(1 + i as i32 / 3).body(vec![3; 180]);
        log.append(&[spec.producer(4, 0, i as i32 * 2).batch()]).expect("appended");
    }
    sync(&mut log);
    run_background(&mut log);
    log.trim(1).expect("trimmed");
    drop(log);
    let entries = memory.list("/p".as_ref()).expect("listed");
    let content = |name: &str| memory.content(&Path::new("/p").join(name)).expect("read");
    entries.into_iter().map(|e| (e.name.clone(), content(&e.name))).collect()
}

#[test]
fn recovery_keeps_its_promises_on_arbitrary_bytes() {
    let files = sound();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
    inputs::recover(&inputs::join(14, &files));
    inputs::recover(&[]);
    let mut random = Random::new(5);
    for round in 0..4000 {
        let mut damaged = files.clone();
        if random.chance(20) {
            let at = random.below(damaged.len() as u64) as usize;
            damaged.remove(at);
        }
        for _ in 0..random.below(4) {
            let at = random.below(damaged.len() as u64) as usize;
            damage(&mut damaged[at].1, &mut random);
        }
        let input = inputs::join(random.below(20) as u8, &damaged);
        let result = std::panic::catch_unwind(|| inputs::recover(&input));
        assert!(result.is_ok(), "round {round}: input {}", hex(&input));
    }
}

/// Changes one thing; positions near the beginning are likelier, for that is where the batches are.
fn damage(content: &mut Vec<u8>, random: &mut Random) {
    let near = random.below(content.len() as u64);
    let at = (if random.chance(60) { near % 1100 } else { near }) as usize;
    let at = at.min(content.len().saturating_sub(1));
    match random.below(6) {
        0 => content.truncate(at),
        1 => content[at..].fill(0),
        2 => content.iter_mut().skip(at).take(70).for_each(|b| *b = random.next() as u8),
        3 => {
            let size = (content.len() - at).min(241);
            let piece = content[at..at + size].to_vec();
            let to = random.below((content.len() - size + 1) as u64) as usize;
            content[to..to + size].copy_from_slice(&piece);
        }
        4 => content.extend_from_slice(&[0xff; 100]),
        _ => {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
