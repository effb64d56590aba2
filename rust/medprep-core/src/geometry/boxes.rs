//! Where a box of the source image lies in the stored one.

use super::ResizeMode;
use super::placement::{Placement, placements};

/// A box that lost something along an axis is kept from this many stored pixels on.
const LEAST_SIDE: f64 = 1.0;

/// Moves boxes as [`fit_into`](super::fit_into) moves pixels.
#[derive(Debug, Clone, Copy)]
pub struct BoxPlacement {
    source: [usize; 2],
    placements: [Placement; 2],
}

impl BoxPlacement {
    /// For images of `source` height and width brought to `target` by `mode`.
    ///
    /// # Panics
    /// If the source is empty: whoever decoded it has not told its size.
    pub fn new(source: [usize; 2], target: [usize; 2], mode: ResizeMode) -> Self {
        assert!(source.iter().all(|side| *side > 0), "the image that has the boxes has a size");
        Self { source, placements: placements(source, target, mode) }
    }

    /// `[x_min, y_min, x_max, y_max]` in pixels of the target, from such edges in the source.
    ///
    /// The edges are clipped to what of the image is stored. Nothing when that left less than a pixel
    /// along an axis on which it took something; a box small because the image shrank is kept.
    pub fn place(&self, edges: [f64; 4]) -> Option<[f32; 4]> {
        let [x_min, y_min, x_max, y_max] = edges;
        let (top, bottom) = self.along(0, y_min, y_max)?;
        let (left, right) = self.along(1, x_min, x_max)?;
        Some([left, top, right, bottom])
    }

    /// One axis in f64, rounded to f32 at the end.
    fn along(&self, axis: usize, min: f64, max: f64) -> Option<(f32, f32)> {
        let Placement { full, skip, count, at } = self.placements[axis];
        // First the product: an edge of the image lands on the edge exactly.
        let resized = |edge: f64| edge * full as f64 / self.source[axis] as f64;
        let inside = |edge: f64| edge.clamp(skip as f64, (skip + count) as f64);
        let stored = |edge: f64| (edge - skip as f64 + at as f64) as f32;
        let whole = [min, max].map(resized);
        let [low, high] = whole.map(inside);
        // Clamping gives back the very number or another one.
        #[allow(clippy::float_cmp, reason = "as said")]
        let is_whole = [low, high] == whole;
        let (first, last) = (stored(low), stored(high));
        (first < last && (is_whole || high - low >= LEAST_SIDE)).then_some((first, last))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "edges are exact")]
mod tests {
    use super::*;

    fn place(source: [usize; 2], mode: ResizeMode, edges: [f64; 4]) -> Option<[f32; 4]> {
        BoxPlacement::new(source, [50, 50], mode).place(edges)
    }

    #[test]
    fn the_whole_image_is_the_whole_image() {
        for source in [[50, 50], [7, 333], [1001, 13]] {
            let [height, width] = source.map(|side| side as f64);
            let stored = place(source, ResizeMode::Stretch, [0.0, 0.0, width, height]);
            assert_eq!(stored, Some([0.0, 0.0, 50.0, 50.0]), "{source:?}");
        }
    }

    #[test]
    fn a_crop_moves_clips_and_drops() {
        // 100 x 200 shrinks to 50 x 100, of whose columns the middle 25..75 are stored.
        let crop = |edges| place([100, 200], ResizeMode::Crop, edges);
        assert_eq!(crop([60.0, 10.0, 80.0, 20.0]), Some([5.0, 5.0, 15.0, 10.0]));
        assert_eq!(crop([40.0, 10.0, 60.0, 20.0]), Some([0.0, 5.0, 5.0, 10.0]));
        assert_eq!(crop([40.0, 10.0, 52.0, 20.0]), Some([0.0, 5.0, 1.0, 10.0]));
        assert_eq!(crop([40.0, 10.0, 51.9, 20.0]), None);
        assert_eq!(crop([0.0, 10.0, 30.0, 20.0]), None);
        assert_eq!(crop([160.0, 10.0, 200.0, 20.0]), None);
    }

    #[test]
    fn a_small_box_that_nothing_was_cut_from_is_kept() {
        let stored = place([500, 500], ResizeMode::Stretch, [10.0, 20.0, 12.0, 24.0]).unwrap();
        assert_eq!(stored, [1.0, 2.0, 1.2, 2.4]);
    }

    #[test]
    fn a_letterbox_clips_at_the_image_and_not_at_its_frame() {
        // 100 x 200 becomes 25 x 50 with 12 rows of nothing above.
        let stored = place([100, 200], ResizeMode::Letterbox, [-8.0, -8.0, 100.0, 300.0]);
        assert_eq!(stored, Some([0.0, 12.0, 25.0, 37.0]));
    }
}
