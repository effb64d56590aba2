//! A shard being written: rows at their place as they come, the small arrays and the record last.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotation::{Annotations, StoredBox};
use super::columns::Columns;
use super::commit::{TempFile, create_folder, storage, write_atomic};
use super::digest::hex;
use super::failure::Failure;
use super::member::Compression;
use super::npz::NpzWriter;
use super::plan::{ImageShape, PlannedSample, PlannedShard};
use super::read_back::BegunLeaf;
use super::record::{Record, Row, SCHEMA, record_path, shard_path};
use super::row::{EncodedRow, RowEncoder, RowFields};
use super::sums::ChannelSums;
use crate::error::{Error, Result};

/// What must be known of a shard before its first row.
#[derive(Debug, Clone)]
pub struct ShardHeader {
    /// Name, split and index.
    pub shard: PlannedShard,
    /// What every image is.
    pub image: ImageShape,
    /// Fingerprint of the pipeline.
    pub fingerprint: String,
    /// SHA-256 of the plan's samples.
    pub samples_sha256: String,
    /// Characters of the longest planned id.
    pub id_width: usize,
    /// Characters of the longest planned group; `None` leaves the member out.
    pub group_width: Option<usize>,
    /// Which members for annotations there are.
    pub annotations: Annotations,
    /// Leaves paths out of the record.
    pub private: bool,
    /// Stored or deflated members.
    pub compression: Compression,
    /// Uses zip64 records where 32 bits would do (tests).
    pub force_zip64: bool,
}

/// Writes one shard; dropped before [`ShardWriter::finish`], nothing of it remains.
#[derive(Debug)]
pub struct ShardWriter {
    out: PathBuf,
    header: ShardHeader,
    shape: (usize, usize, usize),
    npz: NpzWriter,
    /// Without their leaf hashes.
    rows: Vec<Row>,
    leaves: Vec<BegunLeaf>,
    columns: Columns,
    failures: Vec<Failure>,
    sums: ChannelSums,
}

/// A shard that is written and not yet visible; dropped before [`ClosedShard::commit`], nothing of
/// it remains.
#[derive(Debug)]
pub struct ClosedShard {
    file: Arc<TempFile>,
    /// Of the record.
    path: PathBuf,
    record: Record,
}

impl ClosedShard {
    /// Commits the shard, then its record.
    ///
    /// # Errors
    /// `Storage`; then nothing is visible under the final names.
    pub fn commit(self) -> Result<Record> {
        remove_if_there(&self.path)?;
        self.file.commit()?;
        write_atomic(&self.path, self.record.to_json().as_bytes())?;
        Ok(self.record)
    }
}

impl ShardWriter {
    /// Starts the shard in the folder `out`, which is created when absent.
    ///
    /// # Errors
    /// `Spec` when the header is wrong, `Storage` when the file cannot be created.
    pub fn create(out: &Path, header: ShardHeader) -> Result<Self> {
        header.shard.validate()?;
        let shape = header.image.validate()?;
        create_folder(&out.join("records"))?;
        let path = shard_path(out, &header.shard.name);
        let mut npz = NpzWriter::create(&path, header.compression, header.force_zip64)?;
        npz.begin("images.npy");
        Ok(Self {
            out: out.to_owned(),
            columns: Columns::new(header.annotations),
            header,
            shape,
            npz,
            rows: Vec::new(),
            leaves: Vec::new(),
            failures: Vec::new(),
            sums: ChannelSums::default(),
        })
    }

    /// The encoder for this shard's rows.
    pub fn encoder(&self) -> RowEncoder {
        let ShardHeader { shard, image, compression, .. } = &self.header;
        RowEncoder::new(&shard.split, self.shape, image.dtype, *compression)
    }

    /// The file that the payloads of placed rows are written to.
    pub fn file(&self) -> Arc<TempFile> {
        self.npz.file()
    }

    /// (height, width, channels) of every row.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.shape
    }

    /// Appends a row and returns where its payload is to be written before [`ShardWriter::finish`].
    pub fn place(
        &mut self,
        sample: PlannedSample,
        row: &EncodedRow,
        damaged: Option<String>,
    ) -> u64 {
        let PlannedSample { id, path, frame, label, group, boxes, caption, attributes, .. } =
            sample;
        let caption = caption.unwrap_or_default();
        let stored = row.boxes.as_deref().unwrap_or_default();
        let dropped = boxes.map_or(0, |planned| planned.len().saturating_sub(stored.len()));
        self.columns.push(stored, &caption);
        self.rows.push(Row {
            id,
            row: self.rows.len() as u64,
            label,
            group,
            path: (!self.header.private).then_some(path),
            frame,
            crc32c: row.crc32c,
            boxes: row.boxes.as_ref().map(|boxes| boxes.len() as u32),
            boxes_dropped: (dropped > 0).then_some(dropped as u32),
            caption_bytes: (!caption.is_empty()).then_some(caption.len() as u32),
            attributes,
            leaf: String::new(),
            damaged,
        });
        self.sums.add(&row.sums);
        let place = self.npz.push(row.payload.len(), row.raw_bytes, row.crc32);
        let bytes = if self.header.compression.is_verbatim() { row.raw_bytes as u64 } else { 0 };
        self.leaves.push(BegunLeaf { place, bytes, hasher: row.leaf.clone() });
        place
    }

    /// Appends and writes a row; `boxes` are those of the sample, placed in the stored image.
    ///
    /// # Errors
    /// `Spec` when the sample or the image does not belong here, `Storage`.
    pub fn append(
        &mut self,
        sample: PlannedSample,
        shape: (usize, usize, usize),
        pixels: Vec<u8>,
        boxes: Option<Vec<StoredBox>>,
        damaged: Option<String>,
    ) -> Result<()> {
        sample.check().map_err(Error::Spec)?;
        self.check_annotations(&sample, boxes.as_deref())?;
        if shape != self.shape {
            return Err(Error::Spec(format!(
                "image must be {:?} (height, width, channels), got {shape:?}",
                self.shape
            )));
        }
        let bytes = shape.0 * shape.1 * shape.2 * self.header.image.dtype.bytes();
        if pixels.len() != bytes {
            let dtype = self.header.image.dtype.name();
            return Err(Error::Spec(format!("image must be of dtype {dtype}")));
        }
        if sample.split != self.header.shard.split {
            let (split, found) = (&self.header.shard.split, &sample.split);
            return Err(Error::Spec(format!("sample must be of split {split:?}, got {found:?}")));
        }
        let caption = sample.caption.as_deref().unwrap_or_default();
        let row = self.encoder().encode(RowFields { label: sample.label, boxes, caption }, pixels);
        let place = self.place(sample, &row, damaged);
        self.file().write_at(&row.payload, place)
    }

    fn check_annotations(&self, sample: &PlannedSample, boxes: Option<&[StoredBox]>) -> Result<()> {
        let wrong = |what: String| Err(Error::Spec(format!("sample {}: {what}", sample.id)));
        sample.check_allowed(self.header.annotations).or_else(wrong)?;
        let (planned, placed) = (sample.boxes.as_ref().map(Vec::len), boxes.map(<[_]>::len));
        if planned.is_some() != placed.is_some() || placed > planned {
            return wrong(format!("{planned:?} boxes are planned, {placed:?} are placed"));
        }
        Ok(())
    }

    /// Records an input that is not stored.
    pub fn fail(&mut self, id: &str, path: &str, stage: &str, reason: &str) {
        self.failures.push(Failure {
            id: Some(id.to_owned()),
            path: (!self.header.private).then(|| path.to_owned()),
            stage: stage.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Writes the small arrays, commits the shard, then its record.
    ///
    /// # Errors
    /// `Storage`; then nothing is visible under the final names. `Spec` when an id or group is
    /// longer than planned.
    pub fn finish(self) -> Result<Record> {
        self.close()?.commit()
    }

    /// Writes the small arrays and everything else that needs no waiting for the disk.
    ///
    /// # Errors
    /// As [`ShardWriter::finish`].
    pub fn close(mut self) -> Result<ClosedShard> {
        self.write_arrays()?;
        let path = record_path(&self.out, &self.header.shard.name);
        let (file, identity) = self.npz.finish(&mut self.leaves)?;
        for (row, leaf) in self.rows.iter_mut().zip(self.leaves) {
            row.leaf = hex(&leaf.hasher.finish());
        }
        let channels = self.shape.2;
        let record = Record {
            schema: SCHEMA,
            name: format!("{}.npz", self.header.shard.name),
            split: self.header.shard.split,
            index: self.header.shard.index,
            fingerprint: self.header.fingerprint,
            samples_sha256: self.header.samples_sha256,
            bytes: identity.bytes,
            sha256: identity.sha256,
            count: self.rows.len() as u64,
            pixels: (self.rows.len() * self.shape.0 * self.shape.1) as u64,
            rows: self.rows,
            failures: self.failures,
            sum: self.sums.sum[..channels].to_vec(),
            sum_squares: self.sums.squares[..channels].to_vec(),
            dtype: self.header.image.dtype,
        };
        Ok(ClosedShard { file, path, record })
    }

    fn write_arrays(&mut self) -> Result<()> {
        let count = self.rows.len() as u64;
        let (height, width, channels) = self.shape;
        let descr = self.header.image.dtype.descr();
        self.npz.end_member(descr, &[count, height as u64, width as u64, channels as u64])?;
        let labels = self.rows.iter().map(|row| row.label.to_le_bytes());
        self.npz.array("labels.npy", "<i8", &[count], labels)?;
        let ids = self.rows.iter().map(|row| row.id.as_str());
        write_texts(&mut self.npz, "ids.npy", self.header.id_width, ids, count)?;
        if let Some(width) = self.header.group_width {
            let groups = self.rows.iter().map(|row| row.group.as_deref().unwrap_or_default());
            write_texts(&mut self.npz, "group.npy", width, groups, count)?;
        }
        self.columns.write(&mut self.npz)
    }
}

/// Fixed-width text as NumPy stores it: UTF-32 LE, zeros behind.
pub(crate) fn fixed_width(text: &str, width: usize) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    (bytes.len() <= 4 * width).then(|| {
        bytes.resize(4 * width, 0);
        bytes
    })
}

fn write_texts<'a>(
    npz: &mut NpzWriter,
    name: &str,
    width: usize,
    texts: impl Iterator<Item = &'a str> + Clone,
    count: u64,
) -> Result<()> {
    let width = width.max(1);
    if let Some(long) = texts.clone().find(|text| text.chars().count() > width) {
        let found = long.chars().count();
        return Err(Error::Spec(format!("{name}: {width} characters were planned, got {found}")));
    }
    let rows = texts.map(|text| fixed_width(text, width).expect("just checked"));
    npz.array(name, &format!("<U{width}"), &[count], rows)
}

/// A record of an earlier run must not stand beside a new shard, not even for a moment.
fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(storage(path, "remove")(e)),
        _ => Ok(()),
    }
}
