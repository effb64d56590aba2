//! The stream as bits, the lowest bit of a byte first (RFC 1951, 3.1.1).

/// Where the stream is read.
///
/// Behind its end there are zeros, so that a code may be looked up before it is known to be there;
/// [`Bits::used`] says whether too much was taken.
#[derive(Clone)]
pub(super) struct Bits<'a> {
    pub data: &'a [u8],
    /// The next byte that is not in `buffer`, or only above `count`.
    pub next: usize,
    /// The next bits, lowest first. Those above `count` are zeros or those of `data[next..]`.
    pub buffer: u64,
    /// Bits in `buffer` that count, at most 63.
    pub count: u32,
}

/// Bits there are at least after [`Bits::refill`].
pub(super) const FULL: u32 = 56;

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, next: 0, buffer: 0, count: 0 }
    }

    /// Makes it at least [`FULL`] bits.
    pub fn refill(&mut self) {
        let mut word = [0; 8];
        if let Some(bytes) = self.data.get(self.next..self.next + 8) {
            word.copy_from_slice(bytes);
        } else {
            let rest = self.data.get(self.next..).unwrap_or_default();
            word[..rest.len()].copy_from_slice(rest);
        }
        self.buffer |= u64::from_le_bytes(word) << self.count;
        self.next += ((63 - self.count) >> 3) as usize;
        self.count |= FULL;
    }

    /// Takes up to 16 bits; the caller has refilled.
    pub fn take(&mut self, count: u32) -> usize {
        let value = self.buffer & ((1 << count) - 1);
        self.buffer >>= count;
        self.count -= count;
        value as usize
    }

    /// Takes the rest of the byte and then `len` bytes.
    pub fn take_bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let start = self.begun();
        let bytes = self.data.get(start..start.checked_add(len)?)?;
        *self = Self { data: self.data, next: start + len, buffer: 0, count: 0 };
        Some(bytes)
    }

    /// Bytes taken in whole or in part; nothing if there are not so many.
    pub fn used(&self) -> Option<usize> {
        Some(self.begun()).filter(|&used| used <= self.data.len())
    }

    fn begun(&self) -> usize {
        self.next - (self.count >> 3) as usize
    }
}
