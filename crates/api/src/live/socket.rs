//! Live queries over a WebSocket: the same streams, whose queries come and go while they run.
//!
//! In reading order: how a request becomes a socket ([`opening`]); what is said on it ([`protocol`]); a
//! conversation from the first message on ([`session`]); what a WebSocket is to it ([`link`], [`meter`]).

pub(crate) mod link;
pub(crate) mod meter;
mod opening;
mod protocol;
mod session;

pub(super) use opening::{is_wanted, open};

use super::frame::{Frames, Wire};
use crate::{
    Api,
    problem::{Code, Problem},
    traffic::Meter,
};
use http::StatusCode;
use link::{Link, Over, Received};
use protocol::{Refused, Said};
use session::Session;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The last word of a server that stops.
const SHUTDOWN: Over = Over::Close(CloseCode::Away, "the server stops");

/// Talks with a client until one of the two ends it. Sign-ins that are refused are charged to the meter's address.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(api: &Api, meter: &Meter, stream: S) {
    let mut link = Link::new(stream, api.settings.socket).await;
    match converse(api, meter, &mut link).await {
        Over::Gone => {}
        Over::Close(code, reason) => link.close(code, reason).await,
    }
}

/// Who the client is comes first; everything else comes after that.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(api: &Api, meter: &Meter, link: &mut Link<S>) -> Over {
    let first = tokio::select! {
        () = api.shutdown.cancelled() => return SHUTDOWN,
        first = tokio::time::timeout(api.settings.socket.authenticate_timeout, first_text(link)) => first,
    };
    let said = match first {
        Ok(Ok(text)) => Said::parse(&text),
        Ok(Err(over)) => return over,
        Err(_) => return Over::Close(CloseCode::Policy, "not authenticated in time"),
    };
    let begun = match said {
        Ok(Said::Authenticate(authenticate)) => Session::begin(api, meter, &authenticate).await,
        Ok(Said::Subscribe(_) | Said::Unsubscribe(_) | Said::Resume(_)) => Err(Problem::auth_required()),
        Err(problem) => Err(problem),
    };
    match begun {
        Ok(session) => session.run(link).await,
        Err(problem) => refuse(link, &problem).await.err().unwrap_or_else(|| over(&problem)),
    }
}

async fn first_text<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Result<String, Over> {
    loop {
        if let Received::Text(text) = link.receive().await? {
            return Ok(text.to_string());
        }
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, problem: &Problem) -> Result<(), Over> {
    let mut frames = Frames::new(Wire::Socket);
    frames.plain_event("error", None, &Refused { id: None, problem: problem.message() });
    while let Some(frame) = frames.pop() {
        link.send(frame).await?;
    }
    Ok(())
}

/// The end of a conversation that can't go on after this problem.
fn over(problem: &Problem) -> Over {
    match problem.status_code() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Over::Close(CloseCode::Again, "try again later")
        }
        status if status.is_server_error() => Over::Close(CloseCode::Error, "a fault of the server"),
        _ if problem.code() == Code::AuthRequired => Over::Close(CloseCode::Policy, "not authenticated"),
        _ => Over::Close(CloseCode::Policy, "refused"),
    }
}
