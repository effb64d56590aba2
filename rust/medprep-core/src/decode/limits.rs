//! The caps a file is held to before any pixel is allocated.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Item, Result};

/// Caps on what one file may ask for; the defaults are those of DESIGN section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Pixels of the decoded image.
    pub max_pixels: u64,
    /// Bytes of the decoded image.
    pub max_bytes: u64,
    /// Scans of a progressive or multi-scan JPEG: each costs a pass over the whole image.
    pub max_jpeg_scans: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // The pixel cap is Pillow's (128 MiB of 24-bit pixels, over 3/4); times 3 it just fits 512 MiB.
        Self { max_pixels: 178_956_970, max_bytes: 512 << 20, max_jpeg_scans: 500 }
    }
}

impl Limits {
    /// Checks the size of an image with 8-bit values.
    ///
    /// # Errors
    /// `Limit`, naming the quantity, what was found and the cap.
    pub fn check_image(&self, height: u32, width: u32, channels: usize) -> Result<()> {
        // u32 x u32 always fits u64; the channels may not.
        let pixels = u64::from(height) * u64::from(width);
        self.check_counts(pixels, pixels.saturating_mul(channels as u64))
    }

    /// Checks an image of `pixels` pixels that takes `bytes` bytes once decoded.
    ///
    /// # Errors
    /// `Limit`, naming the quantity, what was found and the cap.
    pub fn check_counts(&self, pixels: u64, bytes: u64) -> Result<()> {
        check("number of pixels", pixels, self.max_pixels)?;
        check("decoded size in bytes", bytes, self.max_bytes)
    }

    /// Checks the number of scans of a JPEG.
    ///
    /// # Errors
    /// `Limit` when there are more than the cap allows.
    pub fn check_scans(&self, scans: u32) -> Result<()> {
        check("number of JPEG scans", u64::from(scans), u64::from(self.max_jpeg_scans))
    }
}

fn check(what: &'static str, found: u64, limit: u64) -> Result<()> {
    if found > limit {
        return Err(Error::Limit { item: Item::default(), what, found, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pixel_cap_in_rgb_fits_the_default_byte_cap() {
        let limits = Limits::default();
        assert!(limits.check_image(1, 178_956_970, 3).is_ok());
        let error = limits.check_image(1, 178_956_971, 3).unwrap_err();
        assert_eq!(error.to_string(), "number of pixels is 178956971, over the limit of 178956970");
    }

    #[test]
    fn sizes_that_overflow_are_over_the_limit() {
        let limits = Limits { max_pixels: u64::MAX, ..Limits::default() };
        assert!(limits.check_image(u32::MAX, u32::MAX, usize::MAX).is_err());
    }

    #[test]
    fn json_gives_only_what_it_changes() {
        let limits: Limits = serde_json::from_str(r#"{"max_jpeg_scans": 7}"#).unwrap();
        assert_eq!(limits, Limits { max_jpeg_scans: 7, ..Limits::default() });
    }
}
