//! The scaled shape: processes of their own that answer, and others that work, over one PostgreSQL and one NATS, any of
//! which is killed, frozen, away, late or cut off.

mod cluster;
mod engines;
mod engines_away;
mod frozen_bus;
pub(super) mod frozen_owner;
mod late_engines;
mod lost_read_models;
mod machines;
mod main_job;
mod network_cuts;
pub(super) mod nothing_shown;
mod process_kills;
mod writers;
