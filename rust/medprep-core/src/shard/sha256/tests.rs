use proptest::prelude::*;
use sha2::Digest;

use super::*;

fn reference(bytes: &[u8]) -> Hash {
    sha2::Sha256::digest(bytes).into()
}

/// `count` bytes without a pattern, different ones for every seed.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hasher = PairedSha256::new();
    hasher.update(bytes);
    hasher.finish()
}

/// The hashes of `one || shared` and `other || shared`, their shared end taken in at once.
fn hash_both(one: &[u8], other: &[u8], shared: &[u8]) -> [Hash; 2] {
    let (mut first, mut second) = (PairedSha256::new(), PairedSha256::new());
    first.update(one);
    second.update(other);
    first.update_with(&mut second, shared);
    [first.finish(), second.finish()]
}

#[test]
fn the_examples_of_the_standard_hash_as_published() {
    let million = vec![b'a'; 1_000_000];
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".as_slice();
    for (message, expected) in [
        (b"".as_slice(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (two_blocks, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (&million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ] {
        assert_eq!(crate::shard::hex(&hash(message)), expected);
        assert_eq!(
            hash_both(&[], &[], message).map(|hash| crate::shard::hex(&hash)),
            [expected; 2]
        );
    }
}

#[test]
fn every_length_hashes_as_by_sha2_alone_and_beside_another() {
    let bytes = noise(300, 1);
    for length in 0..=bytes.len() {
        assert_eq!(hash(&bytes[..length]), reference(&bytes[..length]), "{length}");
        for begun in [0, 1, 31, 55, 56, 63, 64, 65, 127, 190] {
            let (one, other) = (noise(begun, 2), noise(77, 3));
            let shared = &bytes[..length];
            let expected =
                [&one, &other].map(|begin| reference(&[begin.as_slice(), shared].concat()));
            assert_eq!(hash_both(&one, &other, shared), expected, "{begun} + {length}");
        }
    }
}

#[test]
fn vectors_compress_two_streams_as_sha2_compresses_one_after_the_other() {
    let (first, second) = (noise(40 * BLOCK, 4), noise(40 * BLOCK, 5));
    let (first, second) = (first.as_chunks().0, second.as_chunks().0);
    for blocks in [0, 1, 2, 3, 40] {
        let (mut one, mut other) = (START, START.map(|word| !word));
        let (mut expected_one, mut expected_other) = (one, other);
        compress_both([&mut one, &mut other], &first[..blocks], &second[..blocks]);
        compress256(&mut expected_one, &first[..blocks]);
        compress256(&mut expected_other, &second[..blocks]);
        assert_eq!((one, other), (expected_one, expected_other), "{blocks} blocks");
    }
}

proptest! {
    #[test]
    fn pieces_of_any_length_hash_as_the_whole(
        pieces in prop::collection::vec((0..3_000_usize, 0..3_u8), 1..12),
        seed: u32,
    ) {
        let (mut first, mut second) = (PairedSha256::new(), PairedSha256::new());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (number, (length, to)) in pieces.into_iter().enumerate() {
            let piece = noise(length, seed.wrapping_add(number as u32));
            match to {
                0 => first.update(&piece),
                1 => second.update(&piece),
                _ => first.update_with(&mut second, &piece),
            }
            one.extend(piece.iter().filter(|_| to != 1));
            other.extend(piece.iter().filter(|_| to != 0));
        }
        prop_assert_eq!(first.finish(), reference(&one));
        prop_assert_eq!(second.finish(), reference(&other));
    }
}
