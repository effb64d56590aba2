//! How stored values become what is shown: modality and VOI transformations, of the file or of a
//! frame (PS3.3 C.11.1, C.11.2, C.7.6.16.2).

use std::sync::Arc;

use super::attributes::{self as tags, Attributes};
use super::error::decode_error;
use super::header::Header;
use crate::Result;

/// A VOI window as the header states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiWindow {
    /// In modality units.
    pub center: f64,
    /// In modality units.
    pub width: f64,
    /// VOI LUT Function (PS3.3 C.11.2.1.3).
    pub function: VoiFunction,
}

/// VOI LUT Function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiFunction {
    /// `LINEAR`, also when the attribute is absent.
    #[default]
    Linear,
    /// `LINEAR_EXACT`.
    LinearExact,
    /// `SIGMOID`.
    Sigmoid,
}

/// A lookup table; values before and behind it get its first and last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lut {
    /// The input that gets the first entry.
    pub first: i32,
    /// The entries, never empty.
    pub entries: Vec<u16>,
    /// Bits of an entry, 1..=16.
    pub bits: u32,
}

impl Lut {
    /// The entry for an input.
    pub fn at(&self, input: i64) -> u16 {
        let place = input.saturating_sub(self.first.into()).max(0);
        let last = self.entries.len() - 1;
        self.entries[usize::try_from(place).map_or(last, |place| place.min(last))]
    }

    /// Reads an item of a modality or VOI LUT sequence.
    fn of(item: &Attributes, signed: bool) -> Result<Self> {
        let descriptor = item.triple(tags::LUT_DESCRIPTOR);
        let [count, first, bits] = descriptor.ok_or_else(|| decode_error("no LUTDescriptor"))?;
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        let data = item.bytes(tags::LUT_DATA).ok_or_else(|| decode_error("no LUTData"))?;
        let short = || decode_error(format!("LUTData is shorter than its {count} entries"));
        let entries: Vec<u16> = if data.len() >= 2 * count {
            item.words(tags::LUT_DATA, count)?
        } else if bits <= 8 && data.len() >= count {
            data[..count].iter().map(|&byte| byte.into()).collect()
        } else {
            return Err(short());
        };
        // 10 bits in a descriptor that says 16 would show black only: the entries are believed.
        let needed = 16 - entries.iter().fold(0, |all, &entry| all | entry).leading_zeros();
        let bits = u32::from(bits).clamp(1, 16).max(needed);
        let first = if signed { i32::from(first as i16) } else { i32::from(first) };
        Ok(Self { first, entries, bits })
    }
}

/// What one frame's values go through before they are seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Modality value = slope * stored + intercept, where there is no modality LUT.
    pub rescale: (f64, f64),
    /// Modality value = entry of the stored value.
    pub modality_lut: Option<Arc<Lut>>,
    /// The first VOI window.
    pub window: Option<VoiWindow>,
    /// The first VOI LUT; it goes before a window, as in pydicom's `apply_voi_lut`.
    pub voi_lut: Option<Arc<Lut>>,
}

impl Look {
    /// What an item or a data set says itself.
    pub(super) fn of(a: &Attributes, signed: bool) -> Result<Self> {
        let modality_lut = match a.first_item(tags::MODALITY_LUT_SEQUENCE)? {
            Some(item) => Some(Arc::new(Lut::of(&item, signed)?)),
            None => None,
        };
        // The input of a VOI LUT is the modality LUT's output, which has no sign; without that
        // LUT it is rescaled values, whose sign the rescale decides.
        let below_zero = modality_lut.is_none()
            && (signed || a.number(tags::RESCALE_INTERCEPT).is_some_and(|value| value < 0.0));
        let voi_lut = match a.first_item(tags::VOI_LUT_SEQUENCE)? {
            Some(item) => Some(Arc::new(Lut::of(&item, below_zero)?)),
            None => None,
        };
        Ok(Self {
            rescale: (
                a.number(tags::RESCALE_SLOPE).unwrap_or(1.0),
                a.number(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
            ),
            modality_lut,
            window: window(a),
            voi_lut,
        })
    }

    /// The modality value of a stored one.
    pub fn modality(&self, stored: i64) -> f64 {
        match &self.modality_lut {
            Some(lut) => lut.at(stored).into(),
            None => stored as f64 * self.rescale.0 + self.rescale.1,
        }
    }

    /// True when modality values are the stored ones.
    pub fn is_plain(&self) -> bool {
        self.modality_lut.is_none() && self.rescale == (1.0, 0.0)
    }

    /// This look with what a functional group item says in its place.
    fn replaced(mut self, group: &Attributes) -> Result<Self> {
        if let Some(item) = group.first_item(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE)?
            && let Some(slope) = item.number(tags::RESCALE_SLOPE)
        {
            self.rescale = (slope, item.number(tags::RESCALE_INTERCEPT).unwrap_or(0.0));
            self.modality_lut = None;
        }
        if let Some(item) = group.first_item(tags::FRAME_VOI_LUT_SEQUENCE)?
            && let Some(window) = window(&item)
        {
            self.window = Some(window);
            self.voi_lut = None;
        }
        Ok(self)
    }
}

/// The looks of the frames in `wanted`: one for all, or one for each.
///
/// # Errors
/// `Decode` when a functional group is damaged.
pub(super) fn of_frames(
    a: &Attributes,
    header: &Header,
    wanted: std::ops::Range<usize>,
) -> Result<Vec<Look>> {
    let shared = match a.first_item(tags::SHARED_FUNCTIONAL_GROUPS)? {
        Some(group) => header.look.clone().replaced(&group)?,
        None => header.look.clone(),
    };
    let places = a.places(tags::PER_FRAME_FUNCTIONAL_GROUPS)?;
    let Some(places) = places.get(wanted) else { return Ok(vec![shared]) };
    let looks = places.iter().map(|place| {
        let group = a.item(tags::PER_FRAME_FUNCTIONAL_GROUPS, place.clone())?;
        shared.clone().replaced(&group)
    });
    let looks: Vec<Look> = looks.collect::<Result<_>>()?;
    let same = looks.windows(2).all(|pair| pair[0] == pair[1]);
    Ok(if same { looks.into_iter().take(1).collect() } else { looks })
}

fn window(a: &Attributes) -> Option<VoiWindow> {
    let (center, width) = (a.number(tags::WINDOW_CENTER)?, a.number(tags::WINDOW_WIDTH)?);
    let function = match a.text(tags::VOI_LUT_FUNCTION).as_deref() {
        Some("LINEAR_EXACT") => VoiFunction::LinearExact,
        Some("SIGMOID") => VoiFunction::Sigmoid,
        _ => VoiFunction::Linear,
    };
    let usable = if function == VoiFunction::Linear { width >= 1.0 } else { width > 0.0 };
    usable.then_some(VoiWindow { center, width, function })
}
