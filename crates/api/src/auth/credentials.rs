//! Where a request carries its token: `Authorization: Bearer`, or the cookie `__session`. Never the query.

use crate::problem::{Code, Problem};
use http::{HeaderMap, header};

const SESSION_COOKIE: &str = "__session";

#[derive(Debug, thiserror::Error)]
#[error("the authorization header is no bearer token")]
struct NoBearer;

/// The request's one token; `None` if it has none.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    match (bearer(headers)?, cookie(headers)?) {
        (Some(bearer), Some(cookie)) if bearer != cookie => {
            Err(ambiguous("The Authorization header and the session cookie carry different tokens."))
        }
        (Some(token), _) | (None, Some(token)) => Ok(Some(token)),
        (None, None) => Ok(None),
    }
}

fn ambiguous(message: &'static str) -> Problem {
    Problem::new(Code::AmbiguousAuthorization, message)
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ambiguous("There are two Authorization headers."));
    }
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(|| Problem::invalid_token(&NoBearer))?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(Problem::invalid_token(&NoBearer));
    }
    Ok(Some(token))
}

/// An empty cookie is what sign-out leaves behind: no token.
fn cookie(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut found = None;
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    for (name, value) in values.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('=')) {
        let value = value.trim();
        if name.trim() != SESSION_COOKIE || value.is_empty() {
            continue;
        }
        if found.is_some_and(|other| other != value) {
            return Err(ambiguous("There are two session cookies."));
        }
        found = Some(value);
    }
    Ok(found)
}
