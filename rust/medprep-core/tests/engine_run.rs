//! The engine: same bytes for any number of threads, order kept, nothing lost, nothing half-written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use medprep_core::engine::{Control, Job, Report, run};
use medprep_core::shard::{Record, merge, record_path, shard_path, verify_shard};
use medprep_core::{Error, Result};
use serde_json::{Value, json};

const SPEC: &str = r#"{"steps": [{"step": "decode", "channels": "rgb"},
    {"step": "resize", "height": 16, "width": 24, "mode": "stretch", "interpolation": "linear"},
    {"step": "gamma", "gamma": 1.2}, {"step": "median", "size": 3}], "dtype": "uint8"}"#;

/// A source folder of made-up PNGs, every `bad`-th broken, and its plan.
struct World {
    _folder: tempfile::TempDir,
    root: PathBuf,
    out: PathBuf,
}

fn png_bytes(seed: u32) -> Vec<u8> {
    let (width, height) = (20 + seed % 30, 12 + seed % 17);
    let pixels: Vec<u8> =
        (0..width * height * 3).map(|v| (v.wrapping_mul(0x9E37_79B1 ^ seed) >> 13) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

impl World {
    fn new(images: u32, bad: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, out) = (folder.path().join("src"), folder.path().join("out"));
        fs::create_dir_all(&root).unwrap();
        for number in 0..images {
            let mut bytes = png_bytes(number);
            if bad > 0 && number % bad == bad - 1 {
                bytes.truncate(40);
            }
            fs::write(root.join(format!("{number:04}.png")), bytes).unwrap();
        }
        Self { _folder: folder, root, out }
    }

    /// Plans the images in shards of `per_shard` and returns the job.
    fn plan(&self, out: &Path, images: u32, per_shard: u32) -> Value {
        fs::create_dir_all(out).unwrap();
        let (mut lines, mut shards) = (String::new(), Vec::new());
        for first in (0..images).step_by(per_shard as usize) {
            let index = first / per_shard;
            let count = per_shard.min(images - first);
            let name = format!("train-{index:05}");
            shards.push(json!({"name": name, "split": "train", "index": index,
                               "offset": lines.len(), "count": count}));
            for number in first..first + count {
                let path = format!("{number:04}.png");
                let group = (number % 4 != 0).then(|| format!("p{}", number / 3));
                let line = json!({"id": path, "path": path, "label": number % 2, "split": "train",
                                  "group": group});
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
        }
        let samples = out.join("plan-samples.jsonl");
        fs::write(&samples, &lines).unwrap();
        let spec: Value = serde_json::from_str(SPEC).unwrap();
        let image = json!({"height": 16, "width": 24, "channels": 3, "dtype": "uint8"});
        let fingerprint = medprep_core::pipeline::Spec::from_json(SPEC).unwrap().fingerprint();
        let plan = json!({"schema": 1, "layout": "files", "spec": spec, "fingerprint": fingerprint,
            "classes": ["a", "b"], "splits": ["train", "val"], "seed": 1, "private": false,
            "image": image, "samples_sha256": "ab", "shards": shards, "failures": []});
        fs::write(out.join("plan.json"), plan.to_string()).unwrap();
        json!({"root": self.root, "out": out, "plan_samples": samples, "shards": shards,
               "spec": spec, "image": image, "threads": 2, "samples_sha256": "ab"})
    }
}

fn run_job(job: &Value) -> Result<Report> {
    run(&Job::from_json(&job.to_string())?, &Control::default())
}

/// Every file of OUT but the plan, by name.
fn outputs(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [out.to_owned(), out.join("records")] {
        for entry in fs::read_dir(folder).unwrap().map(std::result::Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.path().is_file() && !name.starts_with("plan") {
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let world = World::new(61, 7);
    for compress in ["none", "deflate"] {
        let mut seen: Option<BTreeMap<_, _>> = None;
        for threads in [1, 2, 4, 13] {
            let out = world.out.join(format!("{compress}-{threads}"));
            let mut job = world.plan(&out, 61, 9);
            job["threads"] = threads.into();
            job["compress"] = compress.into();
            let report = run_job(&job).unwrap();
            assert_eq!((report.images, report.failed, report.records.len()), (53, 8, 7));
            assert!(!report.stopped);
            merge(&out).unwrap();
            let files = outputs(&out);
            assert_eq!(files.len(), 7 + 7 + 3);
            match &seen {
                None => seen = Some(files),
                Some(first) => assert!(*first == files, "{threads} threads, {compress}"),
            }
        }
    }
}

#[test]
fn rows_keep_the_plan_order_and_failures_say_why() {
    let world = World::new(40, 5);
    let job = world.plan(&world.out, 40, 15);
    let report = run_job(&job).unwrap();
    assert_eq!(report.records, ["train-00000", "train-00001", "train-00002"]);
    let mut seen = Vec::new();
    for name in &report.records {
        let record = Record::load(&record_path(&world.out, name)).unwrap();
        assert!(record.rows.iter().enumerate().all(|(place, row)| row.row == place as u64));
        assert!(record.rows.is_sorted_by(|a, b| a.id < b.id));
        for failure in &record.failures {
            assert_eq!(failure.stage, "decode");
            assert!(failure.reason.starts_with("cannot decode PNG: "), "{}", failure.reason);
        }
        let path = shard_path(&world.out, name);
        assert_eq!(verify_shard(&path, Some(&record), &record.sha256, record.bytes), []);
        seen.extend(record.rows.into_iter().map(|row| row.id));
        seen.extend(record.failures.into_iter().filter_map(|failure| failure.id));
    }
    seen.sort();
    assert!(seen.into_iter().eq((0..40).map(|number| format!("{number:04}.png"))));
}

#[test]
fn a_shard_of_failures_only_is_an_empty_shard() {
    let world = World::new(6, 1);
    let job = world.plan(&world.out, 6, 3);
    let report = run_job(&job).unwrap();
    assert_eq!((report.images, report.failed, report.records.len()), (0, 6, 2));
    let record = Record::load(&record_path(&world.out, "train-00001")).unwrap();
    let path = shard_path(&world.out, "train-00001");
    assert_eq!(verify_shard(&path, Some(&record), &record.sha256, record.bytes), []);
    let summary = merge(&world.out).unwrap();
    assert_eq!((summary.images, summary.failed), (0, 6));
}

#[test]
fn running_again_makes_only_what_is_missing_and_the_same_bytes() {
    let world = World::new(30, 0);
    let job = world.plan(&world.out, 30, 10);
    run_job(&job).unwrap();
    let before = outputs(&world.out);
    let again = run_job(&job).unwrap();
    assert_eq!((again.skipped, again.images, again.records.len()), (3, 0, 3));
    fs::remove_file(record_path(&world.out, "train-00001")).unwrap();
    let shard = shard_path(&world.out, "train-00002");
    fs::write(&shard, &before["train-00002.npz"][..100]).unwrap();
    let dead = format!(".train-00000.npz.tmp-{}-{}-00", host(), 1 << 30);
    fs::write(world.out.join(dead), "half").unwrap();
    assert!(merge(&world.out).unwrap_err().to_string().starts_with("2 of 3 shards are not done"));
    let again = run_job(&job).unwrap();
    assert_eq!((again.skipped, again.images, again.records.len()), (1, 20, 3));
    assert!(outputs(&world.out) == before);
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

#[test]
fn another_specification_or_plan_does_not_count_as_done() {
    let world = World::new(10, 0);
    let mut job = world.plan(&world.out, 10, 10);
    run_job(&job).unwrap();
    job["spec"]["steps"][2]["gamma"] = json!(1.3);
    assert_eq!(run_job(&job).unwrap().images, 10);
    job["samples_sha256"] = "cd".into();
    assert_eq!(run_job(&job).unwrap().images, 10);
}

#[test]
fn on_error_fail_ends_with_the_first_bad_file_in_plan_order() {
    let world = World::new(40, 11);
    let mut job = world.plan(&world.out, 40, 5);
    job["on_error"] = "fail".into();
    for threads in [1, 2, 4] {
        job["threads"] = threads.into();
        let error = run_job(&job).unwrap_err();
        assert_eq!((error.item(), error.stage()), (Some("0010.png"), "decode"));
        let names: Vec<_> = outputs(&world.out).into_keys().collect();
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    }
    job["private"] = true.into();
    let lines = fs::read_to_string(world.out.join("plan-samples.jsonl")).unwrap();
    let lines = lines.replace("\"id\":\"00", "\"id\":\"id");
    fs::write(world.out.join("plan-samples.jsonl"), lines).unwrap();
    let error = run_job(&job).unwrap_err();
    assert!(error.to_string().starts_with("id10.png: cannot decode PNG"), "{error}");
}

#[test]
fn private_records_hold_ids_and_no_paths() {
    let world = World::new(8, 4);
    let mut job = world.plan(&world.out, 8, 8);
    job["private"] = true.into();
    let lines = fs::read_to_string(world.out.join("plan-samples.jsonl")).unwrap();
    fs::write(world.out.join("plan-samples.jsonl"), lines.replace("\"id\":\"00", "\"id\":\"id"))
        .unwrap();
    fs::remove_file(world.root.join("0005.png")).unwrap();
    run_job(&job).unwrap();
    let record = fs::read_to_string(record_path(&world.out, "train-00000")).unwrap();
    assert!(record.contains("id05.png") && record.contains("cannot read: "), "{record}");
    assert!(!record.contains("\"path\"") && !record.contains("0005.png"), "{record}");
}

#[test]
fn a_stopped_run_finishes_the_shards_in_flight_and_the_next_one_goes_on() {
    let world = World::new(60, 0);
    let whole = world.out.join("whole");
    run_job(&world.plan(&whole, 60, 6)).unwrap();
    let out = world.out.join("stopped");
    let job = world.plan(&out, 60, 6);
    let control = Arc::new(Control::default());
    let stopper = Arc::clone(&control);
    let watcher = thread::spawn(move || {
        while stopper.progress().0 < 8 {
            thread::sleep(Duration::from_micros(50));
        }
        stopper.stop();
    });
    let report = run(&Job::from_json(&job.to_string()).unwrap(), &control).unwrap();
    watcher.join().unwrap();
    assert_eq!(report.stopped, report.records.len() < 10);
    assert_eq!(report.images, 6 * report.records.len() as u64);
    assert!(!run_job(&job).unwrap().stopped);
    assert!(outputs(&out) == outputs(&whole));
}

#[test]
fn a_run_that_is_stopped_before_it_begins_does_nothing() {
    let world = World::new(4, 0);
    let job = Job::from_json(&world.plan(&world.out, 4, 2).to_string()).unwrap();
    let control = Control::default();
    control.stop();
    let report = run(&job, &control).unwrap();
    assert!(report.stopped && report.records.is_empty() && report.images == 0);
}

#[test]
fn a_cancelled_run_leaves_whole_shards_only() {
    let world = World::new(60, 0);
    let job = world.plan(&world.out, 60, 20);
    let control = Arc::new(Control::default());
    let canceller = Arc::clone(&control);
    let watcher = thread::spawn(move || {
        while canceller.progress().0 < 25 {
            thread::sleep(Duration::from_micros(50));
        }
        canceller.cancel();
    });
    let ended = run(&Job::from_json(&job.to_string()).unwrap(), &control);
    watcher.join().unwrap();
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    for name in outputs(&world.out).into_keys() {
        assert!(!name.starts_with('.'), "{name} was left");
    }
}

#[test]
fn paths_that_lead_out_are_failures_like_others() {
    let world = World::new(4, 0);
    let secret = world.root.parent().unwrap().join("secret.png");
    fs::write(&secret, png_bytes(1)).unwrap();
    fs::remove_file(world.root.join("0001.png")).unwrap();
    symlink(&secret, world.root.join("0001.png")).unwrap();
    let job = world.plan(&world.out, 4, 4);
    let lines = fs::read_to_string(world.out.join("plan-samples.jsonl")).unwrap();
    let escaping = lines.replace("\"path\":\"0002.png\"", "\"path\":\"../secret.png\"");
    fs::write(world.out.join("plan-samples.jsonl"), escaping).unwrap();
    let report = run_job(&job).unwrap();
    assert_eq!((report.images, report.failed), (2, 2));
    let record = Record::load(&record_path(&world.out, "train-00000")).unwrap();
    for failure in record.failures {
        assert_eq!(failure.stage, "read");
        assert_eq!(failure.reason, "cannot read: the path leads out of the source folder");
    }
}

#[test]
fn a_wrong_job_says_what_is_wrong() {
    let world = World::new(2, 0);
    let job = world.plan(&world.out, 2, 2);
    let message = |change: &dyn Fn(&mut Value)| {
        let mut job = job.clone();
        change(&mut job);
        run_job(&job).unwrap_err().to_string()
    };
    assert!(message(&|job| job["thread"] = 1.into()).contains("unknown field `thread`"));
    assert!(
        message(&|job| job["image"]["height"] = 15.into()).contains("the steps yield (16, 24, 3)")
    );
    assert!(
        message(&|job| job["root"] = "/nowhere".into()).starts_with("source folder /nowhere: ")
    );
    assert!(
        message(&|job| job["shards"][0]["name"] = "../x".into()).contains("shard name must be")
    );
    let torn = message(&|job| job["shards"][0]["offset"] = 3.into());
    assert!(torn.contains("not a planned sample") && torn.contains("medprep plan"), "{torn}");
}

#[test]
fn an_output_that_cannot_be_written_is_a_storage_error() {
    let world = World::new(2, 0);
    let mut job = world.plan(&world.out, 2, 2);
    let file = world.root.parent().unwrap().join("a-file");
    fs::write(&file, "").unwrap();
    job["out"] = json!(file.join("out"));
    let error = run_job(&job).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error}");
    assert!(error.to_string().contains("a-file/out"), "{error}");
}

#[test]
fn a_shard_that_cannot_be_committed_ends_the_run_and_leaves_whole_shards_only() {
    for threads in [1, 3] {
        let world = World::new(60, 0);
        let mut job = world.plan(&world.out, 60, 10);
        job["threads"] = threads.into();
        // No file can take its name.
        fs::create_dir(shard_path(&world.out, "train-00001")).unwrap();
        let error = run_job(&job).unwrap_err();
        assert!(matches!(error, Error::Storage { .. }), "{error}");
        assert!(error.to_string().contains("train-00001.npz"), "{error}");
        let files = outputs(&world.out);
        assert!(!files.contains_key("train-00001.json"));
        for name in files.keys() {
            assert!(!name.starts_with('.'), "{name} was left");
            let Some(name) = name.strip_suffix(".json") else { continue };
            let record = Record::load(&record_path(&world.out, name)).unwrap();
            let path = shard_path(&world.out, name);
            assert_eq!(verify_shard(&path, Some(&record), &record.sha256, record.bytes), []);
        }
    }
}

#[test]
fn with_on_error_fail_the_shards_before_the_first_bad_file_are_committed() {
    let world = World::new(30, 25);
    let mut job = world.plan(&world.out, 30, 10);
    job["threads"] = 1.into();
    job["on_error"] = "fail".into();
    assert!(matches!(run_job(&job), Err(Error::Decode { .. })));
    let names: Vec<_> = outputs(&world.out).into_keys().collect();
    assert_eq!(
        names,
        ["train-00000.json", "train-00000.npz", "train-00001.json", "train-00001.npz"]
    );
}

#[test]
fn the_manifest_sums_up_the_records() {
    let world = World::new(30, 6);
    let job = world.plan(&world.out, 30, 12);
    run_job(&job).unwrap();
    let summary = merge(&world.out).unwrap();
    let text = fs::read_to_string(world.out.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["digest"], summary.digest.as_str());
    assert_eq!(manifest["splits"]["train"]["samples"], 25);
    assert_eq!(manifest["splits"]["train"]["class_counts"], json!([15, 10]));
    assert_eq!(manifest["splits"]["val"]["samples"], 0);
    assert_eq!(manifest["failed"], 5);
    assert_eq!(fs::read_to_string(world.out.join("samples.jsonl")).unwrap().lines().count(), 25);
    assert_eq!(fs::read_to_string(world.out.join("failures.jsonl")).unwrap().lines().count(), 5);
    let mean = manifest["channel_mean"][1].as_f64().unwrap();
    assert!((1.0..255.0).contains(&mean));
}
