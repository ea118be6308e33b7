//! The read models, the runner that fills them, and the side store.
//!
//! In reading order: the database as a port ([`store`]) and its adapter ([`sqlite`]); what a
//! question to it is ([`query`], [`reader`]); how rows are described and held while events are
//! applied ([`table`], [`rows`], [`projection`]); the read models, one file each; what brings them
//! forward ([`runner`], [`checkpoint`], [`changes`], [`parked`], [`generations`]), in one process at a time
//! ([`lease`], [`ownership`], [`follower`]); and what no log can rebuild ([`side`]).

pub mod advisors;
pub mod changes;
pub mod checkpoint;
pub mod consumption;
pub mod conversations;
pub mod deletions;
pub mod departures;
pub mod follower;
pub mod generations;
#[cfg(test)]
mod given;
pub mod lease;
pub mod limits;
pub mod log_identity;
pub mod messages;
pub mod owners;
pub mod ownership;
pub mod parked;
pub mod postgres;
pub mod projection;
pub mod query;
pub mod read_on;
pub mod reader;
pub mod refolding;
pub mod replies;
pub mod rows;
pub mod runner;
pub mod side;
pub mod sqlite;
pub mod statements;
pub mod store;
#[cfg(test)]
mod strangers;
pub mod table;
pub mod users;
pub mod verification;

pub use changes::Changed;
pub use follower::Follower;
pub use generations::{Generation, Generations};
pub use lease::{Lease, SharedLease};
pub use ownership::{Duty, Ownership};
pub use parked::ParkedStream;
pub use postgres::{PostgresOptions, PostgresStore};
pub use query::Query;
pub use read_on::{ReadOn, ReadOnError};
pub use reader::{Progress, Read, Reader, State, Waited};
pub use runner::{Runner, RunnerError, RunnerLimits, RunnerParts};
pub use side::{
    BelongingError, Draft, Drafts, Erasure, Erasures, Keys, KeysCopied, KeysCopyError, Leases, SideCopied, SideStore,
};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use statements::all_statements;
pub use store::{Row, Statement, Store, StoreError, Value, Write};
