//! The specification: parsed strictly, validated once, identified by its fingerprint.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Step, canonical};
use crate::decode::Channels;
use crate::error::{Error, Result};
use crate::geometry::{BoxPlacement, Interpolation};

/// The order every specification keeps.
const ORDER: &str = "decode, window, resize, clahe, gamma, median";

/// Type of the stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 0..255.
    Uint8,
    /// 0..65535.
    Uint16,
    /// 0..1.
    Float32,
}

impl DType {
    /// The name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Float32 => "float32",
        }
    }
}

/// In how many bits the steps compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// 8-bit values.
    Eight,
    /// 16-bit values; 8-bit files are widened when they are decoded.
    Sixteen,
}

/// A validated pipeline specification: decode first, resize once, the others at most once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Spec {
    steps: Vec<Step>,
    dtype: DType,
}

/// What the JSON may hold before the order and the ranges are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    steps: Vec<Step>,
    dtype: DType,
}

impl TryFrom<Unchecked> for Spec {
    type Error = Error;

    fn try_from(unchecked: Unchecked) -> Result<Self> {
        Self::new(unchecked.steps, unchecked.dtype)
    }
}

impl Spec {
    /// A specification of these steps.
    ///
    /// # Errors
    /// `Spec` when the order or a range is wrong.
    pub fn new(steps: Vec<Step>, dtype: DType) -> Result<Self> {
        check_order(&steps)?;
        steps.iter().try_for_each(Step::validate)?;
        let spec = Self { steps, dtype };
        spec.check_depth()?;
        spec.check_fast()?;
        Ok(spec)
    }

    /// Parses and validates the JSON form.
    ///
    /// # Errors
    /// `Spec`, saying what was expected and what was found.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::Spec(format!("pipeline specification: {e}")))
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Type of the stored values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// 8 bits for uint8; 16 for uint16 and float32, but for float32 of colour with CLAHE: that is
    /// defined on L of 8-bit Lab.
    pub fn depth(&self) -> Depth {
        match self.dtype {
            DType::Uint8 => Depth::Eight,
            DType::Float32 if self.has_lab() => Depth::Eight,
            DType::Uint16 | DType::Float32 => Depth::Sixteen,
        }
    }

    fn has_lab(&self) -> bool {
        self.channels() == Channels::Rgb
            && self.steps.iter().any(|step| matches!(step, Step::Clahe { .. }))
    }

    /// Refuses steps that have no definition in 16 bits.
    fn check_depth(&self) -> Result<()> {
        if self.depth() == Depth::Eight {
            return Ok(());
        }
        if self.has_lab() {
            return Err(Error::Spec(
                "clahe of RGB works on 8-bit Lab: with dtype uint16 decode grey, leave CLAHE out, \
                 or use dtype uint8"
                    .into(),
            ));
        }
        let is_linear =
            |step: &Step| matches!(step, Step::Resize { interpolation: Interpolation::Linear, .. });
        if self.steps.iter().any(is_linear) {
            return Err(Error::Spec(
                "resize.interpolation linear has no stable definition on 16-bit values; use area"
                    .into(),
            ));
        }
        Ok(())
    }

    /// A fast decode has the error of 8-bit values, and it is measured in those.
    fn check_fast(&self) -> Result<()> {
        let is_fast = matches!(self.steps[0], Step::Decode { fast: true, .. });
        if is_fast && self.dtype != DType::Uint8 {
            let dtype = self.dtype.name();
            return Err(Error::Spec(format!("decode.fast needs dtype uint8, got {dtype}")));
        }
        Ok(())
    }

    /// Canonical JSON: keys sorted, no spaces, floats in shortest form (`2.0`, `1.2`), ASCII.
    pub fn canonical_json(&self) -> String {
        canonical::to_string(self)
    }

    /// Lower-case hexadecimal SHA-256 of [`Spec::canonical_json`].
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.canonical_json());
        digest.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
    }

    /// What decoding yields.
    pub fn channels(&self) -> Channels {
        match self.steps[0] {
            Step::Decode { channels, .. } => channels,
            _ => unreachable!("a specification starts with decode"),
        }
    }

    /// Where boxes of an image of `source` height and width lie in the stored one.
    ///
    /// # Panics
    /// Never: every specification has a resize.
    pub fn box_placement(&self, source: [usize; 2]) -> BoxPlacement {
        let placement = self.steps.iter().find_map(|step| match *step {
            Step::Resize { height, width, mode, .. } => {
                Some(BoxPlacement::new(source, [height as usize, width as usize], mode))
            }
            _ => None,
        });
        placement.expect("a specification has a resize")
    }

    /// (height, width, channels) of every stored image.
    ///
    /// # Panics
    /// Never: every specification has a resize.
    pub fn output_shape(&self) -> (usize, usize, usize) {
        let size = self.steps.iter().find_map(|step| match *step {
            Step::Resize { height, width, .. } => Some((height as usize, width as usize)),
            _ => None,
        });
        let (height, width) = size.expect("a specification has a resize");
        (height, width, self.channels().count())
    }
}

fn check_order(steps: &[Step]) -> Result<()> {
    let increasing = steps.windows(2).all(|pair| pair[0].place() < pair[1].place());
    let has = |name: &str| steps.iter().any(|step| step.name() == name);
    if increasing && has("decode") && has("resize") {
        return Ok(());
    }
    let names: Vec<_> = steps.iter().map(Step::name).collect();
    Err(Error::Spec(format!(
        "steps must be in the order {ORDER}, each at most once, with decode and resize; got [{}]",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLAUCOMA: &str = r#"{"steps": [
        {"step": "decode", "channels": "rgb"},
        {"step": "resize", "height": 224, "width": 200, "mode": "stretch", "interpolation": "area"},
        {"step": "clahe", "clip_limit": 2, "tiles": 8},
        {"step": "gamma", "gamma": 1.2},
        {"step": "median", "size": 3}], "dtype": "uint8"}"#;

    fn message(json: &str) -> String {
        Spec::from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn canonical_json_is_sorted_and_writes_integral_floats_with_a_point() {
        let canonical = Spec::from_json(GLAUCOMA).unwrap().canonical_json();
        assert_eq!(
            canonical,
            concat!(
                r#"{"dtype":"uint8","steps":[{"channels":"rgb","step":"decode"},"#,
                r#"{"height":224,"interpolation":"area","mode":"stretch","step":"resize","width":200},"#,
                r#"{"clip_limit":2.0,"step":"clahe","tiles":8},{"gamma":1.2,"step":"gamma"},"#,
                r#"{"size":3,"step":"median"}]}"#
            )
        );
        assert_eq!(Spec::from_json(&canonical).unwrap().canonical_json(), canonical);
    }

    #[test]
    fn fingerprint_is_that_of_python_hashlib() {
        // hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        let fingerprint = Spec::from_json(GLAUCOMA).unwrap().fingerprint();
        assert_eq!(fingerprint, "6fee8cb7308bde43ddffce5cf45bb3d1b81e05244367011b6044cd1c9b8aa90b");
    }

    #[test]
    fn fast_is_left_out_of_the_canonical_json_unless_it_is_true() {
        let with =
            |fast: &str| GLAUCOMA.replace("\"rgb\"}", &format!("\"rgb\", \"fast\": {fast}}}"));
        let plain = Spec::from_json(GLAUCOMA).unwrap();
        assert_eq!(Spec::from_json(&with("false")).unwrap(), plain);
        assert!(!plain.canonical_json().contains("fast"));
        let fast = Spec::from_json(&with("true")).unwrap().canonical_json();
        assert!(fast.contains(r#"{"channels":"rgb","fast":true,"step":"decode"}"#), "{fast}");
    }

    #[test]
    fn a_fast_decode_of_more_than_eight_bits_is_refused() {
        let fast = GLAUCOMA.replace("\"rgb\"}", "\"rgb\", \"fast\": true}");
        let found = message(&fast.replace("uint8", "float32"));
        assert!(found.contains("decode.fast needs dtype uint8, got float32"), "{found}");
    }

    #[test]
    fn output_shape_has_the_channels_of_decode() {
        assert_eq!(Spec::from_json(GLAUCOMA).unwrap().output_shape(), (224, 200, 3));
    }

    #[test]
    fn unknown_keys_and_steps_are_refused_by_name() {
        let found = message(&GLAUCOMA.replace("\"tiles\"", "\"tilez\""));
        assert!(found.contains("unknown field `tilez`"), "{found}");
        let found = message(&GLAUCOMA.replace("\"median\"", "\"blur\""));
        assert!(found.contains("unknown variant `blur`, expected one of"), "{found}");
        let found = message(&GLAUCOMA.replace("\"uint8\"", "\"uint8\", \"mean\": 1"));
        assert!(found.contains("unknown field `mean`"), "{found}");
        let found = message(&GLAUCOMA.replace("\"uint8\"", "\"int7\""));
        assert!(found.contains("unknown variant `int7`, expected one of `uint8`"), "{found}");
    }

    #[test]
    fn wrong_ranges_say_what_was_expected_and_found() {
        for (from, to, expected) in [
            ("\"height\": 224", "\"height\": 0", "resize.height must be from 1 to 16384, got 0"),
            (
                "\"clip_limit\": 2",
                "\"clip_limit\": 0.0",
                "clahe.clip_limit must be from 0.01 to 10000, got 0",
            ),
            ("\"tiles\": 8", "\"tiles\": 1000", "clahe.tiles must be from 1 to 256, got 1000"),
            ("\"gamma\": 1.2", "\"gamma\": -1.0", "gamma.gamma must be from 0.01 to 100, got -1"),
            ("\"size\": 3", "\"size\": 5", "median.size must be 3, got 5"),
        ] {
            let found = message(&GLAUCOMA.replace(from, to));
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn wrong_order_missing_and_repeated_steps_are_refused() {
        let decode = r#"{"step": "decode", "channels": "grey"}"#;
        let resize =
            r#"{"step":"resize","height":8,"width":8,"mode":"crop","interpolation":"linear"}"#;
        let median = r#"{"step": "median", "size": 3}"#;
        for steps in [
            String::new(),
            decode.to_owned(),
            resize.to_owned(),
            format!("{resize},{decode}"),
            format!("{decode},{median},{resize}"),
            format!("{decode},{resize},{median},{median}"),
        ] {
            let found = message(&format!(r#"{{"steps":[{steps}],"dtype":"uint8"}}"#));
            assert!(found.contains("steps must be in the order decode, window"), "{found}");
        }
    }
}
