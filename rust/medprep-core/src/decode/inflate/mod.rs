//! zlib streams (RFC 1950, RFC 1951) whose inflated length is known, as in PNG.
//!
//! libdeflate is the definition. Where the CPU has BMI2 and AVX2, `own` comes first for streams that
//! look like a photograph's, which are mostly literals with short codes and short matches. It
//! takes only what is healthy; all else is libdeflate's, so that no verdict depends on the path.

#[cfg(target_arch = "x86_64")]
mod own;
#[cfg(test)]
mod tests;

use std::fmt;

use libdeflater::Decompressor;

use crate::Cpu;

/// Tables and memory kept from stream to stream.
#[derive(Default)]
pub struct Inflater {
    #[cfg(target_arch = "x86_64")]
    own: Option<Box<own::Table>>,
    definition: Option<Decompressor>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

impl Inflater {
    /// Bytes behind the inflated ones; what they hold afterwards does not matter.
    pub const SLACK: usize = 1024;

    /// Inflates `stream` into all of `out` but its last [`Self::SLACK`] bytes. False if the stream is
    /// damaged, its Adler-32 sum is wrong, or it holds more or fewer bytes; then `out` holds anything.
    /// Bytes behind the stream do not matter.
    ///
    /// # Panics
    /// If `out` is shorter than the slack.
    pub fn inflate_zlib(&mut self, cpu: Cpu, stream: &[u8], out: &mut [u8]) -> bool {
        let len = len_without_slack(out);
        if suits_own(stream, len) && self.inflate_own(cpu, stream, out) {
            return true;
        }
        let inflater = self.definition.get_or_insert_with(Decompressor::new);
        // Checks the Adler-32 sum; refuses more than `len` bytes.
        inflater.zlib_decompress(stream, &mut out[..len]) == Ok(len)
    }

    /// As [`Self::inflate_zlib`] by the own decoder alone, which also says false for healthy streams that
    /// it leaves to libdeflate, and for all of them on the scalar path.
    ///
    /// # Panics
    /// As [`Self::inflate_zlib`].
    pub fn inflate_own(&mut self, cpu: Cpu, stream: &[u8], out: &mut [u8]) -> bool {
        len_without_slack(out);
        #[cfg(target_arch = "x86_64")]
        if cpu != Cpu::Scalar && cpu.is_available() {
            return own::inflate_zlib(stream, out, self.own.get_or_insert_default()).is_some();
        }
        let _ = (cpu, stream);
        false
    }
}

fn len_without_slack(out: &[u8]) -> usize {
    out.len().checked_sub(Inflater::SLACK).expect("the slack behind the inflated bytes")
}

/// Shorter streams are not worth the larger tables of the own decoder.
const MIN_STREAM: usize = 1 << 15;
/// With more bytes inflated of each, a stream is mostly long matches, which libdeflate copies faster.
const MAX_RATIO: usize = 5;

/// Whether the own decoder is likely to be the faster one.
fn suits_own(stream: &[u8], len: usize) -> bool {
    stream.len() >= MIN_STREAM && len / MAX_RATIO <= stream.len()
}
