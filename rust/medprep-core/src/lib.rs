//! Decode, resize, enhance and shard medical images: bit-equal to OpenCV, crash-safe, bounded in memory.
//!
//! The way of a sample: bytes -> [`decode`] -> [`geometry`] -> [`photometric`] (together a
//! [`pipeline`]) -> [`shard`], driven over many images by the [`engine`]. Knows nothing of Python.

pub mod cpu;
pub mod decode;
pub mod engine;
pub mod error;
pub mod geometry;
pub mod image;
#[cfg(target_arch = "x86_64")]
mod intrinsics;
mod panics;
pub mod photometric;
pub mod pipeline;
pub mod shard;

pub use cpu::Cpu;
pub use error::{Error, Result};
pub use image::{Image, ImageRef, ImageU8, ImageU16};
