//! Images decoded a few rows at a time, for consumers that shrink them at once.

use super::{Channels, DecodeOptions, Format, Reduction, Scratch, jpeg, png};
use crate::Result;

/// Rows of a band: two rows of the largest MCUs, a few percent of the second cache.
const BAND_ROWS: usize = 16;

/// A file that may be decoded in bands of rows: an upright JPEG, or an upright 8-bit PNG.
pub struct Bands<'a> {
    data: &'a [u8],
    header: Header,
    channels: Channels,
    options: &'a DecodeOptions,
    reduction: Reduction,
}

enum Header {
    Jpeg(jpeg::Header),
    Png(png::Header),
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
        let (header, is_fit) = match Format::of(data)? {
            Format::Jpeg => {
                let header = jpeg::Header::read(data)?;
                jpeg::Source::check(data, &header, channels, options)?;
                let is_upright = header.orientation == 1;
                (Header::Jpeg(header), is_upright)
            }
            Format::Png => {
                let header = png::Header::read(data)?;
                let source = png::Source::check(data, &header, channels, options)?;
                let is_fit = header.orientation == 1 && source.has_bands();
                (Header::Png(header), is_fit)
            }
            Format::Tiff | Format::WebP | Format::Gif | Format::Bmp | Format::Dicom => {
                return Ok(None);
            }
        };
        Ok(is_fit.then_some(Self { data, header, channels, options, reduction: Reduction::Whole }))
    }

    /// The same at a fraction of the size, as [`super::decode_reduced_into`].
    #[must_use]
    pub fn reduced(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// Height, width and channels of the decoded image.
    pub fn shape(&self) -> [usize; 3] {
        let (height, width) = match &self.header {
            Header::Jpeg(header) => header.size(self.reduction),
            Header::Png(header) => (header.height as usize, header.width as usize),
        };
        [height, width, self.channels.count()]
    }

    /// Decodes from top to bottom; `sink` gets whole rows and the bytes from one
    /// row to the next, which may be more than those of a row.
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
        let Self { data, header, channels, options, reduction } = self;
        match header {
            Header::Jpeg(header) => {
                let source = jpeg::Source::check(data, header, *channels, options)?;
                let source = source.reduced(*reduction);
                let Scratch { jpeg, band, .. } = scratch;
                jpeg::decode_bands(&source, jpeg, band, BAND_ROWS, sink)
            }
            Header::Png(header) => {
                let source = png::Source::check(data, header, *channels, options)?;
                png::decode_bands(&source, &mut scratch.png, sink)
            }
        }
    }
}
