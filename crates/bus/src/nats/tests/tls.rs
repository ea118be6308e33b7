//! TLS to the server.

use super::{KEY, bell, bell as bell_of, connected, say};
use crate::{
    contract::{
        changes, heard,
        server::{LOGIN, NatsServer},
    },
    nats::{NatsBus, NatsOptions, OpenError},
};
use futures::FutureExt;
use std::{path::Path, process::Command};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_certificate_we_trust_is_spoken_to_by_tls_and_no_other() {
    let place = tempfile::tempdir().unwrap();
    certificate(place.path());
    let of = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let server = NatsServer::start_with(&format!("tls {{ cert_file: {:?}, key_file: {:?} }}", of("cert"), of("key")));
    let url = format!("tls://{LOGIN}@localhost:{}", server.port());
    let trusting = NatsOptions { ca_file: Some(of("cert").into()), ..NatsOptions::new(url.clone(), KEY) };
    let bus = connected(trusting.clone()).await;
    let mut bell = bell(&bus).await;
    say(&bus, 1).await;
    assert_eq!(heard(&mut bell).await, Some(changes(1)));

    // Trusting others, it does not connect: two attempts have been made once the second bus is connected.
    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    certificate(&other);
    let wary = NatsOptions { ca_file: Some(other.join("cert")), ..trusting.clone() };
    let wary = NatsBus::open(wary).await.unwrap();
    let mut deaf = bell_of(&wary).await;
    drop(connected(trusting.clone()).await);
    say(&bus, 2).await;
    assert_eq!(heard(&mut bell).await, Some(changes(2)));
    assert!(!wary.is_connected() && deaf.next().now_or_never().is_none());

    for (name, text) in [("none", None), ("empty", Some("")), ("key", None)] {
        if let Some(text) = text {
            std::fs::write(of(name), text).unwrap();
        }
        let options = NatsOptions { ca_file: Some(of(name).into()), ..trusting.clone() };
        assert!(matches!(NatsBus::open(options).await, Err(OpenError::File { .. })), "{name}");
    }
}

/// Makes a certificate of `localhost` that is its own authority: `cert` and `key`.
fn certificate(place: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", "cert", "-keyout", "key"])
        .current_dir(place)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
