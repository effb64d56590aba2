//! Checksums and hashes of the shard format.

use medprep_core::shard::{self, LeafHasher, Merkle, SampleFields};
use pyo3::prelude::*;

use crate::arrays::{self, StoredPixels};
use crate::to_py;

/// CRC-32C (Castagnoli) of the bytes.
#[pyfunction]
pub(crate) fn crc32c(data: &[u8]) -> u32 {
    shard::crc32c(data)
}

/// Merkle root (RFC 6962 shape) over hexadecimal leaf hashes.
#[pyfunction]
pub(crate) fn merkle_root(py: Python<'_>, leaves: Vec<String>) -> PyResult<String> {
    to_py(py, shard::merkle_root(leaves.iter().map(String::as_str)))
}

/// The Merkle root over leaves that come in parts, in O(log n) memory.
#[pyclass(module = "medprep._core")]
#[derive(Default)]
pub(crate) struct MerkleTree(Merkle);

#[pymethods]
impl MerkleTree {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Appends hexadecimal leaf hashes.
    fn push(&mut self, py: Python<'_>, leaves: Vec<String>) -> PyResult<()> {
        for leaf in leaves {
            self.0.push(to_py(py, shard::parse_hex(&leaf))?);
        }
        Ok(())
    }

    /// The root over all leaves so far, hexadecimal.
    fn root(&self) -> String {
        shard::hex(&self.0.clone().root())
    }
}

/// Leaf hash of a sample; `boxes` holds five values per box.
#[pyfunction]
#[pyo3(signature = (split, label, image, boxes=Vec::new(), caption=""))]
pub(crate) fn sample_leaf(
    split: &str,
    label: i64,
    image: &Bound<'_, PyAny>,
    boxes: Vec<f32>,
    caption: &str,
) -> PyResult<String> {
    let StoredPixels { shape, dtype, bytes } = arrays::to_stored(image)?;
    let fields = SampleFields { split, label, boxes: &boxes, caption, shape, dtype };
    let mut leaf = LeafHasher::new(&fields);
    leaf.update(&bytes);
    Ok(shard::hex(&leaf.finish()))
}
