//! A model that speaks at a known pace, as an OpenAI-compatible server. Each piece of its text begins with when it
//! was said.

use anyhow::Result;
use bytes::Bytes;
use futures::{Stream, stream};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::TaskTracker;

const STAMP: char = '@';
const STAMP_DIGITS: usize = 10;
const WORDS: &str = " some words of a reply ";

/// How the model speaks.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// From when stamps count.
    pub(crate) begun: Instant,
    pub(crate) pieces: u32,
    pub(crate) pause: Duration,
}

impl Pace {
    /// What every reply of it is as long as.
    pub(crate) fn reply_bytes(&self) -> u64 {
        u64::from(self.pieces) * (STAMP.len_utf8() + STAMP_DIGITS + WORDS.len()) as u64
    }

    fn piece(&self) -> String {
        format!("{STAMP}{:0STAMP_DIGITS$}{WORDS}", self.begun.elapsed().as_micros())
    }
}

/// When the first piece of `text` was said, in microseconds, and what follows its stamp.
pub(crate) fn first_stamp(text: &str) -> Option<(u64, &str)> {
    let (_, after) = text.split_once(STAMP)?;
    let (digits, rest) = after.split_at_checked(STAMP_DIGITS)?;
    Some((digits.parse().ok()?, rest))
}

/// Begins to serve; gives the URL that the server under load is told.
pub(crate) async fn serve(pace: Pace, tasks: &TaskTracker) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, pace));
        }
    });
    Ok(url)
}

async fn connection(stream: TcpStream, pace: Pace) {
    // Each piece leaves when it is said.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| answer(request, pace));
    // A connection that breaks shows in the reply.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

type Answer = Response<StreamBody<std::pin::Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>>;

async fn answer(request: Request<Incoming>, pace: Pace) -> hyper::Result<Answer> {
    request.into_body().collect().await?;
    let mut ticks = interval(pace.pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let said = stream::unfold((0, ticks), move |(number, mut ticks)| async move {
        let text = match number {
            number if number < pace.pieces => {
                ticks.tick().await;
                event(&json!({"content": pace.piece()}), None)
            }
            number if number == pace.pieces => event(&json!({}), Some("stop")),
            number if number == pace.pieces + 1 => "data: [DONE]\n\n".to_owned(),
            _ => return None,
        };
        Some((Ok(Frame::data(Bytes::from(text))), (number + 1, ticks)))
    });
    let mut answer = Response::new(StreamBody::new(Box::pin(said) as _));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(answer)
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}
