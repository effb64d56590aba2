//! Shards: NPZ files that map without copying, their records, and the manifest over them.
//!
//! Knows images and JSON, not pipelines: a specification is text to it. What is written:
//! [`ShardWriter`] streams rows into a temporary sibling, [`commit`] makes it visible at once,
//! its [`Record`] follows, [`merge`] makes the manifest of all records, and [`verify_shard`] checks
//! every byte of a shard against them.

mod annotation;
mod columns;
pub mod commit;
mod digest;
mod failure;
mod lines;
mod manifest;
mod member;
mod npy;
mod npz;
mod plan;
mod read_back;
mod reader;
mod record;
mod row;
mod sha256;
mod sums;
mod verify;
mod verify_annotations;
mod writer;
mod zip;

pub use annotation::{
    Annotations, Attributes, MAX_BOXES, MAX_CAPTION_BYTES, PlannedBox, StoredBox,
};
pub use commit::{TempFile, remove_stale_temps, write_atomic};
pub use digest::{LeafHasher, Merkle, SampleFields, crc32c, hex, merkle_root, parse_hex};
pub use failure::Failure;
pub use manifest::{MergeSummary, merge};
pub use member::Compression;
pub use npz::NpzWriter;
pub use plan::{ImageShape, PixelType, Plan, PlannedSample, PlannedShard, SampleLines};
pub use reader::{Npz, NpzMember};
pub use record::{Record, Row, is_done, record_path, shard_path};
pub use row::{EncodedRow, RowEncoder, RowFields};
pub use verify::{Problem, verify_shard};
pub use writer::{ClosedShard, ShardHeader, ShardWriter};
