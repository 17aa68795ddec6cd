//! How many bytes a majority has.

/// How far each process has synced the stream, in bytes.
#[derive(Debug)]
pub(crate) struct Majority {
    ends: Vec<u64>,
}

impl Majority {
    pub(crate) fn new(processes: usize) -> Self {
        assert!(processes > 0, "nobody has a majority of nobody");
        Self { ends: vec![0; processes] }
    }

    /// A process has synced this much. Returns what a majority has now, if that grew.
    pub(crate) fn handle_synced(&mut self, process: usize, end: u64) -> Option<u64> {
        let before = self.end();
        let known = &mut self.ends[process];
        *known = end.max(*known);
        Some(self.end()).filter(|&now| now > before)
    }

    fn end(&self) -> u64 {
        let mut ends = self.ends.clone();
        ends.sort_unstable();
        // With 3 the middle one, with 4 the second smallest: at least a majority is not below.
        ends[(ends.len() - 1) / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_must_have_it() {
        let mut three = Majority::new(3);
        assert_eq!(three.handle_synced(0, 10), None);
        assert_eq!(three.handle_synced(2, 7), Some(7));
        assert_eq!(three.handle_synced(2, 5), None, "news that is old");
        assert_eq!(three.handle_synced(1, 20), Some(10));
        let mut four = Majority::new(4);
        assert_eq!(four.handle_synced(0, 1), None);
        assert_eq!(four.handle_synced(1, 1), None);
        assert_eq!(four.handle_synced(2, 1), Some(1));
        assert_eq!(Majority::new(1).handle_synced(0, 3), Some(3));
    }
}
