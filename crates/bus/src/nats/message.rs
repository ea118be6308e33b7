//! Messages as NATS carries them: the JSON of the port's own types, and beside it the proof that one of our own
//! processes has said it.

use crate::port::{Appended, BusError, BusMessage, Changes, Delta, Topic};
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac, digest::Key};
use serde::Serialize;
use sha2::Sha256;
use std::sync::Arc;

/// Most bytes of a message. With the most that wait to be sent it bounds what a server that does not read costs.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1_024;

/// Room for the proof beside a message, in what a server takes at most.
const HEADER_BYTES: usize = 128;

/// Where the proof stands.
const PROOF: &str = "Advisor-Proof";

/// The JSON of a message, in as many pieces as a server that takes `bytes_max` of it needs.
pub(super) fn encode(message: &BusMessage, bytes_max: usize) -> Result<Vec<Bytes>, BusError> {
    let bytes_max = bytes_max.saturating_sub(HEADER_BYTES).min(MESSAGE_BYTES_MAX);
    match message {
        BusMessage::Appended(appended) => Ok(vec![json(appended)?]),
        BusMessage::Delta(delta) => {
            let json = json(delta.as_ref())?;
            if json.len() > bytes_max {
                return Err(BusError(format!("a delta of {} bytes is too large; {bytes_max} are taken", json.len())));
            }
            Ok(vec![json])
        }
        BusMessage::Changes(changes) => {
            let mut pieces = Vec::new();
            split(changes, bytes_max, &mut pieces)?;
            Ok(pieces)
        }
    }
}

/// A piece follows on nothing, as everywhere where changes are told in parts.
fn split(changes: &Changes, bytes_max: usize, pieces: &mut Vec<Bytes>) -> Result<(), BusError> {
    let json = json(changes)?;
    if json.len() <= bytes_max {
        pieces.push(json);
        return Ok(());
    }
    if changes.changes.len() < 2 {
        return Err(BusError(format!("a change of {} bytes is too large; {bytes_max} are taken", json.len())));
    }
    let (first, second) = changes.changes.split_at(changes.changes.len() / 2);
    for half in [first, second] {
        let piece = Changes { from: changes.to, changes: half.to_vec(), ..*changes };
        split(&piece, bytes_max, pieces)?;
    }
    Ok(())
}

fn json(message: &impl Serialize) -> Result<Bytes, BusError> {
    let json = serde_json::to_vec(message);
    json.map(Bytes::from).map_err(|error| BusError(format!("the message can't be written as JSON: {error}")))
}

/// What tells our own messages from those of others who may speak on the same server.
#[derive(Clone)]
pub(super) struct Seal(Hmac<Sha256>);

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut block = Key::<Hmac<Sha256>>::default();
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self(Hmac::new(&block))
    }

    /// The proof of this payload on this subject. A doubled or late message has it too: those cost nothing.
    pub(super) fn headers(&self, subject: &str, payload: &[u8]) -> HeaderMap {
        let proof = self.over(subject, payload).finalize().into_bytes();
        let mut headers = HeaderMap::new();
        headers.insert(PROOF, BASE64URL_NOPAD.encode(&proof).as_str());
        headers
    }

    /// What was said, if one of our own processes has said it on this topic.
    pub(super) fn open(&self, topic: &Topic, message: &Message) -> Option<BusMessage> {
        let proof = message.headers.as_ref()?.get(PROOF)?;
        let proof = BASE64URL_NOPAD.decode(proof.as_str().as_bytes()).ok()?;
        self.over(message.subject.as_str(), &message.payload).verify_slice(&proof).ok()?;
        match topic {
            Topic::Appends => {
                let appended: Appended = serde_json::from_slice(&message.payload).ok()?;
                Some(BusMessage::Appended(appended))
            }
            Topic::Changes => {
                let changes: Changes = serde_json::from_slice(&message.payload).ok()?;
                Some(BusMessage::Changes(Arc::new(changes)))
            }
            Topic::Reply(id) => {
                let delta: Delta = serde_json::from_slice(&message.payload).ok()?;
                (delta.reply_id == *id).then(|| BusMessage::Delta(Arc::new(delta)))
            }
        }
    }

    /// No subject has a NUL.
    fn over(&self, subject: &str, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(subject.as_bytes());
        mac.update(&[0]);
        mac.update(payload);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Change;

    #[test]
    fn changes_that_are_too_large_are_told_in_pieces_that_follow_on_nothing() {
        let change = |n: usize| Change { feed: "f".repeat(500), projection: "messages".into(), key: n.to_string() };
        let all: Vec<Change> = (0..300).map(change).collect();
        let changes = Changes { generation: 3, from: 8, to: 9, changes: all.clone() };
        let pieces = encode(&BusMessage::Changes(Arc::new(changes)), 10_000).unwrap();
        assert!(pieces.iter().all(|piece| piece.len() + HEADER_BYTES <= 10_000));
        let pieces: Vec<Changes> = pieces.iter().map(|piece| serde_json::from_slice(piece).unwrap()).collect();
        assert!(pieces.len() > 10 && pieces.iter().all(|piece| (piece.generation, piece.from, piece.to) == (3, 9, 9)));
        assert_eq!(pieces.into_iter().flat_map(|piece| piece.changes).collect::<Vec<_>>(), all);
    }

    #[test]
    fn what_cannot_be_told_in_pieces_is_an_error() {
        let change = Change { feed: "f".repeat(500), projection: "messages".into(), key: "k".into() };
        let changes = Changes { generation: 3, from: 8, to: 9, changes: vec![change.clone(), change] };
        assert!(encode(&BusMessage::Changes(Arc::new(changes)), 600).is_err());
        let delta =
            Delta { reply_id: "r".into(), conversation_id: "c".into(), attempt: 1, offset: 0, text: "t".repeat(600) };
        assert!(encode(&BusMessage::Delta(Arc::new(delta)), 600).is_err());
    }

    #[test]
    fn only_what_was_said_with_our_key_on_this_subject_is_heard() {
        let own = Seal::new(&[1; 32]);
        let changes = Arc::new(Changes { generation: 1, from: 1, to: 2, changes: Vec::new() });
        let payload = encode(&BusMessage::Changes(Arc::clone(&changes)), 1_000).unwrap().remove(0);
        let said = |seal: &Seal, subject: &str| message(subject, &payload, Some(seal.headers(subject, &payload)));
        let ours = said(&own, "advisor.changes");
        assert_eq!(own.open(&Topic::Changes, &ours), Some(BusMessage::Changes(changes)));

        let mut elsewhere = ours.clone();
        elsewhere.subject = "advisor.replies.r".into();
        let mut altered = ours.clone();
        altered.payload = Bytes::from_static(br#"{"generation":1,"from":1,"to":9,"changes":[]}"#);
        let stranger = said(&Seal::new(&[2; 32]), "advisor.changes");
        let bare = message("advisor.changes", &payload, None);
        for foreign in [elsewhere, altered, stranger, bare] {
            assert_eq!(own.open(&Topic::Changes, &foreign), None, "{foreign:?}");
        }
        // A delta of another reply, and a message of the other kind, under a proof that holds.
        assert_eq!(own.open(&Topic::Reply("r".into()), &ours), None);
        let delta =
            Delta { reply_id: "r".into(), conversation_id: "c".into(), attempt: 1, offset: 0, text: "t".into() };
        let payload = json(&delta).unwrap();
        let of_r = message("s", &payload, Some(own.headers("s", &payload)));
        assert!(own.open(&Topic::Reply("r".into()), &of_r).is_some());
        assert_eq!(own.open(&Topic::Reply("q".into()), &of_r), None);
    }

    fn message(subject: &str, payload: &Bytes, headers: Option<HeaderMap>) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: payload.clone(),
            headers,
            status: None,
            description: None,
            length: payload.len(),
        }
    }
}
