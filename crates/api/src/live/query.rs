//! Which queries can be live, and how they are named.

use crate::{
    extract::PageLimit,
    problem::{Code, Problem},
};
use advisor_events::{AdvisorId, ConversationId};
use axum::extract::Query;
use data_encoding::HEXUPPER;
use http::Uri;
use serde::Deserialize;

/// Messages of a page when nothing else is said.
pub(crate) const PAGE_MESSAGES_DEFAULT: usize = 50;

/// Longest text of a query: it is kept, and said again with every row that changes. The longest id, written out byte
/// for byte, fits.
pub const QUERY_BYTES_MAX: usize = 2_048;

/// A query that can be live: the same as its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LiveQuery {
    /// `/api/me`
    Me,
    /// `/api/advisors`
    Advisors,
    /// `/api/advisors/{id}`
    Advisor(AdvisorId),
    /// `/api/conversations`
    Conversations,
    /// `/api/conversations/{id}`
    Conversation(ConversationId),
    /// `/api/conversations/{id}/messages`: the newest page.
    Messages {
        /// Whose messages.
        conversation_id: ConversationId,
        /// How many.
        limit: usize,
    },
}

/// Who may ask a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Also who is signed out.
    Everybody,
    /// Who is signed in.
    SignedIn,
}

impl LiveQuery {
    /// The query of a path with its parameters; what is not live, or not there at all: 404.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(Problem::not_found());
        }
        // Only a path is a query: a whole URL would name a server.
        let uri: Uri = text.parse().map_err(|_| Problem::not_found())?;
        if !text.starts_with('/') || uri.host().is_some() {
            return Err(Problem::not_found());
        }
        let segments: Option<Vec<String>> = uri.path().split('/').skip(1).map(percent_decoded).collect();
        let segments = segments.ok_or_else(Problem::not_found)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let found = match segments.as_slice() {
            ["api", "me"] => Self::Me,
            ["api", "advisors"] => Self::Advisors,
            ["api", "advisors", id] if !id.is_empty() => Self::Advisor(AdvisorId::from(*id)),
            ["api", "conversations"] => Self::Conversations,
            ["api", "conversations", id] if !id.is_empty() => Self::Conversation(ConversationId::from(*id)),
            ["api", "conversations", id, "messages"] if !id.is_empty() => {
                return Self::messages(&uri, ConversationId::from(*id));
            }
            _ => return Err(Problem::not_found()),
        };
        match Query::<NoParameters>::try_from_uri(&uri) {
            Ok(_) => Ok(found),
            Err(_) => Err(Problem::not_found()),
        }
    }

    fn messages(uri: &Uri, conversation_id: ConversationId) -> Result<Self, Problem> {
        // An older page (`before`) is not live.
        let Query(page) = Query::<PageParameters>::try_from_uri(uri).map_err(|_| Problem::not_found())?;
        Ok(Self::Messages { conversation_id, limit: page.limit.get(PAGE_MESSAGES_DEFAULT)? })
    }

    /// Its path and parameters, as a client would write them.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Me => "/api/me".to_owned(),
            Self::Advisors => "/api/advisors".to_owned(),
            Self::Advisor(id) => format!("/api/advisors/{}", percent_encoded(id.as_str())),
            Self::Conversations => "/api/conversations".to_owned(),
            Self::Conversation(id) => format!("/api/conversations/{}", percent_encoded(id.as_str())),
            Self::Messages { conversation_id, limit } => {
                let path = format!("/api/conversations/{}/messages", percent_encoded(conversation_id.as_str()));
                if *limit == PAGE_MESSAGES_DEFAULT { path } else { format!("{path}?limit={limit}") }
            }
        }
    }

    /// The same text for every way to write the same query, and another one for every other query.
    pub(crate) fn key(&self) -> String {
        self.text()
    }

    /// How many rows its limited set has at most, where the query says so.
    pub(crate) fn limit(&self) -> usize {
        match self {
            Self::Messages { limit, .. } => *limit,
            Self::Me | Self::Advisors | Self::Advisor(_) | Self::Conversations | Self::Conversation(_) => usize::MAX,
        }
    }

    /// Who may ask it.
    pub(crate) fn audience(&self) -> Audience {
        match self {
            Self::Advisors | Self::Advisor(_) => Audience::Everybody,
            Self::Me | Self::Conversations | Self::Conversation(_) | Self::Messages { .. } => Audience::SignedIn,
        }
    }

    /// What is said when it is not there, or somebody else's: the same as its own route says.
    pub(crate) fn not_found(&self) -> Problem {
        match self {
            Self::Me | Self::Advisors | Self::Conversations => Problem::new(Code::NotFound, "There is nothing here."),
            Self::Advisor(_) => Problem::advisor_not_found(),
            Self::Conversation(_) | Self::Messages { .. } => Problem::conversation_not_found(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageParameters {
    #[serde(default)]
    limit: PageLimit,
}

/// `None` for what is no UTF-8, or not encoded as it should be.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&HEXUPPER.encode(&[byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn every_live_query_is_named_by_its_url() {
        for (text, query) in [
            ("/api/me", LiveQuery::Me),
            ("/api/advisors", LiveQuery::Advisors),
            ("/api/advisors/sam-lee-v1", LiveQuery::Advisor(AdvisorId::from("sam-lee-v1"))),
            ("/api/conversations", LiveQuery::Conversations),
            ("/api/conversations/c1", LiveQuery::Conversation(ConversationId::from("c1"))),
            ("/api/conversations/c1/messages", messages("c1", 50)),
            ("/api/conversations/c1/messages?limit=7", messages("c1", 7)),
        ] {
            assert_eq!(LiveQuery::parse(text).unwrap(), query, "{text}");
            assert_eq!(query.text(), text);
        }
    }

    #[test]
    fn two_ways_to_write_a_query_are_one_query() {
        assert_eq!(LiveQuery::parse("/api/conversations/c1/messages?limit=50").unwrap(), messages("c1", 50));
        assert_eq!(
            LiveQuery::parse("/api/conversations/c%31").unwrap(),
            LiveQuery::parse("/api/conversations/c1").unwrap()
        );
        let strange = LiveQuery::Conversation(ConversationId::from("grüße/1"));
        assert_eq!(LiveQuery::parse(&strange.text()).unwrap(), strange);
    }

    #[test]
    fn what_is_not_live_is_not_there() {
        for text in [
            "",
            "me",
            "api/me",
            "/",
            "/api/me/",
            "/api/health",
            "/api/conversations/",
            "/api/conversations/c1/messages/m1",
            "/api/conversations/c1/messages?before=x",
            "/api/conversations?q=words",
            "/api/conversations/c1?at=7",
            "/api/conversations/%",
            "/api/conversations/%zz",
            "/api/conversations/%ff",
            "/api/conversations/*/messages?limit=1&limit=2",
            "http://example.com/api/me",
            "//example.com/api/me",
            "*",
            "/api/>",
        ] {
            let problem = LiveQuery::parse(text).unwrap_err();
            assert_eq!(problem.status_code(), StatusCode::NOT_FOUND, "{text}");
        }
        let padded = |zeros| LiveQuery::parse(&format!("/api/conversations/c/messages?limit={}7", "0".repeat(zeros)));
        assert_eq!(padded(2_000).unwrap(), messages("c", 7));
        assert_eq!(padded(2_100).unwrap_err().status_code(), StatusCode::NOT_FOUND);
        let problem = LiveQuery::parse("/api/conversations/c1/messages?limit=101").unwrap_err();
        assert_eq!(problem.code(), Code::InvalidLimit);
    }

    fn messages(id: &str, limit: usize) -> LiveQuery {
        LiveQuery::Messages { conversation_id: ConversationId::from(id), limit }
    }
}
