//! Verification finds every damage to a small shard and names the sample it hit.

use std::fs;
use std::path::{Path, PathBuf};

use medprep_core::shard::{
    Annotations, Compression, ImageShape, Npz, PlannedSample, PlannedShard, Problem, Record,
    ShardHeader, ShardWriter, shard_path, verify_shard,
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
        image: ImageShape { height: 3, width: 4, channels: 3, dtype: "uint8".into() },
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
    let (path, record) = write(out.path(), Compression::Deflate, true);
    let sound = fs::read(&path).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15;
    for _ in 0..3000 {
        let mut bytes = sound.clone();
        for _ in 0..=next(&mut state) % 8 {
            let place = next(&mut state) as usize % bytes.len();
            // Extreme values find overflows that flips do not.
            let value = [0, 0xFF, 0x7F, next(&mut state) as u8][next(&mut state) as usize % 4];
            let end = (place + 1 + next(&mut state) as usize % 8).min(bytes.len());
            bytes[place..end].fill(value);
        }
        bytes.truncate(bytes.len() - (next(&mut state) % 3) as usize * 7);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(verify(&path, &record).is_empty(), bytes == sound);
        let _ = verify_shard(&path, None, "", 0);
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
    let other = PlannedSample { split: "val".into(), ..sample(0) };
    let error = writer.append(other, SHAPE, vec![0; 36], None, None).unwrap_err();
    assert_eq!(error.to_string(), "sample must be of split \"train\", got \"val\"");
    let mut escaping = header(Compression::None, false);
    escaping.shard.split = "../up".into();
    escaping.shard.name = "../up-00007".into();
    assert!(ShardWriter::create(out.path(), escaping).is_err());
}
