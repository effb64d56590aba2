//! The pipeline on one image: bytes to the pixels that are stored.

use std::time::Instant;

use super::source::{Held, Source};
use super::wide::Wide;
use super::{DType, Depth, Spec, Stage, StageSeconds, Step};
use crate::decode::{self, DecodeOptions, Decoded};
use crate::error::Error;
use crate::geometry::{self, Interpolation, ResizeMode, fit_bands, fit_into};
use crate::photometric::{ChainPart, ChainSteps, GammaTable, PostChain};
use crate::{ImageRef, ImageU8, Result};

/// All memory a worker reuses from image to image.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) decoder: decode::Scratch,
    pub(super) resizer: geometry::Scratch,
    pub(super) held: Held,
    chain: PostChain,
    decoded: ImageU8,
    resized: ImageU8,
    /// Height and width of the image decoded last.
    pub(super) source: [usize; 2],
    /// The table of the gamma met last: a run has one gamma.
    gamma: Option<(f64, GammaTable)>,
    pub(super) wide: Wide,
    /// The result before it is written as floats.
    narrow: ImageU8,
}

/// Runs every step of `spec` on one encoded image and writes the stored values, little-endian,
/// rows of [`Spec::output_shape`].
///
/// float32 is the result in whole numbers divided by their largest: 65,535, or 255 where the steps
/// are defined on 8 bits only ([`Spec::depth`]).
///
/// # Errors
/// `Decode`, `Limit`, `Unsupported` or `Step`, without the item's name.
pub fn apply_bytes(
    spec: &Spec,
    data: &[u8],
    options: &DecodeOptions,
    workspace: &mut Workspace,
    out: &mut Vec<u8>,
    seconds: &mut StageSeconds,
) -> Result<Decoded> {
    if spec.dtype() == DType::Uint8 {
        let bytes = std::mem::take(out);
        let mut image = ImageU8::from_vec(1, bytes.len(), 1, bytes);
        let applied = apply(spec, data, options, workspace, &mut image, seconds);
        *out = image.into_vec();
        return applied;
    }
    out.clear();
    match spec.depth() {
        Depth::Eight => {
            let mut image = std::mem::take(&mut workspace.narrow);
            let applied = run(spec, data, options, workspace, &mut image, seconds);
            out.extend(image.data().iter().flat_map(|&v| (f32::from(v) / 255.0).to_le_bytes()));
            workspace.narrow = image;
            applied
        }
        Depth::Sixteen => {
            let decoded = super::wide::run(spec, data, options, workspace, seconds)?;
            let values = workspace.wide.values().iter();
            if spec.dtype() == DType::Uint16 {
                out.extend(values.flat_map(|value| value.to_le_bytes()));
            } else {
                out.extend(values.flat_map(|&v| (f32::from(v) / 65535.0).to_le_bytes()));
            }
            Ok(decoded)
        }
    }
}

impl Workspace {
    /// Height and width, upright, of the image decoded last.
    pub fn source_size(&self) -> [usize; 2] {
        self.source
    }
}

/// Runs every step of `spec` on one encoded image; `out` gets the shape [`Spec::output_shape`].
///
/// # Errors
/// `Decode`, `Limit`, `Unsupported` or `Step`, without the item's name; `Spec` for other dtypes than
/// uint8, which are [`apply_bytes`]'s.
pub fn apply(
    spec: &Spec,
    data: &[u8],
    options: &DecodeOptions,
    workspace: &mut Workspace,
    out: &mut ImageU8,
    seconds: &mut StageSeconds,
) -> Result<Decoded> {
    if spec.dtype() != DType::Uint8 {
        return Err(Error::Spec("images in memory are of dtype uint8".into()));
    }
    run(spec, data, options, workspace, out, seconds)
}

fn run(
    spec: &Spec,
    data: &[u8],
    options: &DecodeOptions,
    workspace: &mut Workspace,
    out: &mut ImageU8,
    seconds: &mut StageSeconds,
) -> Result<Decoded> {
    workspace.source = [0, 0];
    let mut decoded = Decoded::default();
    let mut source = Source::new(data, options);
    for step in spec.steps() {
        match *step {
            // A specification has one of each, in this order; the pixels are made together.
            Step::Decode { channels, frames, fast } => source.read_as(channels, frames, fast),
            Step::Window { .. } => source.window = step.window(),
            Step::Resize { height, width, mode, interpolation } => {
                let (height, width) = (height as usize, width as usize);
                let target = Target { height, width, mode, interpolation };
                source.reduce_for([height, width], mode)?;
                decoded = decode_resized(&source, &target, workspace, out, seconds)?;
            }
            Step::Clahe { .. } | Step::Gamma { .. } | Step::Median { .. } => {}
        }
    }
    let chain = chain_steps(spec, &mut workspace.gamma)?;
    if chain != ChainSteps::default() {
        let mut resized = std::mem::take(&mut workspace.resized);
        std::mem::swap(&mut resized, out);
        let applied = run_chain(&chain, (&resized).into(), workspace, out, seconds);
        workspace.resized = resized;
        applied?;
    }
    Ok(decoded)
}

/// Runs the steps of `spec` that follow the resize on an image that has been resized, 8 bits a value.
///
/// # Errors
/// `Spec` unless `image` has the shape [`Spec::output_shape`] and the dtype is uint8; `Step`.
pub fn apply_to<'a>(
    spec: &Spec,
    image: impl Into<ImageRef<'a, u8>>,
    workspace: &mut Workspace,
    out: &mut ImageU8,
    seconds: &mut StageSeconds,
) -> Result<()> {
    if spec.dtype() != DType::Uint8 {
        return Err(Error::Spec("images in memory are of dtype uint8".into()));
    }
    let image = image.into();
    let (found, wanted) = (image.shape(), spec.output_shape());
    if found != wanted {
        return Err(Error::Spec(format!(
            "the image must have the shape the resize gives it, {wanted:?}, got {found:?}"
        )));
    }
    let chain = chain_steps(spec, &mut workspace.gamma)?;
    run_chain(&chain, image, workspace, out, seconds)
}

/// What comes after the resize, which runs as one: see [`PostChain`].
fn chain_steps(spec: &Spec, cache: &mut Option<(f64, GammaTable)>) -> Result<ChainSteps> {
    let mut chain = ChainSteps::default();
    for step in spec.steps() {
        match *step {
            Step::Clahe { clip_limit, tiles } => chain.clahe = Some((clip_limit, tiles as usize)),
            Step::Gamma { gamma } => chain.table = Some(*gamma_table(cache, gamma)?.values()),
            Step::Median { .. } => chain.median = true,
            Step::Decode { .. } | Step::Window { .. } | Step::Resize { .. } => {}
        }
    }
    Ok(chain)
}

fn run_chain(
    chain: &ChainSteps,
    image: ImageRef<'_, u8>,
    workspace: &mut Workspace,
    out: &mut ImageU8,
    seconds: &mut StageSeconds,
) -> Result<()> {
    let mut clock = Instant::now();
    workspace.chain.apply(chain, image, out, &mut |part| {
        let stage = match part {
            ChainPart::Clahe => Stage::Clahe,
            ChainPart::Table => Stage::Gamma,
            ChainPart::Median => Stage::Median,
        };
        clock = seconds.lap(stage, clock);
    })
}

/// What the resize step asks for.
struct Target {
    height: usize,
    width: usize,
    mode: ResizeMode,
    interpolation: Interpolation,
}

/// Decodes and resizes; at once if the decoder gives rows and the resize takes them, so that the
/// large image is never in memory.
fn decode_resized(
    source: &Source,
    target: &Target,
    workspace: &mut Workspace,
    out: &mut ImageU8,
    seconds: &mut StageSeconds,
) -> Result<Decoded> {
    let Target { height, width, mode, interpolation } = *target;
    let Workspace { decoder, resizer, held, decoded: pixels, source: size, .. } = workspace;
    let mut clock = Instant::now();
    let mut decoded = source.decode_windowed(decoder, held, pixels)?;
    if decoded.is_none() {
        if let Some(bands) = source.bands()?
            && let Some(mut shrinking) =
                fit_bands(bands.shape(), height, width, mode, interpolation, resizer, out)?
        {
            let is_whole = bands.decode(decoder, &mut |rows, stride| {
                clock = seconds.lap(Stage::Decode, clock);
                shrinking.push_rows(rows, stride);
                clock = seconds.lap(Stage::Resize, clock);
            })?;
            clock = seconds.lap(Stage::Decode, clock);
            if is_whole {
                *size = source.size([bands.shape()[0], bands.shape()[1]]);
                return Ok(Decoded::default());
            }
        }
        decoded = Some(source.decode(decoder, held, pixels)?);
    }
    clock = seconds.lap(Stage::Decode, clock);
    *size = source.size([pixels.height(), pixels.width()]);
    fit_into(pixels, height, width, mode, interpolation, resizer, out)?;
    seconds.lap(Stage::Resize, clock);
    Ok(decoded.unwrap_or_default())
}

fn gamma_table(cache: &mut Option<(f64, GammaTable)>, gamma: f64) -> Result<&GammaTable> {
    if cache.as_ref().is_none_or(|(cached, _)| cached.to_bits() != gamma.to_bits()) {
        *cache = Some((gamma, GammaTable::new(gamma)?));
    }
    Ok(cache.as_ref().map(|(_, table)| table).expect("just made"))
}

#[cfg(test)]
mod tests {
    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

    use super::*;
    use crate::Cpu;
    use crate::decode::{Channels, Reduction, decode_reduced_into};

    const SIZE: (usize, usize) = (150, 113);

    fn jpeg() -> Vec<u8> {
        let (height, width) = SIZE;
        let values: Vec<u8> =
            (0..height * width * 3).map(|i| (i * 7 / 5 + i / 339) as u8).collect();
        compress(&values, width, height, PixelFormat::Rgb, 90, Subsampling::S420).unwrap()
    }

    fn spec(channels: &str, mode: &str, interpolation: &str, side: usize) -> Spec {
        Spec::from_json(&format!(
            r#"{{"steps": [{{"step": "decode", "channels": "{channels}"}},
                {{"step": "resize", "height": {side}, "width": {side}, "mode": "{mode}",
                  "interpolation": "{interpolation}"}}], "dtype": "uint8"}}"#
        ))
        .unwrap()
    }

    fn run(
        spec: &Spec,
        data: &[u8],
        keep_damaged: bool,
        workspace: &mut Workspace,
    ) -> Result<(ImageU8, Decoded)> {
        let options = DecodeOptions { keep_damaged, ..DecodeOptions::default() };
        let (mut out, mut seconds) = (ImageU8::default(), StageSeconds::default());
        let decoded = apply(spec, data, &options, workspace, &mut out, &mut seconds)?;
        assert!(seconds.get(Stage::Decode) > 0.0 && seconds.get(Stage::Resize) > 0.0);
        Ok((out, decoded))
    }

    #[test]
    fn an_image_resized_while_it_is_decoded_equals_one_resized_afterwards() {
        let (data, mut workspace) = (jpeg(), Workspace::default());
        let options = DecodeOptions::default();
        for channels in [Channels::Rgb, Channels::Grey] {
            let image = decode::decode(&data, channels, &options).unwrap();
            let name = if channels == Channels::Rgb { "rgb" } else { "grey" };
            for (mode_name, mode) in [
                ("stretch", ResizeMode::Stretch),
                ("crop", ResizeMode::Crop),
                ("letterbox", ResizeMode::Letterbox),
            ] {
                // Area means, one axis or both enlarged, the same size, exactly half.
                for (how_name, how) in
                    [("area", Interpolation::Area), ("linear", Interpolation::Linear)]
                {
                    for side in [1, 40, 75, 113, 130, 200] {
                        let mut expected = ImageU8::default();
                        let scratch = &mut geometry::Scratch::default();
                        fit_into(&image, side, side, mode, how, scratch, &mut expected).unwrap();
                        let spec = spec(name, mode_name, how_name, side);
                        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
                            let got = cpu.force(|| run(&spec, &data, false, &mut workspace));
                            let what = format!("{cpu:?} {name} {mode_name} {how_name} {side}");
                            assert!(
                                got.unwrap() == (expected.clone(), Decoded::default()),
                                "{what}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_steps_after_the_resize_alone_make_the_same_of_a_resized_image() {
        let (data, mut workspace) = (jpeg(), Workspace::default());
        let resize = spec("rgb", "stretch", "area", 40).canonical_json();
        let after = r#","width":40},{"step":"clahe","clip_limit":2,"tiles":3},{"step":"gamma","gamma":1.2},{"step":"median","size":3}"#;
        let whole = Spec::from_json(&resize.replace(r#","width":40}"#, after)).unwrap();
        let resize = Spec::from_json(&resize).unwrap();
        let (mut out, mut seconds) = (ImageU8::default(), StageSeconds::default());
        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
            let (small, _) = cpu.force(|| run(&resize, &data, false, &mut workspace)).unwrap();
            let (expected, _) = cpu.force(|| run(&whole, &data, false, &mut workspace)).unwrap();
            assert_ne!(small, expected);
            cpu.force(|| apply_to(&whole, &small, &mut workspace, &mut out, &mut seconds)).unwrap();
            assert!(out == expected, "{cpu:?}");
        }
        let wrong = ImageU8::from_vec(2, 2, 3, vec![0; 12]);
        let error = apply_to(&whole, &wrong, &mut workspace, &mut out, &mut seconds).unwrap_err();
        assert!(error.to_string().contains("(40, 40, 3), got (2, 2, 3)"), "{error}");
    }

    #[test]
    fn a_fast_decode_reduces_a_jpeg_as_far_as_the_target_allows() {
        let (data, mut workspace) = (jpeg(), Workspace::default());
        let options = DecodeOptions::default();
        for (side, mode_name, mode, reduction) in [
            (14, "stretch", ResizeMode::Stretch, Reduction::Eighth),
            (15, "stretch", ResizeMode::Stretch, Reduction::Eighth),
            (16, "stretch", ResizeMode::Stretch, Reduction::Quarter),
            // Its longer side becomes 16, the shorter one 12.
            (16, "letterbox", ResizeMode::Letterbox, Reduction::Eighth),
            (50, "crop", ResizeMode::Crop, Reduction::Half),
            (58, "stretch", ResizeMode::Stretch, Reduction::Whole),
        ] {
            let mut small = ImageU8::default();
            let scratch = &mut decode::Scratch::default();
            let channels = Channels::Rgb;
            decode_reduced_into(&data, channels, &options, reduction, scratch, &mut small).unwrap();
            let (mut expected, how) = (ImageU8::default(), Interpolation::Area);
            let scratch = &mut geometry::Scratch::default();
            fit_into(&small, side, side, mode, how, scratch, &mut expected).unwrap();
            let steps = spec("rgb", mode_name, "area", side).canonical_json();
            let steps = steps.replace("\"rgb\"", "\"rgb\",\"fast\":true");
            let fast = Spec::from_json(&steps).unwrap();
            for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
                let (got, _) = cpu.force(|| run(&fast, &data, false, &mut workspace)).unwrap();
                assert!(got == expected, "{cpu:?} {mode_name} {side}");
                // Boxes are in pixels of the whole image.
                assert_eq!(workspace.source_size(), [SIZE.0, SIZE.1]);
            }
        }
    }

    #[test]
    fn damage_found_after_some_rows_were_resized_drops_them() {
        let (mut data, mut workspace) = (jpeg(), Workspace::default());
        let end = data.len() - 2;
        data.drain(end - 100..end);
        let spec = spec("rgb", "stretch", "area", 40);
        let error = run(&spec, &data, false, &mut workspace).unwrap_err();
        assert!(error.to_string().starts_with("cannot decode JPEG: "), "{error}");
        let (kept, decoded) = run(&spec, &data, true, &mut workspace).unwrap();
        let reason = decoded.damaged.expect("kept and reported");
        assert!(error.to_string().ends_with(&reason), "{error} / {reason}");
        // What the careful decoder shows of it, not what came before the damage was found.
        let options = DecodeOptions { keep_damaged: true, ..DecodeOptions::default() };
        let image = decode::decode(&data, Channels::Rgb, &options).unwrap();
        let mut expected = ImageU8::default();
        let (mode, how) = (ResizeMode::Stretch, Interpolation::Area);
        fit_into(&image, 40, 40, mode, how, &mut geometry::Scratch::default(), &mut expected)
            .unwrap();
        assert_eq!(kept, expected);
    }
}
