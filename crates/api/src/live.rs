//! Live queries: what a query shows, and then every change of it, in one stream of events.

mod deltas;
mod frame;
mod id;
mod query;
