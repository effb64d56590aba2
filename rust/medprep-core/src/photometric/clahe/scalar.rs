//! The definition, for 8 and 16 bits.

use crate::image::Image;

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    histogram: Vec<u32>,
    columns: Vec<Neighbours>,
    padded_x: Vec<usize>,
}

/// A grey level: 8 or 16 bits.
pub(super) trait Level: Copy + Default + Ord {
    const COUNT: usize;
    fn index(self) -> usize;
    /// Round to nearest even, saturated, as OpenCV's `saturate_cast`.
    fn from_f32(value: f32) -> Self;
}

impl Level for u8 {
    const COUNT: usize = 1 << 8;
    fn index(self) -> usize {
        self as usize
    }
    fn from_f32(value: f32) -> Self {
        value.round_ties_even() as u8
    }
}

impl Level for u16 {
    const COUNT: usize = 1 << 16;
    fn index(self) -> usize {
        self as usize
    }
    fn from_f32(value: f32) -> Self {
        value.round_ties_even() as u16
    }
}

/// The two tiles a coordinate lies between and their weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbours {
    pub tiles: [usize; 2],
    pub weights: [f32; 2],
}

impl Neighbours {
    pub(super) fn of(position: usize, inverse_tile_size: f32, tiles: usize) -> Self {
        let p = position as f32 * inverse_tile_size - 0.5;
        let first = p.floor();
        let weight = p - first;
        // Weights come before clamping: at the border a tile is blended with itself.
        let clamp = |tile: i64| tile.clamp(0, tiles as i64 - 1) as usize;
        Self {
            tiles: [clamp(first as i64), clamp(first as i64 + 1)],
            weights: [1.0 - weight, weight],
        }
    }
}

/// Equalises a grey image; `dst` gets its shape.
pub(super) fn equalise<T: Level>(
    src: &Image<T>,
    clip_limit: f64,
    tiles: usize,
    tables: &mut Vec<T>,
    scratch: &mut Scratch,
    dst: &mut Image<T>,
) {
    let (height, width, _) = src.shape();
    // OpenCV pads BOTH axes as soon as one does not divide, an even one by a whole extra `tiles`.
    let even = width % tiles == 0 && height % tiles == 0;
    let padded = |len: usize| if even { len } else { len + tiles - len % tiles };
    let (tile_height, tile_width) = (padded(height) / tiles, padded(width) / tiles);

    // Levels above the brightest pixel are never looked up, and sums run upwards: they can be left out.
    let levels = src.data().iter().max().map_or(0, |&max| max.index()) + 1;
    let limit = clip_count(clip_limit, tile_height * tile_width, T::COUNT);
    let scale = (T::COUNT - 1) as f32 / (tile_height * tile_width) as f32;
    tables.clear();
    tables.resize(tiles * tiles * levels, T::default());
    scratch.padded_x.clear();
    scratch.padded_x.extend((0..padded(width)).map(|x| reflect_101(x, width)));
    for (tile, table) in tables.chunks_exact_mut(levels).enumerate() {
        let histogram = &mut scratch.histogram;
        histogram.clear();
        histogram.resize(levels, 0);
        let columns = &scratch.padded_x[tile % tiles * tile_width..][..tile_width];
        for y in tile / tiles * tile_height..(tile / tiles + 1) * tile_height {
            let row = src.row(reflect_101(y, height));
            for &x in columns {
                histogram[row[x].index()] += 1;
            }
        }
        if let Some(limit) = limit {
            clip(histogram, limit, T::COUNT);
        }
        let mut sum = 0_u32;
        for (entry, &count) in table.iter_mut().zip(histogram.iter()) {
            sum += count;
            *entry = T::from_f32(sum as f32 * scale);
        }
    }
    interpolate(src, tables, levels, [tile_height, tile_width], tiles, &mut scratch.columns, dst);
}

/// The pixel count a bin is cut to; none without clipping.
fn clip_count(clip_limit: f64, tile_area: usize, levels: usize) -> Option<u32> {
    // NaN counts as "no clipping" too.
    (clip_limit > 0.0).then(|| ((clip_limit * tile_area as f64 / levels as f64) as u32).max(1))
}

/// Cuts bins to `limit` and spreads the excess once over all `total_levels` bins, of which
/// `histogram` holds the lowest (the others are empty).
fn clip(histogram: &mut [u32], limit: u32, total_levels: usize) {
    let mut excess = 0_usize;
    for count in histogram.iter_mut() {
        excess += count.saturating_sub(limit) as usize;
        *count = (*count).min(limit);
    }
    let batch = excess / total_levels;
    for count in histogram.iter_mut() {
        *count += batch as u32;
    }
    let residual = excess - batch * total_levels;
    // Nothing left over: nothing to spread.
    if let Some(step) = total_levels.checked_div(residual) {
        for count in histogram.iter_mut().step_by(step.max(1)).take(residual) {
            *count += 1;
        }
    }
}

/// Position `i` of an axis of `len` values continued by mirroring without repeating the edge.
pub(super) fn reflect_101(i: usize, len: usize) -> usize {
    // Nearly always; a division costs as much as counting a dozen pixels.
    if i < len {
        return i;
    }
    if len == 1 {
        return 0;
    }
    let period = 2 * (len - 1);
    let i = i % period;
    if i < len { i } else { period - i }
}

/// Looks every pixel up in the tables of the four nearest tiles and blends the four results.
fn interpolate<T: Level>(
    src: &Image<T>,
    tables: &[T],
    levels: usize,
    [tile_height, tile_width]: [usize; 2],
    tiles: usize,
    columns: &mut Vec<Neighbours>,
    dst: &mut Image<T>,
) {
    let (height, width, _) = src.shape();
    let inverse_width = 1.0 / tile_width as f32;
    let inverse_height = 1.0 / tile_height as f32;
    columns.clear();
    columns.extend((0..width).map(|x| Neighbours::of(x, inverse_width, tiles)));
    dst.reshape(height, width, 1);
    for y in 0..height {
        let rows = Neighbours::of(y, inverse_height, tiles);
        let [top, bottom] =
            rows.tiles.map(|tile| &tables[tile * tiles * levels..][..tiles * levels]);
        for ((out, &value), column) in dst.row_mut(y).iter_mut().zip(src.row(y)).zip(&*columns) {
            let [left, right] = column.tiles.map(|tile| tile * levels + value.index());
            let blend = |row: &[T]| {
                row[left].index() as f32 * column.weights[0]
                    + row[right].index() as f32 * column.weights[1]
            };
            *out = T::from_f32(blend(top) * rows.weights[0] + blend(bottom) * rows.weights[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_does_not_repeat_the_edge() {
        let mirrored: Vec<usize> = (0..9).map(|i| reflect_101(i, 4)).collect();
        assert_eq!(mirrored, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(reflect_101(5, 1), 0);
    }

    #[test]
    fn the_residual_is_spread_in_steps_from_bin_zero() {
        let mut histogram = vec![0; 8];
        histogram[3] = 13;
        clip(&mut histogram, 2, 8); // excess 11: one for each bin, then 3 more in steps of 2
        assert_eq!(histogram, [2, 1, 2, 3, 2, 1, 1, 1]);
    }

    #[test]
    fn a_clip_limit_is_at_least_one_pixel_and_zero_means_none() {
        assert_eq!(clip_count(2.0, 784, 256), Some(6));
        assert_eq!(clip_count(0.01, 16, 256), Some(1));
        assert_eq!(clip_count(0.0, 784, 256), None);
        assert_eq!(clip_count(-3.0, 784, 256), None);
    }
}
