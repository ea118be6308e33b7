//! Answers by chance: nothing panics, and where the chunks are cut makes no difference to an answer that is whole.
//!
//! An ordinary test that runs for a short time; `CONTRIBUTING.md` has the command for a long run.

use super::*;
use bolero::check;
use serde_json::json;
use std::panic::AssertUnwindSafe;
use tokio::runtime::{Builder, Runtime};

const TIME: Duration = Duration::from_secs(2);

const PIECES: &[&str] = &[
    "data: ",
    "data:",
    "\n\n",
    "\r\n",
    "\n",
    ": waiting\n",
    "{\"choices\":[{\"delta\":{\"content\":\"",
    "\"}}]}",
    "{\"choices\":[{\"delta\":{\"content\":\"Hi 👋\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"error\":{\"code\":429}}\n\n",
    "event: x\nid: 1\n",
    "\"finish_reason\":\"stop\"",
    "\\ud83d",
    "\\u0000",
    "null",
    "[[[[[[[[",
];

#[test]
fn an_answer_that_is_whole_is_the_same_however_its_chunks_are_cut() {
    let runtime = AssertUnwindSafe(Builder::new_current_thread().enable_time().build().unwrap());
    check!().with_type::<(bool, Vec<u8>, Vec<u8>)>().with_test_time(TIME).for_each(|(events, bytes, cuts)| {
        let shape = if *events { Shape::Events } else { Shape::Whole };
        let body = body(bytes);
        let whole = read(&runtime, shape, vec![body.clone()]);
        let cut = read(&runtime, shape, cut(&body, cuts));
        if whole.iter().all(Result::is_ok) {
            assert_eq!(texts(&cut), texts(&whole), "{}", body.escape_ascii());
            assert!(cut.iter().all(Result::is_ok), "{cut:?}");
        }
        for events in [&whole, &cut] {
            // An answer ends once: with a reason, or with an error.
            let ends =
                |event: &Result<ModelEvent, ModelError>| matches!(event, Err(_) | Ok(ModelEvent::Finished { .. }));
            assert_eq!(events.iter().filter(|event| ends(event)).count(), 1, "{events:?}");
            assert!(events.last().is_some_and(ends), "{events:?}");
        }
    });
}

#[test]
fn a_piece_of_an_answer_is_read_as_it_was_written_and_no_text_makes_trouble() {
    check!().with_type::<(String, Vec<u8>)>().with_test_time(TIME).for_each(|(text, bytes)| {
        let written = json!({"choices": [{"delta": {"content": text}, "finish_reason": null}]}).to_string();
        assert_eq!(Piece::read(&written).unwrap().text, *text);
        drop(Piece::read(&String::from_utf8_lossy(&body(bytes))));
    });
}

fn body(bytes: &[u8]) -> Bytes {
    let piece =
        |byte: &u8| PIECES.get(usize::from(*byte)).map_or_else(|| vec![*byte], |piece| piece.as_bytes().to_vec());
    bytes.iter().flat_map(piece).collect()
}

fn cut(body: &Bytes, cuts: &[u8]) -> Vec<Bytes> {
    let mut rest = body.clone();
    let mut chunks: Vec<Bytes> = cuts.iter().map(|cut| rest.split_to(usize::from(*cut).min(rest.len()))).collect();
    chunks.push(rest);
    chunks
}

fn read(runtime: &Runtime, shape: Shape, chunks: Vec<Bytes>) -> Vec<Result<ModelEvent, ModelError>> {
    runtime.block_on(async {
        let limits = CallLimits { response_bytes_max: 4_000, line_bytes_max: 1_000, ..CallLimits::default() };
        let mut answer = Answer {
            body: stream::iter(chunks.into_iter().map(Ok)).boxed(),
            decoder: Decoder::new(shape, limits.line_bytes_max),
            bytes: 0,
            silent_until: Instant::now() + limits.first_token,
            end: Instant::now() + limits.total,
            limits,
            ready: VecDeque::new(),
            usage: None,
            finish: None,
            over: false,
        };
        let mut events = Vec::new();
        while let Some(event) = answer.next().await {
            events.push(event);
        }
        events
    })
}

fn texts(events: &[Result<ModelEvent, ModelError>]) -> String {
    let text = |event: &Result<ModelEvent, ModelError>| match event {
        Ok(ModelEvent::Text(text)) => Some(text.clone()),
        Ok(ModelEvent::Usage(_) | ModelEvent::Finished { .. }) | Err(_) => None,
    };
    events.iter().filter_map(text).collect()
}
