//! Everybody asks for every route of both listeners of the real binary, and is let in where the description says.

use super::{
    check_problem,
    description::{Access, Operation, operations},
    tokens::{Issuer, claims, client, now},
};
use crate::{
    raw_http::{exchange, request},
    server::{Client, Server},
};
use serde_json::{Value, json};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    Nobody,
    Expired,
    Another,
    Owner,
    Analyst,
    Operator,
}

/// The table: how a route of this access refuses somebody at the door; `None` where it does not.
fn refusal(access: Access, identity: Identity) -> Option<u16> {
    if access == Access::Anybody || (access == Access::SignedInOrNot && identity == Identity::Nobody) {
        return None;
    }
    if [Identity::Nobody, Identity::Expired].contains(&identity) {
        return Some(401);
    }
    let has_role = match access {
        Access::Anybody | Access::SignedInOrNot | Access::SignedIn => true,
        Access::LogReader => [Identity::Analyst, Identity::Operator].contains(&identity),
        Access::Operator => identity == Identity::Operator,
    };
    (!has_role).then_some(403)
}

#[tokio::test]
async fn everybody_is_let_in_where_the_description_says_and_nowhere_else() {
    let issuer = Issuer::new("https://clerk.example.com");
    let pem = issuer.public_pem();
    let mut server = Server::start_with(&[
        ("CLERK_ISSUER", issuer.name.as_str()),
        ("CLERK_JWT_KEY", pem.as_str()),
        ("ADVISOR_ROLE_CLAIM", "public_metadata.role"),
        ("CLERK_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ]);
    let clients = clients(&server, &issuer);
    let (public, admin) = (operations(&server.url).await, operations(&server.admin_url).await);
    assert!(public.len() > 30 && admin.len() > 7, "{} and {}", public.len(), admin.len());
    let counted = [(&server.url, &public), (&server.admin_url, &admin)];
    for (url, operations) in counted {
        for operation in operations {
            for (identity, client) in &clients {
                let status = ask(url, client, operation).await;
                let refused = [401, 403].contains(&status).then_some(status);
                let what = format!("{identity:?} asks for {} {}: {status}", operation.method, operation.path);
                assert_eq!(refused, refusal(operation.access, *identity), "{what}");
                assert!(status < 500, "{what}");
            }
        }
    }
    // What one listener has, the other has not, but for health, version and its own description.
    for (url, here, there) in [(&server.url, &public, &admin), (&server.admin_url, &admin, &public)] {
        let elsewhere = there.iter().filter(|operation| here.iter().all(|own| own.path != operation.path));
        for operation in elsewhere {
            for (identity, client) in &clients {
                let line = format!("{} {}", operation.method, operation.path.replace(['{', '}'], ""));
                let client = Client { url: url.clone(), ..client.clone() };
                check_problem(&client.raw(&line, &[], b"").await, 404, "NOT_FOUND", &format!("{identity:?} {line}"));
            }
        }
    }
    assert_eq!(server.terminate().0, Some(0));
}

fn clients(server: &Server, issuer: &Issuer) -> Vec<(Identity, Client)> {
    let of = |changes: Value| client(server, &issuer.token(&claims(issuer, &changes)));
    let with_role = |user: &str, role: &str| of(json!({"sub": user, "public_metadata": {"role": role}}));
    let (start, end) = (now() - 600, now() - 60);
    vec![
        (Identity::Nobody, client(server, "")),
        (Identity::Expired, of(json!({"sub": "ops", "exp": end, "nbf": start, "iat": start}))),
        (Identity::Another, of(json!({"sub": "another"}))),
        (Identity::Owner, of(json!({"sub": "owner"}))),
        (Identity::Analyst, with_role("reader", "analyst")),
        (Identity::Operator, with_role("ops", "operator")),
    ]
}

/// The status of an operation that is asked for with nothing but a token.
async fn ask(url: &str, client: &Client, operation: &Operation) -> u16 {
    let line = format!("{} {}", operation.method, operation.path.replace(['{', '}'], ""));
    let bearer = client.bearer();
    let head: Vec<&str> = if client.token.is_empty() { Vec::new() } else { vec![&bearer] };
    exchange(url, &request(&line, &head, b"")).await.unwrap_or_else(|| panic!("no answer to {line}")).status
}
