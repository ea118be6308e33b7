//! Requests and answers as bytes. Who asks many thousand times a second on the cores that the server runs on takes from
//! it what it is measured by: so requests are written once, and of answers nothing is read but what is counted.

use crate::client::{Answer, Asked, Door};
use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use http::{StatusCode, header};
use httparse::{EMPTY_HEADER, Response, Status};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Room for what is read at once.
const READ_BYTES: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// A request as it is written.
pub(crate) fn written(request: &Asked) -> Bytes {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    let length = (header::CONTENT_LENGTH, request.body().len().into());
    for (name, value) in request.headers().iter().chain([(&length.0, &length.1)]) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(request.body());
    text.into()
}

/// A connection of HTTP/1.1 that is kept alive.
pub(crate) struct Wire {
    stream: TcpStream,
    read: BytesMut,
    ends: bool,
}

impl Wire {
    pub(crate) async fn connect(door: Door) -> Result<Self> {
        Ok(Self { stream: door.enter().await?, read: BytesMut::new(), ends: false })
    }

    /// Whether it can be asked again: the server closes what is idle for long, and after some answers.
    pub(crate) fn is_open(&self) -> bool {
        let nothing_comes =
            || self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        !self.ends && self.read.is_empty() && nothing_comes()
    }

    /// Sends what was written, and reads the answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(answer) = self.answer()? {
                return Ok(answer);
            }
            self.read.reserve(READ_BYTES);
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the connection was closed");
        }
    }

    /// The answer that has come, if it is whole.
    fn answer(&mut self) -> Result<Option<Answer>> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        let Status::Complete(head) = response.parse(&self.read)? else { return Ok(None) };
        let named = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let length = named("content-length").context("an answer does not say how long it is")?;
        let length: usize = std::str::from_utf8(length.value)?.parse()?;
        let ends = named("connection").is_some_and(|header| header.value.eq_ignore_ascii_case(b"close"));
        let status = StatusCode::from_u16(response.code.unwrap_or_default())?;
        if self.read.len() < head + length {
            return Ok(None);
        }
        self.read.advance(head);
        self.ends = ends;
        Ok(Some(Answer { status, body: self.read.split_to(length).freeze() }))
    }
}
