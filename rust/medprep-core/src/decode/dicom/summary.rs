//! What a planner may know of a file: a few attributes, read without its pixels.

use super::attributes::{self as tags, Attributes, Tag};
use super::file::DataSet;
use crate::Result;
use crate::decode::guard;

/// Ages from here on are one: who is that old could be recognised by it.
const AGE_CAP_YEARS: f64 = 90.0;

/// The attributes of one file that splits and tables are made of.
///
/// In memory only: the patient's id and the study's UID become keyed pseudonyms, the others are the
/// allow-list of DESIGN section 4. Texts are empty and numbers `None` or 0 where the file has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Patient ID, never to be stored as it is.
    pub patient_id: String,
    /// Study Instance UID, never to be stored as it is.
    pub study_uid: String,
    /// View Position: `PA`, `AP`, `LL`, ...
    pub view: String,
    /// Laterality, or that of the image: `L`, `R`, `B`, `U`.
    pub laterality: String,
    /// Patient's Sex: `F`, `M`, `O`.
    pub sex: String,
    /// Patient's Age, at most 90.
    pub age_years: Option<f64>,
    /// Millimetres between rows and between columns, of Pixel Spacing or Imager Pixel Spacing.
    pub spacing: Option<[f64; 2]>,
    /// Rows of a frame; 0 for a file without an image.
    pub rows: u32,
    /// Columns of a frame; 0 for a file without an image.
    pub columns: u32,
    /// Photometric Interpretation.
    pub photometric: String,
    /// Bits Stored.
    pub bits_stored: u32,
    /// Samples per Pixel.
    pub samples: u32,
    /// Frames, at least 1.
    pub frames: u32,
    /// Transfer Syntax UID.
    pub transfer_syntax: String,
    /// True when Pixel Data was reached.
    pub has_pixels: bool,
}

/// Reads a header. `data` may be the beginning of a file: then an error, or a summary without
/// pixels, may only mean that more of it is needed.
///
/// # Errors
/// `Decode` when this is no DICOM file or the elements before Pixel Data are damaged or cut.
pub fn read_header(data: &[u8]) -> Result<Summary> {
    guard::catch_panic("DICOM", || {
        // Headers are small, so a deflated one need not be inflated whole.
        let mut inflated = 1 << 18;
        loop {
            let data_set = DataSet::open(data, inflated, true)?;
            let all = (data_set.data.len() as u64) < inflated || inflated >= MOST_INFLATED;
            match data_set.attributes() {
                Ok(a) if all || a.pixel_data().is_some() => {
                    return Ok(Summary::of(&a, &data_set.transfer_syntax));
                }
                Err(error) if all => return Err(error),
                _ => inflated *= 8,
            }
        }
    })
}

/// Headers are not inflated further than this.
const MOST_INFLATED: u64 = 1 << 27;

impl Summary {
    fn of(a: &Attributes, transfer_syntax: &str) -> Self {
        let count = |tag| {
            let value = a.integer(tag).ok().flatten();
            value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
        };
        let first =
            |one, other| if text(a, one).is_empty() { text(a, other) } else { text(a, one) };
        Self {
            patient_id: text(a, tags::PATIENT_ID),
            study_uid: text(a, tags::STUDY_INSTANCE_UID),
            view: text(a, tags::VIEW_POSITION),
            laterality: first(tags::IMAGE_LATERALITY, tags::LATERALITY),
            sex: text(a, tags::PATIENT_SEX),
            age_years: a.text(tags::PATIENT_AGE).and_then(|text| age_years(&text)),
            spacing: spacing(a),
            rows: count(tags::ROWS),
            columns: count(tags::COLUMNS),
            photometric: text(a, tags::PHOTOMETRIC_INTERPRETATION),
            bits_stored: count(tags::BITS_STORED),
            samples: count(tags::SAMPLES_PER_PIXEL).max(1),
            frames: count(tags::NUMBER_OF_FRAMES).max(1),
            transfer_syntax: transfer_syntax.to_owned(),
            has_pixels: a.pixel_data().is_some(),
        }
    }
}

fn text(a: &Attributes, tag: Tag) -> String {
    a.text(tag).unwrap_or_default()
}

/// `045Y`, `018M`, `003W`, `010D`, or a bare number of years, as in the RSNA sets.
fn age_years(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let per_year = match &text[digits.len()..] {
        "" | "Y" | "y" => 1.0,
        "M" | "m" => 12.0,
        "W" | "w" => 365.25 / 7.0,
        "D" | "d" => 365.25,
        _ => return None,
    };
    let age = digits.parse::<f64>().ok().filter(|age| age.is_finite() && *age >= 0.0)? / per_year;
    Some(age.min(AGE_CAP_YEARS))
}

/// Of the pixels themselves, else of the detector, else of the functional group all frames share.
fn spacing(a: &Attributes) -> Option<[f64; 2]> {
    let of = |a: &Attributes, tag| match a.numbers(tag)[..] {
        [row, column, ..] if row > 0.0 && column > 0.0 => Some([row, column]),
        _ => None,
    };
    let shared = || {
        let group = a.first_item(tags::SHARED_FUNCTIONAL_GROUPS).ok()??;
        let measures = group.first_item(tags::PIXEL_MEASURES_SEQUENCE).ok()??;
        of(&measures, tags::PIXEL_SPACING)
    };
    of(a, tags::PIXEL_SPACING).or_else(|| of(a, tags::IMAGER_PIXEL_SPACING)).or_else(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_years_and_capped() {
        assert_eq!(age_years("045Y"), Some(45.0));
        assert_eq!(age_years("018M"), Some(1.5));
        assert_eq!(age_years("58"), Some(58.0));
        assert_eq!(age_years("101Y"), Some(90.0));
        assert_eq!(age_years("148"), Some(90.0));
        assert_eq!(age_years("old"), None);
        assert_eq!(age_years("-3Y"), None);
    }
}
