//! Images decoded a few rows at a time, for consumers that shrink them at once.

use super::{Channels, DecodeOptions, Format, Scratch, jpeg};
use crate::Result;

/// Rows of a band: two rows of the largest MCUs, a few percent of the second cache.
const BAND_ROWS: usize = 16;

/// A file that may be decoded in bands of rows: an upright JPEG.
pub struct Bands<'a> {
    data: &'a [u8],
    header: jpeg::Header,
    channels: Channels,
    options: &'a DecodeOptions,
}

impl<'a> Bands<'a> {
    /// Reads the header of `data`; nothing for files that only [`super::decode_into`] can decode.
    ///
    /// # Errors
    /// As [`super::decode_into`] for what is wrong with the header or over the limits.
    pub fn open(
        data: &'a [u8],
        channels: Channels,
        options: &'a DecodeOptions,
    ) -> Result<Option<Self>> {
        if Format::of(data)? != Format::Jpeg {
            return Ok(None);
        }
        let header = jpeg::Header::read(data)?;
        jpeg::Source::check(data, &header, channels, options)?;
        let is_upright = header.orientation == 1;
        Ok(is_upright.then_some(Self { data, header, channels, options }))
    }

    /// Height, width and channels of the decoded image.
    pub fn shape(&self) -> [usize; 3] {
        [self.header.height as usize, self.header.width as usize, self.channels.count()]
    }

    /// Decodes from top to bottom; `sink` gets whole rows and the bytes per row.
    ///
    /// False when the file turned out to be damaged or of another kind, perhaps after some bands:
    /// then these are to be dropped, and [`super::decode_into`] has the last word.
    ///
    /// # Errors
    /// `Spec` when `MEDPREP_CPU` names a path this machine lacks.
    pub fn decode(
        &self,
        scratch: &mut Scratch,
        sink: &mut dyn FnMut(&[u8], usize),
    ) -> Result<bool> {
        let Self { data, header, channels, options } = self;
        let source = jpeg::Source::check(data, header, *channels, options)?;
        jpeg::decode_bands(&source, &mut scratch.jpeg, &mut scratch.band, BAND_ROWS, sink)
    }
}
