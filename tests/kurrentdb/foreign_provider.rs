//! The other order: somebody's TLS was set up before the client's.

use advisor_eventlog::kurrentdb::{self, OpenError};

/// Trap 1. Without this answer the client would panic, in a task of its own.
#[tokio::test]
async fn whoever_sets_up_tls_before_the_client_is_told_so() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");

    let primed = kurrentdb::prime().await;

    assert!(matches!(primed, Err(OpenError::ForeignProvider)), "{primed:?}");
}
