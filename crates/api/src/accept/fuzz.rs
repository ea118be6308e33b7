//! Bytes by chance on a connection: every answer has an id, whoever gives it, and where the bytes are cut
//! makes no difference.

use super::*;
use crate::fuzz::{TIME, text_of};
use std::panic::AssertUnwindSafe;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime,
};

const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST / HTTP/1.1\r\n",
    "HTTP/1.0\r\n",
    "host: x\r\n",
    "content-length: 5\r\n",
    "content-length: 3\r\n",
    "transfer-encoding: chunked\r\n",
    "upgrade: websocket\r\nconnection: upgrade\r\n",
    "expect: 100-continue\r\n",
    "connection: keep-alive\r\n",
    "\r\n",
    "\r",
    "\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    " ",
    ":",
    "\0",
    "GET ",
    "HEAD / ",
    "CONNECT a:1 ",
    "x: y\r\n",
];

#[test]
fn whatever_comes_on_a_connection_every_answer_has_an_id() {
    let runtime =
        AssertUnwindSafe(runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());
    let router = layers::observed(Router::new().fallback(async |body: axum::body::Bytes| body.len().to_string()));
    let router = AssertUnwindSafe(router);
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().with_test_time(TIME).for_each(|(bytes, cuts)| {
        let request = text_of(bytes, PIECES).into_bytes();
        let whole = runtime.block_on(exchange(&router, &request, &[]));
        assert_eq!(whole, runtime.block_on(exchange(&router, &request, cuts)), "{}", request.escape_ascii());
    });
}

/// The statuses that a connection answers with; its bytes come in pieces of the sizes of `cuts`.
async fn exchange(router: &Router, request: &[u8], cuts: &[u8]) -> Vec<String> {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (mut read, mut write) = tokio::io::split(client);
    let doors = Doors::new(router.clone().into());
    let serving = connection(server, doors, AcceptLimits::default(), CancellationToken::new());
    let writing = async {
        write_in_pieces(&mut write, request, cuts).await;
        // The clock stands, and jumps when nothing moves any more: a client that goes at once is not served.
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(write.shutdown().await);
    };
    let mut answers = Vec::new();
    let reading = async { drop(read.read_to_end(&mut answers).await) };
    futures::join!(serving, writing, reading);
    let answers = String::from_utf8(answers).unwrap().replace("HTTP/1.0 ", "HTTP/1.1 ");
    let answers = answers.split("HTTP/1.1 ").skip(1).filter(|answer| !answer.starts_with("100"));
    answers
        .map(|answer| {
            assert!(answer.contains("\r\nx-request-id: "), "{answer} to {}", request.escape_ascii());
            answer[..3].to_owned()
        })
        .collect()
}

/// Writes all bytes, first pieces of the sizes of `cuts`. Whoever has heard enough may have closed.
pub(super) async fn write_in_pieces(write: &mut (impl AsyncWrite + Unpin), bytes: &[u8], cuts: &[u8]) {
    let mut rest = bytes;
    for cut in cuts.iter().map(|cut| usize::from(*cut)) {
        let (head, tail) = rest.split_at(cut.min(rest.len()));
        drop(write.write_all(head).await);
        tokio::task::yield_now().await;
        rest = tail;
    }
    drop(write.write_all(rest).await);
}
