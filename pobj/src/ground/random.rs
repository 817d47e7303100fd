//! Random words from the system: ids, salts.

use super::error::{Error, Result};

/// A random word.
pub(crate) fn random_u64() -> Result<u64> {
    getrandom::u64().map_err(|error| Error::io("get random bytes", std::io::Error::from(error)))
}
