//! All look-ups of a block.

use super::code::Code;
use super::entry::{self, DISTANCE_WIDTH, MAX_LENGTH, NOTHING, WIDTH};

/// The main table behind the one of distances.
pub(super) const MAIN: usize = 1 << DISTANCE_WIDTH;
const MAIN_LEN: usize = 1 << WIDTH;

/// Literal or length symbols, distance symbols (RFC 1951, 3.2.6).
pub(super) const SYMBOLS: usize = 288;
pub(super) const DISTANCES: usize = 32;

/// Code words as tables.
pub struct Table {
    /// Indexed by the next [`DISTANCE_WIDTH`] bits; from [`MAIN`] on by the next [`WIDTH`] bits.
    ///
    /// Byte 1 of every entry is one of these widths: the loop relies on it.
    entries: [u64; MAIN + MAIN_LEN],
    /// The main table, smaller: by `n` bits, for what follows a literal, from 2^n on.
    smaller: [u64; MAIN_LEN],
    pub(super) symbols: Code<SYMBOLS>,
    pub(super) distances: Code<DISTANCES>,
    is_fixed: bool,
}

impl Default for Table {
    #[allow(clippy::large_stack_arrays, reason = "into a box, once a thread")]
    fn default() -> Self {
        Self {
            entries: [NOTHING; MAIN + MAIN_LEN],
            smaller: [NOTHING; MAIN_LEN],
            symbols: Code::default(),
            distances: Code::default(),
            is_fixed: false,
        }
    }
}

impl Table {
    pub(super) fn entries(&self) -> &[u64; MAIN + MAIN_LEN] {
        &self.entries
    }

    /// The codes of RFC 1951, 3.2.6.
    pub(super) fn set_fixed(&mut self) -> Option<()> {
        if !self.is_fixed {
            let mut lens = [8; SYMBOLS];
            lens[144..256].fill(9);
            lens[256..280].fill(7);
            self.set(&lens, &[5; DISTANCES])?;
            self.is_fixed = true;
        }
        Some(())
    }

    /// Takes the lengths of all code words; nothing if they are no code.
    pub(super) fn set(&mut self, symbols: &[u8], distances: &[u8]) -> Option<()> {
        self.is_fixed = false;
        self.symbols.set(symbols)?;
        self.distances.set(distances)?;
        let (near, main) = self.entries.split_at_mut(MAIN);
        near.fill(entry::LONG_DISTANCE);
        self.distances.for_each_word(DISTANCE_WIDTH, |symbol, word, len| {
            spread(near, word, len, distance(symbol, len));
        });
        for width in 1..=WIDTH.saturating_sub(self.symbols.shortest()) {
            let (smaller, own) = self.smaller.split_at_mut(1 << width);
            let own = &mut own[..1 << width];
            own.fill(NOTHING);
            Level { distances: near, smaller, own, width }.fill(&self.symbols, false);
        }
        main.fill(entry::LONG);
        Level { distances: near, smaller: &self.smaller, own: main, width: WIDTH }
            .fill(&self.symbols, true);
        Some(())
    }
}

/// A table by `width` bits in the making: every entry holds as many symbols as fit.
struct Level<'a> {
    distances: &'a [u64],
    smaller: &'a [u64],
    own: &'a mut [u64],
    width: u32,
}

impl Level<'_> {
    /// What is no step has entries only in the largest table: it never follows a literal.
    #[inline]
    fn fill(&mut self, code: &Code<SYMBOLS>, is_main: bool) {
        code.for_each_word(self.width, |symbol, word, len| match symbol {
            0..256 => self.literal(symbol as u8, word, len),
            257..=LAST_LENGTH => self.length(usize::from(symbol - 257), word, len),
            256 if is_main => spread(self.own, word, len, entry::end(len)),
            _ if is_main => spread(self.own, word, len, entry::BAD),
            _ => {}
        });
    }

    #[inline]
    fn literal(&mut self, value: u8, word: usize, len: u32) {
        let literal = entry::literal(value, len);
        if len == self.width {
            self.own[word] = NOTHING + literal;
            return;
        }
        let size = 1 << (self.width - len);
        let behind = &self.smaller[size..2 * size];
        for (&behind, own) in behind.iter().zip(self.own[word..].iter_mut().step_by(1 << len)) {
            *own = entry::make_room(behind) + literal;
        }
    }

    #[inline]
    fn length(&mut self, symbol: usize, word: usize, len: u32) {
        let (base, extra) = (LENGTH_BASES[symbol], LENGTH_EXTRA[symbol]);
        let full_len = len + extra;
        let max = u64::from(base) + (1 << extra) - 1;
        if full_len > self.width || max > MAX_LENGTH {
            spread(self.own, word, len, entry::length(base, len, extra));
            return;
        }
        // The extra bits are as good as bits of the code word.
        for value in 0..1_u16 << extra {
            let word = word | usize::from(value) << len;
            self.exact_length(base + value, word, full_len);
        }
    }

    /// With the distance, where its code word is within the index.
    #[inline]
    fn exact_length(&mut self, length: u16, word: usize, len: u32) {
        let alone = entry::length(length, len, 0);
        let whole = entry::match_of(length, len);
        let room = self.width - len;
        let slots = self.own[word..].iter_mut().step_by(1 << len);
        for (index, own) in slots.enumerate() {
            let distance = self.distances[index % MAIN];
            let fits = entry::distance_bits(distance).is_some_and(|bits| bits <= room);
            *own = if fits { (distance & !entry::ALONE) + whole } else { alone };
        }
    }
}

/// Puts `entry` wherever the index begins with the code word.
fn spread(table: &mut [u64], word: usize, len: u32, entry: u64) {
    for slot in table[word..].iter_mut().step_by(1 << len) {
        *slot = entry;
    }
}

/// The distance symbol as an entry; [`entry::LONG_DISTANCE`] for the two that must not occur.
pub(super) fn distance(symbol: u16, len: u32) -> u64 {
    let symbol = u32::from(symbol);
    match symbol {
        0..4 => entry::distance(symbol as u16 + 1, len, 0),
        4..30 => {
            let extra = symbol / 2 - 1;
            entry::distance(((2 + symbol % 2) << extra) as u16 + 1, len, extra)
        }
        _ => entry::LONG_DISTANCE,
    }
}

/// The symbols 257..=285 (RFC 1951, 3.2.5).
pub(super) const LAST_LENGTH: u16 = 285;
pub(super) const LENGTH_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
pub(super) const LENGTH_EXTRA: [u32; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
