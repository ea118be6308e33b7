//! A server that knows its people by signed tokens: what NATS calls the JWT mode, and a credentials file.

use super::{KEY, bell, connected, say};
use crate::{
    contract::{changes, heard, server::NatsServer},
    nats::{NatsBus, NatsOptions, OpenError},
};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_signs_in_and_may_be_allowed_no_more_than_our_subjects() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let root = token(&operator, &operator, &json!({"type": "operator", "version": 2}));
    let unlimited = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1});
    let of_account = token(&operator, &account, &json!({"type": "account", "version": 2, "limits": unlimited}));
    let ours = json!({"allow": ["advisor.>"]});
    let of_user =
        json!({"type": "user", "version": 2, "pub": ours, "sub": ours, "subs": -1, "data": -1, "payload": -1});
    let of_user = token(&account, &user, &of_user);
    let key = account.public_key();
    let server = NatsServer::start_with(&format!(
        "operator: \"{root}\"\nresolver: MEMORY\nresolver_preload: {{ {key}: \"{of_account}\" }}"
    ));

    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("bus.creds");
    let seed = user.seed().unwrap();
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(&file, text).unwrap();
    let url = format!("nats://127.0.0.1:{}", server.port());
    let options = NatsOptions { credentials_file: Some(file.clone()), ..NatsOptions::new(url, KEY) };
    let bus = connected(options.clone()).await;
    let mut bell = bell(&bus).await;
    say(&bus, 1).await;
    assert_eq!(heard(&mut bell).await, Some(changes(1)));

    for text in [None, Some("no credentials")] {
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        assert!(matches!(NatsBus::open(options.clone()).await, Err(OpenError::File { .. })));
    }
}

/// What `by` says of `of`.
fn token(by: &KeyPair, of: &KeyPair, nats: &Value) -> String {
    let claims = json!({
        "jti": of.public_key(), "iat": 1_700_000_000, "iss": by.public_key(), "sub": of.public_key(),
        "name": "advisor", "nats": nats,
    });
    let part = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    let signature = by.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}
