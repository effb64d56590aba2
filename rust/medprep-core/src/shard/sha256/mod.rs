//! SHA-256, one stream or two at a time.
//!
//! Every round waits for the one before, so that one stream leaves the SHA unit of a CPU idle for
//! much of its time; a second one fits in between. On a CPU without one they take turns.

#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::block_api::compress256;

/// A finished SHA-256.
pub(super) type Hash = [u8; 32];

const BLOCK: usize = 64;
/// Where the length stands in the last block.
const LENGTH_AT: usize = 56;
/// The state before the first block; FIPS 180-4, 5.3.3.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A SHA-256 under way that may go on together with another.
#[derive(Debug, Clone)]
pub(super) struct PairedSha256 {
    state: [u32; 8],
    /// Begins with the bytes behind the last whole block.
    block: [u8; BLOCK],
    /// Bytes so far.
    length: u64,
}

impl PairedSha256 {
    pub(super) fn new() -> Self {
        Self { state: START, block: [0; BLOCK], length: 0 }
    }

    /// Takes in the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.complete(bytes).as_chunks();
        self.update_blocks(blocks);
        self.keep(rest);
    }

    /// Takes in bytes that come next in `other`, too.
    pub(super) fn update_with(&mut self, other: &mut Self, bytes: &[u8]) {
        let (mine, rest) = self.complete(bytes).as_chunks();
        let (others, others_rest) = other.complete(bytes).as_chunks();
        // The two began at different places of a block: one may have a block more.
        let both = mine.len().min(others.len());
        let (mine, mine_left) = mine.split_at(both);
        let (others, others_left) = others.split_at(both);
        compress_both([&mut self.state, &mut other.state], mine, others);
        self.length += mine.as_flattened().len() as u64;
        other.length += others.as_flattened().len() as u64;
        self.update_blocks(mine_left);
        other.update_blocks(others_left);
        self.keep(rest);
        other.keep(others_rest);
    }

    /// The hash of all bytes.
    pub(super) fn finish(mut self) -> Hash {
        let (begun, bits) = (self.begun(), 8 * self.length);
        self.block[begun] = 0x80;
        self.block[begun + 1..].fill(0);
        if begun >= LENGTH_AT {
            compress256(&mut self.state, &[self.block]);
            self.block.fill(0);
        }
        self.block[LENGTH_AT..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &[self.block]);
        let mut hash = Hash::default();
        hash.as_chunks_mut().0.copy_from_slice(&self.state.map(u32::to_be_bytes));
        hash
    }

    /// Bytes behind the last whole block.
    fn begun(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Completes the block that was begun; returns the bytes behind it.
    fn complete<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begun = self.begun();
        if begun == 0 {
            return bytes;
        }
        let (bytes, rest) = bytes.split_at(bytes.len().min(BLOCK - begun));
        self.keep(bytes);
        if self.begun() == 0 {
            compress256(&mut self.state, &[self.block]);
        }
        rest
    }

    fn update_blocks(&mut self, blocks: &[[u8; BLOCK]]) {
        compress256(&mut self.state, blocks);
        self.length += blocks.as_flattened().len() as u64;
    }

    /// Adds bytes to the block that was begun, which has room for them.
    fn keep(&mut self, bytes: &[u8]) {
        let begun = self.begun();
        self.block[begun..begun + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u64;
    }
}

/// Compresses as many blocks of the one as of the other.
fn compress_both(states: [&mut [u32; 8]; 2], first: &[[u8; BLOCK]], second: &[[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::is_available() {
        // SAFETY: the CPU has what the function needs.
        return unsafe { x86::compress_both(states, first, second) };
    }
    let [one, other] = states;
    compress256(one, first);
    compress256(other, second);
}
