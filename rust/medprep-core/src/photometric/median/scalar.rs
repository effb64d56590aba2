//! The definition of a row: the median of nine by a network.

/// The medians of the middle one of three rows of `channels` interleaved values.
pub(super) fn row<T: Copy + Ord>(rows: [&[T]; 3], channels: usize, out: &mut [T]) {
    let last = out.len() - channels;
    ends(rows, channels, out);
    if last > channels {
        inside(rows, channels, out);
    }
}

/// The first and the last pixel, whose neighbour outside is themselves.
pub(super) fn ends<T: Copy + Ord>(rows: [&[T]; 3], channels: usize, out: &mut [T]) {
    let last = out.len() - channels;
    for i in 0..channels {
        out[i] = median_at(rows, [i, i, (i + channels).min(last + i)]);
        out[last + i] =
            median_at(rows, [(last + i).saturating_sub(channels).max(i), last + i, last + i]);
    }
}

fn median_at<T: Copy + Ord>(rows: [&[T]; 3], columns: [usize; 3]) -> T {
    median9(rows.map(|row| columns.map(|i| row[i])))
}

/// All columns but the first and the last; written so that the compiler vectorises it.
fn inside<T: Copy + Ord>(rows: [&[T]; 3], channels: usize, out: &mut [T]) {
    let len = out.len();
    let inside = len - 2 * channels;
    let [up, mid, down] = rows
        .map(|row| [&row[..inside], &row[channels..][..inside], &row[2 * channels..][..inside]]);
    for (i, value) in out[channels..][..inside].iter_mut().enumerate() {
        *value = median9([up, mid, down].map(|row| row.map(|column| column[i])));
    }
}

/// The median of nine: of the largest minimum, the median middle and the smallest maximum of
/// the sorted columns.
fn median9<T: Copy + Ord>(rows: [[T; 3]; 3]) -> T {
    let column = |x: usize| sort3(rows[0][x], rows[1][x], rows[2][x]);
    let (l, m, r) = (column(0), column(1), column(2));
    let low = l.0.max(m.0).max(r.0);
    let middle = sort3(l.1, m.1, r.1).1;
    let high = l.2.min(m.2).min(r.2);
    sort3(low, middle, high).1
}

fn sort3<T: Copy + Ord>(a: T, b: T, c: T) -> (T, T, T) {
    let (low, high) = (a.min(b), a.max(b));
    (low.min(c), low.max(high.min(c)), high.max(c))
}
