//! Against a server of raw sockets, which misbehaves exactly as told, and against wiremock for headers.

use super::*;
use crate::model::Task;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_bytes, header, method, path},
};

const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;
const DONE: &str = "[DONE]";

#[tokio::test]
async fn a_whole_answer_is_its_text_its_usage_and_its_finish() {
    let body = events([ROLE, &says("Hel"), &says("lo 👋"), STOP, USAGE, DONE]);
    let answer = ask(vec![Step::Send(body)]).await.unwrap();
    let usage = Usage { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, estimated: false };
    assert_eq!(answer, [Ok(text("Hel")), Ok(text("lo 👋")), Ok(ModelEvent::Usage(usage)), Ok(finished("stop"))]);
}

#[tokio::test]
async fn characters_split_between_chunks_are_whole() {
    let body = events([&says("é👋"), STOP, DONE]);
    let steps = body.iter().map(|byte| Step::Send(vec![*byte])).collect();
    assert_eq!(ask(steps).await.unwrap(), [Ok(text("é👋")), Ok(finished("stop"))]);
}

#[tokio::test]
async fn usage_may_be_missing_and_so_may_the_last_marker_after_a_finish() {
    for tail in [vec![STOP], vec![STOP, DONE], vec![STOP, STOP, &says("late"), DONE, DONE]] {
        let mut pieces = vec![says("Hi")];
        pieces.extend(tail.into_iter().map(str::to_owned));
        let answer = ask(vec![Step::Send(events(pieces.iter().map(String::as_str)))]).await.unwrap();
        assert_eq!(answer, [Ok(text("Hi")), Ok(finished("stop"))]);
    }
}

#[tokio::test]
async fn an_answer_without_a_finish_reason_is_broken() {
    for pieces in [vec![says("Hel")], vec![says("Hel"), DONE.to_owned()], vec![]] {
        let answer = ask(vec![Step::Send(events(pieces.iter().map(String::as_str)))]).await.unwrap();
        assert!(matches!(answer.last(), Some(Err(ModelError::Broken(_)))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_mid_stream_breaks_the_answer() {
    let answer = ask(vec![Step::Send(events([says("Hel").as_str()])), Step::Reset]).await.unwrap();
    assert_eq!(answer.first(), Some(&Ok(text("Hel"))));
    assert!(matches!(answer.last(), Some(Err(ModelError::Broken(_)))), "{answer:?}");
}

#[tokio::test]
async fn a_cut_after_the_finish_reason_loses_nothing() {
    let answer = ask(vec![Step::Send(events([&says("Hi"), STOP])), Step::Reset]).await.unwrap();
    assert_eq!(answer, [Ok(text("Hi")), Ok(finished("stop"))]);
}

#[tokio::test]
async fn what_is_no_answer_is_broken() {
    for body in [
        b"<html><body>maintenance</body></html>".to_vec(),
        b"data: nonsense\n\n".to_vec(),
        b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n".to_vec(),
        b"\x00\x01\x02".to_vec(),
        Vec::new(),
    ] {
        let answer = ask(vec![Step::Send(body.clone())]).await.unwrap();
        assert!(matches!(answer.as_slice(), [Err(ModelError::Broken(_))]), "{body:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_endless_line_and_an_endless_answer_are_broken_at_their_limits() {
    let endless_line = vec![Step::Repeat(vec![b'x'; 65_536], 1_600)];
    let answer = ask(endless_line).await.unwrap();
    assert_eq!(answer, [Err(ModelError::Broken("a line is too long"))]);

    let endless = vec![Step::Repeat(events([says(&"y".repeat(60_000)).as_str()]), 1_600)];
    let answer = ask(endless).await.unwrap();
    assert_eq!(answer.last(), Some(&Err(ModelError::Broken("it is too large"))));
    assert!(answer.len() < 400);
}

#[tokio::test]
async fn a_server_that_hangs_times_out_before_and_after_its_first_words() {
    let silent = serve(vec![Step::Hang], Head::None).await;
    assert_eq!(collect(&silent).await.unwrap_err(), ModelError::TimedOut("no answer"));

    for began in [vec![], vec![says("Hel")]] {
        let steps = vec![Step::Send(events(began.iter().map(String::as_str))), Step::Hang];
        let answer = ask(steps).await.unwrap();
        assert_eq!(answer.last(), Some(&Err(ModelError::TimedOut("it fell silent"))));
    }
}

/// Single bytes and comments are no pieces, and do not keep an answer alive.
#[tokio::test]
async fn a_server_that_drips_times_out() {
    let comments = vec![Step::Send(events([ROLE])), Step::Drip(b": waiting\n\n".to_vec())];
    assert_eq!(ask(comments).await.unwrap(), [Err(ModelError::TimedOut("it fell silent"))]);
    assert_eq!(ask(vec![Step::Drip(vec![b'd'])]).await.unwrap(), [Err(ModelError::TimedOut("it fell silent"))]);
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_at_the_total_time() {
    let answer = ask(vec![Step::Drip(events([says("la ").as_str()]))]).await.unwrap();
    assert!(answer.len() > 2);
    assert_eq!(answer.last(), Some(&Err(ModelError::TimedOut("it fell silent"))));
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let body = br#"{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;
    let server = serve(vec![Step::Send(body.to_vec())], Head::Type("application/json; charset=utf-8")).await;
    let answer = collect(&server).await.unwrap();
    assert_eq!(answer.first(), Some(&Ok(text("Hi"))));
    assert_eq!(answer.last(), Some(&Ok(finished("stop"))));
}

#[tokio::test]
async fn html_with_status_200_is_broken() {
    let server = serve(vec![Step::Send(b"<html>".to_vec())], Head::Type("text/html")).await;
    assert_eq!(collect(&server).await.unwrap_err(), ModelError::Broken("it is HTML"));
}

#[tokio::test]
async fn statuses_are_told_apart_and_redirects_are_not_followed() {
    let after = |seconds| ModelError::RateLimited { retry_after: seconds };
    for (status, headers, error) in [
        (429, vec![("retry-after", "7")], after(Some(Duration::from_secs(7)))),
        (429, vec![("retry-after", "99999999999")], after(Some(RETRY_AFTER_MAX))),
        (429, vec![("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], after(None)),
        (429, vec![], after(None)),
        (500, vec![], ModelError::Unavailable("a server error")),
        (503, vec![], ModelError::Unavailable("a server error")),
        (408, vec![], ModelError::TimedOut("it says so")),
        (401, vec![], ModelError::Refused(401)),
        (404, vec![], ModelError::Refused(404)),
        (302, vec![("location", "http://127.0.0.1:1/")], ModelError::Refused(302)),
    ] {
        let server = MockServer::start().await;
        let mut response = ResponseTemplate::new(status);
        for (name, value) in headers {
            response = response.insert_header(name, value);
        }
        Mock::given(method("POST")).respond_with(response).expect(1).mount(&server).await;
        assert_eq!(collect(&model(&server.uri(), None)).await.unwrap_err(), error);
    }
}

#[tokio::test]
async fn a_request_carries_its_bytes_its_key_and_whose_it_is() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", "Bearer secret"))
        .and(header("http-referer", "https://app.example"))
        .and(header("x-title", "AI Advisor Chat"))
        .and(header("content-type", "application/json"))
        .and(body_bytes(b"the bytes".to_vec()))
        .respond_with(ResponseTemplate::new(200).set_body_raw(events([&says("Hi"), STOP, DONE]), "text/event-stream"))
        .expect(1)
        .mount(&server)
        .await;
    let with_slash = format!("{}/v1/", server.uri());
    assert_eq!(collect(&model(&with_slash, Some("secret"))).await.unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_key_no_authorization_is_sent() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    assert!(collect(&model(&server.uri(), None)).await.is_err());
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| !request.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = collect(&model(&format!("http://{address}/v1"), None)).await.unwrap_err();
    assert_eq!(error, ModelError::Unavailable("it can't be reached"));
}

#[test]
fn an_endpoint_that_is_no_http_url_is_refused_and_keys_are_not_printed() {
    for url in ["", "ftp://host/v1", "not a url", "http://", "file:///etc/passwd"] {
        let endpoint = Endpoint::compatible(url, None);
        assert!(OpenAiModel::new(&endpoint, "http://localhost:3000", CallLimits::default()).is_err(), "{url}");
    }
    let endpoint = Endpoint::openrouter("very-secret".into());
    assert!(!format!("{endpoint:?}").contains("very-secret"));
    let model = OpenAiModel::new(&endpoint, "http://localhost:3000", CallLimits::default()).unwrap();
    assert!(!format!("{model:?}").contains("very-secret"));
    let broken = Endpoint::openrouter("two\nlines".into());
    assert!(matches!(
        OpenAiModel::new(&broken, "http://localhost:3000", CallLimits::default()),
        Err(EndpointError::Header)
    ));
}

/// What the server does once it has sent the head.
enum Step {
    Send(Vec<u8>),
    Repeat(Vec<u8>, usize),
    /// Sends this every 20 ms, for ever.
    Drip(Vec<u8>),
    Hang,
    Reset,
}

/// What the server sends first.
#[derive(Clone, Copy)]
enum Head {
    None,
    Type(&'static str),
}

struct Server {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

async fn serve(steps: Vec<Step>, head: Head) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = TaskTracker::new().spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        if let Head::Type(content_type) = head {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
        }
        for step in steps {
            if play(&mut socket, step).await.is_err() {
                return;
            }
        }
    });
    let server = Server { address, _task: AbortOnDropHandle::new(task) };
    Asked { model: model(&format!("http://{}/v1", server.address), None), _server: Some(server) }
}

/// A model and the server behind it.
struct Asked {
    model: OpenAiModel,
    _server: Option<Server>,
}

async fn read_request(socket: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"the bytes") {
        assert!(socket.read_buf(&mut request).await.unwrap() > 0);
    }
}

async fn play(socket: &mut TcpStream, step: Step) -> std::io::Result<()> {
    match step {
        Step::Send(bytes) => {
            socket.write_all(&bytes).await?;
            socket.flush().await
        }
        Step::Repeat(bytes, times) => {
            for _ in 0..times {
                socket.write_all(&bytes).await?;
            }
            Ok(())
        }
        Step::Drip(bytes) => {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                socket.write_all(&bytes).await?;
            }
        }
        Step::Hang => std::future::pending().await,
        Step::Reset => socket.set_zero_linger(),
    }
}

fn model(base_url: &str, key: Option<&str>) -> OpenAiModel {
    let limits = CallLimits {
        connect: Duration::from_secs(2),
        first_token: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        total: Duration::from_millis(900),
        ..CallLimits::default()
    };
    let endpoint = Endpoint::compatible(base_url, key.map(Into::into));
    OpenAiModel::new(&endpoint, "https://app.example", limits).unwrap()
}

async fn ask(steps: Vec<Step>) -> Result<Vec<Result<ModelEvent, ModelError>>, ModelError> {
    collect(&serve(steps, Head::Type("text/event-stream")).await).await
}

async fn collect(asked: &impl AsRef<OpenAiModel>) -> Result<Vec<Result<ModelEvent, ModelError>>, ModelError> {
    let task = Task::Title { message: String::new() };
    let request = ModelRequest { body: Bytes::from_static(b"the bytes"), task };
    Ok(asked.as_ref().stream(request).await?.collect().await)
}

impl AsRef<OpenAiModel> for Asked {
    fn as_ref(&self) -> &OpenAiModel {
        &self.model
    }
}

impl AsRef<OpenAiModel> for OpenAiModel {
    fn as_ref(&self) -> &OpenAiModel {
        self
    }
}

fn events<'a>(data: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    data.into_iter().flat_map(|data| format!("data: {data}\n\n").into_bytes()).collect()
}

fn says(text: &str) -> String {
    serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}).to_string()
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

fn finished(reason: &str) -> ModelEvent {
    ModelEvent::Finished { reason: reason.to_owned() }
}
