//! RLE Lossless (PS3.5 annex G): byte planes packed with PackBits, most significant first.

use super::error::decode_error;
use super::values::Sample;
use crate::Result;

/// Appends one frame of `pixels` pixels, interleaved.
///
/// # Errors
/// `Decode` when the segment header or a segment does not fit the frame.
pub(super) fn append_frame<T: Sample>(
    data: &[u8],
    pixels: usize,
    samples: usize,
    out: &mut Vec<T>,
) -> Result<()> {
    let bytes_per_sample = T::BITS as usize / 8;
    let planes = samples * bytes_per_sample;
    let word = |i: usize| -> Result<usize> {
        let bytes = data.get(4 * i..4 * i + 4).ok_or_else(|| decode_error("RLE header is cut"))?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize)
    };
    let segments = word(0)?;
    if segments != planes {
        return Err(decode_error(format!("RLE frame has {segments} segments, expected {planes}")));
    }
    // A pair of bytes makes at most 128 values.
    if data.len().saturating_mul(64) < pixels.saturating_mul(planes) {
        return Err(decode_error(format!("RLE frame of {} bytes is too short", data.len())));
    }
    let start = out.len();
    out.resize(start + pixels * samples, T::default());
    for segment in 0..segments {
        let from = word(1 + segment)?;
        let to = if segment + 1 < segments { word(2 + segment)? } else { data.len() };
        let packed = data
            .get(from..to)
            .ok_or_else(|| decode_error(format!("RLE segment {segment} lies outside the frame")))?;
        let (sample, byte) = (segment / bytes_per_sample, segment % bytes_per_sample);
        let shift = 8 * (bytes_per_sample - 1 - byte) as u32;
        let plane = &mut out[start + sample..];
        unpack(packed, pixels, |i, value| {
            let sample = &mut plane[i * samples];
            *sample = T::from_u32(sample.to_u32() | u32::from(value) << shift);
        })
        .map_err(|got| {
            decode_error(format!("RLE segment {segment} ends after {got} of {pixels} values"))
        })?;
    }
    Ok(())
}

/// PackBits; `Err(count)` when the data ends before `wanted` bytes. Surplus bytes are padding.
fn unpack(
    packed: &[u8],
    wanted: usize,
    mut put: impl FnMut(usize, u8),
) -> std::result::Result<(), usize> {
    let (mut at, mut done) = (0, 0);
    while done < wanted {
        let Some(&control) = packed.get(at) else { return Err(done) };
        at += 1;
        match control as i8 {
            -128 => {}
            count @ 0.. => {
                let literal = packed.get(at..at + count as usize + 1).ok_or(done)?;
                at += literal.len();
                for &value in literal.iter().take(wanted - done) {
                    put(done, value);
                    done += 1;
                }
            }
            count => {
                let value = *packed.get(at).ok_or(done)?;
                at += 1;
                for _ in 0..(1 - i32::from(count)).min((wanted - done) as i32) {
                    put(done, value);
                    done += 1;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut words = vec![segments.len() as u32];
        let mut at = 64;
        for segment in segments {
            words.push(at);
            at += segment.len() as u32;
        }
        words.resize(16, 0);
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.extend(segments.concat());
        bytes
    }

    fn decode<T: Sample>(data: &[u8], pixels: usize) -> Result<Vec<T>> {
        let mut out = Vec::new();
        append_frame(data, pixels, 1, &mut out).map(|()| out)
    }

    #[test]
    fn runs_and_literals_of_two_byte_planes_are_joined() {
        // High bytes: 1 1 1 (a run of three); low bytes: 7 8 9 (a literal of three).
        let data = frame(&[&[0xFE, 1], &[2, 7, 8, 9]]);
        assert_eq!(decode::<u16>(&data, 3).unwrap(), [0x107, 0x108, 0x109]);
    }

    #[test]
    fn a_cut_segment_is_an_error_that_says_how_far_it_got() {
        let error = decode::<u8>(&frame(&[&[2, 7, 8]]), 3).unwrap_err();
        assert!(error.to_string().contains("ends after 0 of 3 values"), "{error}");
    }

    #[test]
    fn a_lying_segment_count_is_refused() {
        assert!(decode::<u8>(&frame(&[&[0, 1], &[0, 1]]), 1).is_err());
    }

    #[test]
    fn a_frame_that_its_bytes_cannot_hold_is_refused_before_memory_is_asked_for() {
        let error = decode::<u8>(&frame(&[&[0, 1]]), 1 << 30).unwrap_err();
        assert!(error.to_string().contains("too short"), "{error}");
    }
}
