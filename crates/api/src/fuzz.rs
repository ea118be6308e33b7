//! What all fuzz targets of this crate share. The targets stand beside what they aim at, each in a module `fuzz`.
//!
//! Each is an ordinary test that runs for a short time on random input; `CONTRIBUTING.md` has the command for
//! a long run. Where a run fails, its seed is printed, and `BOLERO_RANDOM_SEED` repeats it.

mod requests;

use std::time::Duration;

/// How long a target runs, unless `BOLERO_RANDOM_TEST_TIME_MS` says otherwise.
pub(crate) const TIME: Duration = Duration::from_secs(2);

/// A text made of pieces that mean something where it goes, and now and then of any character: chance alone
/// seldom gets past the first character of a format.
pub(crate) fn text_of(bytes: &[u8], pieces: &[&str]) -> String {
    let piece = |byte: &u8| {
        let index = usize::from(*byte);
        pieces.get(index).map_or_else(|| char::from(*byte).to_string(), |piece| (*piece).to_owned())
    };
    bytes.iter().map(piece).collect()
}
