//! Checksums and hashes of the shard format.

use medprep_core::shard::{self, LeafHasher, SampleFields};
use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;

use crate::{arrays, to_py};

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

/// Leaf hash of a sample; `boxes` holds four values per box.
#[pyfunction]
#[pyo3(signature = (split, label, image, boxes=Vec::new(), caption=""))]
pub(crate) fn sample_leaf(
    split: &str,
    label: i64,
    image: PyReadonlyArrayDyn<'_, u8>,
    boxes: Vec<f32>,
    caption: &str,
) -> PyResult<String> {
    let image = arrays::to_image(&image)?;
    let shape = image.shape();
    let mut leaf = LeafHasher::new(&SampleFields { split, label, boxes: &boxes, caption, shape });
    leaf.update(image.data());
    Ok(shard::hex(&leaf.finish()))
}
