//! The protocol, as it was generated from the client's `.proto` files.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    clippy::pedantic,
    reason = "generated; the files themselves say what it means"
)]

include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
