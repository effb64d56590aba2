//! Transfer syntaxes by UID (PS3.6 table A-1): which are built in, and the names of the others.

use super::elements::Encoding;
use super::error::unsupported;
use crate::Error;

pub(super) const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub(super) const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub(super) const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
pub(super) const RLE_LOSSLESS: &str = "1.2.840.10008.1.2.5";
pub(super) const DEFLATED_FRAME: &str = "1.2.840.10008.1.2.8.1";

/// How the frames of encapsulated Pixel Data are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// As uncompressed Pixel Data, one fragment or more a frame.
    None,
    Deflate,
    Rle,
    /// Any of the Huffman-coded JPEG processes; which one, the frame says.
    Jpeg,
}

/// JPEG Baseline, Extended, Full Progression, Lossless and Lossless SV1.
const JPEG: [&str; 6] = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.53",
    "1.2.840.10008.1.2.4.55",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
];

/// Refused by name.
const NOT_BUILT_IN: [(&str, &str); 27] = [
    ("1.2.840.113619.5.2", "GE private implicit VR big endian"),
    ("1.2.840.10008.1.2.4.52", "JPEG Extended, arithmetic"),
    ("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, arithmetic"),
    ("1.2.840.10008.1.2.4.56", "JPEG Full Progression, arithmetic"),
    ("1.2.840.10008.1.2.4.58", "JPEG Lossless, arithmetic"),
    ("1.2.840.10008.1.2.4.59", "JPEG Extended, hierarchical"),
    ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
    ("1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless"),
    ("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless"),
    ("1.2.840.10008.1.2.4.91", "JPEG 2000"),
    ("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Lossless"),
    ("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2"),
    ("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
    ("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate"),
    ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile"),
    ("1.2.840.10008.1.2.4.101", "MPEG2 High Level"),
    ("1.2.840.10008.1.2.4.102", "MPEG-4 High Profile"),
    ("1.2.840.10008.1.2.4.103", "MPEG-4 BD-compatible"),
    ("1.2.840.10008.1.2.4.107", "HEVC Main Profile"),
    ("1.2.840.10008.1.2.4.108", "HEVC Main 10 Profile"),
    ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
    ("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
    ("1.2.840.10008.1.2.4.112", "JPEG XL"),
    ("1.2.840.10008.1.2.4.201", "HTJ2K Lossless"),
    ("1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL"),
    ("1.2.840.10008.1.2.4.203", "HTJ2K"),
    ("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced"),
];

/// The syntax that says how elements without a meta group are written.
pub(super) fn of_encoding(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding { explicit: false, .. } => IMPLICIT_LE,
        Encoding { big_endian: true, .. } => EXPLICIT_BE,
        Encoding { .. } => EXPLICIT_LE,
    }
}

/// How frames of this syntax are packed.
///
/// # Errors
/// `Unsupported`, with the syntax's name.
pub(super) fn codec(uid: &str) -> Result<Codec, Error> {
    match uid {
        IMPLICIT_LE | EXPLICIT_LE | EXPLICIT_BE | DEFLATED | ENCAPSULATED_UNCOMPRESSED => {
            Ok(Codec::None)
        }
        RLE_LOSSLESS => Ok(Codec::Rle),
        DEFLATED_FRAME => Ok(Codec::Deflate),
        _ if JPEG.contains(&uid) => Ok(Codec::Jpeg),
        _ => Err(refusal(uid)),
    }
}

/// The text of a syntax UID goes into messages only when it is one of DICOM's own: the element may
/// hold anything.
fn refusal(uid: &str) -> Error {
    match NOT_BUILT_IN.iter().find(|(known, _)| *known == uid) {
        Some((_, name)) => unsupported(format!("DICOM transfer syntax {name} ({uid})")),
        None => unsupported("DICOM transfer syntax that is not known"),
    }
}
