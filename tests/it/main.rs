//! Acceptance: what a user, an operator and an analyst do, through HTTP and the command line, against
//! the real binary as a process of its own.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "A test that can't go on says where and ends."
)]

mod architecture;
mod bad_input;
mod bounds;
mod browser_client;
mod build;
mod clerk;
mod command_line;
mod contract;
mod database;
mod deployment;
mod dice;
mod docs_page;
mod engines;
mod erasure;
mod faults;
mod faulty_model;
mod floods;
mod kurrentdb;
mod links;
mod live_client;
mod load;
mod main_job;
mod markdown;
mod model_faults;
mod model_server;
mod moving;
mod nats;
mod node;
mod open_files;
mod raw_http;
mod readme;
mod scaled_on_one_machine;
mod schemathesis;
mod server;
mod sockets;
