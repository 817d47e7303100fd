//! A panic as a result: what was wrong, and where.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics print nothing, and [`guarded`] tells their places.
pub fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PLACE.set(panic.location().map(|place| format!("{}:{}", place.file(), place.line())));
    }));
}

/// A panic is a violation like any other.
///
/// # Errors
///
/// Those of `body`; its panic, in words.
pub fn guarded<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        let place = PLACE.take().map(|place| format!(" at {place}")).unwrap_or_default();
        Err(format!("panic: {text}{place}"))
    })
}
