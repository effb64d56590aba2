//! What belongs to an image beside its class: boxes, a caption, a few allowed attributes.

use serde::{Deserialize, Serialize};
use serde_json::Number;

/// Boxes of one image; more are not findings.
pub const MAX_BOXES: usize = 10_000;
/// UTF-8 bytes of one caption.
pub const MAX_CAPTION_BYTES: usize = 64 << 10;
/// Box classes; far below 2^24, so that a label is exact as a 32-bit float.
const MAX_BOX_LABEL: i64 = 0xFFFF;
/// Ages from here on are one.
const MAX_AGE: f64 = 90.0;
/// Characters of a view or sex: DICOM has 16.
const MAX_TEXT_CHARS: usize = 32;

/// Which annotations the images of a data set have: its shards have these members or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Annotations {
    /// Members `boxes`, `box_labels` and `box_offsets`.
    pub boxes: bool,
    /// Members `captions` and `caption_offsets`.
    pub captions: bool,
}

/// A box as planned: `[x_min, y_min, x_max, y_max, label]`, pixels of the upright source image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlannedBox(pub f64, pub f64, pub f64, pub f64, pub i64);

/// A box as stored: `[x_min, y_min, x_max, y_max, label]`, pixels of the stored image.
pub type StoredBox = [f32; 5];

/// The allow-list: nothing else of a header or a table of patients is ever stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// View position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// Sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<String>,
    /// Years; 90 stands for 90 and over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Number>,
    /// Distance of rows in the source image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_row_mm: Option<Number>,
    /// Distance of columns in the source image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_column_mm: Option<Number>,
}

impl PlannedBox {
    /// `x_min, y_min, x_max, y_max`.
    pub fn edges(&self) -> [f64; 4] {
        [self.0, self.1, self.2, self.3]
    }

    /// The box as stored, when `place` finds its edges a place in the stored image.
    pub fn placed(&self, place: impl FnOnce([f64; 4]) -> Option<[f32; 4]>) -> Option<StoredBox> {
        let [x_min, y_min, x_max, y_max] = place(self.edges())?;
        Some([x_min, y_min, x_max, y_max, self.4 as f32])
    }

    fn is_sound(&self) -> bool {
        let Self(x_min, y_min, x_max, y_max, label) = *self;
        // Neither holds for a NaN; JSON has none, but Python hands numbers over too.
        let has_area = x_min < x_max && y_min < y_max;
        let is_finite = self.edges().iter().all(|edge| edge.is_finite());
        has_area && is_finite && (0..=MAX_BOX_LABEL).contains(&label)
    }
}

/// Why the boxes of an image cannot be.
pub(super) fn check_boxes(boxes: &[PlannedBox]) -> Result<(), String> {
    if boxes.len() > MAX_BOXES {
        return Err(format!("{} boxes, over the limit of {MAX_BOXES}", boxes.len()));
    }
    match boxes.iter().position(|planned| !planned.is_sound()) {
        None => Ok(()),
        Some(at) => Err(format!(
            "box {at}: edges must be finite with min below max, the label in 0..={MAX_BOX_LABEL}"
        )),
    }
}

/// Why a caption cannot be.
pub(super) fn check_caption(caption: &str) -> Result<(), String> {
    match caption.len() {
        0..=MAX_CAPTION_BYTES => Ok(()),
        found => Err(format!("caption has {found} bytes, over the limit of {MAX_CAPTION_BYTES}")),
    }
}

impl Attributes {
    /// Why the values cannot be; the names are checked by their type.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, text) in [("view", &self.view), ("sex", &self.sex)] {
            let is_short = |text: &String| {
                text.chars().count() <= MAX_TEXT_CHARS && !text.chars().any(char::is_control)
            };
            if !text.as_ref().is_none_or(is_short) {
                return Err(format!("attribute {name} must have at most {MAX_TEXT_CHARS} letters"));
            }
        }
        let ages = self.age.iter().map(|age| ("age", age, MAX_AGE));
        let rows = self.spacing_row_mm.iter().map(|value| ("spacing_row_mm", value, f64::MAX));
        let columns =
            self.spacing_column_mm.iter().map(|value| ("spacing_column_mm", value, f64::MAX));
        for (name, value, most) in ages.chain(rows).chain(columns) {
            if !value.as_f64().is_some_and(|value| (0.0..=most).contains(&value)) {
                return Err(format!("attribute {name} must be in 0..={most}, got {value}"));
            }
        }
        Ok(())
    }
}
