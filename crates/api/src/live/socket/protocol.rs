//! What client and server say to each other on a socket beside the events of a stream.

use crate::{
    extract::{decode_request, read_message},
    live::id::SubscriptionId,
    problem::{Detail, Problem, ProblemMessage},
};
use advisor_events::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Authenticate(Authenticate),
    Subscribe(Subscription),
    Unsubscribe(Unsubscribe),
    Resume(Resume),
}

/// Who the client is. First of all, and again with each fresh token.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authenticate {
    /// `None`: signed out.
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// A query, and the client's own name for it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) query: String,
}

/// A subscription that ends.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unsubscribe {
    pub(super) id: SubscriptionId,
}

/// All subscriptions of a connection that was lost, and where it stood.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Resume {
    pub(super) last_event_id: String,
    pub(super) queries: Vec<Subscription>,
}

/// The answer to `authenticate`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authenticated<'a> {
    /// Null for who is signed out.
    pub(super) user_id: Option<&'a UserId>,
    /// When the token ends.
    pub(super) expires_at: Option<Timestamp>,
}

/// The answer to `unsubscribe`.
#[derive(Debug, Serialize)]
pub(super) struct Unsubscribed<'a> {
    pub(super) id: &'a SubscriptionId,
}

/// What is refused, and why. Without an id it is about the connection.
#[derive(Debug, Serialize)]
pub(super) struct Refused<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a SubscriptionId>,
    #[serde(flatten)]
    pub(super) problem: ProblemMessage<'a>,
}

impl Said {
    /// Reads a message strictly; what is none of these is refused with its place.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut json = read_message(text)?;
        let kind = json.as_object_mut().and_then(|members| members.remove("type"));
        match kind.as_ref().and_then(Value::as_str) {
            Some("authenticate") => decode_request(&json).map(Self::Authenticate),
            Some("subscribe") => decode_request(&json).map(Self::Subscribe),
            Some("unsubscribe") => decode_request(&json).map(Self::Unsubscribe),
            Some("resume") => decode_request(&json).map(Self::Resume),
            Some(_) | None => {
                let kinds = "must be one of `authenticate`, `subscribe`, `unsubscribe`, `resume`";
                Err(Problem::invalid_request(vec![Detail::at("/type", kinds)]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use serde_json::json;

    #[test]
    fn each_message_is_read_and_who_sends_no_token_is_signed_out() {
        let signed_out = Said::Authenticate(Authenticate { token: None });
        assert_eq!(parse(&json!({"type": "authenticate"})), signed_out);
        assert_eq!(parse(&json!({"type": "authenticate", "token": null})), signed_out);
        assert_eq!(
            parse(&json!({"token": "t", "type": "authenticate"})),
            Said::Authenticate(Authenticate { token: Some("t".to_owned()) })
        );
        let subscription = || Subscription { id: SubscriptionId::Text("s1".to_owned()), query: "/api/me".to_owned() };
        let query = json!({"id": "s1", "query": "/api/me"});
        assert_eq!(
            parse(&json!({"type": "subscribe", "id": "s1", "query": "/api/me"})),
            Said::Subscribe(subscription())
        );
        assert_eq!(
            parse(&json!({"type": "unsubscribe", "id": 7})),
            Said::Unsubscribe(Unsubscribe { id: SubscriptionId::Number(7) })
        );
        assert_eq!(
            parse(&json!({"type": "resume", "lastEventId": "1:2:3", "queries": [query]})),
            Said::Resume(Resume { last_event_id: "1:2:3".to_owned(), queries: vec![subscription()] })
        );
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        for (text, code, pointer) in [
            ("", Code::InvalidJson, None),
            ("{", Code::InvalidJson, None),
            (r#"{"type": "subscribe", "type": "resume"}"#, Code::InvalidJson, None),
            ("[]", Code::ValidationError, Some("/type")),
            ("\"authenticate\"", Code::ValidationError, Some("/type")),
            ("{}", Code::ValidationError, Some("/type")),
            (r#"{"type": 1}"#, Code::ValidationError, Some("/type")),
            (r#"{"type": "Subscribe"}"#, Code::ValidationError, Some("/type")),
            (r#"{"type": "authenticate", "token": 1}"#, Code::ValidationError, Some("/token")),
            (r#"{"type": "authenticate", "jwt": "t"}"#, Code::ValidationError, Some("/jwt")),
            (r#"{"type": "subscribe", "query": "/api/me"}"#, Code::ValidationError, Some("/id")),
            (r#"{"type": "subscribe", "id": -1, "query": ""}"#, Code::ValidationError, Some("/id")),
            (r#"{"type": "subscribe", "id": "\u0000", "query": ""}"#, Code::ValidationError, Some("/id")),
            (r#"{"type": "resume", "lastEventId": "", "queries": [{}]}"#, Code::ValidationError, Some("/queries/0/id")),
        ] {
            let problem = Said::parse(text).unwrap_err();
            assert_eq!(problem.code(), code, "{text}");
            assert_eq!(problem.body()["details"][0]["pointer"].as_str(), pointer, "{text}");
        }
    }

    fn parse(message: &Value) -> Said {
        Said::parse(&message.to_string()).unwrap()
    }
}
