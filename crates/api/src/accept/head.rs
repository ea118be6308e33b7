//! The head of a request, judged before hyper reads it.
//!
//! hyper answers a head that it can't read by itself: without a body, without a request id, and unseen by any
//! layer. And of a request that tells its body's length in two ways it drops one and says nothing. So nothing
//! comes through here that hyper would find fault with, and nothing whose end is told twice.

use super::shedding::Shedding;
use crate::problem::{Code, Problem};
use bytes::Bytes;
use http::{Method, Uri};
use httparse::{Error, Header, Request, Status};

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// Most bytes, with the first line.
    pub(super) bytes_max: usize,
    /// Most headers.
    pub(super) headers_max: usize,
}

/// What bytes are that begin where a head should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// More bytes will tell.
    Partial,
    /// A head of so many bytes, and what follows it.
    Whole(usize, Following),
    /// A whole request of so many bytes, its body among them, which is answered with these and read by nobody.
    Shed(u64, Bytes),
    /// Nothing that is taken.
    Refused(HeadFault),
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Following {
    /// A body of so many bytes, and then the next head.
    Bytes(u64),
    /// A body in chunks, or another protocol: where it ends is for others to say.
    Unmeasured,
}

/// Why a head is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// It is larger than the limits.
    TooLarge,
    /// It is no head of HTTP/1.
    Malformed,
    /// It says nothing, two things, or nothing that is understood about where the body ends.
    Length,
    /// It names no host, or several.
    Host,
}

impl From<HeadFault> for Problem {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TooLarge => Self::new(Code::HeadersTooLarge, "The first line and the headers are too large."),
            HeadFault::Malformed => Self::new(Code::MalformedRequest, "This is no request of HTTP/1."),
            HeadFault::Length => {
                Self::new(Code::MalformedRequest, "Tell the body's length in one way, or send it in chunks.")
            }
            HeadFault::Host => Self::new(Code::MalformedRequest, "Name one host."),
        }
    }
}

/// Judges the head that `bytes` begin with. One that could be taken may have its answer already from `shedding`.
pub(super) fn judge(bytes: &[u8], limits: HeadLimits, shedding: Option<&Shedding>) -> Judged {
    let mut headers = Vec::with_capacity(limits.headers_max);
    let room = headers.spare_capacity_mut();
    let room_max = room.len().min(limits.headers_max);
    let mut request = Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, room.get_mut(..room_max).unwrap_or_default());
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= limits.bytes_max => length,
        Ok(Status::Partial) if bytes.len() < limits.bytes_max => return Judged::Partial,
        Ok(Status::Complete(_) | Status::Partial) | Err(Error::TooManyHeaders) => {
            return Judged::Refused(HeadFault::TooLarge);
        }
        Err(
            Error::HeaderName | Error::HeaderValue | Error::NewLine | Error::Status | Error::Token | Error::Version,
        ) => return Judged::Refused(HeadFault::Malformed),
    };
    let following = match read(&request) {
        Ok(following) => following,
        Err(fault) => return Judged::Refused(fault),
    };
    match shedding.and_then(|shedding| shedding.refuse(&request, following)) {
        Some((body, answer)) => Judged::Shed(body.saturating_add(length as u64), answer),
        None => Judged::Whole(length, following),
    }
}

fn read(request: &Request<'_, '_>) -> Result<Following, HeadFault> {
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes());
    let uri: Result<Uri, _> = request.path.unwrap_or_default().parse();
    if method.is_err() || uri.is_err() {
        return Err(HeadFault::Malformed);
    }
    let is_1_1 = request.version == Some(1);
    let hosts = named(request.headers, "host").count();
    if hosts > 1 || (is_1_1 && hosts == 0) {
        return Err(HeadFault::Host);
    }
    following(request.headers, is_1_1)
}

#[expect(clippy::fn_params_excessive_bools, reason = "There are two versions of HTTP/1.")]
fn following(headers: &[Header<'_>], is_1_1: bool) -> Result<Following, HeadFault> {
    let mut codings = named(headers, "transfer-encoding");
    let mut lengths = named(headers, "content-length");
    let following = match (codings.next(), lengths.next()) {
        (None, None) => Following::Bytes(0),
        (None, Some(length)) => Following::Bytes(digits(length).ok_or(HeadFault::Length)?),
        (Some(coding), None) if is_1_1 && coding.eq_ignore_ascii_case(b"chunked") => Following::Unmeasured,
        (Some(_), None | Some(_)) => return Err(HeadFault::Length),
    };
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(HeadFault::Length);
    }
    let leaves = named(headers, "upgrade").any(|protocols| {
        protocols.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    });
    Ok(if leaves { Following::Unmeasured } else { following })
}

fn named<'a>(headers: &'a [Header<'a>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// Digits alone: `+1` is a number to the parser and no length.
fn digits(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_how_much_follows_it() {
        for (head, following) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", Following::Bytes(0)),
            ("GET / HTTP/1.0\r\n\r\n", Following::Bytes(0)),
            ("\r\nPOST http://a/b?c=%20 HTTP/1.1\r\nHOST: x\r\nContent-Length: 7 \r\n\r\n", Following::Bytes(7)),
            ("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n", Following::Unmeasured),
            ("GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c, WebSocket\r\n\r\n", Following::Unmeasured),
            ("GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n\r\n", Following::Bytes(0)),
        ] {
            let more = format!("{head}rest");
            assert_eq!(judged(more.as_bytes()), Judged::Whole(head.len(), following), "{head}");
            for end in 0..head.len() {
                assert_eq!(judged(&head.as_bytes()[..end]), Judged::Partial, "{:?}", &head[..end]);
            }
        }
    }

    #[test]
    fn a_length_that_is_told_twice_or_not_understood_is_refused() {
        for headers in [
            "content-length: 1\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 1",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: chunked, identity",
            "transfer-encoding: xchunked",
            "transfer-encoding:",
            "content-length: 1\r\ncontent-length: 1",
            "content-length: 1\r\ncontent-length: 2",
            "content-length: 1, 1",
            "content-length: +1",
            "content-length: -1",
            "content-length: 0x1",
            "content-length: 99999999999999999999",
            "content-length:",
        ] {
            let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n");
            assert_eq!(judged(head.as_bytes()), Judged::Refused(HeadFault::Length), "{headers}");
        }
        let old = b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(judged(old), Judged::Refused(HeadFault::Length));
    }

    #[test]
    fn what_is_no_head_is_refused_as_soon_as_that_is_seen() {
        for bytes in [
            &b"nonsense\r\n\r\n"[..],
            b"GET /\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02",
            b"GET / HTTP/1.1\r\nhost: x\r\nx: a\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nx : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\n: a\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            let judged = judged(bytes);
            assert_eq!(judged, Judged::Refused(HeadFault::Malformed), "{}", String::from_utf8_lossy(bytes));
        }
        for hosts in ["", "host: x\r\nhost: x\r\n"] {
            let head = format!("GET / HTTP/1.1\r\n{hosts}\r\n");
            assert_eq!(judged(head.as_bytes()), Judged::Refused(HeadFault::Host), "{hosts}");
        }
    }

    #[test]
    fn a_head_is_as_large_as_the_limits_at_most() {
        let of = |length: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(length - 32));
        assert!(matches!(judged(of(1_000).as_bytes()), Judged::Whole(1_000, _)));
        for bytes in [of(1_001).as_bytes(), &of(2_000).as_bytes()[..1_000], &[b'\r'; 1_000]] {
            let judged = judged(bytes);
            assert!(matches!(judged, Judged::Refused(HeadFault::TooLarge | HeadFault::Malformed)), "{judged:?}");
        }
        let many = |count: usize| format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
        assert!(matches!(judged(many(10).as_bytes()), Judged::Whole(..)));
        assert_eq!(judged(many(11).as_bytes()), Judged::Refused(HeadFault::TooLarge));
    }

    fn judged(bytes: &[u8]) -> Judged {
        judge(bytes, LIMITS, None)
    }

    const LIMITS: HeadLimits = HeadLimits { bytes_max: 1_000, headers_max: 10 };
}
