//! Gamma correction of 8-bit values by table.

use super::lut;
use crate::cpu::Cpu;
use crate::{Error, ImageU8, ImageU16, Result};

/// The table round(255 (v/255)^(1/G)), computed in double and rounded to even as `numpy.rint` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GammaTable {
    values: [u8; 256],
    cpu: Cpu,
}

impl GammaTable {
    /// The table of `gamma`; above 1 it brightens.
    ///
    /// # Errors
    /// `Spec` unless `gamma` is positive and finite, or for a bad `MEDPREP_CPU`.
    pub fn new(gamma: f64) -> Result<Self> {
        let exponent = exponent_of(gamma)?;
        let values = std::array::from_fn(|value| {
            let linear = (value as f64 / 255.0).powf(exponent);
            (255.0 * linear).round_ties_even() as u8
        });
        Ok(Self { values, cpu: Cpu::current()? })
    }

    /// The 256 new values.
    pub fn values(&self) -> &[u8; 256] {
        &self.values
    }

    /// Replaces every value of `image`, in place.
    pub fn apply(&self, image: &mut ImageU8) {
        lut::apply(self.cpu, &self.values, image.data_mut());
    }
}

/// The table round(65535 (v/65535)^(1/G)) of 16-bit values, in double and rounded to even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WideGammaTable(Vec<u16>);

impl WideGammaTable {
    /// The table of `gamma`; above 1 it brightens.
    ///
    /// # Errors
    /// `Spec` unless `gamma` is positive and finite.
    pub fn new(gamma: f64) -> Result<Self> {
        let exponent = exponent_of(gamma)?;
        let value = |v: u32| (65535.0 * (f64::from(v) / 65535.0).powf(exponent)).round_ties_even();
        Ok(Self((0..=65535).map(|v| value(v) as u16).collect()))
    }

    /// Replaces every value of `image`, in place.
    pub fn apply(&self, image: &mut ImageU16) {
        for value in image.data_mut() {
            *value = self.0[usize::from(*value)];
        }
    }
}

fn exponent_of(gamma: f64) -> Result<f64> {
    if gamma.is_finite() && gamma > 0.0 {
        return Ok(1.0 / gamma);
    }
    Err(Error::Spec(format!("gamma must be a positive, finite number, got {gamma}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_one_changes_nothing() {
        let table = GammaTable::new(1.0).unwrap();
        assert!(table.values().iter().enumerate().all(|(i, &value)| i == value as usize));
    }

    #[test]
    fn gamma_above_one_brightens_and_keeps_black_and_white() {
        let table = GammaTable::new(1.2).unwrap();
        let mut image = ImageU8::from_vec(1, 4, 1, vec![0, 64, 128, 255]);
        table.apply(&mut image);
        // numpy: rint(255 * (v / 255) ** (1 / 1.2))
        assert_eq!(image.data(), [0, 81, 144, 255]);
    }

    #[test]
    fn the_table_never_falls() {
        for gamma in [0.01, 0.1, 0.5, 2.2, 100.0] {
            assert!(GammaTable::new(gamma).unwrap().values().is_sorted(), "gamma {gamma}");
        }
    }

    #[test]
    fn a_gamma_that_is_no_positive_number_is_refused() {
        for gamma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = GammaTable::new(gamma).unwrap_err();
            assert!(error.to_string().starts_with("gamma must be a positive, finite number"));
        }
    }
}
