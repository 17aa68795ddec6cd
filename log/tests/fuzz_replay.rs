//! The fuzz targets' checks, on their corpus and on many small changes of it: the same every time.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

/// A generator that is the same everywhere.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Cuts, repeats, moves, overwrites and flips parts.
    fn change(&mut self, content: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            if content.is_empty() {
                return;
            }
            let from = self.below(content.len());
            let to = from + self.below((content.len() - from).min(700));
            match self.below(5) {
                0 => content.truncate(to.max(1)),
                1 => content[from..to].fill(self.below(256) as u8),
                2 => content[from] ^= 1 << self.below(8),
                3 => {
                    let part = content[from..to].to_vec();
                    let at = self.below(content.len());
                    content.splice(at..at, part);
                }
                _ => {
                    let at = self.below(content.len() - (to - from) + 1);
                    content.copy_within(from..to, at);
                }
            }
        }
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {target} is gone");
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn journals() {
    let (mut opened, mut refused) = (0, 0);
    for (number, content) in corpus("journal").into_iter().enumerate() {
        checks::journal(&content);
        for seed in 0..3000 {
            let mut changed = content.clone();
            Choices(seed << 8 | number as u64).change(&mut changed);
            match checks::journal(&changed) {
                true => opened += 1,
                false => refused += 1,
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused: blunt");
}

#[test]
fn carriers() {
    let (mut replayed, mut refused) = (0, 0);
    for (number, content) in corpus("carrier").into_iter().enumerate() {
        assert!(checks::carrier(&content), "the corpus is sound");
        for seed in 0..3000 {
            let mut changed = content.clone();
            Choices(seed << 8 | number as u64).change(&mut changed);
            match checks::carrier(&changed) {
                true => replayed += 1,
                false => refused += 1,
            }
        }
    }
    assert!(replayed > 100 && refused > 100, "{replayed} replayed, {refused} refused: blunt");
}

#[test]
fn batches() {
    for (number, content) in corpus("batch").into_iter().enumerate() {
        checks::batch(&content);
        for seed in 0..20_000 {
            let mut changed = content.clone();
            Choices(seed << 8 | number as u64).change(&mut changed);
            checks::batch(&changed);
        }
    }
}
