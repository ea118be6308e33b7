//! From a request to a socket: whose page asks, whether it is a WebSocket's opening, and the answer to it.

use super::serve;
use crate::{
    Api,
    accept::Takeover,
    problem::{Code, Detail, Problem},
    traffic::Meter,
};
use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError, handshake::server::create_response_with_body};
use tracing::Instrument;

/// Whether a request wants to become a socket.
pub(in crate::live) fn is_wanted(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    protocols.flat_map(|text| text.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Answers such a request; the socket takes over its connection.
pub(in crate::live) fn open(mut request: Request, api: &Api) -> Result<Response, Problem> {
    check_origin(request.headers(), &api.settings.allowed_origins)?;
    if request.uri().query().is_some() {
        // A token in a URL would stand in logs.
        let rule = "a socket has no parameters: its token and its queries come in messages";
        return Err(Problem::invalid_request(vec![Detail::at("", rule)]));
    }
    let response = create_response_with_body(&request, Body::empty).map_err(|error| no_opening(&error))?;
    if api.shutdown.is_cancelled() {
        return Err(Problem::new(Code::ShuttingDown, "The server stops. Connect again."));
    }
    let upgrade = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
    let takeover = request.extensions_mut().remove::<Takeover>();
    let (Some(upgrade), Some(takeover)) = (upgrade, takeover) else {
        return Err(Problem::new(Code::InvalidUpgrade, "This connection can't become a WebSocket."));
    };
    let (api, meter) = (api.clone(), Meter::of(request.extensions()));
    let socket = async move {
        match upgrade.await {
            Ok(upgraded) => serve(&api, &meter, TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(socket.error = %error, "a connection did not become a socket"),
        }
    };
    takeover.with(socket.in_current_span());
    Ok(response)
}

/// A browser says which page asks. A page of somebody else's must not even learn that a socket is there; who is no
/// browser has no origin, and no cookies that could be abused.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_allowed = |origin: &HeaderValue| allowed.iter().any(|allowed| origin == allowed.as_str());
    match (origins.next(), origins.next()) {
        (None, None) => Ok(()),
        (Some(origin), None) if is_allowed(origin) => Ok(()),
        _ => Err(Problem::new(Code::OriginNotAllowed, "Pages of this origin may not open a socket.")),
    }
}

fn no_opening(error: &Error) -> Problem {
    let problem = Problem::new(Code::InvalidUpgrade, "The headers are not those of a WebSocket's opening (RFC 6455).")
        .caused_by(error);
    if matches!(error, Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)) {
        let version = HeaderValue::from_static("13");
        return problem.status(StatusCode::UPGRADE_REQUIRED).header(header::SEC_WEBSOCKET_VERSION, version);
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &str = "https://app.example.com";

    #[test]
    fn only_the_allowed_origins_themselves_open_a_socket() {
        for (origins, is_open) in [
            (&[][..], true),
            (&[ALLOWED], true),
            (&["https://app.example.com.evil.com"], false),
            (&["https://evil.app.example.com"], false),
            (&["https://app.example.com/"], false),
            (&["https://app.example.com:443"], false),
            (&["http://app.example.com"], false),
            (&["https://APP.example.com"], false),
            (&["null"], false),
            (&[""], false),
            (&["https://other.example.com, https://app.example.com"], false),
            (&[ALLOWED, ALLOWED], false),
        ] {
            let mut headers = HeaderMap::new();
            for origin in origins {
                headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let checked = check_origin(&headers, &[ALLOWED.to_owned()]);
            assert_eq!(checked.is_ok(), is_open, "{origins:?}");
            assert!(checked.err().is_none_or(|problem| problem.status_code() == StatusCode::FORBIDDEN));
        }
    }

    #[test]
    fn a_request_wants_a_socket_when_it_says_so() {
        for (upgrade, wanted) in [
            (None, false),
            (Some("websocket"), true),
            (Some("WebSocket"), true),
            (Some("h2c"), false),
            (Some("h2c, websocket"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(upgrade.map(|upgrade| (header::UPGRADE, HeaderValue::from_static(upgrade))));
            assert_eq!(is_wanted(&headers), wanted, "{upgrade:?}");
        }
    }
}
