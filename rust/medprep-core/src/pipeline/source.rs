//! One encoded image on its way to pixels: plain decoding, or through a window.

use super::FrameChoice;
use super::show::{ShowScratch, WindowChoice, show_into, show_u16_into};
use crate::decode::dicom::{self, Frames, Values, decode_frames_into};
use crate::decode::{
    self, Bands, Channels, DecodeOptions, Decoded, Format, Reduction, decode_reduced_into,
    decode_wide_into, grey_of_rgb, grey_of_wide_rgb, probe,
};
use crate::error::{Error, Item};
use crate::geometry::{ResizeMode, full_size};
use crate::image::Image;
use crate::photometric::{Window, WindowFunction};
use crate::{ImageU8, ImageU16, Result};

/// An encoded image and how to read it.
pub(super) struct Source<'a> {
    data: &'a [u8],
    channels: Channels,
    frames: Frames,
    /// The window step; DICOM is shown by [`WindowChoice::Auto`] without one.
    pub(super) window: Option<WindowChoice>,
    options: &'a DecodeOptions,
    /// See [`super::Step::Decode`].
    is_fast: bool,
    reduction: Reduction,
    /// Height and width of a JPEG that may be reduced.
    whole: Option<[usize; 2]>,
}

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Grey values in front of a window.
    values: ImageU16,
    /// 8-bit pixels on their way to another type or another number of channels.
    narrow: ImageU8,
    wide: ImageU16,
    dicom: dicom::Scratch,
    stored: Values,
    tables: ShowScratch,
}

/// Bits of a pixel value, with what yields them.
pub(super) trait Depth: Copy + Default {
    fn decode(
        source: &Source,
        scratch: &mut decode::Scratch,
        out: &mut Image<Self>,
    ) -> Result<Decoded>;
    /// Shows the first of the decoded frames.
    fn show(
        decoded: &dicom::Decoded,
        values: &Values,
        choice: WindowChoice,
        tables: &mut ShowScratch,
        out: &mut Image<Self>,
    ) -> Result<()>;
    fn level(window: &Window, value: f64) -> Self;
    fn grey(rgb: [Self; 3]) -> Self;
    /// Memory for an image of another number of channels.
    fn spare(held: &mut Held) -> &mut Image<Self>;
}

impl Depth for u8 {
    fn decode(
        source: &Source,
        scratch: &mut decode::Scratch,
        out: &mut ImageU8,
    ) -> Result<Decoded> {
        source.decode_reduced(source.channels, scratch, out)
    }

    fn show(
        decoded: &dicom::Decoded,
        values: &Values,
        choice: WindowChoice,
        tables: &mut ShowScratch,
        out: &mut ImageU8,
    ) -> Result<()> {
        show_into(decoded, values, 0, choice, tables, out)
    }

    fn level(window: &Window, value: f64) -> Self {
        window.level(value)
    }

    fn grey(rgb: [Self; 3]) -> Self {
        grey_of_rgb(rgb)
    }

    fn spare(held: &mut Held) -> &mut ImageU8 {
        &mut held.narrow
    }
}

impl Depth for u16 {
    fn decode(
        source: &Source,
        scratch: &mut decode::Scratch,
        out: &mut ImageU16,
    ) -> Result<Decoded> {
        decode_wide_into(source.data, source.channels, source.options, scratch, out)
    }

    fn show(
        decoded: &dicom::Decoded,
        values: &Values,
        choice: WindowChoice,
        tables: &mut ShowScratch,
        out: &mut ImageU16,
    ) -> Result<()> {
        show_u16_into(decoded, values, 0, choice, tables, out)
    }

    fn level(window: &Window, value: f64) -> Self {
        window.level_u16(value)
    }

    fn grey(rgb: [Self; 3]) -> Self {
        grey_of_wide_rgb(rgb)
    }

    fn spare(held: &mut Held) -> &mut ImageU16 {
        &mut held.wide
    }
}

impl<'a> Source<'a> {
    /// The image as it is read before the steps say otherwise.
    pub(super) fn new(data: &'a [u8], options: &'a DecodeOptions) -> Self {
        Self {
            data,
            channels: Channels::Rgb,
            frames: Frames::default(),
            window: None,
            options,
            is_fast: false,
            reduction: Reduction::Whole,
            whole: None,
        }
    }

    /// As the decode step says.
    pub(super) fn read_as(
        &mut self,
        channels: Channels,
        frames: Option<FrameChoice>,
        is_fast: bool,
    ) {
        (self.channels, self.is_fast) = (channels, is_fast);
        self.frames = match (self.options.frame, frames) {
            (Some(index), _) => Frames::One(index),
            (None, Some(FrameChoice::First)) => Frames::First,
            (None, Some(FrameChoice::Middle) | None) => Frames::Middle,
            // A file with several frames has a number in every sample.
            (None, Some(FrameChoice::All)) => Frames::Only,
        };
    }

    /// Reduces a JPEG of a fast decode as far as a resize to `target` still shrinks it.
    pub(super) fn reduce_for(&mut self, target: [usize; 2], mode: ResizeMode) -> Result<()> {
        if self.is_fast && Format::of(self.data)? == Format::Jpeg {
            let header = probe(self.data)?;
            let whole = [header.height as usize, header.width as usize];
            self.reduction = Reduction::above(whole, full_size(whole, target, mode));
            self.whole = Some(whole);
        }
        Ok(())
    }

    /// Height and width of the whole image, which may have been decoded at less.
    pub(super) fn size(&self, decoded: [usize; 2]) -> [usize; 2] {
        self.whole.unwrap_or(decoded)
    }

    /// Rows one after another; nothing for files that can only be decoded at once.
    pub(super) fn bands(&self) -> Result<Option<Bands<'a>>> {
        let bands = Bands::open(self.data, self.channels, self.options)?;
        Ok(bands.map(|bands| bands.reduced(self.reduction)))
    }

    fn decode_reduced(
        &self,
        channels: Channels,
        scratch: &mut decode::Scratch,
        out: &mut ImageU8,
    ) -> Result<Decoded> {
        decode_reduced_into(self.data, channels, self.options, self.reduction, scratch, out)
    }

    /// Decodes, through a window if the file is grey and there is one to go through.
    pub(super) fn decode<T: Depth>(
        &self,
        scratch: &mut decode::Scratch,
        held: &mut Held,
        out: &mut Image<T>,
    ) -> Result<Decoded> {
        match self.decode_windowed(scratch, held, out)? {
            Some(decoded) => Ok(decoded),
            None => T::decode(self, scratch, out),
        }
    }

    /// Nothing when the file goes through no window.
    pub(super) fn decode_windowed<T: Depth>(
        &self,
        scratch: &mut decode::Scratch,
        held: &mut Held,
        out: &mut Image<T>,
    ) -> Result<Option<Decoded>> {
        if Format::of(self.data)? == Format::Dicom {
            self.decode_dicom(held, out)?;
            return Ok(Some(Decoded::default()));
        }
        self.refuse_frame()?;
        let choice = match self.window {
            None | Some(WindowChoice::None) => return Ok(None),
            Some(choice) => choice,
        };
        let found = probe(self.data)?;
        let is_wide = found.bit_depth == 16;
        // Colour has no window, and 8-bit values are the range of what they show.
        if found.channels > 2 || !is_wide && choice == WindowChoice::Auto {
            return Ok(None);
        }
        let Held { values, narrow, .. } = &mut *held;
        let decoded = if is_wide {
            decode_wide_into(self.data, Channels::Grey, self.options, scratch, values)?
        } else {
            let decoded = self.decode_reduced(Channels::Grey, scratch, narrow)?;
            values.reshape(narrow.height(), narrow.width(), 1);
            for (value, &byte) in values.data_mut().iter_mut().zip(narrow.data()) {
                *value = u16::from(byte);
            }
            decoded
        };
        let mut grey = std::mem::take(T::spare(held));
        window_grey(&held.values, choice, &mut grey)?;
        self.to_channels(&mut grey, out);
        *T::spare(held) = grey;
        Ok(Some(decoded))
    }

    /// A file that was planned frame by frame and has become something else since.
    fn refuse_frame(&self) -> Result<()> {
        let Some(index) = self.options.frame else { return Ok(()) };
        let reason = format!("frame {index} was planned of DICOM, and this is none");
        Err(Error::Decode { item: Item::default(), format: "image", reason })
    }

    fn decode_dicom<T: Depth>(&self, held: &mut Held, out: &mut Image<T>) -> Result<()> {
        let mut shown = std::mem::take(T::spare(held));
        let Held { dicom, stored, tables, .. } = held;
        let limits = &self.options.limits;
        let decoded = decode_frames_into(self.data, self.frames, limits, dicom, stored)?;
        let choice = self.window.unwrap_or_default();
        T::show(&decoded, stored, choice, tables, &mut shown)?;
        self.to_channels(&mut shown, out);
        *T::spare(held) = shown;
        Ok(())
    }

    /// Grey becomes RGB by repetition, RGB grey by OpenCV's weights.
    fn to_channels<T: Depth>(&self, image: &mut Image<T>, out: &mut Image<T>) {
        let (height, width, channels) = image.shape();
        let wanted = self.channels.count();
        if channels == wanted {
            std::mem::swap(image, out);
            return;
        }
        out.reshape(height, width, wanted);
        if wanted == 3 {
            for (out, &value) in out.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(image.data())
            {
                *out = [value; 3];
            }
        } else {
            let pixels = image.data().as_chunks::<3>().0;
            for (out, &rgb) in out.data_mut().iter_mut().zip(pixels) {
                *out = T::grey(rgb);
            }
        }
    }
}

/// The values of a grey image that is no DICOM through a window; `Auto` is its own range.
fn window_grey<T: Depth>(
    values: &ImageU16,
    choice: WindowChoice,
    out: &mut Image<T>,
) -> Result<()> {
    let (low, high) =
        values.data().iter().fold((u16::MAX, 0), |(low, high), &v| (low.min(v), high.max(v)));
    let window = match choice {
        WindowChoice::Linear { center, width } => {
            Window::new(center, width, WindowFunction::Linear)?
        }
        _ => Window::of_range(low.into(), high.into()),
    };
    let table: Vec<T> = (low..=high).map(|value| T::level(&window, value.into())).collect();
    out.reshape(values.height(), values.width(), 1);
    for (out, &value) in out.data_mut().iter_mut().zip(values.data()) {
        *out = table[usize::from(value - low)];
    }
    Ok(())
}
