//! Which part of a resized image is wanted and where it goes, one axis at a time.

use super::ResizeMode;

/// One axis: of `full` resized positions, `count` from `skip` on go to `at` in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub full: usize,
    pub skip: usize,
    pub count: usize,
    pub at: usize,
}

impl Placement {
    pub(super) fn whole(full: usize) -> Self {
        Self { full, skip: 0, count: full, at: 0 }
    }

    /// The middle `target` of `full` positions, or all of them in the middle of `target`.
    fn centred(full: usize, target: usize) -> Self {
        if full >= target {
            Self { full, skip: (full - target) / 2, count: target, at: 0 }
        } else {
            Self { full, skip: 0, count: full, at: (target - full) / 2 }
        }
    }

    /// Positions of the resized axis that are wanted.
    pub(super) fn wanted(self) -> std::ops::Range<usize> {
        self.skip..self.skip + self.count
    }
}

/// The placements of rows and columns; `source` and `target` are `[height, width]`.
pub(super) fn placements(
    source: [usize; 2],
    target: [usize; 2],
    mode: ResizeMode,
) -> [Placement; 2] {
    let ratio = |axis: usize| target[axis] as f64 / source[axis] as f64;
    let scaled = |axis: usize, scale: f64| (source[axis] as f64 * scale + 0.5).floor() as usize;
    match mode {
        ResizeMode::Stretch => target.map(Placement::whole),
        ResizeMode::Crop => {
            let scale = ratio(0).max(ratio(1));
            [0, 1]
                .map(|axis| Placement::centred(scaled(axis, scale).max(target[axis]), target[axis]))
        }
        ResizeMode::Letterbox => {
            let scale = ratio(0).min(ratio(1));
            [0, 1].map(|axis| {
                // max before min: a zero target is refused later, not here by a panic in clamp.
                Placement::centred(scaled(axis, scale).max(1).min(target[axis]), target[axis])
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(height: usize, width: usize, target: [usize; 2], mode: ResizeMode) -> [Placement; 2] {
        placements([height, width], target, mode)
    }

    #[test]
    fn a_crop_covers_the_target_and_cuts_both_sides() {
        let [rows, columns] = of(100, 201, [50, 50], ResizeMode::Crop);
        assert_eq!(rows, Placement::whole(50));
        // 201 * 0.5 + 0.5 = 101; 51 stand out, 25 on the left.
        assert_eq!(columns, Placement { full: 101, skip: 25, count: 50, at: 0 });
    }

    #[test]
    fn a_letterbox_keeps_at_least_one_pixel() {
        let [rows, columns] = of(1, 4096, [416, 416], ResizeMode::Letterbox);
        assert_eq!(rows, Placement { full: 1, skip: 0, count: 1, at: 207 });
        assert_eq!(columns, Placement::whole(416));
    }
}
