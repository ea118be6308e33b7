//! Any OpenAI-compatible endpoint (`POST …/chat/completions`), streamed.
//!
//! What providers send differs in many small ways, so the types here are lenient where it does no
//! harm (`piece`), and strict about one thing: an answer without a finish reason was cut off. Every
//! wait and every size has a limit. Redirects are not followed, so that a key goes nowhere else.

mod piece;

use super::{
    Model, ModelError, ModelEvent, ModelRequest, ModelStream,
    sse::{Decoder, Shape},
};
use advisor_events::conversation::Usage;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use piece::Piece;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Where OpenRouter lives.
pub const OPENROUTER_URL: &str = "https://openrouter.ai/api/v1";

/// Longest `Retry-After` that is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// A place that answers, and the key that it alone is shown.
#[derive(Debug)]
pub struct Endpoint {
    base_url: String,
    key: Option<SecretString>,
}

impl Endpoint {
    /// OpenRouter, with its key.
    pub fn openrouter(key: SecretString) -> Self {
        Self { base_url: OPENROUTER_URL.to_owned(), key: Some(key) }
    }

    /// Any other server, by its base URL (which ends in `/v1`), with a key of its own if it wants one.
    pub fn compatible(base_url: impl Into<String>, key: Option<SecretString>) -> Self {
        Self { base_url: base_url.into(), key }
    }
}

/// How long an answer may take, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the request to the first piece of the answer.
    pub first_token: Duration,
    /// Between two pieces.
    pub idle: Duration,
    /// From the request to the answer's end.
    pub total: Duration,
    /// Bytes of the whole answer.
    pub response_bytes_max: usize,
    /// Bytes of one line (of one piece).
    pub line_bytes_max: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(45),
            idle: Duration::from_secs(20),
            total: Duration::from_mins(2),
            response_bytes_max: 16 << 20,
            line_bytes_max: 1 << 20,
        }
    }
}

/// Why there is no client for an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The base URL is none.
    #[error("the model URL is not an http or https URL")]
    Url,
    /// The key or the application's URL can't stand in a header.
    #[error("the model key or the application's URL holds characters that no header may have")]
    Header,
    /// The HTTP client can't be made.
    #[error("the HTTP client for models can't be made")]
    Client(#[source] reqwest::Error),
}

/// A client of one endpoint.
#[derive(Clone, Debug)]
pub struct OpenAiModel {
    client: Client,
    url: Url,
    limits: CallLimits,
}

impl OpenAiModel {
    /// A client; `app_url` is told to the provider as `HTTP-Referer`.
    pub fn new(endpoint: &Endpoint, app_url: &str, limits: CallLimits) -> Result<Self, EndpointError> {
        let url = chat_url(&endpoint.base_url).ok_or(EndpointError::Url)?;
        let mut builder = Client::builder()
            .default_headers(headers(endpoint.key.as_ref(), app_url)?)
            .redirect(Policy::none())
            .connect_timeout(limits.connect);
        // A server on this machine is never asked through a proxy.
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(EndpointError::Client)?;
        Ok(Self { client, url, limits })
    }
}

fn chat_url(base_url: &str) -> Option<Url> {
    let mut url = Url::parse(base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(["chat", "completions"]);
    Some(url)
}

fn headers(key: Option<&SecretString>, app_url: &str) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert("http-referer", app_url.parse().map_err(|_| EndpointError::Header)?);
    headers.insert("x-title", HeaderValue::from_static("AI Advisor Chat"));
    if let Some(key) = key {
        let bearer = format!("Bearer {}", key.expose_secret());
        let mut value: HeaderValue = bearer.parse().map_err(|_| EndpointError::Header)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

#[async_trait]
impl Model for OpenAiModel {
    fn name(&self) -> &str {
        self.url.host_str().unwrap_or("a host without a name")
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let now = Instant::now();
        let (first, end) = (now + self.limits.first_token, now + self.limits.total);
        let sent = self.client.post(self.url.clone()).body(request.body).send();
        let response = match timeout_at(first.min(end), sent).await {
            Err(_) => return Err(ModelError::TimedOut("no answer")),
            Ok(Err(error)) => return Err(unsent(&error)),
            Ok(Ok(response)) => response,
        };
        let shape = shape(&response)?;
        let answer = Answer {
            body: response.bytes_stream().boxed(),
            decoder: Decoder::new(shape, self.limits.line_bytes_max),
            bytes: 0,
            silent_until: first,
            end,
            limits: self.limits,
            ready: VecDeque::new(),
            usage: None,
            finish: None,
            over: false,
        };
        Ok(stream::unfold(answer, |mut answer| async {
            let event = answer.next().await?;
            Some((event, answer))
        })
        .boxed())
    }
}

fn unsent(error: &reqwest::Error) -> ModelError {
    if error.is_timeout() {
        ModelError::TimedOut("no connection")
    } else if error.is_connect() {
        ModelError::Unavailable("it can't be reached")
    } else {
        ModelError::Unavailable("the connection broke")
    }
}

/// What the body is made of, unless the status or the type says that it is no answer. Error bodies are
/// not read: they may quote the request.
fn shape(response: &Response) -> Result<Shape, ModelError> {
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(ModelError::RateLimited { retry_after: retry_after(response.headers()) });
    }
    if status == StatusCode::REQUEST_TIMEOUT {
        return Err(ModelError::TimedOut("it says so"));
    }
    if status.is_server_error() {
        return Err(ModelError::Unavailable("a server error"));
    }
    if !status.is_success() {
        return Err(ModelError::Refused(status.as_u16()));
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("text/html") {
        return Err(ModelError::Broken("it is HTML"));
    }
    Ok(if content_type.starts_with("application/json") { Shape::Whole } else { Shape::Events })
}

/// Only the form in seconds is read: it is what providers send.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// An answer on its way.
struct Answer {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    decoder: Decoder,
    bytes: usize,
    /// When silence has lasted too long: pieces count as speech, comments and single bytes don't.
    silent_until: Instant,
    end: Instant,
    limits: CallLimits,
    ready: VecDeque<Result<ModelEvent, ModelError>>,
    usage: Option<Usage>,
    finish: Option<String>,
    over: bool,
}

/// What reading on has brought.
enum Progress {
    More,
    /// No more pieces will come.
    Over(Result<(), ModelError>),
}

impl Answer {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let ended = match self.advance().await {
                Ok(Progress::More) => continue,
                Ok(Progress::Over(ended)) => self.finish(ended),
                Err(error) => Err(error),
            };
            self.over = true;
            // An error comes last, behind the text that came before it.
            self.ready.extend(ended.err().map(Err));
        }
    }

    async fn advance(&mut self) -> Result<Progress, ModelError> {
        if let Some(data) = self.decoder.next() {
            return self.take(&data);
        }
        let chunk = match timeout_at(self.silent_until.min(self.end), self.body.next()).await {
            Err(_) => return Ok(Progress::Over(Err(ModelError::TimedOut("it fell silent")))),
            Ok(Some(Err(_))) => return Ok(Progress::Over(Err(ModelError::Broken("the connection broke")))),
            Ok(None) => return self.take_rest(),
            Ok(Some(Ok(chunk))) => chunk,
        };
        self.bytes += chunk.len();
        if self.bytes > self.limits.response_bytes_max {
            return Err(ModelError::Broken("it is too large"));
        }
        self.decoder.push(&chunk)?;
        Ok(Progress::More)
    }

    /// The body has ended; what it ended with may still be a piece.
    fn take_rest(&mut self) -> Result<Progress, ModelError> {
        self.decoder.end()?;
        while let Some(data) = self.decoder.next() {
            if let over @ Progress::Over(_) = self.take(&data)? {
                return Ok(over);
            }
        }
        Ok(Progress::Over(Err(ModelError::Broken("it was cut off"))))
    }

    fn take(&mut self, data: &str) -> Result<Progress, ModelError> {
        self.silent_until = Instant::now() + self.limits.idle;
        if data.trim() == "[DONE]" {
            return Ok(Progress::Over(Err(ModelError::Broken("it has no finish reason"))));
        }
        let piece = Piece::read(data)?;
        // What comes after the finish is usage, or a repeat.
        if self.finish.is_none() && !piece.text.is_empty() {
            self.ready.push_back(Ok(ModelEvent::Text(piece.text)));
        }
        self.usage = piece.usage.or(self.usage);
        self.finish = self.finish.take().or(piece.finish);
        Ok(Progress::More)
    }

    /// With a finish reason the text is whole, however the connection ended; without one it is not.
    fn finish(&mut self, ended: Result<(), ModelError>) -> Result<(), ModelError> {
        let Some(reason) = self.finish.take() else { return ended };
        self.ready.extend(self.usage.take().map(|usage| Ok(ModelEvent::Usage(usage))));
        self.ready.push_back(Ok(ModelEvent::Finished { reason }));
        Ok(())
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
