//! The members that have any number of values a row: kept while the rows come, written at the end.

use super::annotation::{Annotations, StoredBox};
use super::npz::NpzWriter;
use crate::error::Result;

/// Boxes and captions of the rows so far.
#[derive(Debug)]
pub(super) struct Columns {
    has: Annotations,
    boxes: Vec<StoredBox>,
    box_offsets: Vec<u64>,
    captions: Vec<u8>,
    caption_offsets: Vec<u64>,
}

impl Columns {
    pub(super) fn new(has: Annotations) -> Self {
        let (boxes, captions) = (Vec::new(), Vec::new());
        Self { has, boxes, box_offsets: vec![0], captions, caption_offsets: vec![0] }
    }

    /// Takes in what belongs to the next row.
    pub(super) fn push(&mut self, boxes: &[StoredBox], caption: &str) {
        if self.has.boxes {
            self.boxes.extend_from_slice(boxes);
            self.box_offsets.push(self.boxes.len() as u64);
        }
        if self.has.captions {
            self.captions.extend_from_slice(caption.as_bytes());
            self.caption_offsets.push(self.captions.len() as u64);
        }
    }

    /// Writes the members that the data set has.
    pub(super) fn write(&self, npz: &mut NpzWriter) -> Result<()> {
        if self.has.boxes {
            let count = self.boxes.len() as u64;
            let edges = self.boxes.iter().flat_map(|stored| &stored[..4]);
            npz.array("boxes.npy", "<f4", &[count, 4], edges.map(|edge| edge.to_le_bytes()))?;
            let labels = self.boxes.iter().map(|stored| (stored[4] as i64).to_le_bytes());
            npz.array("box_labels.npy", "<i8", &[count], labels)?;
            write_offsets(npz, "box_offsets.npy", &self.box_offsets)?;
        }
        if self.has.captions {
            let bytes = [&self.captions];
            npz.array("captions.npy", "|u1", &[self.captions.len() as u64], bytes.into_iter())?;
            write_offsets(npz, "caption_offsets.npy", &self.caption_offsets)?;
        }
        Ok(())
    }
}

fn write_offsets(npz: &mut NpzWriter, name: &str, offsets: &[u64]) -> Result<()> {
    let rows = offsets.iter().map(|offset| offset.to_le_bytes());
    npz.array(name, "<i8", &[offsets.len() as u64], rows)
}
