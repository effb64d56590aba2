//! Panics that are caught: what is told of them names a place in the code, never the data.
//!
//! A panic's own message may quote what it choked on, which may be a patient's name.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Calls of [`catch`] that this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the latest caught panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; a panic becomes `Err` with the place in the code where it happened.
///
/// Whatever `work` was writing to holds unspecified values afterwards. Needs `panic = "unwind"`
/// (the default profiles have it).
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    DEPTH.set(DEPTH.get() + 1);
    // Unwind-safe by assertion: callers reach what `work` was writing to only on success.
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|_| PLACE.take().unwrap_or_else(|| "an unknown place".to_owned()))
}

/// Caught panics get one line on stderr, without their message; all others go to the former hook.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if DEPTH.get() == 0 {
                return before(panic);
            }
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), short);
            // Nobody can be told when stderr is closed.
            let _ = writeln!(std::io::stderr(), "medprep: a decoder panicked at {place}; caught");
            PLACE.set(Some(place));
        }));
    });
}

/// `crate-version/src/file.rs:line`, without the folders of the machine it was built on.
fn short(location: &Location) -> String {
    let parts: Vec<&str> = location.file().split('/').collect();
    let from = parts.iter().rposition(|part| *part == "src").unwrap_or(0).saturating_sub(1);
    format!("{}:{}", parts[from..].join("/"), location.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_is_a_place_and_quotes_nothing() {
        let place = catch(|| panic!("Doe^Jane")).unwrap_err();
        assert!(place.starts_with("medprep-core/src/panics.rs:"), "{place}");
        assert_eq!(catch(|| 7), Ok(7));
    }

    #[test]
    fn catches_may_be_nested() {
        let outer = catch(|| {
            assert!(catch(|| panic!("inner")).is_err());
            panic!("outer")
        });
        assert!(outer.is_err_and(|place| place.contains("panics.rs:")));
    }
}
