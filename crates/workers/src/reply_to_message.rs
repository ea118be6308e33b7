//! Replies to messages.
mod beats;
mod draft;
mod effects;
mod sightings;
mod stream;
