//! What a request carries, read strictly, before any handler sees it.

pub(crate) mod body;
pub(crate) mod cursor;
#[cfg(test)]
mod fuzz;
pub(crate) mod headers;
pub mod json;
mod query;

pub use body::{CommandBody, CommandJson, RequestBody, RequestJson, decode_command, decode_request};
pub(crate) use body::{raw_body, read_message};
pub use cursor::{CursorKey, PageLimit};
pub use headers::{IdempotencyKey, IfMatch, Prefer, negotiate};
pub use query::{Path, Query, min_position};
