//! The adapter for KurrentDB against our double of a server, and against a real one whenever
//! `ADVISOR_TEST_ESDB` names it (a connection string).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "A test that can't go on says where and ends; one that does not run says so."
)]

mod contract;
mod faults;
mod fixture;
mod python;
mod security;
mod settings;
mod wire;
