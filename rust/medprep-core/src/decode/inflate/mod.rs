//! zlib streams (RFC 1950, RFC 1951) whose inflated length is known, as in PNG.
//!
//! libdeflate is the definition. Where the CPU has BMI2 and AVX2, `own` comes first: a decoder built for
//! the streams of photographs, which are mostly literals with short codes and short matches. It
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
        assert!(out.len() >= Self::SLACK, "the slack behind the inflated bytes");
        self.inflate_own(cpu, stream, out) || {
            let len = out.len() - Self::SLACK;
            let inflater = self.definition.get_or_insert_with(Decompressor::new);
            // Checks the Adler-32 sum; refuses more than `len` bytes.
            inflater.zlib_decompress(stream, &mut out[..len]) == Ok(len)
        }
    }

    /// As [`Self::inflate_zlib`], and false for streams left to the definition.
    #[cfg(target_arch = "x86_64")]
    fn inflate_own(&mut self, cpu: Cpu, stream: &[u8], out: &mut [u8]) -> bool {
        if cpu == Cpu::Scalar || !cpu.is_available() {
            return false;
        }
        own::inflate_zlib(stream, out, self.own.get_or_insert_default()).is_some()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn inflate_own(&mut self, _cpu: Cpu, _stream: &[u8], _out: &mut [u8]) -> bool {
        false
    }
}
