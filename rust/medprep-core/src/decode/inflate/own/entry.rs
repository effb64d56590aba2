//! What a look-up yields, in 64 bits.
//!
//! | byte | holds |
//! |---|---|
//! | 0 | bits to take, at most 24: code words and extra bits |
//! | 1 | bits of the index of the next look-up, which tell its table: [`WIDTH`] or [`DISTANCE_WIDTH`] |
//! | 2, 3 | literals |
//! | 4, 5 | base of a value: the distance; or the length, where the distance is looked up next. In byte 4 the third literal, if there is neither |
//! | 6 | bits of the code words; what more is taken is added to the base. Above them, in 2 bits: literals, and one more if there is a base: 3 is full |
//! | 7 | number of literals in 2 bits, length of the match in 5 (0 if there is none), and the bit [`ALONE`] |

/// Bits of the index of literals and lengths. One more would fill the first-level cache.
pub(super) const WIDTH: u32 = 11;
/// Bits of the index of distances.
pub(super) const DISTANCE_WIDTH: u32 = 8;
/// The bit of byte 1 that is set in [`WIDTH`] alone.
pub(super) const IS_MAIN: u64 = 0x200;
const _: () = assert!(WIDTH & 2 != 0 && DISTANCE_WIDTH & 2 == 0);

/// A distance whose length the look-up before gave.
pub(super) const ALONE: u64 = 1 << 63;

/// The longest match that is copied in a step.
pub(super) const MAX_LENGTH: u64 = 16;

/// Places of the fields.
pub(super) const BASE: u32 = 32;
pub(super) const CODE: u32 = 48;
pub(super) const COUNT: u32 = 56;
pub(super) const LENGTH: u32 = 58;

/// On to literals and lengths.
const TO_MAIN: u64 = (WIDTH as u64) << 8;
/// Nothing, and on to literals and lengths. It has a base, and so have literals without a match: what is
/// copied for nothing then comes from far enough to be in memory, not from what was just stored, for which
/// it would wait. Only near the beginning, where nothing is so far, that makes a step an odd one.
pub(super) const NOTHING: u64 = TO_MAIN | 0x400 << BASE;

/// The length of what is no step; longer than [`MAX_LENGTH`].
const ODD_LENGTH: u64 = 31;
const ODD: u64 = TO_MAIN | ODD_LENGTH << LENGTH;
/// A code word longer than the index, or none.
pub(super) const LONG: u64 = ODD;
/// As [`LONG`], for distances.
pub(super) const LONG_DISTANCE: u64 = ODD | 1 << BASE;
/// A symbol that must not occur.
pub(super) const BAD: u64 = ODD | 2 << BASE;
/// The end of the block, with the bits to take.
const END: u64 = ODD | 3 << BASE;

const ROOM: u32 = 54;
const FULL: u64 = 3 << ROOM;
/// Two literals, which can move on to make room for one in front.
const LITERALS: u64 = 0xFFFF << 16;

/// Whether it is none of the steps.
pub(super) fn is_odd(entry: u64) -> bool {
    entry >> LENGTH == ODD_LENGTH
}

/// Whether it is of the table of distances.
pub(super) fn is_distance(entry: u64) -> bool {
    entry & ALONE != 0 || entry == LONG_DISTANCE
}

pub(super) fn end(bits: u32) -> u64 {
    END | u64::from(bits)
}

pub(super) fn is_end(entry: u64) -> bool {
    entry & !0xFF == END
}

/// What, added to an entry, puts a literal in front; see [`make_room`].
pub(super) fn literal(value: u8, bits: u32) -> u64 {
    1 << ROOM | 1 << COUNT | u64::from(value) << 16 | u64::from(bits) << CODE | u64::from(bits)
}

/// The entry with room for a literal in front, or [`NOTHING`] if it cannot hold one more.
pub(super) fn make_room(entry: u64) -> u64 {
    let entry = if entry & FULL == FULL { NOTHING } else { entry };
    (entry & LITERALS) << 8 | entry & !LITERALS
}

/// A length, at least `base`; its distance is looked up next.
pub(super) fn length(base: u16, bits: u32, extra: u32) -> u64 {
    let next = u64::from(DISTANCE_WIDTH) << 8;
    next | 1 << ROOM | u64::from(base) << BASE | u64::from(bits) << CODE | u64::from(bits + extra)
}

/// A distance, at least `base`.
pub(super) fn distance(base: u16, bits: u32, extra: u32) -> u64 {
    ALONE | TO_MAIN | u64::from(base) << BASE | u64::from(bits) << CODE | u64::from(bits + extra)
}

/// What, added to a distance without [`ALONE`], makes it a match.
pub(super) fn match_of(length: u16, bits: u32) -> u64 {
    1 << ROOM | u64::from(length) << LENGTH | u64::from(bits) << CODE | u64::from(bits)
}

/// Bits of a distance's code word, if the entry is a distance.
pub(super) fn distance_bits(entry: u64) -> Option<u32> {
    (entry & ALONE != 0).then_some((entry >> CODE & 63) as u32)
}
