//! What a request carries, read strictly, before any handler sees it.

mod body;
pub(crate) mod cursor;
#[cfg(test)]
mod fuzz;
pub(crate) mod headers;
pub mod json;
mod query;

pub(crate) use body::raw_body;
pub use body::{CommandBody, CommandJson, RequestBody, RequestJson, decode_command, decode_request};
pub use cursor::{CursorKey, PageLimit};
pub use headers::{IdempotencyKey, IfMatch, Prefer, negotiate};
pub use query::{Path, Query, min_position};
