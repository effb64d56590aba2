//! The coded data as bits: stuffing removed first, then read from a register.

use super::FORMAT;
use crate::Result;
use crate::decode::error::damaged;

/// Zero bytes after the data, so that a refill never has to ask where it ends.
const SLACK: usize = 16;

/// Copies the data up to the next marker without stuffing; returns how many bytes of `data` that is.
pub(super) fn clean(data: &[u8], clean: &mut Vec<u8>) -> usize {
    clean.clear();
    clean.reserve(data.len().min(1 << 26) + SLACK);
    let mut at = 0;
    loop {
        let run = until_ff(&data[at..]);
        clean.extend_from_slice(&data[at..at + run]);
        at += run;
        match data.get(at + 1) {
            Some(0) => {
                clean.push(0xFF);
                at += 2;
            }
            // Fill bytes before a marker.
            Some(0xFF) => at += 1,
            Some(_) => break,
            None => {
                at = data.len();
                break;
            }
        }
    }
    clean.resize(clean.len() + SLACK, 0);
    at
}

/// How many bytes come before the first FF.
fn until_ff(data: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let words = data.as_chunks::<8>().0;
    let plain = words.iter().position(|word| {
        let inverse = !u64::from_ne_bytes(*word);
        inverse.wrapping_sub(ONES) & !inverse & (ONES << 7) != 0
    });
    let start = 8 * plain.unwrap_or(words.len());
    let rest = &data[start..];
    start + rest.iter().position(|&byte| byte == 0xFF).unwrap_or(rest.len())
}

/// Steps over the restart marker `number` at `at`.
pub(super) fn skip_restart(data: &[u8], at: usize, number: usize) -> Result<usize> {
    let expected = [0xFF, 0xD0 + number as u8];
    if data.get(at..at + 2) == Some(&expected) {
        return Ok(at + 2);
    }
    Err(damaged(FORMAT, "a restart marker is missing"))
}

/// The next bits of clean data at the top of a register.
pub(super) struct Bits<'a> {
    clean: &'a [u8],
    register: u64,
    /// How many of `register` count as read, 56..=63 after a refill.
    count: u32,
    next: usize,
}

impl<'a> Bits<'a> {
    /// `clean` as [`clean()`] leaves it.
    pub fn new(clean: &'a [u8]) -> Self {
        Self { clean, register: 0, count: 0, next: 0 }
    }

    /// Brings the count to at least 56; behind the data it reads zeros.
    #[inline]
    pub fn refill(&mut self) {
        if let Some(bytes) = self.clean.get(self.next..).and_then(|rest| rest.first_chunk::<8>()) {
            self.register |= u64::from_be_bytes(*bytes) >> self.count;
            self.next += ((63 - self.count) >> 3) as usize;
            self.count |= 0x38;
        } else {
            // Only behind the slack: `is_past_end` holds from here on.
            self.next = self.clean.len() + 8;
            self.count = 63;
        }
    }

    /// The register; at least as many bits as the last refill left and not yet skipped.
    #[inline]
    pub fn peek(&self) -> u64 {
        self.register
    }

    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.register <<= count;
        self.count -= count;
    }

    /// True when more bits were taken than there are.
    pub fn is_past_end(&self) -> bool {
        8 * self.next > 8 * (self.clean.len() - SLACK) + self.count as usize
    }
}
