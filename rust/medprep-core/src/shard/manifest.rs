//! The manifest over all records: deterministic, streamed record by record, written last.

use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::annotation::Attributes;
use super::commit::write_atomic;
use super::digest::{Merkle, hex, parse_hex};
use super::lines::JsonLines;
use super::plan::{ImageShape, Plan, PlannedShard};
use super::record::{Record, Row, is_done, record_path};
use crate::error::{Error, Result};

/// `OUT/manifest.json`: no times, hosts, engines or kernels, so that equal data give equal bytes.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    schema: u32,
    digest: String,
    classes: &'a [String],
    pipeline: &'a Value,
    fingerprint: &'a str,
    image: &'a ImageShape,
    channel_mean: Vec<f64>,
    channel_std: Vec<f64>,
    #[serde(serialize_with = "as_object")]
    splits: Vec<(String, SplitEntry)>,
    shards: Vec<ShardEntry>,
    failed: u64,
    layout: &'a Value,
    seed: &'a Value,
    private: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    box_classes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes_dropped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    captions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fast_decode: Option<&'a Value>,
}

#[derive(Debug, Serialize)]
struct ShardEntry {
    name: String,
    split: String,
    index: u32,
    count: u64,
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct SplitEntry {
    samples: u64,
    shards: u64,
    class_counts: Vec<u64>,
    unlabelled: u64,
}

/// One line of `OUT/samples.jsonl`.
#[derive(Serialize)]
struct SampleLine<'a> {
    id: &'a str,
    shard: &'a str,
    row: u64,
    label: i64,
    split: &'a str,
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<u32>,
    crc32c: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes_dropped: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<&'a str>,
}

/// What merging found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergeSummary {
    /// Dataset digest.
    pub digest: String,
    /// Stored samples.
    pub images: u64,
    /// Failed inputs, planning included.
    pub failed: u64,
    /// Shards.
    pub shards: u64,
}

/// Everything added up over the records.
#[derive(Default)]
struct Totals {
    tree: Merkle,
    splits: Vec<(String, SplitEntry, Moments)>,
    shards: Vec<ShardEntry>,
    failed: u64,
    boxes: u64,
    boxes_dropped: u64,
    captions: u64,
}

/// Exact sums per channel; 128 bits hold the squares of any collection.
#[derive(Debug, Clone, Default)]
struct Moments {
    pixels: u128,
    sum: Vec<u128>,
    squares: Vec<u128>,
}

/// Makes `samples.jsonl`, `failures.jsonl` and then `manifest.json` of all shards of the plan.
///
/// # Errors
/// `Spec` when a shard is not done yet (naming the first), `Corrupt` when a record is damaged,
/// `Storage`.
///
/// # Panics
/// Never: a manifest is plain data.
pub fn merge(out: &Path) -> Result<MergeSummary> {
    let plan = Plan::load(out)?;
    check_complete(out, &plan)?;
    let mut totals = Totals::new(&plan);
    let mut samples = JsonLines::create(&out.join("samples.jsonl"))?;
    let mut failures = JsonLines::create(&out.join("failures.jsonl"))?;
    plan.failures.iter().try_for_each(|failure| failures.push(failure))?;
    for shard in &plan.shards {
        totals.add(out, &plan, shard, &mut samples, &mut failures)?;
    }
    samples.commit()?;
    failures.commit()?;
    let manifest = totals.into_manifest(&plan);
    let mut text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
    text.push('\n');
    write_atomic(&out.join("manifest.json"), text.as_bytes())?;
    Ok(MergeSummary {
        images: manifest.shards.iter().map(|shard| shard.count).sum(),
        shards: manifest.shards.len() as u64,
        digest: manifest.digest,
        failed: manifest.failed,
    })
}

/// An object whose keys keep the plan's order.
fn as_object<S: Serializer>(
    splits: &[(String, SplitEntry)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(splits.iter().map(|(name, entry)| (name, entry)))
}

fn check_complete(out: &Path, plan: &Plan) -> Result<()> {
    let missing: Vec<_> = plan
        .shards
        .iter()
        .filter(|shard| !is_done(out, shard, &plan.fingerprint, &plan.samples_sha256))
        .collect();
    match missing.first() {
        None => Ok(()),
        Some(first) => Err(Error::Spec(format!(
            "{} of {} shards are not done, the first is {}; run the same `medprep shard` again",
            missing.len(),
            plan.shards.len(),
            first.name
        ))),
    }
}

impl Totals {
    fn new(plan: &Plan) -> Self {
        let split = |name: &String| {
            let class_counts = vec![0; plan.classes.len()];
            let entry = SplitEntry { samples: 0, shards: 0, class_counts, unlabelled: 0 };
            (name.clone(), entry, Moments::default())
        };
        Self {
            failed: plan.failures.len() as u64,
            splits: plan.splits.iter().map(split).collect(),
            ..Self::default()
        }
    }

    fn add(
        &mut self,
        out: &Path,
        plan: &Plan,
        shard: &PlannedShard,
        samples: &mut JsonLines,
        failures: &mut JsonLines,
    ) -> Result<()> {
        let path = record_path(out, &shard.name);
        let record = Record::load(&path)?;
        let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
        check_belongs(&record, plan, shard).map_err(&corrupt)?;
        let split = self.splits.iter_mut().find(|(name, ..)| *name == shard.split);
        let (_, entry, moments) =
            split.ok_or_else(|| corrupt("split is not in the plan".into()))?;
        for row in &record.rows {
            entry.count(row).map_err(&corrupt)?;
            self.boxes += u64::from(row.boxes.unwrap_or(0));
            self.boxes_dropped += u64::from(row.boxes_dropped.unwrap_or(0));
            self.captions += u64::from(row.caption_bytes.is_some());
            self.tree.push(parse_hex(&row.leaf)?);
            samples.push(&sample_line(&record, row))?;
        }
        record.failures.iter().try_for_each(|failure| failures.push(failure))?;
        entry.shards += 1;
        moments.add(&record);
        self.failed += record.failures.len() as u64;
        self.shards.push(ShardEntry {
            name: record.name,
            split: record.split,
            index: record.index,
            count: record.count,
            bytes: record.bytes,
            sha256: record.sha256,
        });
        Ok(())
    }

    fn into_manifest(self, plan: &Plan) -> Manifest<'_> {
        let train =
            self.splits.iter().find(|(name, _, moments)| name == "train" && moments.pixels > 0);
        let moments = match train {
            Some((.., moments)) => moments.clone(),
            None => self.splits.iter().fold(Moments::default(), |mut all, (.., moments)| {
                all.add_moments(moments);
                all
            }),
        };
        let (channel_mean, channel_std) = moments.mean_and_std(plan.image.dtype.unit());
        let splits = self.splits.into_iter().map(|(name, entry, _)| (name, entry));
        Manifest {
            schema: 1,
            digest: hex(&self.tree.root()),
            classes: &plan.classes,
            pipeline: &plan.spec,
            fingerprint: &plan.fingerprint,
            image: &plan.image,
            channel_mean,
            channel_std,
            splits: splits.collect(),
            shards: self.shards,
            failed: self.failed,
            layout: &plan.layout,
            seed: &plan.seed,
            private: plan.private,
            box_classes: plan.boxes.then_some(&plan.box_classes[..]),
            boxes: plan.boxes.then_some(self.boxes),
            boxes_dropped: plan.boxes.then_some(self.boxes_dropped),
            captions: plan.captions.then_some(self.captions),
            fast_decode: plan.fast_decode.as_ref(),
        }
    }
}

fn check_belongs(
    record: &Record,
    plan: &Plan,
    shard: &PlannedShard,
) -> std::result::Result<(), String> {
    let name = format!("{}.npz", shard.name);
    if record.name != name || record.split != shard.split || record.index != shard.index {
        return Err(format!("expected the record of {name}, found that of {}", record.name));
    }
    let all = (record.rows.len() + record.failures.len()) as u64;
    if all != shard.count || record.rows.len() as u64 != record.count {
        return Err(format!("expected {} planned samples, found {all}", shard.count));
    }
    let channels = plan.image.channels as usize;
    if record.sum.len() != channels || record.sum_squares.len() != channels {
        return Err(format!("expected sums of {channels} channels, found {}", record.sum.len()));
    }
    Ok(())
}

fn sample_line<'a>(record: &'a Record, row: &'a Row) -> SampleLine<'a> {
    SampleLine {
        id: &row.id,
        shard: &record.name,
        row: row.row,
        label: row.label,
        split: &record.split,
        group: row.group.as_deref(),
        path: row.path.as_deref(),
        frame: row.frame,
        crc32c: row.crc32c,
        boxes: row.boxes,
        boxes_dropped: row.boxes_dropped,
        caption_bytes: row.caption_bytes,
        attributes: row.attributes.as_ref(),
        damaged: row.damaged.as_deref(),
    }
}

impl SplitEntry {
    fn count(&mut self, row: &Row) -> std::result::Result<(), String> {
        self.samples += 1;
        let classes = self.class_counts.len();
        match usize::try_from(row.label) {
            Ok(label) if label < classes => self.class_counts[label] += 1,
            Err(_) => self.unlabelled += 1,
            Ok(label) => {
                return Err(format!("label {label} of {}: there are {classes} classes", row.id));
            }
        }
        Ok(())
    }
}

impl Moments {
    fn add(&mut self, record: &Record) {
        self.add_moments(&Self {
            pixels: u128::from(record.pixels),
            sum: record.sum.iter().map(|v| u128::from(*v)).collect(),
            squares: record.sum_squares.clone(),
        });
    }

    fn add_moments(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for (mine, theirs) in [(&mut self.sum, &other.sum), (&mut self.squares, &other.squares)] {
            mine.resize(mine.len().max(theirs.len()), 0);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// Population mean and deviation in units of `1 / unit`; the variance's numerator is an exact
    /// integer.
    fn mean_and_std(&self, unit: f64) -> (Vec<f64>, Vec<f64>) {
        let n = self.pixels;
        let one = |(sum, squares): (&u128, &u128)| {
            if n == 0 {
                return (0.0, 0.0);
            }
            let mean = *sum as f64 / n as f64 / unit;
            // Cauchy-Schwarz keeps it from going below zero; a forged record must not panic.
            let product = n.saturating_mul(*squares);
            let numerator = product.saturating_sub(sum.saturating_mul(*sum));
            (mean, (numerator as f64).sqrt() / n as f64 / unit)
        };
        self.sum.iter().zip(&self.squares).map(one).unzip()
    }
}
