//! The vector kernels, written once for both vector widths.
//!
//! Bytes are widened to 16 bits by taking the even and the odd ones of a vector apart, and joined by
//! a shift, so that nothing has to cross lanes. Macros because helper functions must carry the
//! caller's target features to be inlined.

/// Defines the upsampling functions.
///
/// Expects in scope: `Vector`; the operations named below; `HALF` and `WHOLE`, the 16-bit values and
/// bytes of a vector; `widen` of HALF bytes, `load` and `store` of WHOLE bytes; `shift_in_left` and
/// `shift_in_right`, which move values by one place and take the missing one from a neighbour.
macro_rules! define_upsampling {
    ($features:literal) => {
        /// See [`super::Upsample2x2`].
        #[target_feature(enable = $features)]
        pub(in super::super) fn upsample_2x2(near: &[u8], far: &[u8], n: usize, out: &mut [u8]) {
            debug_assert!(near.len().min(far.len()) >= padded(n) && out.len() >= padded(2 * n));
            let (near, far) = (&near[PAD - HALF..], &far[PAD - HALF..]);
            let (near, far) = (near.as_chunks::<HALF>().0, far.as_chunks::<HALF>().0);
            let mut previous = sum(&near[0], &far[0]);
            let mut current = sum(&near[1], &far[1]);
            let samples = near[2..].iter().zip(&far[2..]);
            let out = out[PAD..].as_chunks_mut::<WHOLE>().0;
            for ((near, far), out) in samples.zip(&mut out[..n.div_ceil(HALF)]) {
                let next = sum(near, far);
                store(out, double::<4>(previous, current, next, 8, 7));
                (previous, current) = (current, next);
            }
        }

        /// 3 * near + far in 16 bits.
        #[inline]
        #[target_feature(enable = $features)]
        fn sum(near: &[u8; HALF], far: &[u8; HALF]) -> Vector {
            let near = widen(near);
            add16(add16(near, near), add16(near, widen(far)))
        }

        /// See [`super::Upsample2x1`].
        #[target_feature(enable = $features)]
        pub(in super::super) fn upsample_2x1(row: &[u8], n: usize, out: &mut [u8]) {
            debug_assert!(row.len() >= padded(n) && out.len() >= padded(2 * n));
            let row = row[PAD - HALF..].as_chunks::<HALF>().0;
            let (mut previous, mut current) = (widen(&row[0]), widen(&row[1]));
            let out = out[PAD..].as_chunks_mut::<WHOLE>().0;
            for (samples, out) in row[2..].iter().zip(&mut out[..n.div_ceil(HALF)]) {
                let next = widen(samples);
                store(out, double::<2>(previous, current, next, 1, 2));
                (previous, current) = (current, next);
            }
        }

        /// The triangle filter along a row: from 16-bit values to twice as many bytes.
        #[inline]
        #[target_feature(enable = $features)]
        fn double<const SHIFT: u32>(
            previous: Vector,
            current: Vector,
            next: Vector,
            left_bias: i16,
            right_bias: i16,
        ) -> Vector {
            let left = add16(shift_in_left(previous, current), set16(left_bias));
            let right = add16(shift_in_right(current, next), set16(right_bias));
            let triple = add16(add16(current, current), current);
            let even = shift_right16::<SHIFT>(add16(triple, left));
            let odd = shift_right16::<SHIFT>(add16(triple, right));
            or(even, shift_left16::<8>(odd))
        }

        /// See [`super::Upsample1x2`].
        #[target_feature(enable = $features)]
        pub(in super::super) fn upsample_1x2(
            near: &[u8],
            far: &[u8],
            bias: u8,
            n: usize,
            out: &mut [u8],
        ) {
            debug_assert!(near.len().min(far.len()).min(out.len()) >= padded(n));
            let near = near[PAD..].as_chunks::<WHOLE>().0;
            let far = far[PAD..].as_chunks::<WHOLE>().0;
            let out = &mut out[PAD..].as_chunks_mut::<WHOLE>().0[..n.div_ceil(WHOLE)];
            let bias = set16(i16::from(bias));
            for ((near, far), out) in near.iter().zip(far).zip(out) {
                let (near, far) = (load(near), load(far));
                let even = quarter(low_bytes(near), low_bytes(far), bias);
                let odd = quarter(shift_right16::<8>(near), shift_right16::<8>(far), bias);
                store(out, or(even, shift_left16::<8>(odd)));
            }
        }

        /// (3 * near + far + bias) / 4.
        #[inline]
        #[target_feature(enable = $features)]
        fn quarter(near: Vector, far: Vector, bias: Vector) -> Vector {
            let triple = add16(add16(near, near), near);
            shift_right16::<2>(add16(triple, add16(far, bias)))
        }

        /// The even bytes, as 16-bit values.
        #[inline]
        #[target_feature(enable = $features)]
        fn low_bytes(bytes: Vector) -> Vector {
            and(bytes, set16(0xFF))
        }
    };
}

/// Defines the colour conversions, given besides `store_rgb` of planar WHOLE pixels.
///
/// The channels come packed: in every lane of 16 pixels first the even ones, then the odd ones.
macro_rules! define_colour {
    ($features:literal) => {
        /// See [`super::ToRgb`].
        #[target_feature(enable = $features)]
        pub(in super::super) fn to_rgb(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
            debug_assert!(y.len().min(cb.len()).min(cr.len()) >= padded(out.len() / 3));
            let (ys, cbs, crs) = (vectors(y), vectors(cb), vectors(cr));
            let whole = out.as_chunks_mut::<{ 3 * WHOLE }>().0;
            for (((y, cb), cr), out) in ys.iter().zip(cbs).zip(crs).zip(whole) {
                let [r, g, b] = colours(load(y), load(cb), load(cr));
                store_rgb(out, r, g, b);
            }
            if let Some(at) = rest(out) {
                let [r, g, b] = colours(load(part(y, at)), load(part(cb, at)), load(part(cr, at)));
                store_rest(out, r, g, b);
            }
        }

        /// See [`super::GreyToRgb`].
        #[target_feature(enable = $features)]
        pub(in super::super) fn grey_to_rgb(y: &[u8], out: &mut [u8]) {
            debug_assert!(y.len() >= padded(out.len() / 3));
            let whole = out.as_chunks_mut::<{ 3 * WHOLE }>().0;
            for (y, out) in vectors(y).iter().zip(whole) {
                let level = pack_even_odd(load(y));
                store_rgb(out, level, level, level);
            }
            if let Some(at) = rest(out) {
                let level = pack_even_odd(load(part(y, at)));
                store_rest(out, level, level, level);
            }
        }

        /// The samples of a padded row.
        #[inline]
        fn vectors(row: &[u8]) -> &[[u8; WHOLE]] {
            row[PAD..].as_chunks::<WHOLE>().0
        }

        /// A vector of samples from sample `at` on.
        #[inline]
        fn part(row: &[u8], at: usize) -> &[u8; WHOLE] {
            row[PAD + at..].first_chunk().expect("rows are padded by a vector")
        }

        /// The first pixel of the vector that ends a row of pixels, if whole vectors leave some. It
        /// overlaps the one before, unless the row has less than a vector.
        #[inline]
        fn rest(out: &[u8]) -> Option<usize> {
            let pixels = out.len() / 3;
            (pixels % WHOLE > 0).then(|| pixels.saturating_sub(WHOLE))
        }

        /// Stores the pixels from [`rest`] on. The copy, of pixels just stored, costs as much as a
        /// hundred pixels, so only narrow rows have it.
        #[inline]
        #[target_feature(enable = $features)]
        fn store_rest(out: &mut [u8], r: Vector, g: Vector, b: Vector) {
            if let Some(out) = out.last_chunk_mut() {
                return store_rgb(out, r, g, b);
            }
            let mut pixels = [0; 3 * WHOLE];
            store_rgb(&mut pixels, r, g, b);
            out.copy_from_slice(&pixels[..out.len()]);
        }

        /// Bytes in the order in which `store_rgb` expects channels.
        #[inline]
        #[target_feature(enable = $features)]
        fn pack_even_odd(bytes: Vector) -> Vector {
            pack_unsigned16(and(bytes, set16(0xFF)), shift_right16::<8>(bytes))
        }

        /// R, G and B of as many pixels as a vector has bytes.
        #[inline]
        #[target_feature(enable = $features)]
        fn colours(y: Vector, cb: Vector, cr: Vector) -> [Vector; 3] {
            let low = set16(0xFF);
            let even = half_colours(and(y, low), and(cb, low), and(cr, low));
            let odd =
                half_colours(shift_right16::<8>(y), shift_right16::<8>(cb), shift_right16::<8>(cr));
            [
                pack_unsigned16(even[0], odd[0]),
                pack_unsigned16(even[1], odd[1]),
                pack_unsigned16(even[2], odd[2]),
            ]
        }

        /// The definition's pixel, in 16-bit lanes.
        #[inline]
        #[target_feature(enable = $features)]
        fn half_colours(y: Vector, cb: Vector, cr: Vector) -> [Vector; 3] {
            let centre = set16(128);
            centred_colours(y, sub16(cb, centre), sub16(cr, centre))
        }

        /// [`half_colours`] of Cb and Cr around 0.
        #[inline]
        #[target_feature(enable = $features)]
        fn centred_colours(y: Vector, cb: Vector, cr: Vector) -> [Vector; 3] {
            let factors = set32(i32::from(G_CB) & 0xFFFF | i32::from(G_CR) << 16);
            let half = set32(1 << 15);
            let low = add32(madd(low16(cb, cr), factors), half);
            let high = add32(madd(high16(cb, cr), factors), half);
            let green = pack32(shift_right32::<16>(low), shift_right32::<16>(high));
            [
                add16(add16(y, cr), mul_round(cr, set16(R_CR))),
                add16(sub16(y, cr), green),
                add16(add16(y, cb), mul_round(cb, set16(B_CB))),
            ]
        }
    };
}

pub(super) use {define_colour, define_upsampling};
