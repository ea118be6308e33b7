//! What a URL may ask for, and what the client needs of its machine.

use crate::fixture::{brisk_log, log};
use advisor_eventlog::{
    EventLog, KurrentDbLog, KurrentDbOptions,
    contract::scene::{Scene, at, events},
    kurrentdb::{self, OpenError},
};
use advisor_kurrentdb_double::Double;
use std::{path::Path, process::Command, sync::Arc};

/// Trap 1: after the client's, everybody else's TLS works, if it names its provider.
#[tokio::test]
async fn whoever_sets_up_tls_after_the_client_names_a_provider() {
    kurrentdb::prime().await.expect("the client's TLS");
    kurrentdb::prime().await.expect("once is enough");

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let ours = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();

    assert!(ours.is_ok());
    let double = Double::start();
    Scene::on(Arc::new(brisk_log(&double.url()).await)).fill("a", 1).await;
}

/// Trap 2: the client loads certificates even where it needs none, and panics over one that can't be read.
#[test]
fn a_certificate_that_cannot_be_read_is_named() {
    let missing = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-such-certificates.pem");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "settings::opening_says_what_is_wrong_with_certificates", "--nocapture"])
        .env("SSL_CERT_FILE", &missing)
        .output()
        .expect("this program's own end");

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("this machine's certificates can't be read"), "{said}");
}

/// Its other half: in the process above it says what is wrong, elsewhere nothing is.
#[tokio::test]
async fn opening_says_what_is_wrong_with_certificates() {
    match KurrentDbLog::open(KurrentDbOptions::at("esdb://127.0.0.1:1?tls=false")).await {
        Ok(_) => {}
        Err(error) => {
            assert!(matches!(error, OpenError::Certificates(_)), "{error:?}");
            println!("{error}");
        }
    }
}

/// Trap 2 again, for what the URL itself names.
#[tokio::test]
async fn a_file_of_the_url_that_cannot_be_read_is_named() {
    let error = refused("esdb://127.0.0.1:1?tlsCaFile=/no/such.pem").await;
    assert!(error.to_string().contains("/no/such.pem"), "{error}");
}

/// Traps 4, 16 and 19; a password stands in no error.
#[tokio::test]
async fn what_cannot_work_is_refused_with_a_sentence() {
    let cases = [
        ("esdb://h:2113?maxDiscoverAttempts=1", "maxDiscoverAttempts"),
        ("esdb://h:2113?nodePreference=follower", "leader"),
        ("https://admin:geheim@h:2113", "https"),
        ("esdb://admin:geheim@h:port", "port"),
        ("esdb://admin:geheim@h:2113?tls=perhaps", "tls"),
    ];
    for (url, reason) in cases {
        let error = refused(url).await.to_string();
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("geheim"), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_namespace_is_the_beginning_of_a_name() {
    for namespace in ["$system", "a b", &"a".repeat(51)] {
        let mut options = KurrentDbOptions::at("esdb://127.0.0.1:1?tls=false");
        options.namespace = namespace.to_owned();
        let opened = KurrentDbLog::open(options).await.err();
        assert!(matches!(opened, Some(OpenError::Namespace)), "{namespace}: {opened:?}");
    }
}

/// Traps 16, 19 and 6: the new scheme works, only the leader is asked, and the server is told how long we wait.
#[tokio::test]
async fn the_new_scheme_means_the_same_and_asks_the_leader() {
    let double = Double::start();
    let url = double.url().replace("esdb://", "kurrentdb://");
    let scene = Scene::on(Arc::new(brisk_log(&url).await));

    scene.fill("a", 2).await;

    assert_eq!(scene.whole("a").await.len(), 2);
    let seen = double.seen();
    assert!(seen.for_leader > 0 && seen.for_anybody == 0, "{seen:?}");
    assert!(seen.deadlines >= seen.appends, "{seen:?}");
}

/// Two namespaces in one server see nothing of each other.
#[tokio::test]
async fn namespaces_are_apart() {
    let double = Double::start();
    let ours = log(&double.url(), |options| options.namespace = "one.".to_owned()).await;
    let theirs = log(&double.url(), |options| options.namespace = "two.".to_owned()).await;
    let stream = advisor_events::StreamName::from_text("a-1");

    ours.append(&stream, at(0), events(1)).await.expect("an append");
    theirs.append(&stream, at(0), events(2)).await.expect("an append of the same name");

    assert_eq!(double.stored("one.a-1").len(), 1);
    assert_eq!(double.stored("two.a-1").len(), 2);
    let page = ours.read_all(advisor_eventlog::Position::START, &advisor_eventlog::Filter::all(), 100).await;
    assert_eq!(page.expect("a page").events.len(), 1);
}

async fn refused(url: &str) -> OpenError {
    KurrentDbLog::open(KurrentDbOptions::at(url)).await.err().expect("a refusal")
}
