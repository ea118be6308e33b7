//! A WebSocket as the rest sees it: text in, frames out, and an end with its code.

use super::{
    super::frame::{FRAME_BYTES_MAX, Frame},
    meter::{Metered, TooManyFrames},
};
use crate::settings::SocketLimits;
use futures::{SinkExt, StreamExt};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame as RawFrame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

/// Messages of clients are short, and each idle socket keeps this buffer.
const READ_BUFFER_BYTES: usize = 1_024;
/// One frame that waits for the client to read, and a pong or the last word behind it.
pub const WRITE_BUFFER_BYTES_MAX: usize = FRAME_BYTES_MAX + 1_024;
/// Most time for saying that it is over, and for the client to hear it.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The server's end of a WebSocket.
pub(super) struct Link<S> {
    stream: WebSocketStream<Metered<S>>,
    /// Whether the last frame that was sent leaves its message unfinished.
    is_in_message: bool,
}

/// What came from the client.
#[derive(Debug)]
pub(super) enum Received {
    Text(Utf8Bytes),
    /// A ping, or an answer to one.
    SignOfLife,
}

/// Why the conversation is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The client has gone.
    Gone,
    /// The server has the last word.
    Close(CloseCode, &'static str),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) async fn new(stream: S, limits: SocketLimits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(limits.message_bytes_max))
            .max_frame_size(Some(limits.message_bytes_max));
        let stream = Metered::new(stream, limits.frames_per_second_max);
        Self {
            stream: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
            is_in_message: false,
        }
    }

    /// What the client says next. Nothing is lost when the wait is given up.
    pub(super) async fn receive(&mut self) -> Result<Received, Over> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Received::Text(text)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(Received::SignOfLife),
                Some(Ok(Message::Binary(_))) => return Err(Over::Close(CloseCode::Unsupported, "text only")),
                // It is answered while the end is read.
                Some(Ok(Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(over(&error)),
                None => return Err(Over::Gone),
            }
        }
    }

    /// Hands a frame over to the connection; returns when there is room for the next one.
    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), Over> {
        let kind = if self.is_in_message { Data::Continue } else { Data::Text };
        self.is_in_message = !frame.ends;
        self.write(Message::Frame(RawFrame::message(frame.bytes, OpCode::Data(kind), frame.ends))).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), Over> {
        self.write(Message::Ping(Bytes::new())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), Over> {
        self.stream.send(message).await.map_err(|error| over(&error))
    }

    /// Says that it is over and why, and gives the client a moment to hear it: were the connection dropped while
    /// something of the client's is unread, the system would take the last word back.
    pub(super) async fn close(mut self, code: CloseCode, reason: &'static str) {
        let closing = async {
            let last_word = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            self.stream.close(Some(last_word)).await?;
            let mut stream = self.stream.into_inner().into_inner();
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(socket.error = %error, "a socket was not closed in good order"),
        }
    }
}

/// What the end of a conversation is that an error leads to.
fn over(error: &Error) -> Over {
    match error {
        Error::Capacity(_) => Over::Close(CloseCode::Size, "the message is too large"),
        Error::Utf8(_) => Over::Close(CloseCode::Invalid, "the text is no UTF-8"),
        Error::Io(error) if is_flood(error) => Over::Close(CloseCode::Policy, "too many frames"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => Over::Gone,
        Error::Protocol(_) | Error::AttackAttempt => Over::Close(CloseCode::Protocol, "a broken frame"),
    }
}

fn is_flood(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooManyFrames>)
}
