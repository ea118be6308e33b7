//! Users in step with Clerk: tokens of issuers that others wrote, webhooks, and sign-ins that end.

mod crashes;
mod deliveries;
mod sign_ins;
mod tokens;
mod webhooks;

use crate::server::{Client, PATIENCE, Server};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;
use tokio::time::Instant;

/// The key of [`SECRET`].
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
/// What the tests' deliveries are signed with.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const PATH: &str = "/api/webhooks/clerk";
/// How soon a sign-in that is revoked must have ended.
const SOON: Duration = Duration::from_secs(5);

/// A server that listens to webhooks.
fn listening() -> Server {
    Server::start_with(&[("CLERK_WEBHOOK_SECRET", SECRET), ("ADVISOR_DEMO_DELAY_MS", "0")])
}

/// Tells an event as Clerk does; the status of the answer.
pub(crate) async fn tell(server: &Server, id: &str, event: &Value) -> u16 {
    send(server, &signed(id, now(), &event.to_string()), event.to_string()).await
}

/// Sends a delivery with these headers; the status of the answer.
async fn send(server: &Server, headers: &[(&str, String)], body: String) -> u16 {
    let request =
        reqwest::Client::new().post(format!("{}{PATH}", server.url)).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    request.body(body).send().await.unwrap().status().as_u16()
}

/// The headers of a delivery.
fn signed(id: &str, sent_at: u64, body: &str) -> [(&'static str, String); 3] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{sent_at}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    [("svix-id", id.to_owned()), ("svix-timestamp", sent_at.to_string()), ("svix-signature", signature)]
}

#[expect(clippy::disallowed_methods, reason = "Deliveries are signed by the machine's clock.")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn person(kind: &str, user: &str, updated_at: u64, name: &str, plan: Option<&str>) -> Value {
    json!({
        "type": kind, "object": "event", "timestamp": updated_at + 7, "instance_id": "ins_1",
        "data": {
            "id": user, "object": "user", "first_name": name, "last_name": "Brito", "username": null,
            "image_url": "https://img.clerk.com/x", "primary_email_address_id": "idn_1",
            "email_addresses": [{"id": "idn_1", "email_address": format!("{user}@example.org")}],
            "public_metadata": plan.map_or(json!({}), |plan| json!({"plan": plan})), "updated_at": updated_at,
        }
    })
}

fn deleted(user: &str) -> Value {
    json!({"type": "user.deleted", "object": "event", "data": {"id": user, "object": "user", "deleted": true}})
}

pub(crate) fn session_event(kind: &str, session: &str, user: &str) -> Value {
    json!({"type": kind, "object": "event", "data": {"id": session, "object": "session", "user_id": user}})
}

/// The status of a request with this token.
pub(crate) async fn status(client: &Client) -> u16 {
    client.ask(reqwest::Method::GET, "/api/me", &[], None).await.status
}

/// Waits until a client is signed out, which must be soon.
pub(crate) async fn is_signed_out_soon(client: &Client) {
    let since = Instant::now();
    while status(client).await != 401 {
        assert!(since.elapsed() < SOON, "still let in after {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for something that takes a while.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("waited in vain")
}

/// The session of a token of the server's own.
pub(crate) fn session_of(client: &Client) -> String {
    let claims = client.token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["sid"].as_str().unwrap().to_owned()
}
