//! A parallel map for jobs that need no order of commit (reading headers while planning).

use rayon::prelude::*;

use super::control::Control;
use super::pool::pool;
use crate::error::{Error, Result};

/// Applies `work` to every item on `threads` threads; results in the order of the items.
///
/// # Errors
/// `Cancelled` when the control was cancelled, `Spec` when the threads cannot be started.
///
/// # Panics
/// If `work` does.
pub fn map_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    control: &Control,
    work: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>> {
    pool(threads)?.install(|| {
        let results = items.par_iter().map(|item| {
            if control.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let result = work(item);
            control.count_stored();
            Ok(result)
        });
        results.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u64> = (0..1000).collect();
        for threads in [0, 1, 3] {
            let squares = map_parallel(&items, threads, &Control::default(), |v| v * v).unwrap();
            assert!(squares.iter().zip(&items).all(|(square, v)| *square == v * v));
        }
    }

    #[test]
    fn a_cancelled_map_returns_nothing() {
        let control = Control::default();
        control.cancel();
        let result = map_parallel(&[1], 2, &control, |v| *v);
        assert!(matches!(result, Err(Error::Cancelled)));
    }
}
