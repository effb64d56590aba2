//! The entropy-coded data without its byte stuffing and restart markers (T.81 B.1.1.5, F.1.2.3).
//!
//! Doing this once, eight bytes at a time, keeps every test for FF out of the decoding loop.

use super::entropy::MAX_BLOCKS;
use super::refusal::{Refusal, Result};

/// Zero bytes after the data. A run of blocks that starts inside the data cannot read past them
/// (a symbol takes 31 bits at most, and the reader is 15 bytes ahead), so that what is wrong with
/// damaged data is found in the same order whatever the look-up tables hold already.
const SLACK: usize = MAX_BLOCKS * 64 * 31 / 8 + 16;

/// Bytes that are looked through at once, where there is no FF.
const LONG: usize = 32;

/// Unstuffed bytes of one scan and the restart segments in them.
#[derive(Default)]
pub(super) struct Clean {
    /// The data, at least `SLACK` zeros, then whatever an earlier and longer scan left.
    bytes: Vec<u8>,
    /// End of each segment, in bytes; segments follow each other without gaps.
    ends: Vec<usize>,
}

impl Clean {
    /// The bytes of all segments, followed by zeros.
    pub fn bytes(&self) -> &[u8] {
        let end = self.ends.last().map_or(0, |end| end + SLACK);
        &self.bytes[..end]
    }

    /// Number of segments, at least 1 after a successful [`Clean::fill`].
    pub fn segments(&self) -> usize {
        self.ends.len()
    }

    /// First and last bit (exclusive) of a segment.
    pub fn bits(&self, segment: usize) -> (usize, usize) {
        let start = if segment == 0 { 0 } else { self.ends[segment - 1] };
        (8 * start, 8 * self.ends[segment])
    }

    /// Copies `scan` up to its end-of-image marker, which must be there.
    ///
    /// Restart markers must count 0..=7 in turn; any other marker is refused.
    pub fn fill(&mut self, scan: &[u8]) -> Result<()> {
        self.ends.clear();
        let needed = scan.len() + SLACK;
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
        let out = &mut self.bytes[..];
        let (mut from, mut to) = (0, 0);
        loop {
            let run = copy_to_ff(&scan[from..], &mut out[to..]);
            (from, to) = (from + run, to + run);
            match scan.get(from + 1) {
                Some(0x00) => {
                    out[to] = 0xFF;
                    to += 1;
                }
                Some(&code @ 0xD0..=0xD7) => {
                    if usize::from(code & 7) != self.ends.len() & 7 {
                        return Err(Refusal::Damaged("restart marker out of turn"));
                    }
                    self.ends.push(to);
                }
                Some(0xD9) => break,
                Some(_) => return Err(Refusal::Unsupported("unexpected marker in the scan")),
                None => return Err(Refusal::Damaged("premature end of data")),
            }
            from += 2;
        }
        self.ends.push(to);
        self.bytes[to..to + SLACK].fill(0);
        Ok(())
    }
}

/// Copies bytes up to the first FF or the end of `from`; returns how many. `to` is 8 bytes longer.
fn copy_to_ff(from: &[u8], to: &mut [u8]) -> usize {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let mut done = 0;
    for (bytes, room) in from.as_chunks::<LONG>().0.iter().zip(to.as_chunks_mut::<LONG>().0) {
        *room = *bytes;
        // Not `any`: without an early exit the compiler compares a vector at a time.
        if bytes.iter().fold(0, |found, &byte| found | u8::from(byte == 0xFF)) != 0 {
            break;
        }
        done += LONG;
    }
    let (from, to, skipped) = (&from[done..], &mut to[done..], done);
    let mut done = 0;
    for (word, room) in from.chunks_exact(8).zip(to.chunks_exact_mut(8)) {
        room.copy_from_slice(word);
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        // The top bit of each byte that is FF: its low seven bits carry into a top bit that is set.
        let ff = ((word & LOW) + !LOW / 0x80) & word & !LOW;
        if ff != 0 {
            return skipped + done + ff.trailing_zeros() as usize / 8;
        }
        done += 8;
    }
    for (&byte, room) in from[done..].iter().zip(&mut to[done..]) {
        if byte == 0xFF {
            break;
        }
        *room = byte;
        done += 1;
    }
    skipped + done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(scan: &[u8]) -> Result<(Vec<u8>, Vec<usize>)> {
        let mut clean = Clean::default();
        clean.fill(scan)?;
        let end = *clean.ends.last().expect("one segment");
        assert_eq!(clean.bytes()[end..], [0; SLACK]);
        Ok((clean.bytes[..end].to_vec(), clean.ends))
    }

    #[test]
    fn stuffing_and_restart_markers_are_taken_out() {
        let scan = b"\x01\xFF\x00\xFF\x00abcdefghijklmnop\xFF\xD0\xFF\xD1q\xFF\xD9rest";
        let (bytes, ends) = clean(scan).expect("valid");
        assert_eq!(bytes, b"\x01\xFF\xFFabcdefghijklmnopq");
        assert_eq!(ends, [19, 19, 20]);
    }

    #[test]
    fn ff_is_found_at_every_position() {
        for at in 0..85 {
            let mut scan: Vec<u8> = (0..85).collect();
            scan[at..].fill(0xFF);
            let mut copy = [0; 93];
            assert_eq!(copy_to_ff(&scan, &mut copy), at);
            assert_eq!(copy[..at], scan[..at]);
        }
    }

    #[test]
    fn missing_end_wrong_restart_and_other_markers_are_refused() {
        assert_eq!(clean(b"abc"), Err(Refusal::Damaged("premature end of data")));
        assert_eq!(clean(b"abc\xFF"), Err(Refusal::Damaged("premature end of data")));
        assert_eq!(
            clean(b"a\xFF\xD1\xFF\xD9"),
            Err(Refusal::Damaged("restart marker out of turn"))
        );
        assert!(clean(b"a\xFF\xFF\xD9").is_err());
        assert!(clean(b"a\xFF\xC4\xFF\xD9").is_err());
    }
}
