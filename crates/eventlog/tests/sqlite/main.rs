//! What the SQLite adapter promises beyond the contract: its file, its lock, its limits, and honest
//! answers when SQLite fails.
#![expect(clippy::expect_used, reason = "these are tests")]

mod failures;
mod opening;
mod place;
mod write_ahead_log;
