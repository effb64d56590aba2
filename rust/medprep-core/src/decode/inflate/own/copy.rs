//! Matches that no step can copy: long ones and those that overlap themselves.

/// Bytes written behind the match, at most.
pub(super) const OVERRUN: usize = 40;

/// Repeats at `to` the `length` bytes that begin `distance` bytes before.
///
/// # Safety
/// The `distance` bytes before `to` are initialised bytes of an allocation in which `length` +
/// [`OVERRUN`] bytes from `to` on may be written; `distance` > 0.
#[cold]
#[inline(never)]
pub(super) unsafe fn copy_match(mut to: *mut u8, distance: usize, length: usize) {
    // SAFETY: the caller's promise. Up to `end` + 31 bytes are written by steps of 32 (31 to spare) or
    // 16, and a pattern of less than 16 bytes grows by less than 24 bytes before its last 16.
    unsafe {
        let mut from = to.sub(distance).cast_const();
        let end = to.add(length);
        if distance == 1 {
            let pattern = [*from; 32];
            while to < end {
                to.cast::<[u8; 32]>().write_unaligned(pattern);
                to = to.add(32);
            }
            return;
        }
        // What has been copied is part of the pattern.
        let mut period = distance;
        while period < 16 {
            copy_16(from, to);
            to = to.add(period);
            period *= 2;
        }
        while to < end {
            copy_16(from, to);
            copy_16(from.add(16), to.add(16));
            (from, to) = (from.add(32), to.add(32));
        }
    }
}

/// Reads all before it writes.
///
/// # Safety
/// 16 bytes can be read and written.
#[inline]
pub(super) unsafe fn copy_16(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy(from, to, 16) }
}
