//! Verification finds every damage to a small shard and names the sample it hit.

use std::fs;
use std::path::{Path, PathBuf};

use medprep_core::shard::{
    Annotations, Compression, ImageShape, Npz, PixelType, PlannedBox, PlannedSample, PlannedShard,
    Problem, Record, ShardHeader, ShardWriter, shard_path, verify_shard,
};

const SHAPE: (usize, usize, usize) = (3, 4, 3);

fn header(compression: Compression, force_zip64: bool) -> ShardHeader {
    ShardHeader {
        shard: PlannedShard {
            name: "train-00007".into(),
            split: "train".into(),
            index: 7,
            offset: 0,
            count: 6,
        },
        image: ImageShape { height: 3, width: 4, channels: 3, dtype: PixelType::Uint8 },
        fingerprint: "f".repeat(64),
        samples_sha256: "5".repeat(64),
        id_width: 8,
        group_width: Some(3),
        annotations: Annotations::default(),
        private: false,
        compression,
        force_zip64,
    }
}

fn sample(row: i64) -> PlannedSample {
    PlannedSample {
        id: format!("a/é{row}.png"),
        path: format!("a/é{row}.png"),
        label: row - 1,
        split: "train".into(),
        group: (row > 0).then(|| format!("g{row}")),
        ..PlannedSample::default()
    }
}

/// Five rows and one failure.
fn write(out: &Path, compression: Compression, force_zip64: bool) -> (PathBuf, Record) {
    let mut writer = ShardWriter::create(out, header(compression, force_zip64)).unwrap();
    for row in 0..5 {
        let pixels = (0..36).map(|v| (v * 7 + row * 31) as u8).collect();
        writer.append(sample(row), SHAPE, pixels, None, None).unwrap();
    }
    writer.fail("a/bad.png", "a/bad.png", "decode", "cannot decode PNG: empty");
    let record = writer.finish().unwrap();
    (shard_path(out, "train-00007"), record)
}

/// The same with boxes and captions; the second box of every sample was cut away.
fn write_annotated(out: &Path, compression: Compression, force_zip64: bool) -> (PathBuf, Record) {
    let mut header = header(compression, force_zip64);
    header.annotations = Annotations { boxes: true, captions: true };
    let mut writer = ShardWriter::create(out, header).unwrap();
    for row in 0..5u8 {
        let kept = usize::from(row % 3);
        let planned = vec![PlannedBox(0.0, 0.0, 4.0, 3.0, 2); kept + 1];
        let boxes = vec![[0.5, 0.0, 3.5, f32::from(row) / 4.0 + 0.25, 2.0]; kept];
        let sample = PlannedSample {
            boxes: Some(planned),
            caption: (row != 1).then(|| format!("größe {row}")),
            ..sample(row.into())
        };
        let pixels = (0..36u8).map(|v| v.wrapping_mul(7) ^ row).collect();
        writer.append(sample, SHAPE, pixels, Some(boxes), None).unwrap();
    }
    writer.fail("a/bad.png", "a/bad.png", "decode", "cannot decode PNG: empty");
    let record = writer.finish().unwrap();
    (shard_path(out, "train-00007"), record)
}

fn verify(path: &Path, record: &Record) -> Vec<Problem> {
    verify_shard(path, Some(record), &record.sha256, record.bytes)
}

#[test]
fn a_sound_shard_has_no_problems_in_every_form() {
    for compression in [Compression::None, Compression::Deflate] {
        for force_zip64 in [false, true] {
            let out = tempfile::tempdir().unwrap();
            let (path, record) = write(out.path(), compression, force_zip64);
            assert_eq!(verify(&path, &record), []);
            assert_eq!(verify_shard(&path, None, &record.sha256, record.bytes), []);
            let file = fs::File::open(&path).unwrap();
            let npz = Npz::read(&file, record.bytes).unwrap();
            assert_eq!(npz.members.len(), 4);
            assert_eq!(npz.member("images.npy").unwrap().shape, [5, 3, 4, 3]);
            assert_eq!(npz.member("ids.npy").unwrap().descr, "<U8");
            if compression == Compression::None {
                assert!(npz.members.iter().all(|member| member.body_offset % 64 == 0));
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_found_and_names_its_sample() {
    for (compression, force_zip64) in
        [(Compression::None, false), (Compression::None, true), (Compression::Deflate, false)]
    {
        let out = tempfile::tempdir().unwrap();
        let (path, record) = write(out.path(), compression, force_zip64);
        let sound = fs::read(&path).unwrap();
        let npz = Npz::read(&fs::File::open(&path).unwrap(), record.bytes).unwrap();
        let mut named = 0;
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &damaged).unwrap();
            let problems = verify(&path, &record);
            assert!(!problems.is_empty(), "bit {bit} of {compression:?}");
            assert!(problems.iter().all(|problem| problem.shard == "train-00007.npz"));
            if compression == Compression::None {
                let row = hit_row(&npz, (bit / 8) as u64);
                let expected = row.map(|row| (record.rows[row].id.clone(), row as u64));
                let found: Vec<_> =
                    problems.iter().filter_map(|p| p.id.clone().zip(p.row)).collect();
                assert_eq!(found, expected.iter().cloned().collect::<Vec<_>>(), "bit {bit}");
                let paths: Vec<_> = problems.iter().filter_map(|p| p.path.clone()).collect();
                assert_eq!(paths.len(), found.len());
                named += found.len();
            }
        }
        if compression == Compression::None {
            assert_eq!(named, 8 * 5 * (36 + 8 + 4 * 8 + 4 * 3));
        }
    }
}

#[test]
fn an_annotated_shard_is_sound_in_every_form() {
    for compression in [Compression::None, Compression::Deflate] {
        for force_zip64 in [false, true] {
            let out = tempfile::tempdir().unwrap();
            let (path, record) = write_annotated(out.path(), compression, force_zip64);
            assert_eq!(verify(&path, &record), []);
            assert_eq!(verify_shard(&path, None, &record.sha256, record.bytes), []);
            let npz = Npz::read(&fs::File::open(&path).unwrap(), record.bytes).unwrap();
            let shapes: Vec<_> =
                npz.members[4..].iter().map(|m| (m.name.as_str(), m.shape.clone())).collect();
            assert_eq!(
                shapes,
                [
                    ("boxes.npy", vec![4, 4]),
                    ("box_labels.npy", vec![4]),
                    ("box_offsets.npy", vec![6]),
                    ("captions.npy", vec![36]),
                    ("caption_offsets.npy", vec![6]),
                ]
            );
            let counts: Vec<_> =
                record.rows.iter().map(|r| (r.boxes, r.boxes_dropped, r.caption_bytes)).collect();
            assert_eq!(counts[..2], [(Some(0), Some(1), Some(9)), (Some(1), Some(1), None)]);
        }
    }
}

#[test]
fn every_flipped_bit_of_boxes_and_captions_names_its_sample() {
    let out = tempfile::tempdir().unwrap();
    let (path, record) = write_annotated(out.path(), Compression::None, false);
    let sound = fs::read(&path).unwrap();
    let npz = Npz::read(&fs::File::open(&path).unwrap(), record.bytes).unwrap();
    for member in &npz.members[4..] {
        for bit in 0..member.body_bytes * 8 {
            let mut damaged = sound.clone();
            damaged[(member.body_offset + bit / 8) as usize] ^= 1 << (bit % 8);
            fs::write(&path, &damaged).unwrap();
            let rows: Vec<_> = verify(&path, &record).into_iter().filter_map(|p| p.row).collect();
            let unit = bit / 8 * member.shape[0] / member.body_bytes;
            let expected = match member.name.as_str() {
                "box_offsets.npy" | "caption_offsets.npy" => unit.checked_sub(1),
                // Rows 1, 2 and 4 have 1, 2 and 1 boxes; row 1 has no caption.
                "captions.npy" => Some([0, 2, 3, 4][unit as usize / 9]),
                _ => Some([1, 2, 2, 4][unit as usize]),
            };
            assert_eq!(rows, Vec::from_iter(expected), "bit {bit} of {}", member.name);
            assert!(!verify_shard(&path, None, &record.sha256, record.bytes).is_empty());
        }
    }
}

#[test]
fn boxes_that_were_not_planned_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let mut with_boxes = header(Compression::None, false);
    with_boxes.annotations.boxes = true;
    let planned = |boxes| PlannedSample { boxes, ..sample(0) };
    let one = Some(vec![PlannedBox(0.0, 0.0, 1.0, 1.0, 0)]);
    let stored = |count: usize| Some(vec![[0.0, 0.0, 1.0, 1.0, 0.0]; count]);
    for (header, sample, boxes, reason) in [
        (header(Compression::None, false), planned(one.clone()), stored(1), "has boxes, which"),
        (with_boxes.clone(), planned(one.clone()), stored(2), "are planned, Some(2) are placed"),
        (with_boxes.clone(), planned(one), None, "are planned, None are placed"),
        (with_boxes, planned(None), stored(1), "None boxes are planned"),
    ] {
        let mut writer = ShardWriter::create(out.path(), header).unwrap();
        let error = writer.append(sample, SHAPE, vec![0; 36], boxes, None).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// The row whose image, label, id or group holds this byte.
fn hit_row(npz: &Npz, byte: u64) -> Option<usize> {
    let member = npz.members.iter().find(|member| {
        (member.body_offset..member.body_offset + member.body_bytes).contains(&byte)
    })?;
    let row_bytes = member.body_bytes / member.shape[0];
    Some(((byte - member.body_offset) / row_bytes) as usize)
}

#[test]
fn every_truncation_and_extension_is_found() {
    for compression in [Compression::None, Compression::Deflate] {
        let out = tempfile::tempdir().unwrap();
        let (path, record) = write(out.path(), compression, false);
        let sound = fs::read(&path).unwrap();
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            let problems = verify(&path, &record);
            assert!(
                problems[0].message.contains(&format!("has {length} bytes, expected")),
                "{length}"
            );
            // Even the first row is gone when only the headers are left.
            if compression == Compression::None && length <= 256 {
                let rows: Vec<_> = problems.iter().filter_map(|p| p.row).collect();
                assert_eq!(rows[..5], [0, 1, 2, 3, 4], "{length}");
            }
        }
        fs::write(&path, [&sound[..], b"x"].concat()).unwrap();
        assert!(verify(&path, &record).len() >= 2);
        fs::remove_file(&path).unwrap();
        assert!(verify(&path, &record)[0].message.starts_with("cannot open: "));
    }
}

#[test]
fn a_shard_that_matches_its_hash_but_not_its_record_is_found() {
    let out = tempfile::tempdir().unwrap();
    let (path, record) = write(out.path(), Compression::None, false);
    let with = |change: &dyn Fn(&mut Record)| {
        let mut record = record.clone();
        change(&mut record);
        verify(&path, &record)
    };
    let first = |problems: Vec<Problem>| (problems[0].message.clone(), problems[0].row);
    let (message, row) = first(with(&|r| r.rows[2].crc32c ^= 1));
    assert!(message.contains("pixels have CRC-32C") && row == Some(2), "{message}");
    let (message, row) = first(with(&|r| r.rows[3].leaf = "0".repeat(64)));
    assert!(message.contains("leaf hash is") && row == Some(3), "{message}");
    assert_eq!(first(with(&|r| r.rows[1].label = 9)).1, Some(1));
    let (message, row) = first(with(&|r| r.rows[4].group = Some("gX".into())));
    assert_eq!((message.as_str(), row), ("group differs, expected \"gX\"", Some(4)));
    assert!(first(with(&|r| r.count = 6)).0.contains("has 5 rows, expected 6"));
}

/// xorshift: the tests need no better randomness and no dependency.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn hostile_bytes_never_panic_and_are_never_sound() {
    let out = tempfile::tempdir().unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let (path, record) = write(out.path(), Compression::Deflate, true);
    never_sound(&path, &record, 2000, &mut state);
    for compression in [Compression::Deflate, Compression::None] {
        let (path, record) = write_annotated(out.path(), compression, true);
        never_sound(&path, &record, 2000, &mut state);
    }
}

fn never_sound(path: &Path, record: &Record, rounds: usize, state: &mut u64) {
    let sound = fs::read(path).unwrap();
    for _ in 0..rounds {
        let mut bytes = sound.clone();
        for _ in 0..=next(state) % 8 {
            let place = next(state) as usize % bytes.len();
            // Extreme values find overflows that flips do not.
            let value = [0, 0xFF, 0x7F, next(state) as u8][next(state) as usize % 4];
            let end = (place + 1 + next(state) as usize % 8).min(bytes.len());
            bytes[place..end].fill(value);
        }
        bytes.truncate(bytes.len() - (next(state) % 3) as usize * 7);
        fs::write(path, &bytes).unwrap();
        assert_eq!(verify(path, record).is_empty(), bytes == sound);
        let _ = verify_shard(path, None, "", 0);
    }
}

#[test]
fn an_abandoned_or_refused_shard_leaves_nothing() {
    let out = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(out.path(), header(Compression::None, false)).unwrap();
    writer.append(sample(0), SHAPE, vec![0; 36], None, None).unwrap();
    drop(writer);
    let mut writer = ShardWriter::create(out.path(), header(Compression::None, false)).unwrap();
    let long = PlannedSample { id: "longer than 8".into(), ..sample(0) };
    writer.append(long, SHAPE, vec![0; 36], None, None).unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.to_string(), "ids.npy: 8 characters were planned, got 13");
    let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["records"]);
    assert_eq!(fs::read_dir(out.path().join("records")).unwrap().count(), 0);
}

#[test]
fn an_image_or_sample_that_does_not_belong_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(out.path(), header(Compression::None, false)).unwrap();
    let error = writer.append(sample(0), (3, 4, 1), vec![0; 12], None, None).unwrap_err();
    assert!(error.to_string().contains("image must be (3, 4, 3)"), "{error}");
    let beyond = PlannedSample { frame: Some(10_000), ..sample(0) };
    let error = writer.append(beyond, SHAPE, vec![0; 36], None, None).unwrap_err();
    assert_eq!(error.to_string(), "frame 10000: a file has at most 10000");
    let other = PlannedSample { split: "val".into(), ..sample(0) };
    let error = writer.append(other, SHAPE, vec![0; 36], None, None).unwrap_err();
    assert_eq!(error.to_string(), "sample must be of split \"train\", got \"val\"");
    let mut escaping = header(Compression::None, false);
    escaping.shard.split = "../up".into();
    escaping.shard.name = "../up-00007".into();
    assert!(ShardWriter::create(out.path(), escaping).is_err());
}
