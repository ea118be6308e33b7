//! A stream of bytes that counts the frames in it, and fails when there are too many.
//!
//! Messages are counted too late: a client may send one in a million fragments.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Over which time frames are counted.
pub const WINDOW: Duration = Duration::from_secs(1);
const LENGTH_IN_TWO_BYTES: u8 = 126;
const LENGTH_IN_EIGHT_BYTES: u8 = 127;
const MASK_BYTES: u64 = 4;

/// More frames came than a client may send.
#[derive(Debug, thiserror::Error)]
#[error("the client sends too many frames")]
pub(super) struct TooManyFrames;

/// Wraps a stream; writing is left as it is.
pub(super) struct Metered<S> {
    stream: S,
    frames_per_second_max: u32,
    heads: Heads,
    since: Instant,
    frames: u32,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, frames_per_second_max: u32) -> Self {
        Self { stream, frames_per_second_max, heads: Heads::default(), since: Instant::now(), frames: 0 }
    }

    /// The stream alone.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.since.elapsed() >= WINDOW {
            (self.since, self.frames) = (Instant::now(), 0);
        }
        self.frames = self.frames.saturating_add(self.heads.pass(bytes));
        if self.frames > self.frames_per_second_max { Err(io::Error::other(TooManyFrames)) } else { Ok(()) }
    }
}

/// Where in which frame the stream of bytes is (RFC 6455, 5.2).
#[derive(Debug, Default)]
enum Heads {
    /// Before a frame.
    #[default]
    First,
    /// Behind its first byte.
    Second,
    /// In its length.
    Length { bytes_left: u8, so_far: u64, mask_bytes: u64 },
    /// In what follows the length.
    Rest(u64),
}

impl Heads {
    /// Goes past these bytes; how many frames begin in them.
    fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut frames = 0;
        while let Some((byte, after)) = bytes.split_first() {
            bytes = after;
            *self = match *self {
                Self::First => {
                    frames += 1;
                    Self::Second
                }
                Self::Second => Self::behind_second(*byte),
                Self::Length { bytes_left, so_far, mask_bytes } => {
                    let so_far = so_far << 8 | u64::from(*byte);
                    match bytes_left - 1 {
                        0 => Self::rest(so_far.saturating_add(mask_bytes)),
                        bytes_left => Self::Length { bytes_left, so_far, mask_bytes },
                    }
                }
                Self::Rest(left) => {
                    // This byte, and as many more of the rest as there are.
                    let more = usize::try_from(left - 1).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(more..).unwrap_or_default();
                    Self::rest(left - 1 - more as u64)
                }
            };
        }
        frames
    }

    fn behind_second(byte: u8) -> Self {
        let mask_bytes = if byte & 0x80 == 0 { 0 } else { MASK_BYTES };
        match byte & 0x7f {
            LENGTH_IN_TWO_BYTES => Self::Length { bytes_left: 2, so_far: 0, mask_bytes },
            LENGTH_IN_EIGHT_BYTES => Self::Length { bytes_left: 8, so_far: 0, mask_bytes },
            length => Self::rest(u64::from(length) + mask_bytes),
        }
    }

    fn rest(left: u64) -> Self {
        if left == 0 { Self::First } else { Self::Rest(left) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer)?;
        read.map(|()| this.count(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };

    proptest! {
        #[test]
        fn frames_of_any_length_are_counted_in_pieces_of_any_size(
            frames in proptest::collection::vec((length(), any::<Option<[u8; 4]>>()), 1..20),
            piece in 1..70_000_usize,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(length, mask)| frame(*length, *mask)).collect();
            let mut heads = Heads::default();
            let counted: u32 = bytes.chunks(piece).map(|piece| heads.pass(piece)).sum();
            prop_assert_eq!(counted as usize, frames.len());
            prop_assert!(matches!(heads, Heads::First));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_later_as_many_frames_may_come_again() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut metered = Metered::new(server, 100);
        let mut buffer = vec![0; 64 * 1024];
        let empty = frame(0, Some([0; 4]));
        for _ in 0..3 {
            client.write_all(&empty.repeat(100)).await.unwrap();
            assert_eq!(metered.read(&mut buffer).await.unwrap(), 600);
            tokio::time::advance(WINDOW).await;
        }
        client.write_all(&empty.repeat(101)).await.unwrap();
        let error = metered.read(&mut buffer).await.unwrap_err();
        assert!(error.get_ref().unwrap().is::<TooManyFrames>());
    }

    /// Each way to write a length, and its edges.
    fn length() -> impl Strategy<Value = usize> {
        prop_oneof![0..4_usize, 120..130_usize, 65_530..65_540_usize]
    }

    fn frame(length: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut frame = Frame::message(vec![0xff; length], OpCode::Data(Data::Binary), true);
        frame.header_mut().mask = mask;
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }
}
