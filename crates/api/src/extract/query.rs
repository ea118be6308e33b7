//! Paths and queries, with problems instead of plain texts when they don't fit.

use crate::problem::{Code, Detail, Problem};
use advisor_eventlog::Position;
use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};

/// Positions are below this: plain JSON numbers.
const POSITION_END: u64 = 1 << 53;

/// Parts of the path; what can't be read names nothing: 404.
#[derive(Clone, Debug)]
pub struct Path<T>(pub T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::not_found().caused_by(&rejection)),
        }
    }
}

/// The query string; what does not fit: 400.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri).map(|axum::extract::Query(value)| Self(value)).map_err(
            |rejection| {
                Problem::invalid_request(vec![Detail::at("", "the query does not have the right form")])
                    .caused_by(&rejection)
            },
        )
    }
}

#[derive(Deserialize)]
struct MinPositionQuery {
    min_position: Option<String>,
}

/// The `min_position` of a query: `None` without one, 400 for anything but a position.
pub fn min_position(parts: &Parts) -> Result<Option<Position>, Problem> {
    let invalid = || Problem::new(Code::InvalidPosition, "min_position is no position of the log.");
    let Ok(axum::extract::Query(query)) = axum::extract::Query::<MinPositionQuery>::try_from_uri(&parts.uri) else {
        return Err(invalid());
    };
    let Some(text) = query.min_position else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(position) if digits && position < POSITION_END => Ok(Some(Position(position))),
        Ok(_) | Err(_) => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_minimal_position_is_a_plain_number() {
        assert_eq!(of("/").unwrap(), None);
        assert_eq!(of("/?min_position=0").unwrap(), Some(Position(0)));
        assert_eq!(of("/?x=1&min_position=42").unwrap(), Some(Position(42)));
        for text in
            ["", "-1", "+1", "abc", "1e3", "1.0", "9007199254740992", "9223372036854775807", "%00", "1&min_position=2"]
        {
            let problem = of(&format!("/?min_position={text}")).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidPosition, "{text}");
        }
    }

    fn of(uri: &str) -> Result<Option<Position>, Problem> {
        min_position(&Request::get(uri).body(()).unwrap().into_parts().0)
    }
}
