//! The plan as Python writes it: which sample goes to which shard, before anything runs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::annotation::{Annotations, Attributes, PlannedBox, check_boxes, check_caption};
use super::commit::storage;
use super::failure::Failure;
use crate::error::{Error, Result};

/// A sample line longer than this is not a sample: paths end at 4 KiB.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Frames of a file that may become samples, as the planner has it.
const MAX_FRAMES: u32 = 10_000;

/// `OUT/plan.json`, as far as shards and manifest need it.
#[derive(Debug, Clone, Deserialize)]
pub struct Plan {
    /// Version of the format.
    pub schema: u32,
    /// Name of the layout.
    pub layout: Value,
    /// The pipeline specification; text to this module.
    pub spec: Value,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Split names in order.
    pub splits: Vec<String>,
    /// Seed of splits and order.
    pub seed: Value,
    /// True when paths must not be stored.
    pub private: bool,
    /// What every stored image is.
    pub image: ImageShape,
    /// True when images have boxes.
    #[serde(default)]
    pub boxes: bool,
    /// Names of the boxes' labels.
    #[serde(default)]
    pub box_classes: Vec<String>,
    /// True when images have captions.
    #[serde(default)]
    pub captions: bool,
    /// SHA-256 of `plan-samples.jsonl`.
    pub samples_sha256: String,
    /// All shards, split by split.
    pub shards: Vec<PlannedShard>,
    /// The measured error of `--fast-decode`, copied into the manifest.
    #[serde(default)]
    pub fast_decode: Option<Value>,
    /// What failed while planning.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// One shard of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedShard {
    /// `<split>-<index:05>`, the file name without its ending.
    pub name: String,
    /// The split.
    pub split: String,
    /// Number of the shard in its split.
    pub index: u32,
    /// Byte offset of its first line in `plan-samples.jsonl`.
    pub offset: u64,
    /// Planned rows.
    pub count: u64,
}

/// Shape and type of every stored image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// 1 or 3.
    pub channels: u32,
    /// Type of the values.
    pub dtype: PixelType,
}

/// Type of the stored values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelType {
    /// 0..255.
    #[default]
    Uint8,
    /// 0..65535, little-endian.
    Uint16,
    /// 0..1 in steps of 1/65535, little-endian.
    Float32,
}

impl PixelType {
    /// The name in plan, manifest and digest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Float32 => "float32",
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Uint16 => 2,
            Self::Float32 => 4,
        }
    }

    /// NumPy's name of the type in a file.
    pub(crate) fn descr(self) -> &'static str {
        match self {
            Self::Uint8 => "|u1",
            Self::Uint16 => "<u2",
            Self::Float32 => "<f4",
        }
    }

    pub(crate) fn of_descr(descr: &str) -> Option<Self> {
        [Self::Uint8, Self::Uint16, Self::Float32].into_iter().find(|t| t.descr() == descr)
    }

    /// What the whole numbers are divided by that exact sums are made of: those of float32 are
    /// multiples of 1/65535.
    pub(crate) fn unit(self) -> f64 {
        if self == Self::Float32 { 65535.0 } else { 1.0 }
    }

    /// For serde: the type of all records before there were others is not written.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One line of `plan-samples.jsonl`.
///
/// Unknown keys are refused: what would not be stored must not be dropped silently.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSample {
    /// Relative path or keyed id.
    pub id: String,
    /// Path relative to the source folder.
    pub path: String,
    /// Which frame of a multi-frame file, from 0; absent where the file has one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// Class number, -1 = none.
    pub label: i64,
    /// The split.
    pub split: String,
    /// Pseudonym of the patient, lesion, ...
    #[serde(default)]
    pub group: Option<String>,
    /// Boxes in the upright source image; empty when it is known to have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<Vec<PlannedBox>>,
    /// The text that belongs to the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// What may be kept of a header or a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
}

impl PlannedSample {
    /// Checks what the types do not say: numbers and sizes within their limits.
    ///
    /// # Errors
    /// What is wrong, without the sample's name.
    pub fn check(&self) -> std::result::Result<(), String> {
        if let Some(frame) = self.frame.filter(|&frame| frame >= MAX_FRAMES) {
            return Err(format!("frame {frame}: a file has at most {MAX_FRAMES}"));
        }
        self.boxes.as_deref().map_or(Ok(()), check_boxes)?;
        self.caption.as_deref().map_or(Ok(()), check_caption)?;
        self.attributes.as_ref().map_or(Ok(()), Attributes::check)
    }

    /// Checks that the sample has no annotation which its data set has no member for.
    ///
    /// # Errors
    /// What the plan does not announce.
    pub fn check_allowed(&self, has: Annotations) -> std::result::Result<(), String> {
        for (what, is_there, is_planned) in [
            ("boxes", self.boxes.is_some(), has.boxes),
            ("a caption", self.caption.is_some(), has.captions),
        ] {
            if is_there && !is_planned {
                return Err(format!("has {what}, which the plan of the data set has not"));
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Reads `OUT/plan.json`.
    ///
    /// # Errors
    /// `Storage` when it cannot be read, `Corrupt` when it is no plan.
    pub fn load(out: &Path) -> Result<Self> {
        let path = out.join("plan.json");
        let text = std::fs::read(&path).map_err(storage(&path, "read"))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::Corrupt { path, reason: format!("not a plan: {e}") })
    }
}

impl PlannedShard {
    /// Checks that the name is the one the split and index give, and a plain file name.
    ///
    /// # Errors
    /// `Spec`.
    pub fn validate(&self) -> Result<()> {
        let expected = format!("{}-{:05}", self.split, self.index);
        let plain = !self.split.is_empty()
            && !self.split.starts_with('.')
            && !self.split.contains(['/', '\\', '\0']);
        if plain && self.name == expected {
            return Ok(());
        }
        Err(Error::Spec(format!("shard name must be {expected:?}, got {:?}", self.name)))
    }
}

impl ImageShape {
    /// (height, width, channels), checked.
    ///
    /// # Errors
    /// `Spec` when a side is 0 or the channels are not 1 or 3.
    pub fn validate(&self) -> Result<(usize, usize, usize)> {
        let Self { height, width, channels, dtype } = self;
        let sides_fit = (1..=1 << 16).contains(height) && (1..=1 << 16).contains(width);
        if sides_fit && matches!(channels, 1 | 3) {
            return Ok((*height as usize, *width as usize, *channels as usize));
        }
        Err(Error::Spec(format!(
            "image must have sides from 1 to 65536 and 1 or 3 channels, \
             got {height} x {width} x {channels} {}",
            dtype.name()
        )))
    }
}

/// The samples of one shard, read line by line.
#[derive(Debug)]
pub struct SampleLines {
    path: PathBuf,
    reader: BufReader<File>,
    left: u64,
}

impl SampleLines {
    /// Opens `plan-samples.jsonl` at the first line of `shard`.
    ///
    /// # Errors
    /// `Storage`.
    pub fn open(path: &Path, shard: &PlannedShard) -> Result<Self> {
        let mut file = File::open(path).map_err(storage(path, "open"))?;
        file.seek(SeekFrom::Start(shard.offset)).map_err(storage(path, "read"))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), left: shard.count })
    }

    fn read_one(&mut self) -> Result<PlannedSample> {
        let mut line = Vec::new();
        (&mut self.reader)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(storage(&self.path, "read"))?;
        let corrupt = |reason: String| Error::Corrupt {
            path: self.path.clone(),
            reason: format!("not a planned sample: {reason}; rerun `medprep plan`"),
        };
        let sample: PlannedSample =
            serde_json::from_slice(&line).map_err(|e| corrupt(e.to_string()))?;
        sample.check().map_err(corrupt)?;
        Ok(sample)
    }
}

impl Iterator for SampleLines {
    type Item = Result<PlannedSample>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let sample = self.read_one();
        if sample.is_err() {
            self.left = 0;
        }
        Some(sample)
    }
}
