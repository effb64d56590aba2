//! The vector transform, written once for both vector widths: one block per 128-bit lane.
//!
//! No instruction crosses lanes, so the code is the same for two blocks (AVX2) and four (AVX-512).
//! It is a macro because helper functions must carry the caller's target features to be inlined.

/// Defines `transform_rows` for a vector type.
///
/// Expects in scope: `Vector`, the operations named below, and `load` of a row of the group and
/// `step` of a row of the quantisation table, `store` of two rows of samples.
macro_rules! define_transform {
    ($features:literal) => {
        /// a * p + b * q for every pair (a, b) of 16-bit values.
        #[inline]
        #[target_feature(enable = $features)]
        fn pairs(ab: Vector, p: i16, q: i16) -> Vector {
            madd(ab, set32(i32::from(p) & 0xFFFF | i32::from(q) << 16))
        }

        /// One-dimensional transform of half of the values of eight rows: [`scalar::pass`] up to its
        /// rounding, which is included in the even part.
        #[inline]
        #[target_feature(enable = $features)]
        fn half_pass<const HIGH: bool>(
            [sum, difference, z3, z4]: [Vector; 4],
            r: &[Vector; 8],
            rounding: i32,
        ) -> [Vector; 8] {
            macro_rules! interleave {
                ($a:expr, $b:expr) => {
                    if HIGH { high16($a, $b) } else { low16($a, $b) }
                };
            }
            let rounding = set32(rounding);
            // x << 13, from x in the upper half of 32 bits.
            let sum = add32(shift_right32::<3>(interleave!(zero(), sum)), rounding);
            let difference = add32(shift_right32::<3>(interleave!(zero(), difference)), rounding);
            let r26 = interleave!(r[2], r[6]);
            let low = pairs(r26, F_0_541, F_0_541 - F_1_847);
            let high = pairs(r26, F_0_541 + F_0_765, F_0_541);
            let even = [
                add32(sum, high),
                add32(difference, low),
                sub32(difference, low),
                sub32(sum, high),
            ];

            let z34 = interleave!(z3, z4);
            let y3 = pairs(z34, F_1_175 - F_1_961, F_1_175);
            let y4 = pairs(z34, F_1_175, F_1_175 - F_0_390);
            let r71 = interleave!(r[7], r[1]);
            let r53 = interleave!(r[5], r[3]);
            let odd = [
                add32(pairs(r71, -F_0_899, F_1_501 - F_0_899), y4),
                add32(pairs(r53, -F_2_562, F_3_072 - F_2_562), y3),
                add32(pairs(r53, F_2_053 - F_2_562, -F_2_562), y4),
                add32(pairs(r71, F_0_298 - F_0_899, -F_0_899), y3),
            ];
            butterfly(even, odd)
        }

        /// even + odd, then even - odd in reverse order.
        #[inline]
        #[target_feature(enable = $features)]
        fn butterfly(even: [Vector; 4], odd: [Vector; 4]) -> [Vector; 8] {
            [
                add32(even[0], odd[0]),
                add32(even[1], odd[1]),
                add32(even[2], odd[2]),
                add32(even[3], odd[3]),
                sub32(even[3], odd[3]),
                sub32(even[2], odd[2]),
                sub32(even[1], odd[1]),
                sub32(even[0], odd[0]),
            ]
        }

        /// One-dimensional transform of eight rows, `SHIFT` bits dropped.
        #[inline]
        #[target_feature(enable = $features)]
        fn pass<const SHIFT: u32>(r: [Vector; 8]) -> [Vector; 8] {
            let sums = [add16(r[0], r[4]), sub16(r[0], r[4]), add16(r[3], r[7]), add16(r[1], r[5])];
            let low = half_pass::<false>(sums, &r, 1 << (SHIFT - 1));
            let high = half_pass::<true>(sums, &r, 1 << (SHIFT - 1));
            pack_halves::<SHIFT>(low, high)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn pack_halves<const SHIFT: u32>(low: [Vector; 8], high: [Vector; 8]) -> [Vector; 8] {
            let mut out = low;
            for i in 0..8 {
                out[i] = pack32(shift_right32::<SHIFT>(low[i]), shift_right32::<SHIFT>(high[i]));
            }
            out
        }

        /// Transposes the 8x8 16-bit values of every lane.
        #[inline]
        #[target_feature(enable = $features)]
        fn transpose(r: [Vector; 8]) -> [Vector; 8] {
            let a = [
                low16(r[0], r[1]),
                high16(r[0], r[1]),
                low16(r[2], r[3]),
                high16(r[2], r[3]),
                low16(r[4], r[5]),
                high16(r[4], r[5]),
                low16(r[6], r[7]),
                high16(r[6], r[7]),
            ];
            let b = [
                low32(a[0], a[2]),
                high32(a[0], a[2]),
                low32(a[1], a[3]),
                high32(a[1], a[3]),
                low32(a[4], a[6]),
                high32(a[4], a[6]),
                low32(a[5], a[7]),
                high32(a[5], a[7]),
            ];
            [
                low64(b[0], b[4]),
                high64(b[0], b[4]),
                low64(b[1], b[5]),
                high64(b[1], b[5]),
                low64(b[2], b[6]),
                high64(b[2], b[6]),
                low64(b[3], b[7]),
                high64(b[3], b[7]),
            ]
        }

        /// Both passes; takes rows, returns columns.
        #[inline]
        #[target_feature(enable = $features)]
        fn transform_whole(rows: [Vector; 8]) -> [Vector; 8] {
            let columns = transpose(pass::<{ SHIFT[0] as u32 }>(rows));
            pass::<{ SHIFT[1] as u32 }>(columns)
        }

        /// As [`transform_whole`] for blocks whose coefficients lie in the first four rows and
        /// columns. With zeros for the others the sums of [`pass`] lose their second terms, and the
        /// multiplications that share a factor can be merged; nothing wraps that did not before.
        #[inline]
        #[target_feature(enable = $features)]
        fn transform_quarter(r: [Vector; 4]) -> [Vector; 8] {
            const ROUNDING: [i32; 2] = [1 << (SHIFT[0] - 1), 1 << (SHIFT[1] - 1)];
            // Columns 4..8 are zero after the first pass too: half a vector holds all.
            let rows = quarter_pass(low16(r[0], r[2]), low16(r[1], r[3]), ROUNDING[0]);
            let mut q = [rows[0]; 4];
            for i in 0..4 {
                q[i] = pack32(
                    shift_right32::<{ SHIFT[0] as u32 }>(rows[2 * i]),
                    shift_right32::<{ SHIFT[0] as u32 }>(rows[2 * i + 1]),
                );
            }
            // Four values of rows 2i and 2i + 1 in q[i]: to columns of eight values.
            let a = [low16(q[0], q[1]), high16(q[0], q[1]), low16(q[2], q[3]), high16(q[2], q[3])];
            let b = [low16(a[0], a[1]), high16(a[0], a[1]), low16(a[2], a[3]), high16(a[2], a[3])];
            let c = [low64(b[0], b[2]), high64(b[0], b[2]), low64(b[1], b[3]), high64(b[1], b[3])];
            let low = quarter_pass(low16(c[0], c[2]), low16(c[1], c[3]), ROUNDING[1]);
            let high = quarter_pass(high16(c[0], c[2]), high16(c[1], c[3]), ROUNDING[1]);
            pack_halves::<{ SHIFT[1] as u32 }>(low, high)
        }

        /// The pass for pairs of values 0 and 2, and 1 and 3, of which the others are zero.
        #[inline]
        #[target_feature(enable = $features)]
        fn quarter_pass(r02: Vector, r13: Vector, rounding: i32) -> [Vector; 8] {
            const ONE: i16 = 1 << 13;
            const LOW: i16 = F_0_541;
            const HIGH: i16 = F_0_541 + F_0_765;
            let rounding = set32(rounding);
            let even = [
                add32(pairs(r02, ONE, HIGH), rounding),
                add32(pairs(r02, ONE, LOW), rounding),
                add32(pairs(r02, ONE, -LOW), rounding),
                add32(pairs(r02, ONE, -HIGH), rounding),
            ];
            const Y33: i16 = F_1_175 - F_1_961;
            const Y44: i16 = F_1_175 - F_0_390;
            let odd = [
                pairs(r13, F_1_501 - F_0_899 + Y44, F_1_175),
                pairs(r13, F_1_175, F_3_072 - F_2_562 + Y33),
                pairs(r13, Y44, F_1_175 - F_2_562),
                pairs(r13, F_1_175 - F_0_899, Y33),
            ];
            butterfly(even, odd)
        }

        /// Saturates columns of samples to bytes and turns them into rows: vector `i` has rows `2 * i`
        /// and `2 * i + 1` of its block in every lane.
        #[inline]
        #[target_feature(enable = $features)]
        fn to_rows(c: [Vector; 8]) -> [Vector; 4] {
            let centre = set32(0x8080_8080u32 as i32);
            let c01 = zip_halves(add8(pack16(c[0], c[1]), centre));
            let c23 = zip_halves(add8(pack16(c[2], c[3]), centre));
            let c45 = zip_halves(add8(pack16(c[4], c[5]), centre));
            let c67 = zip_halves(add8(pack16(c[6], c[7]), centre));
            let left = [low16(c01, c23), high16(c01, c23)];
            let right = [low16(c45, c67), high16(c45, c67)];
            [
                low32(left[0], right[0]),
                high32(left[0], right[0]),
                low32(left[1], right[1]),
                high32(left[1], right[1]),
            ]
        }
    };
}

pub(super) use define_transform;
