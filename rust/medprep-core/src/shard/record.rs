//! The record beside every shard: what is in it, what failed, and that it is done.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::annotation::Attributes;
use super::commit::storage;
use super::failure::Failure;
use super::plan::{PixelType, PlannedShard};
use crate::error::{Error, Result};

/// Version of the record format.
pub(crate) const SCHEMA: u32 = 1;

/// `OUT/records/<name>.json`, written after its shard: a shard without one is not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the format.
    pub schema: u32,
    /// File name of the shard, `train-00000.npz`.
    pub name: String,
    /// The split.
    pub split: String,
    /// Number of the shard in its split.
    pub index: u32,
    /// Fingerprint of the pipeline.
    pub fingerprint: String,
    /// SHA-256 of the plan's samples.
    pub samples_sha256: String,
    /// Size of the shard file.
    pub bytes: u64,
    /// SHA-256 of the shard file.
    pub sha256: String,
    /// Stored rows.
    pub count: u64,
    /// The rows in order.
    pub rows: Vec<Row>,
    /// What failed, in plan order.
    pub failures: Vec<Failure>,
    /// Sum of all values, per channel; of float32 in units of 1/65535.
    pub sum: Vec<u64>,
    /// Sum of their squares, per channel.
    pub sum_squares: Vec<u128>,
    /// Values per channel.
    pub pixels: u64,
    /// Type of the values; absent for uint8.
    #[serde(default, skip_serializing_if = "PixelType::is_default")]
    pub dtype: PixelType,
}

/// One stored sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Relative path or keyed id.
    pub id: String,
    /// Place in the shard.
    pub row: u64,
    /// Class number, -1 = none.
    pub label: i64,
    /// Pseudonym, if the source has one.
    pub group: Option<String>,
    /// Relative path; absent in private mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Which frame of a multi-frame file, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// CRC-32C of the pixels.
    pub crc32c: u32,
    /// Stored boxes, if the image's boxes are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<u32>,
    /// Boxes that the crop left nothing of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes_dropped: Option<u32>,
    /// UTF-8 bytes of the caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption_bytes: Option<u32>,
    /// What may be kept of a header or a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Leaf hash, hexadecimal.
    pub leaf: String,
    /// Why the pixels are not to be trusted (`--on-damage keep`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// `Storage` when it cannot be read, `Corrupt` when it is no record.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(storage(path, "read"))?;
        serde_json::from_slice(&text).map_err(|e| Error::Corrupt {
            path: path.to_owned(),
            reason: format!("not a shard record: {e}"),
        })
    }

    /// The record as compact JSON.
    ///
    /// # Panics
    /// Never: a record is plain data.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record is plain data")
    }
}

/// Where the shard of this name lives.
pub fn shard_path(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.npz"))
}

/// Where the record of the shard of this name lives.
pub fn record_path(out: &Path, name: &str) -> PathBuf {
    out.join("records").join(format!("{name}.json"))
}

/// What resuming needs of a record; the rows are skipped over.
#[derive(Deserialize)]
struct Head {
    fingerprint: String,
    samples_sha256: String,
    bytes: u64,
}

/// True when the shard needs no work: its record belongs to this plan and the file has its size.
pub fn is_done(out: &Path, shard: &PlannedShard, fingerprint: &str, samples_sha256: &str) -> bool {
    let Ok(text) = fs::read(record_path(out, &shard.name)) else { return false };
    let Ok(head) = serde_json::from_slice::<Head>(&text) else { return false };
    let bytes = fs::metadata(shard_path(out, &shard.name)).map(|file| file.len());
    head.fingerprint == fingerprint
        && head.samples_sha256 == samples_sha256
        && bytes.is_ok_and(|bytes| bytes == head.bytes)
}
