//! Where the time goes: seconds per stage, summed over images and threads.

use std::ops::AddAssign;
use std::time::Instant;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A part of the way of a sample that is timed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Input file to bytes.
    Read,
    /// Bytes to pixels.
    Decode,
    /// Pixels to the target size.
    Resize,
    /// Local contrast; in colour with the ways to Lab and back and, on a vector path, the gamma
    /// table, which is composed with the way back.
    Clahe,
    /// Gamma table, where it is a step of its own: grey, without CLAHE, or on the scalar path.
    Gamma,
    /// Median filter.
    Median,
    /// Checksums and sums of a row; if it is compressed, that and its leaf hash.
    Hash,
    /// Rows into the file.
    Write,
    /// Closing a shard: small arrays, directory, hashes of the file and of rows as they are.
    Close,
    /// From there to the names of shard and record: waiting for the disk, beside the other stages.
    Commit,
}

/// All stages in the order a sample meets them, with the names used in reports.
pub const STAGES: [(Stage, &str); 10] = [
    (Stage::Read, "read"),
    (Stage::Decode, "decode"),
    (Stage::Resize, "resize"),
    (Stage::Clahe, "clahe"),
    (Stage::Gamma, "gamma"),
    (Stage::Median, "median"),
    (Stage::Hash, "hash"),
    (Stage::Write, "write"),
    (Stage::Close, "close"),
    (Stage::Commit, "commit"),
];

/// Seconds per stage; serialises as an object of the stages that took any time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageSeconds([f64; STAGES.len()]);

impl StageSeconds {
    /// Seconds of one stage.
    pub fn get(&self, stage: Stage) -> f64 {
        self.0[stage as usize]
    }

    /// Adds the time since `start` to `stage` and returns the present, the next stage's start.
    pub fn lap(&mut self, stage: Stage, start: Instant) -> Instant {
        let now = Instant::now();
        self.0[stage as usize] += (now - start).as_secs_f64();
        now
    }
}

impl AddAssign for StageSeconds {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl Serialize for StageSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (stage, name) in STAGES {
            if self.get(stage) > 0.0 {
                map.serialize_entry(name, &self.get(stage))?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_listed_in_the_order_of_their_numbers() {
        for (place, (stage, _)) in STAGES.iter().enumerate() {
            assert_eq!(*stage as usize, place);
        }
    }

    #[test]
    fn only_stages_that_took_time_are_reported() {
        let mut seconds = StageSeconds::default();
        seconds.0[Stage::Resize as usize] = 0.5;
        seconds += seconds;
        assert_eq!(serde_json::to_string(&seconds).unwrap(), r#"{"resize":1.0}"#);
    }
}
