//! Decoding a JPEG at a fraction of its size (`--fast-decode`).

/// By what the sides of a JPEG are divided while it is decoded: a block of 8 x 8 coefficients gives
/// 4 x 4, 2 x 2 or 1 x 1 samples, as libjpeg's `scale_denom` and OpenCV's `IMREAD_REDUCED_*` have it.
///
/// Other formats are always decoded whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reduction {
    /// The image as it is.
    #[default]
    Whole,
    /// 1/2.
    Half,
    /// 1/4.
    Quarter,
    /// 1/8.
    Eighth,
}

impl Reduction {
    /// From the largest image to the smallest.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Half, Self::Quarter, Self::Eighth];

    /// 1, 2, 4 or 8.
    pub fn divisor(self) -> usize {
        1 << self as usize
    }

    /// Length of a reduced side.
    pub fn of(self, side: usize) -> usize {
        side.div_ceil(self.divisor())
    }

    /// The largest reduction that leaves both sides of `source` at least as long as `target`.
    pub fn above(source: [usize; 2], target: [usize; 2]) -> Self {
        let leaves_enough = |reduction: &Self| {
            [0, 1].iter().all(|&axis| reduction.of(source[axis]) >= target[axis])
        };
        Self::ALL.into_iter().rev().find(leaves_enough).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_stay_at_least_as_long_as_the_target() {
        for (source, target, expected) in [
            ([2048, 2498], [224, 224], Reduction::Eighth),
            ([2048, 2498], [512, 512], Reduction::Quarter),
            ([2048, 2498], [512, 625], Reduction::Quarter),
            ([2048, 2498], [512, 626], Reduction::Half),
            ([1785, 1785], [224, 224], Reduction::Eighth),
            ([1784, 1784], [224, 224], Reduction::Quarter),
            ([512, 400], [224, 224], Reduction::Whole),
            ([100, 100], [224, 224], Reduction::Whole),
        ] {
            assert_eq!(Reduction::above(source, target), expected, "{source:?} {target:?}");
        }
    }
}
