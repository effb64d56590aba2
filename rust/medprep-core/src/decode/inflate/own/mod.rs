//! The own decoder: a state machine without branches that depend on the data, save rare ones.
//!
//! In a photograph's PNG, literals and short matches alternate at random, so that a decoder that
//! branches on what comes next mispredicts at nearly every match, which costs it more than the
//! decoding. Here a look-up yields up to three literals, literals and a match, or a distance, and
//! every step does the same: store literals, copy 16 bytes, move on by what they were worth. The
//! entry also says where the next look-up goes. Long codes, long matches, close distances and ends
//! of blocks branch off.
//!
//! One file, one job: `bits` reads the stream, `blocks` its blocks, `code` canonical codes, `entry`
//! is what a look-up yields, `table` holds all entries of a block, `steps` is the loop, `copy` copies matches.

mod bits;
mod blocks;
mod code;
mod copy;
mod entry;
mod steps;
mod table;
#[cfg(test)]
mod tests;

pub(super) use table::Table;

use bits::Bits;

use super::Inflater;

/// What has been inflated so far.
struct Output<'a> {
    /// [`Inflater::SLACK`] bytes longer than wanted.
    bytes: &'a mut [u8],
    /// Bytes that are done; may be beyond [`Self::wanted`] by less than the slack, which is an error.
    done: usize,
}

impl Output<'_> {
    fn wanted(&self) -> usize {
        self.bytes.len() - Inflater::SLACK
    }
}

/// Nothing for every stream that is not healthy, or not worth the code (a code with holes).
///
/// The CPU has what [`Cpu::Avx2`](crate::Cpu::Avx2) asks for.
pub(super) fn inflate_zlib(stream: &[u8], out: &mut [u8], table: &mut Table) -> Option<()> {
    let (&[method, flags], rest) = stream.split_first_chunk()?;
    let is_plain = u16::from_be_bytes([method, flags]).is_multiple_of(31)
        && method & 15 == DEFLATE
        && method >> 4 <= WINDOW_OF_32K
        && flags & HAS_DICTIONARY == 0;
    if !is_plain {
        return None;
    }
    let data = &rest[..rest.len().checked_sub(SUM_LEN)?];
    let mut bits = Bits::new(data);
    let mut out = Output { bytes: out, done: 0 };
    blocks::inflate(&mut bits, &mut out, table)?;
    let used = bits.used()?;
    let sum = rest.get(used..used + SUM_LEN)?;
    let wanted = out.wanted();
    let is_whole =
        out.done == wanted && sum == libdeflater::adler32(&out.bytes[..wanted]).to_be_bytes();
    is_whole.then_some(())
}

/// RFC 1950: the method of all zlib streams.
const DEFLATE: u8 = 8;
const WINDOW_OF_32K: u8 = 7;
const HAS_DICTIONARY: u8 = 0x20;
/// Bytes of the Adler-32 sum at the end.
const SUM_LEN: usize = 4;
