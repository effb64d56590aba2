//! Canonical prefix codes (RFC 1951, 3.2.2).

/// Bits of the longest code.
pub(super) const MAX_LEN: u32 = 15;

/// A code for up to `N` symbols.
pub(super) struct Code<const N: usize> {
    /// The symbols by length and value.
    symbols: [u16; N],
    counts: [u16; MAX_LEN as usize + 1],
    /// By length: the first code word that is longer, its first bit highest, as a fraction of 2^16.
    ends: [u32; MAX_LEN as usize + 1],
    /// By length: what, added to a code word (modulo 2^32), is its place in `symbols`.
    places: [u32; MAX_LEN as usize + 1],
}

impl<const N: usize> Default for Code<N> {
    fn default() -> Self {
        Self { symbols: [0; N], counts: [0; 16], ends: [0; 16], places: [0; 16] }
    }
}

impl<const N: usize> Code<N> {
    /// Takes the length of every symbol's code word, 0..=15; 0 is none.
    ///
    /// Nothing if words are lacking or too many; but none at all is a code, and so is one of one bit,
    /// as encoders write them for distances.
    pub fn set(&mut self, lens: &[u8]) -> Option<()> {
        self.counts = [0; 16];
        for &len in lens {
            self.counts[usize::from(len & 15)] += 1;
        }
        self.counts[0] = 0;
        let (mut end, mut place) = (0, 0);
        let mut places = [0; 16];
        for (len, first) in places.iter_mut().enumerate().skip(1) {
            let (count, scale) = (self.counts[len], 16 - len);
            *first = place;
            self.places[len] = u32::from(place).wrapping_sub(end >> scale);
            end += u32::from(count) << scale;
            self.ends[len] = end;
            place += count;
        }
        let is_usable = end == 1 << 16 || place == 0 || (place == 1 && self.counts[1] == 1);
        for (symbol, &len) in lens.iter().enumerate().filter(|(_, len)| **len > 0) {
            let place = &mut places[usize::from(len & 15)];
            self.symbols[usize::from(*place)] = symbol as u16;
            *place += 1;
        }
        is_usable.then_some(())
    }

    /// Bits of the shortest code word; of the longest possible if there is none.
    pub fn shortest(&self) -> u32 {
        (1..MAX_LEN).find(|&len| self.counts[len as usize] > 0).unwrap_or(MAX_LEN)
    }

    /// Gives all code words of up to `max_len` bits, shortest first: symbol, word with its first
    /// bit lowest as it is in the stream, length.
    #[inline]
    pub fn for_each_word(&self, max_len: u32, mut give: impl FnMut(u16, usize, u32)) {
        let (mut word, mut place) = (0_u32, 0);
        for len in 1..=max_len {
            for _ in 0..self.counts[len as usize] {
                give(self.symbols[place], usize::from((word as u16).reverse_bits()), len);
                word += 1 << (16 - len);
                place += 1;
            }
        }
    }

    /// The symbol whose code word `bits` begin with, if it is longer than `known` bits, and its length.
    pub fn find(&self, bits: u64, known: u32) -> Option<(u16, u32)> {
        let word = u32::from((bits as u16).reverse_bits());
        let len = (known + 1..=MAX_LEN).find(|&len| word < self.ends[len as usize])?;
        let place = self.places[len as usize].wrapping_add(word >> (16 - len));
        Some((*self.symbols.get(place as usize)?, len))
    }
}
