//! Checking every byte of a shard against its manifest entry and its record.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::{Decompress, FlushDecompress, Status};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::digest::{LeafHasher, SampleFields, hex};
use super::member::Compression;
use super::plan::PixelType;
use super::reader::{Npz, NpzMember};
use super::record::{Record, Row};
use super::verify_annotations::{self, ReadAnnotations};
use super::writer::fixed_width;

const PIECE_BYTES: usize = 1 << 20;
/// Rows named before the rest is only counted.
const MAX_NAMED: usize = 100;

/// One thing that is wrong with a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File name of the shard.
    pub shard: String,
    /// Expected and found.
    pub message: String,
    /// The sample, when one is affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Its source file; absent in private mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Checks a shard: size, SHA-256, structure, and, against its record, every row's CRC-32C and leaf
/// hash (boxes and caption included), label, id and group. Returns what is wrong, nothing when the shard is sound.
pub fn verify_shard(
    path: &Path,
    record: Option<&Record>,
    sha256: &str,
    bytes: u64,
) -> Vec<Problem> {
    let shard =
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut problems = Problems { shard, list: Vec::new(), unnamed: 0 };
    match File::open(path).and_then(|file| Ok((file.metadata()?.len(), file))) {
        Err(e) => problems.file(format!("cannot open: {e}")),
        Ok((length, file)) => check_file(&file, length, record, sha256, bytes, &mut problems),
    }
    problems.finish()
}

fn check_file(
    file: &File,
    length: u64,
    record: Option<&Record>,
    sha256: &str,
    bytes: u64,
    problems: &mut Problems,
) {
    if length != bytes {
        problems.file(format!("has {length} bytes, expected {bytes}"));
    }
    match hash_file(file, length) {
        Err(e) => problems.file(format!("cannot read: {e}")),
        Ok(found) if found != sha256 => {
            problems.file(format!("SHA-256 is {found}, expected {sha256}"));
        }
        Ok(_) => {}
    }
    let mut annotations = ReadAnnotations::default();
    let members = match Npz::read(file, length) {
        Ok(npz) => {
            if check_members(&npz, record, problems) {
                annotations = ReadAnnotations::read(file, &npz, record, problems);
            }
            npz.members
        }
        Err(reason) => {
            problems.file(reason);
            record.map(expected_members).unwrap_or_default()
        }
    };
    for member in &members {
        if verify_annotations::MEMBERS.contains(&member.name.as_str()) {
            continue;
        }
        let mut content = Content::new(member, record, &annotations, problems);
        match read_body(file, member, |piece| content.update(piece)) {
            Ok(()) => content.finish(),
            Err(e) => {
                content.finish();
                problems.file(format!("{}: cannot read: {e}", member.name));
            }
        }
    }
}

/// Members in order, and their shapes and types as the record asks for; false when one cannot be.
fn check_members(npz: &Npz, record: Option<&Record>, problems: &mut Problems) -> bool {
    let names: Vec<_> = npz.members.iter().map(|member| member.name.as_str()).collect();
    let expected = expected_names(&names, record);
    if names != expected {
        problems.file(format!("members are {names:?}, expected {expected:?}"));
        return false;
    }
    let rows = npz.members[0].shape[0];
    let mut all_fit = true;
    for member in &npz.members {
        let fits = verify_annotations::fits(member, rows).unwrap_or_else(|| {
            let (descr_fits, sides) = match member.name.as_str() {
                "images.npy" => (PixelType::of_descr(&member.descr).is_some(), 4),
                "labels.npy" => (member.descr == "<i8", 1),
                _ => (member.descr.starts_with("<U") && member.item_bytes() > 0, 1),
            };
            descr_fits && member.shape.len() == sides
        });
        let NpzMember { name, descr, shape, .. } = member;
        if !fits {
            problems.file(format!("{name} is {descr} {shape:?}, which no shard holds"));
            all_fit = false;
        } else if let Some(expected) = record.map(|r| expected_length(name, r))
            && expected != shape[0]
        {
            let found = shape[0];
            problems.file(format!("{name} has {found} rows, expected {expected}"));
        }
    }
    all_fit
}

/// The members of a shard that has one of `names`, or a row with annotations.
fn expected_names(names: &[&str], record: Option<&Record>) -> Vec<&'static str> {
    let has = |of: &[&str]| names.iter().any(|name| of.contains(name));
    let any_row = |test: fn(&Row) -> bool| record.is_some_and(|r| r.rows.iter().any(test));
    let (boxes, captions) = verify_annotations::MEMBERS.split_at(3);
    let mut expected = vec!["images.npy", "labels.npy", "ids.npy"];
    if has(&["group.npy"]) {
        expected.push("group.npy");
    }
    if has(boxes) || any_row(|row| row.boxes.is_some()) {
        expected.extend(boxes);
    }
    if has(captions) || any_row(|row| row.caption_bytes.is_some()) {
        expected.extend(captions);
    }
    expected
}

/// The first side of a member as the record has it.
fn expected_length(member: &str, record: &Record) -> u64 {
    let sum = |count: fn(&Row) -> Option<u32>| {
        record.rows.iter().map(|row| u64::from(count(row).unwrap_or(0))).sum()
    };
    match member {
        "boxes.npy" | "box_labels.npy" => sum(|row| row.boxes),
        "captions.npy" => sum(|row| row.caption_bytes),
        "box_offsets.npy" | "caption_offsets.npy" => record.count.saturating_add(1),
        _ => record.count,
    }
}

/// Where images and labels lie in a stored shard of this record, for files whose structure is
/// damaged: the rows can still be told apart.
fn expected_members(record: &Record) -> Vec<NpzMember> {
    // Local header and NPY header take 128 bytes each in front of the first array.
    const IN_FRONT: u64 = 256;
    let values = record.pixels.saturating_mul(record.sum.len() as u64);
    let values = values.saturating_mul(record.dtype.bytes() as u64);
    let row_bytes = values.checked_div(record.count).unwrap_or(0);
    let images_end = IN_FRONT.saturating_add(values);
    let member = |name: &str, descr: &str, shape: Vec<u64>, body_offset, body_bytes| NpzMember {
        name: name.into(),
        descr: descr.into(),
        shape,
        compression: Compression::None,
        body_offset,
        body_bytes,
        crc32: None,
    };
    if row_bytes == 0 || images_end > 1 << 56 {
        return Vec::new();
    }
    let labels_offset = (images_end + 66).next_multiple_of(64) + 128;
    vec![
        member("images.npy", "|u1", vec![record.count, row_bytes], IN_FRONT, values),
        member(
            "labels.npy",
            "<i8",
            vec![record.count],
            labels_offset,
            record.count.saturating_mul(8),
        ),
    ]
}

fn hash_file(file: &File, length: u64) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; length.clamp(1, PIECE_BYTES as u64) as usize];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut piece, offset)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&piece[..read]);
        offset += read as u64;
    }
}

/// Gives the raw bytes of a member's body piece by piece, never more than its shape asks for.
pub(super) fn read_body(
    file: &File,
    member: &NpzMember,
    mut sink: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut decoder = Decompress::new(false);
    let mut left = member.shape[0].saturating_mul(member.row_bytes());
    let most = |bytes: u64| bytes.clamp(1, PIECE_BYTES as u64) as usize;
    let mut piece = vec![0; most(member.body_bytes)];
    // One byte more than wanted shows that there is more.
    let mut raw = Vec::with_capacity(most(left.saturating_add(1)));
    let (mut offset, end) = (member.body_offset, member.body_offset + member.body_bytes);
    while offset < end {
        // Not read_exact: of a short file, the rows that are there are checked.
        let wanted = (end - offset).min(PIECE_BYTES as u64) as usize;
        let length = file.read_at(&mut piece[..wanted], offset)?;
        if length == 0 {
            return Err(io::Error::other(format!("the file ends {} bytes early", end - offset)));
        }
        offset += length as u64;
        if member.compression == Compression::None {
            sink(&piece[..length]);
            left = left.saturating_sub(length as u64);
            continue;
        }
        let mut input = &piece[..length];
        loop {
            raw.clear();
            let before = decoder.total_in();
            let status = decoder.decompress_vec(input, &mut raw, FlushDecompress::None)?;
            input = &input[(decoder.total_in() - before) as usize..];
            let wanted = (raw.len() as u64).min(left) as usize;
            sink(&raw[..wanted]);
            if wanted < raw.len() {
                return Err(io::Error::other("more data than the shape asks for"));
            }
            left -= wanted as u64;
            let stuck = raw.is_empty() && decoder.total_in() == before;
            if stuck
                || status == Status::StreamEnd
                || input.is_empty() && raw.len() < raw.capacity()
            {
                break;
            }
        }
    }
    if left > 0 {
        return Err(io::Error::other(format!("{left} bytes less than the shape asks for")));
    }
    Ok(())
}

/// What the rows of one member must be, checked while they stream by.
struct Content<'a> {
    member: &'a NpzMember,
    record: Option<&'a Record>,
    annotations: &'a ReadAnnotations,
    problems: &'a mut Problems,
    crc32: crc32fast::Hasher,
    row: usize,
    row_bytes: usize,
    /// Bytes of the present row that went by.
    seen: usize,
    crc32c: u32,
    leaf: Option<LeafHasher>,
    /// The present row of a small array.
    small: Vec<u8>,
}

impl<'a> Content<'a> {
    fn new(
        member: &'a NpzMember,
        record: Option<&'a Record>,
        annotations: &'a ReadAnnotations,
        problems: &'a mut Problems,
    ) -> Self {
        let mut content = Self {
            member,
            record,
            annotations,
            problems,
            crc32: crc32fast::Hasher::new(),
            row: 0,
            row_bytes: usize::try_from(member.row_bytes()).unwrap_or(usize::MAX),
            seen: 0,
            crc32c: 0,
            leaf: None,
            small: Vec::new(),
        };
        content.begin_row();
        content
    }

    fn is_images(&self) -> bool {
        self.member.name == "images.npy"
    }

    fn expected(&self) -> Option<&'a Row> {
        self.record?.rows.get(self.row)
    }

    fn begin_row(&mut self) {
        (self.seen, self.crc32c) = (0, 0);
        self.small.clear();
        // A shape of four sides is a parsed one; the expected one of a damaged file knows no sides.
        self.leaf = match (self.expected(), &self.member.shape[..]) {
            (Some(row), &[_, height, width, channels]) if self.is_images() => {
                self.begin_leaf(row, (height as usize, width as usize, channels as usize))
            }
            _ => None,
        };
    }

    /// Nothing when the row's boxes or caption could not be read, which is reported then.
    fn begin_leaf(&mut self, row: &Row, shape: (usize, usize, usize)) -> Option<LeafHasher> {
        let annotations = self.annotations;
        let (boxes, caption) = (annotations.boxes(self.row), annotations.caption(self.row));
        let (Some(boxes), Some(caption)) = (boxes, caption) else {
            self.problems.row(row, "boxes or caption are missing or not UTF-8".into());
            return None;
        };
        let split = self.record.map_or("", |record| &record.split);
        let dtype = PixelType::of_descr(&self.member.descr).unwrap_or_default();
        let fields = SampleFields { split, label: row.label, boxes: &boxes, caption, shape, dtype };
        Some(LeafHasher::new(&fields))
    }

    fn update(&mut self, mut piece: &[u8]) {
        self.crc32.update(piece);
        while !piece.is_empty() && self.row_bytes > 0 {
            let (part, rest) = piece.split_at(piece.len().min(self.row_bytes - self.seen));
            if self.is_images() {
                self.crc32c = crc32c::crc32c_append(self.crc32c, part);
                self.leaf.iter_mut().for_each(|leaf| leaf.update(part));
            } else if self.record.is_some() {
                self.small.extend_from_slice(part);
            }
            self.seen += part.len();
            piece = rest;
            if self.seen == self.row_bytes {
                self.check_row();
                self.row += 1;
                self.begin_row();
            }
        }
    }

    fn check_row(&mut self) {
        let Some(row) = self.expected() else { return };
        let message = match self.member.name.as_str() {
            "images.npy" => self.check_image(row),
            "labels.npy" => (self.small != row.label.to_le_bytes())
                .then(|| format!("label differs, expected {}", row.label)),
            "ids.npy" => self.check_text(&row.id, "id"),
            _ => self.check_text(row.group.as_deref().unwrap_or_default(), "group"),
        };
        if let Some(message) = message {
            self.problems.row(row, message);
        }
    }

    fn check_image(&mut self, row: &Row) -> Option<String> {
        if self.crc32c != row.crc32c {
            let (found, expected) = (self.crc32c, row.crc32c);
            return Some(format!("pixels have CRC-32C {found:08x}, expected {expected:08x}"));
        }
        let found = hex(&self.leaf.take()?.finish());
        let expected = &row.leaf;
        (found != *expected).then(|| {
            let what = if row.boxes.or(row.caption_bytes).is_some() {
                "boxes or caption differ, "
            } else {
                ""
            };
            format!("{what}leaf hash is {found}, expected {expected}")
        })
    }

    fn check_text(&self, expected: &str, what: &str) -> Option<String> {
        let bytes = fixed_width(expected, self.row_bytes / 4);
        (bytes.as_ref() != Some(&self.small))
            .then(|| format!("{what} differs, expected {expected:?}"))
    }

    /// The member's own CRC, and the rows that a short file no longer has.
    fn finish(self) {
        if let Some(rows) = self.record.and_then(|record| record.rows.get(self.row..)) {
            let what = self.member.name.trim_end_matches(".npy");
            for row in rows {
                self.problems.row(row, format!("{what} row is missing"));
            }
        }
        check_crc(self.member, &self.crc32, self.problems);
    }
}

/// The CRC of the directory must be that of NPY header and body.
pub(super) fn check_crc(member: &NpzMember, body: &crc32fast::Hasher, problems: &mut Problems) {
    let Some(expected) = member.crc32 else { return };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&super::npy::header(&member.descr, &member.shape));
    crc.combine(body);
    let found = crc.finalize();
    if found != expected {
        let name = &member.name;
        problems.file(format!("{name} has CRC-32 {found:08x}, expected {expected:08x}"));
    }
}

/// Problems so far, with the shard's name put to each.
pub(super) struct Problems {
    shard: String,
    list: Vec<Problem>,
    unnamed: u64,
}

impl Problems {
    pub(super) fn file(&mut self, message: String) {
        let shard = self.shard.clone();
        self.list.push(Problem { shard, message, id: None, row: None, path: None });
    }

    pub(super) fn row(&mut self, row: &Row, message: String) {
        if self.list.len() >= MAX_NAMED {
            self.unnamed += 1;
            return;
        }
        self.list.push(Problem {
            shard: self.shard.clone(),
            message,
            id: Some(row.id.clone()),
            row: Some(row.row),
            path: row.path.clone(),
        });
    }

    fn finish(mut self) -> Vec<Problem> {
        if self.unnamed > 0 {
            self.file(format!("and {} more damaged rows", self.unnamed));
        }
        self.list
    }
}
