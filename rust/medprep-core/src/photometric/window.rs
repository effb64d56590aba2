//! The value window: stored values -> modality values -> grey levels of 8 or 16 bits.
//!
//! DICOM PS3.3 C.11.2.1.2 (linear, linear exact, sigmoid), output range 0..=255 or 0..=65,535, rounded to nearest.

use crate::error::Item;
use crate::{Error, Result};

/// How a window maps modality values to grey levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowFunction {
    /// C.11.2.1.2.1: the window reaches from `center - 0.5 - (width-1)/2` to `center - 0.5 + (width-1)/2`.
    #[default]
    Linear,
    /// C.11.2.1.3.2: from `center - width/2` to `center + width/2`.
    LinearExact,
    /// C.11.2.1.3.1: `255 / (1 + exp(-4 (x - center) / width))`.
    Sigmoid,
}

/// A window in modality units (Hounsfield units for CT).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The value shown mid-grey.
    pub center: f64,
    /// The range of values shown; at least 1 for `Linear`, above 0 otherwise.
    pub width: f64,
    /// The shape of the map.
    pub function: WindowFunction,
}

impl Window {
    /// A checked window.
    ///
    /// # Errors
    /// `Step` when the width is too small or a value is not finite.
    pub fn new(center: f64, width: f64, function: WindowFunction) -> Result<Self> {
        let smallest = if function == WindowFunction::Linear { 1.0 } else { f64::MIN_POSITIVE };
        if !center.is_finite() || !width.is_finite() || width < smallest {
            return Err(Error::Step {
                item: Item::default(),
                step: "window",
                reason: format!("center {center} and width {width}: expected finite, width >= 1"),
            });
        }
        Ok(Self { center, width, function })
    }

    /// The window that shows `low..=high` from black to white.
    pub fn of_range(low: f64, high: f64) -> Self {
        let width = (high - low).max(f64::MIN_POSITIVE);
        Self { center: low + (high - low) / 2.0, width, function: WindowFunction::LinearExact }
    }

    /// The grey level of one modality value, 0..=255.
    pub fn level(&self, x: f64) -> u8 {
        (self.fraction(x) * 255.0).round_ties_even() as u8
    }

    /// The grey level of one modality value, 0..=65,535.
    pub fn level_u16(&self, x: f64) -> u16 {
        (self.fraction(x) * 65_535.0).round_ties_even() as u16
    }

    /// (slope, value at 0) of the line that [`Self::fraction`] cuts off at 0 and 1; `None` where it is
    /// no line.
    pub fn line(&self) -> Option<(f64, f64)> {
        let Self { center, width, function } = *self;
        match function {
            WindowFunction::Linear if width <= 1.0 => None,
            WindowFunction::Linear => {
                Some((1.0 / (width - 1.0), 0.5 - (center - 0.5) / (width - 1.0)))
            }
            WindowFunction::LinearExact => Some((1.0 / width, 0.5 - center / width)),
            WindowFunction::Sigmoid => None,
        }
    }

    /// Where in the window a modality value is: 0 at or below its foot, 1 at or above its head.
    pub fn fraction(&self, x: f64) -> f64 {
        let Self { center, width, function } = *self;
        let fraction = match function {
            WindowFunction::Linear if width <= 1.0 => f64::from(x > center - 0.5),
            WindowFunction::Linear => (x - (center - 0.5)) / (width - 1.0) + 0.5,
            WindowFunction::LinearExact => (x - center) / width + 0.5,
            WindowFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (x - center) / width).exp()),
        };
        fraction.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_window_follows_the_standards_boundaries() {
        // PS3.3 C.11.2.1.2.1, the note's example: c = 2048, w = 4096 maps 0..=4095 to 0..=255.
        let window = Window::new(2048.0, 4096.0, WindowFunction::Linear).unwrap();
        assert_eq!((window.level(0.0), window.level(4095.0)), (0, 255));
        assert_eq!((window.level(-1.0), window.level(5000.0)), (0, 255));
        // c = 0, w = 1: a threshold at -0.5.
        let threshold = Window::new(0.0, 1.0, WindowFunction::Linear).unwrap();
        assert_eq!((threshold.level(-0.5), threshold.level(-0.4)), (0, 255));
    }

    #[test]
    fn sigmoid_and_linear_exact_show_the_center_mid_grey() {
        for function in [WindowFunction::Sigmoid, WindowFunction::LinearExact] {
            assert_eq!(Window::new(40.0, 400.0, function).unwrap().level(40.0), 128);
        }
    }

    #[test]
    fn a_range_shows_its_ends_black_and_white_even_when_empty() {
        let window = Window::of_range(-2000.0, 2402.0);
        assert_eq!((window.level(-2000.0), window.level(2402.0)), (0, 255));
        assert_eq!(Window::of_range(5.0, 5.0).level(5.0), 128);
    }

    #[test]
    fn sixteen_bit_levels_reach_from_black_to_white() {
        let window = Window::new(2048.0, 4096.0, WindowFunction::Linear).unwrap();
        assert_eq!((window.level_u16(0.0), window.level_u16(4095.0)), (0, 65_535));
        assert_eq!(window.level_u16(1365.0), 21_845);
    }

    #[test]
    fn a_width_below_one_is_refused() {
        assert!(Window::new(0.0, 0.5, WindowFunction::Linear).is_err());
        assert!(Window::new(f64::NAN, 10.0, WindowFunction::Linear).is_err());
    }
}
