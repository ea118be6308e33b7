//! Reactions that touch the outside world, one file each, and what they need: models and prompts.
//!
//! Workers change the system by commands alone. They look at the read models whenever the bus rings
//! and once a second, and act on what they see there: a lost ring costs time, never a reply.

pub mod model;
pub mod prompt;
pub mod reply_to_message;
pub mod tiers;
