//! The scaled shape: processes of their own that answer, and others that work, over one PostgreSQL and one NATS, any of
//! which is killed, frozen or away for a while.

mod cluster;
mod engines;
mod engines_away;
pub(super) mod frozen_owner;
mod main_job;
mod process_kills;
mod writers;
