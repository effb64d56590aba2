//! Rows, shards and whole runs.

use std::fs;
use std::path::Path;

use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use medprep_benches::{image, jpeg, preset};
use medprep_core::engine::{Control, Job, run};
use medprep_core::shard::{
    Annotations, Compression, ImageShape, PixelType, PlannedSample, PlannedShard, Record,
    RowEncoder, RowFields, ShardHeader, ShardWriter, shard_path, verify_shard,
};
use serde_json::{Value, json};

const SHAPE: (usize, usize, usize) = (224, 224, 3);
const ROW_BYTES: usize = 224 * 224 * 3;

fn main() {
    divan::main();
}

/// Checksums and sums of one row (with compression: that and the leaf hash).
#[divan::bench(args = [Compression::None, Compression::Deflate], max_time = 2)]
fn encode_row(bencher: Bencher, compression: Compression) {
    let pixels = image(224, 3).into_vec();
    let encoder = RowEncoder::new("train", SHAPE, PixelType::Uint8, compression);
    bencher
        .counter(BytesCount::new(ROW_BYTES))
        .with_inputs(|| pixels.clone())
        .bench_values(|pixels| encoder.encode(RowFields::default(), pixels));
}

/// A shard whose rows are in the file and whose end is not.
fn begin_shard(out: &Path, rows: u64) -> ShardWriter {
    let header = ShardHeader {
        shard: PlannedShard {
            name: "train-00000".into(),
            split: "train".into(),
            index: 0,
            offset: 0,
            count: rows,
        },
        image: ImageShape { height: 224, width: 224, channels: 3, dtype: PixelType::Uint8 },
        fingerprint: String::new(),
        samples_sha256: String::new(),
        id_width: 16,
        group_width: None,
        annotations: Annotations::default(),
        private: false,
        compression: Compression::None,
        force_zip64: false,
    };
    let mut writer = ShardWriter::create(out, header).expect("a writable folder");
    let pixels = image(224, 3).into_vec();
    for row in 0..rows {
        let id = format!("{row:08}.jpg");
        let sample = PlannedSample {
            path: id.clone(),
            id,
            split: "train".into(),
            ..PlannedSample::default()
        };
        writer.append(sample, SHAPE, pixels.clone(), None, None).expect("room on the disk");
    }
    writer
}

fn write_shard(out: &Path, rows: u64) -> Record {
    begin_shard(out, rows).finish().expect("room on the disk")
}

/// A shard of 256 MiB: rows, arrays, read-back hashes, sync, rename, record.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn write_256_mib(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = (256 << 20) / ROW_BYTES;
    bencher
        .counter(BytesCount::new(rows * ROW_BYTES))
        .bench_local(|| write_shard(folder.path(), rows as u64));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn verify_256_mib(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = write_shard(folder.path(), ((256 << 20) / ROW_BYTES) as u64);
    let path = shard_path(folder.path(), "train-00000");
    bencher.counter(BytesCount::new(record.bytes)).bench_local(|| {
        let problems = verify_shard(&path, Some(&record), &record.sha256, record.bytes);
        assert!(problems.is_empty());
    });
}

/// The end of a shard of 256 MiB before the disk is waited for: small arrays, read-back hashes.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn close_256_mib(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = (256 << 20) / ROW_BYTES;
    bencher
        .counter(BytesCount::new(rows * ROW_BYTES))
        .with_inputs(|| begin_shard(folder.path(), rows as u64))
        .bench_local_values(|writer| writer.close().expect("room on the disk"));
}

/// A planned run of `images` JPEGs of 512 x 512 in shards of 50.
fn plan(folder: &Path, images: usize, threads: usize) -> Job {
    let data = jpeg(&image(512, 3));
    let (mut lines, mut shards) = (String::new(), Vec::new());
    for number in 0..images {
        if number % 50 == 0 {
            let index = number / 50;
            shards.push(json!({"name": format!("train-{index:05}"), "split": "train",
                "index": index, "offset": lines.len(), "count": 50.min(images - number)}));
        }
        let path = format!("{number:05}.jpg");
        fs::write(folder.join(&path), &data).expect("room on the disk");
        let line = json!({"id": path, "path": path, "label": 0, "split": "train"});
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let samples = folder.join("plan-samples.jsonl");
    fs::write(&samples, lines).expect("room on the disk");
    let spec: Value = serde_json::from_str(&preset("glaucoma")).expect("presets are valid");
    let job = json!({"root": folder, "out": folder.join("out"), "plan_samples": samples,
        "shards": shards, "spec": spec, "threads": threads, "samples_sha256": "",
        "image": {"height": 224, "width": 224, "channels": 3, "dtype": "uint8"}});
    Job::from_json(&job.to_string()).expect("a good job")
}

/// The glaucoma preset from files to shards. Throughput counts images.
#[divan::bench(args = [1, 2, 4, 8], sample_count = 3, sample_size = 1)]
fn run_glaucoma_200(bencher: Bencher, threads: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let job = plan(folder.path(), 200, threads);
    bencher.counter(ItemsCount::new(200_usize)).bench_local(|| {
        let report = run(&job, &Control::default()).expect("a healthy run");
        fs::remove_dir_all(&job.out).expect("its own folder");
        assert_eq!(report.images, 200);
    });
}
