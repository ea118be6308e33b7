//! Floods: whatever comes in whatever number, memory stays within a bound, somebody who uses the server as they should
//! is served meanwhile, and afterwards everything is as it was.
//!
//! `docs/reliability.md` has the peaks, and how to print them.

pub(crate) mod connections;
mod mix;
mod requests;
mod siege;
mod streams;
mod throng;
