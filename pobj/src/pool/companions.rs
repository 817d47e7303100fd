//! Values in ordinary memory that belong to an open pool, one of each type.
//!
//! A list that only grows: each type's value is made once, whoever asks first and however many ask at once, and stays
//! at its place until the pool goes. So a reference to it needs no lock.

use std::any::Any;
use std::fmt;
use std::sync::OnceLock;

type Value = Box<dyn Any + Send + Sync>;

/// One value of each type that was asked for.
#[derive(Default)]
pub(crate) struct Companions {
    first: OnceLock<Box<Entry>>,
}

/// One type's value, and the next type.
struct Entry {
    /// A place for exactly one type: `None` of it.
    ty: std::any::TypeId,
    value: OnceLock<Value>,
    next: OnceLock<Box<Entry>>,
}

impl fmt::Debug for Companions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Companions").finish_non_exhaustive()
    }
}

impl Companions {
    /// The value of type `C`, if it is there.
    pub(crate) fn get<C: Send + Sync + 'static>(&self) -> Option<&C> {
        let mut link = &self.first;
        while let Some(entry) = link.get() {
            if entry.ty == std::any::TypeId::of::<C>() {
                return entry.value.get()?.downcast_ref();
            }
            link = &entry.next;
        }
        None
    }

    /// The value of type `C`; `build` makes it if it is not there. Others who ask meanwhile wait.
    ///
    /// Cost: a few loads for each type that was asked for before this one.
    pub(crate) fn get_or_build<C: Send + Sync + 'static>(&self, build: impl FnOnce() -> C) -> Option<&C> {
        let ty = std::any::TypeId::of::<C>();
        let mut link = &self.first;
        loop {
            let entry =
                link.get_or_init(|| Box::new(Entry { ty, value: OnceLock::new(), next: OnceLock::new() }));
            if entry.ty == ty {
                return entry.value.get_or_init(|| Box::new(build())).downcast_ref();
            }
            link = &entry.next;
        }
    }
}

impl Drop for Companions {
    fn drop(&mut self) {
        // One after another, so that a long list needs no stack, and in the order in which they were asked for.
        let mut link = self.first.take();
        while let Some(mut entry) = link {
            link = entry.next.take();
        }
    }
}
