//! DICOM: one file to stored pixel values and what is needed to show them.
//!
//! The way of a file, for the pipeline:
//!
//! 1. [`is_dicom`] sniffs, also files without preamble. [`read_header`] gives a planner the few
//!    attributes it may know ([`Summary`]); the engine's `read_dicom_headers` does it for many files
//!    in parallel, without reading their pixels.
//! 2. [`decode_frames_into`] decodes the first, the middle, any one or all frames into [`Values`] that are
//!    reused, and returns [`Decoded`]: the [`Header`] of the pixels, how many frames there are, and
//!    how each is to be shown ([`Look`]).
//! 3. `pipeline::show_into` makes the 8-bit image of one of them, `pipeline::show_u16_into` the
//!    16-bit one (rescale or modality LUT, window or VOI LUT, MONOCHROME1 inversion, palette).
//!
//! [`decode_dicom`] is 2 with memory of its own.
//!
//! Inside, a file goes from hand to hand:
//!
//! - **guard** (`file`, `elements`): finds the meta group, the data set and, in it, the elements of an
//!   allow-list (`attributes`) by a bounded walk without recursion. It notes places and copies
//!   nothing; sequences are stepped over, and cut or lying ones refused, and those that can only be
//!   stepped over by following them where they nest too deep.
//! - **`dicom-object`** (`object`): what was found is handed to it as a small data set: true lengths,
//!   no sequences, nothing that is not on the list. Its `dicom-parser` parses that into an
//!   `InMemDicomObject`, through which values are read: text, integers, decimal strings, floats, the
//!   words of tables, the transfer syntax of the meta group. An item of a sequence that is looked at
//!   (a LUT, a functional group) is found and handed over as a data set of its own, so that of
//!   thousands of frames only the wanted ones cost anything.
//! - **header** (`header`, `look`, `palette`, `summary`): what the values mean, checked.
//! - **frames** (`frames`, `fragments`, `native`, `rle`, `jpeg`): pixels, from the places that the
//!   guard noted.
//!
//! `dicom-object` is not given whole files because version 0.10.1 builds nested sequences by
//! recursion, so that a file of 360 kB ends the process by a stack overflow that nothing can catch,
//! it refuses meta groups with a wrong length, its `dicom-parser` 0.10.1 makes room for the length
//! that an element claims before it has read any of it, and it would read every name and date. The
//! first is shown by `tests_peer::a_deep_file_ends_dicom_object`, the second by
//! `tests::a_meta_group_that_lies_about_its_length_is_read`.

mod attributes;
mod elements;
mod error;
mod file;
mod fragments;
mod frames;
mod header;
mod jpeg;
mod look;
mod native;
mod object;
mod palette;
mod rle;
mod summary;
mod syntax;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_peer;
mod values;

pub use file::is_dicom;
pub use header::{Header, Photometric};
pub use look::{Look, Lut, VoiFunction, VoiWindow};
pub use palette::Palette;
pub use summary::{Summary, read_header};
pub use values::Values;

use super::{Limits, guard};
use crate::Result;

/// Which frames of a multi-frame file are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frames {
    /// The first one.
    First,
    /// The one in the middle (index `number / 2`), the usual choice for a volume preview.
    #[default]
    Middle,
    /// All of them.
    All,
    /// The one of that number, from 0; the others are not decoded.
    One(u32),
    /// The only one: a file that has several is refused.
    Only,
}

/// Memory reused from file to file.
#[derive(Debug, Default)]
pub struct Scratch {
    jpeg: jpeg::Scratch,
}

/// What explains the values of the chosen frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What describes the pixels.
    pub header: Header,
    /// How many frames were decoded.
    pub frames: usize,
    looks: Vec<Look>,
}

impl Decoded {
    /// How frame `index` of the decoded ones is shown.
    pub fn look(&self, index: usize) -> &Look {
        self.looks.get(index).unwrap_or(&self.looks[0])
    }

    /// Values of a frame.
    pub fn frame_len(&self) -> usize {
        self.header.frame_values()
    }
}

/// The pixels of the chosen frames and what explains them.
#[derive(Debug, Clone)]
pub struct DicomPixels {
    /// What explains the values.
    pub decoded: Decoded,
    /// The values as the file stores them; colour is interleaved and, where it was YBR, RGB. Of a
    /// palette these are the indices.
    pub stored: Values,
}

/// Decodes the chosen frames of a DICOM file into `values`.
///
/// Built in: uncompressed (implicit, explicit, big-endian, deflated, deflated frames, encapsulated),
/// RLE, JPEG Baseline, Extended (8 and 12 bits), progressive and lossless (process 14, all seven
/// predictors); 1, 8, 16 and 32 bits allocated.
///
/// # Errors
/// `Decode` when the file is damaged, `Unsupported` (by name) for other transfer syntaxes and kinds
/// of pixels, `Limit` when it asks for more than the caps allow. After an error `values` holds
/// unspecified ones.
pub fn decode_frames_into(
    data: &[u8],
    frames: Frames,
    limits: &Limits,
    scratch: &mut Scratch,
    values: &mut Values,
) -> Result<Decoded> {
    guard::catch_panic("DICOM", || {
        let data_set = file::DataSet::open(data, limits.max_bytes, false)?;
        let attributes = data_set.attributes()?;
        if attributes.pixel_data().is_none() {
            return Err(error::decode_error("no Pixel Data"));
        }
        let header = Header::of(&attributes, &data_set.transfer_syntax)?;
        let range = frames.range(header.frames)?;
        let source = frames::Source {
            header: &header,
            data: &data_set.data,
            attributes: &attributes,
            limits,
        };
        frames::decode(&source, range.clone(), scratch, values)?;
        let looks = look::of_frames(&attributes, &header, range.clone())?;
        Ok(Decoded { header, frames: range.len(), looks })
    })
}

/// [`decode_frames_into`] with memory of its own.
///
/// # Errors
/// As [`decode_frames_into`].
pub fn decode_dicom(data: &[u8], frames: Frames, limits: &Limits) -> Result<DicomPixels> {
    let mut stored = Values::default();
    let decoded = decode_frames_into(data, frames, limits, &mut Scratch::default(), &mut stored)?;
    Ok(DicomPixels { decoded, stored })
}
