//! From stored DICOM values to what a viewer shows: rescale, window, inversion.

use crate::decode::dicom::{DicomPixels, Header, Photometric, Stored, VoiFunction};
use crate::photometric::{Window, WindowFunction};
use crate::{ImageU8, Result};

/// Which window grey values go through.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum WindowChoice {
    /// The file's first VOI window; without one, 8-bit values without rescale stay as they are and
    /// all others are shown from their smallest to their largest modality value, padding left out.
    #[default]
    Auto,
    /// A linear window in modality units.
    Linear {
        /// In modality units.
        center: f64,
        /// In modality units, at least 1.
        width: f64,
    },
}

/// The chosen frames as 8-bit images, (rows, columns, 1 or 3); MONOCHROME1 is inverted *after* the window.
///
/// # Errors
/// `Step` when the window is not usable.
pub fn show(pixels: &DicomPixels, choice: WindowChoice) -> Result<Vec<ImageU8>> {
    let header = &pixels.header;
    let values: Vec<u8> = match &pixels.stored {
        Stored::U8(values) if header.samples == 3 => values.clone(),
        Stored::U8(values) => levels(values, 1 << 8, |&v| v as usize, i32::from, header, choice)?,
        Stored::I8(values) => {
            levels(values, 1 << 8, |&v| v as u8 as usize, i32::from, header, choice)?
        }
        Stored::U16(values) => levels(values, 1 << 16, |&v| v as usize, i32::from, header, choice)?,
        Stored::I16(values) => {
            levels(values, 1 << 16, |&v| v as u16 as usize, i32::from, header, choice)?
        }
    };
    let frame = header.rows * header.columns * header.samples;
    Ok(values
        .chunks_exact(frame)
        .map(|v| ImageU8::from_vec(header.rows, header.columns, header.samples, v.to_vec()))
        .collect())
}

/// Looks every stored value up in a table of grey levels (one entry a bit pattern).
fn levels<T: Copy>(
    values: &[T],
    patterns: usize,
    pattern: impl Fn(&T) -> usize,
    number: impl Fn(T) -> i32,
    header: &Header,
    choice: WindowChoice,
) -> Result<Vec<u8>> {
    let (slope, intercept) = header.rescale;
    let modality = |stored: i32| f64::from(stored) * slope + intercept;
    let window = match (choice, header.window) {
        (WindowChoice::Linear { center, width }, _) => {
            Some(Window::new(center, width, WindowFunction::Linear)?)
        }
        (WindowChoice::Auto, Some(voi)) => {
            let function = match voi.function {
                VoiFunction::Linear => WindowFunction::Linear,
                VoiFunction::LinearExact => WindowFunction::LinearExact,
                VoiFunction::Sigmoid => WindowFunction::Sigmoid,
            };
            Some(Window::new(voi.center, voi.width, function)?)
        }
        (WindowChoice::Auto, None) => {
            let as_stored = patterns == 1 << 8 && !header.signed && header.rescale == (1.0, 0.0);
            (!as_stored).then(|| {
                let shown = values.iter().map(|&v| number(v));
                let shown = shown.filter(|&v| header.padding != Some(i64::from(v))).map(modality);
                let (low, high) = shown
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                        (low.min(v), high.max(v))
                    });
                if low > high { Window::of_range(0.0, 0.0) } else { Window::of_range(low, high) }
            })
        }
    };
    let invert = header.photometric == Photometric::Monochrome1;
    let mut table = vec![None; patterns];
    Ok(values
        .iter()
        .map(|value| {
            *table[pattern(value)].get_or_insert_with(|| {
                let stored = number(*value);
                let level = window.map_or(stored as u8, |window| window.level(modality(stored)));
                if invert { 255 - level } else { level }
            })
        })
        .collect())
}
