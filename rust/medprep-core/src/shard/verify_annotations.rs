//! Boxes and captions of a shard that is verified: read first, because the leaf hashes of the
//! images cover them.

use std::fs::File;

use super::annotation::{MAX_BOXES, MAX_CAPTION_BYTES};
use super::reader::{Npz, NpzMember};
use super::record::{Record, Row};
use super::verify::{Problems, check_crc, read_body};

/// Without a record nothing says how much there should be.
const MAX_UNKNOWN_BYTES: u64 = 1 << 30;

/// What the members for annotations are called.
pub(super) const MEMBERS: [&str; 5] =
    ["boxes.npy", "box_labels.npy", "box_offsets.npy", "captions.npy", "caption_offsets.npy"];

/// The annotations of all rows, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct ReadAnnotations {
    boxes: Vec<u8>,
    box_labels: Vec<u8>,
    captions: Vec<u8>,
    /// Where the boxes and the captions of the rows start and end, as the record has it.
    box_bounds: Vec<u64>,
    caption_bounds: Vec<u64>,
}

/// True when type and shape are what a shard of `rows` rows may hold; `None` for other members.
pub(super) fn fits(member: &NpzMember, rows: u64) -> Option<bool> {
    let (descr, shape) = (member.descr.as_str(), &member.shape[..]);
    match member.name.as_str() {
        "boxes.npy" => Some(descr == "<f4" && matches!(shape, [_, 4])),
        "box_labels.npy" => Some(descr == "<i8" && shape.len() == 1),
        "captions.npy" => Some(descr == "|u1" && shape.len() == 1),
        "box_offsets.npy" | "caption_offsets.npy" => Some(descr == "<i8" && shape == [rows + 1]),
        _ => None,
    }
}

impl ReadAnnotations {
    /// Reads and checks them against the record, or, without one, against themselves.
    ///
    /// npz: members in a form that [`fits`] accepts.
    pub(super) fn read(
        file: &File,
        npz: &Npz,
        record: Option<&Record>,
        problems: &mut Problems,
    ) -> Self {
        let rows = record.map_or(&[][..], |record| &record.rows);
        let mut found = Self {
            box_bounds: bounds(rows.iter().map(|row| row.boxes)),
            caption_bounds: bounds(rows.iter().map(|row| row.caption_bytes)),
            ..Self::default()
        };
        let mut contents = MEMBERS.map(|name| match npz.member(name) {
            Some(member) => read_member(file, member, npz, problems),
            None => Vec::new(),
        });
        if record.is_some() {
            let ends =
                [("box_offsets", &found.box_bounds), ("caption_offsets", &found.caption_bounds)];
            for ((what, bounds), offsets) in ends.into_iter().zip([&contents[2], &contents[4]]) {
                compare_offsets(what, offsets, bounds, rows, problems);
            }
        } else {
            check_alone(npz, &contents, problems);
        }
        [found.boxes, found.box_labels, _, found.captions, _] =
            std::array::from_fn(|at| std::mem::take(&mut contents[at]));
        found
    }

    /// Five values a box, as they enter the leaf hash; `None` when they are not all there.
    pub(super) fn boxes(&self, row: usize) -> Option<Vec<f32>> {
        let [start, end] = range(&self.box_bounds, row)?;
        let edges = self.boxes.get(16 * start..16 * end)?.as_chunks::<16>().0;
        let labels = self.box_labels.get(8 * start..8 * end)?.as_chunks::<8>().0;
        let boxes = edges.iter().zip(labels).flat_map(|(edges, label)| {
            let edges = edges.as_chunks::<4>().0.iter().map(|edge| f32::from_le_bytes(*edge));
            edges.chain([i64::from_le_bytes(*label) as f32])
        });
        Some(boxes.collect())
    }

    /// `None` when it is not all there or not UTF-8.
    pub(super) fn caption(&self, row: usize) -> Option<&str> {
        let [start, end] = range(&self.caption_bounds, row)?;
        std::str::from_utf8(self.captions.get(start..end)?).ok()
    }
}

/// Starts and, in the end, the last end of rows with so many values each.
fn bounds(counts: impl Iterator<Item = Option<u32>>) -> Vec<u64> {
    let mut end = 0;
    let ends = counts.map(|count| {
        end += u64::from(count.unwrap_or(0));
        end
    });
    std::iter::once(0).chain(ends).collect()
}

fn range(bounds: &[u64], row: usize) -> Option<[usize; 2]> {
    let [start, end] = *bounds.get(row..)?.first_chunk::<2>()?;
    // Times 16 without overflow: no shard has as many.
    (end < 1 << 48).then_some([start as usize, end as usize])
}

/// All bytes of a member, its own CRC checked; none when it is too large to be true.
fn read_member(file: &File, member: &NpzMember, npz: &Npz, problems: &mut Problems) -> Vec<u8> {
    let rows = npz.members.first().map_or(0, |images| images.shape[0]);
    let per_row = (MAX_BOXES * 16).max(MAX_CAPTION_BYTES) as u64;
    let most = rows.saturating_add(1).saturating_mul(per_row).min(MAX_UNKNOWN_BYTES);
    let name = &member.name;
    let mut bytes = Vec::new();
    if member.shape[0].saturating_mul(member.row_bytes()) > most {
        problems.file(format!("{name} has more than the {most} bytes that {rows} rows may have"));
        return bytes;
    }
    if let Err(e) = read_body(file, member, |piece| bytes.extend_from_slice(piece)) {
        problems.file(format!("{name}: cannot read: {e}"));
    }
    let mut crc32 = crc32fast::Hasher::new();
    crc32.update(&bytes);
    check_crc(member, &crc32, problems);
    bytes
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = i64> {
    bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes))
}

/// Every offset must be the one the record gives; the row that ends at a wrong one is named.
fn compare_offsets(
    what: &str,
    offsets: &[u8],
    bounds: &[u64],
    rows: &[Row],
    problems: &mut Problems,
) {
    for (at, (found, expected)) in numbers(offsets).zip(bounds).enumerate() {
        if found == *expected as i64 {
            continue;
        }
        let message = format!("{what} has {found}, expected {expected}");
        match at.checked_sub(1).and_then(|row| rows.get(row)) {
            Some(row) => problems.row(row, message),
            None => problems.file(message),
        }
    }
}

/// What must hold without a record: offsets that rise from 0 to the end, boxes inside the image,
/// captions that are text.
fn check_alone(npz: &Npz, contents: &[Vec<u8>; 5], problems: &mut Problems) {
    let [boxes, labels, box_offsets, captions, caption_offsets] = contents;
    let length = |name: &str| npz.member(name).map(|member| member.shape[0]);
    for (what, offsets, end) in [
        ("box_offsets", box_offsets, length("boxes.npy")),
        ("caption_offsets", caption_offsets, length("captions.npy")),
    ] {
        let Some(end) = end else { continue };
        let steps: Vec<i64> = numbers(offsets).collect();
        let rises = steps.first() == Some(&0) && steps.is_sorted();
        if !rises || steps.last() != i64::try_from(end).ok().as_ref() {
            problems.file(format!("{what} must rise from 0 to {end}"));
            return;
        }
    }
    let sides = npz.members.first().map_or(&[][..], |images| &images.shape);
    let inside = |edges: &[u8; 16]| {
        let [x_min, y_min, x_max, y_max] =
            std::array::from_fn(|at| f32::from_le_bytes(edges.as_chunks::<4>().0[at]));
        let &[_, height, width, _] = sides else { return false };
        (0.0..x_max).contains(&x_min)
            && (0.0..y_max).contains(&y_min)
            && x_max <= width as f32
            && y_max <= height as f32
    };
    let wrong_boxes = boxes.as_chunks::<16>().0.iter().filter(|edges| !inside(edges)).count();
    if wrong_boxes > 0 || numbers(labels).any(|label| label < 0) {
        problems.file(format!("{wrong_boxes} boxes are not inside their image, or a label is < 0"));
    }
    let mut start = 0;
    for end in numbers(caption_offsets).map(|end| end as usize) {
        if captions.get(start..end).is_none_or(|caption| std::str::from_utf8(caption).is_err()) {
            problems.file(format!("the caption that ends at byte {end} is not UTF-8"));
        }
        start = end;
    }
}
