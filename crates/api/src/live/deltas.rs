//! The text of a running reply as one client has it: what is heard and what is read become pieces
//! without gap and without repeat.
//!
//! A joiner listens first and then reads the draft. What it heard in the meantime waits until the draft
//! reaches it; what the draft already has is dropped.

use advisor_bus::Delta;
use std::{collections::VecDeque, sync::Arc};

/// Most pieces that wait for the draft. When more come the oldest go: the draft will have them.
pub const WAITING_MAX: usize = 256;

/// A piece of text for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// A higher attempt replaces the text of lower ones.
    pub(crate) attempt: u32,
    /// Where it begins, in UTF-16 units.
    pub(crate) offset: u64,
    /// The text.
    pub(crate) text: String,
}

/// What was sent of one reply, and what waits.
#[derive(Debug)]
pub(crate) struct ReplyText {
    attempt: u32,
    /// What the client has.
    said: String,
    /// The same in UTF-16 units.
    sent: u64,
    joined: Joined,
    waiting: VecDeque<Arc<Delta>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joined {
    /// The draft was not read yet.
    NotYet,
    /// What is heard follows on what was sent.
    Yes,
}

impl ReplyText {
    /// Nothing was sent; `attempt` as the reply's row has it.
    pub(crate) fn new(attempt: u32) -> Self {
        Self { attempt, said: String::new(), sent: 0, joined: Joined::NotYet, waiting: VecDeque::new() }
    }

    /// The attempt, and the text of it that the client has.
    pub(crate) fn said(&self) -> (u32, &str) {
        (self.attempt, &self.said)
    }

    /// The reply's row says that this attempt has begun.
    pub(crate) fn reaches(&mut self, attempt: u32) {
        if attempt > self.attempt {
            self.begin(attempt);
        }
    }

    /// Whether the draft must be read before anything more can be sent.
    pub(crate) fn needs_draft(&self) -> bool {
        self.joined == Joined::NotYet || !self.waiting.is_empty()
    }

    /// What to send now that this was heard.
    pub(crate) fn hear(&mut self, delta: &Arc<Delta>) -> Option<Piece> {
        if delta.attempt < self.attempt {
            return None;
        }
        if delta.attempt > self.attempt {
            self.begin(delta.attempt);
            // Who hears the beginning has missed nothing.
            if delta.offset == 0 {
                self.joined = Joined::Yes;
            }
        }
        if self.needs_draft() || delta.offset > self.sent {
            if self.waiting.len() == WAITING_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(Arc::clone(delta));
            return None;
        }
        self.piece(delta.offset, &delta.text)
    }

    /// What to send now that the draft was read. Absent: nothing was written yet.
    pub(crate) fn read(&mut self, draft: Option<(u32, &str)>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if let Some((attempt, text)) = draft
            && attempt >= self.attempt
        {
            if attempt > self.attempt {
                self.begin(attempt);
            }
            pieces.extend(self.piece(0, text));
        }
        self.joined = Joined::Yes;
        while let Some(delta) = self.waiting.front() {
            if delta.offset > self.sent {
                break;
            }
            let delta = Arc::clone(delta);
            self.waiting.pop_front();
            pieces.extend(self.piece(delta.offset, &delta.text));
        }
        pieces
    }

    fn begin(&mut self, attempt: u32) {
        *self = Self::new(attempt);
    }

    /// The part of `text`, which begins at `offset` and leaves no gap, that was not sent yet.
    fn piece(&mut self, offset: u64, text: &str) -> Option<Piece> {
        let (skipped, rest) = after_units(text, self.sent - offset)?;
        if rest.is_empty() {
            return None;
        }
        let piece = Piece { attempt: self.attempt, offset: offset + skipped, text: rest.to_owned() };
        self.sent = piece.offset + units(rest);
        self.said.push_str(rest);
        Some(piece)
    }
}

/// The text after so many UTF-16 units, and how many were passed over: one less where the place lies
/// inside of a pair. `None` when the text is shorter.
fn after_units(text: &str, wanted: u64) -> Option<(u64, &str)> {
    let mut passed: u64 = 0;
    for (index, character) in text.char_indices() {
        let next = passed + character.len_utf16() as u64;
        if next > wanted {
            return text.get(index..).map(|rest| (passed, rest));
        }
        passed = next;
    }
    (passed == wanted).then_some((passed, ""))
}

fn units(text: &str) -> u64 {
    text.chars().map(|character| character.len_utf16() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use advisor_events::{ConversationId, ReplyId};
    use proptest::prelude::*;

    #[test]
    fn a_joiner_gets_the_draft_once_from_the_beginning_and_then_what_follows() {
        let mut text = ReplyText::new(1);
        assert_eq!(text.hear(&delta(1, 5, " wor")), None);
        assert_eq!(text.read(Some((1, "hello w"))), [piece(1, 0, "hello w"), piece(1, 7, "or")]);
        assert_eq!(text.hear(&delta(1, 9, "ld")), Some(piece(1, 9, "ld")));
        assert_eq!(text.read(Some((1, "hello world"))), []);
    }

    #[test]
    fn what_is_beyond_the_draft_waits_until_the_draft_reaches_it() {
        let mut text = ReplyText::new(1);
        assert_eq!(text.hear(&delta(1, 6, "world")), None);
        assert_eq!(text.read(Some((1, "hel"))), [piece(1, 0, "hel")]);
        assert!(text.needs_draft());
        assert_eq!(text.hear(&delta(1, 11, "!")), None);
        assert_eq!(text.read(Some((1, "hello "))), [piece(1, 3, "lo "), piece(1, 6, "world"), piece(1, 11, "!")]);
        assert!(!text.needs_draft());
    }

    #[test]
    fn a_reply_without_a_draft_is_followed_from_its_first_word() {
        let mut text = ReplyText::new(0);
        assert_eq!(text.read(None), []);
        assert_eq!(text.hear(&delta(1, 0, "hello")), Some(piece(1, 0, "hello")));
        assert_eq!(text.hear(&delta(1, 0, "hello")), None);
        assert_eq!(text.hear(&delta(1, 3, "lo w")), Some(piece(1, 5, " w")));
    }

    #[test]
    fn a_higher_attempt_replaces_the_text_and_a_lower_one_is_not_heard() {
        let mut text = ReplyText::new(1);
        assert_eq!(text.read(Some((1, "one"))), [piece(1, 0, "one")]);
        assert_eq!(text.hear(&delta(2, 0, "t")), Some(piece(2, 0, "t")));
        assert_eq!(text.hear(&delta(1, 3, "!")), None);
        assert_eq!(text.read(Some((1, "one!"))), []);
        assert_eq!(text.read(Some((3, "three"))), [piece(3, 0, "three")]);
    }

    #[test]
    fn a_lost_delta_is_made_good_by_the_draft() {
        let mut text = ReplyText::new(1);
        text.read(Some((1, "a")));
        assert_eq!(text.hear(&delta(1, 2, "c")), None);
        assert!(text.needs_draft());
        assert_eq!(text.read(Some((1, "ab"))), [piece(1, 1, "b"), piece(1, 2, "c")]);
    }

    #[test]
    fn offsets_count_utf_16_units_and_pairs_stay_whole() {
        let mut text = ReplyText::new(1);
        assert_eq!(text.read(Some((1, "a😀"))), [piece(1, 0, "a😀")]);
        assert_eq!(text.hear(&delta(1, 1, "😀b")), Some(piece(1, 3, "b")));
        assert_eq!(after_units("😀", 1), Some((0, "😀")));
        assert_eq!(after_units("😀", 3), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut text = ReplyText::new(1);
        for offset in 1..=1_000 {
            text.hear(&delta(1, offset, "x"));
        }
        assert_eq!(text.waiting.len(), WAITING_MAX);
        let draft = "x".repeat(900);
        let pieces = text.read(Some((1, &draft)));
        assert_eq!(joined(&pieces), "x".repeat(1_001));
    }

    proptest! {
        #[test]
        fn whatever_is_lost_or_late_the_client_ends_with_the_draft(
            words in proptest::collection::vec("[a-c😀é ]{1,4}", 1..30),
            lost in proptest::collection::vec(any::<bool>(), 30),
            read in proptest::collection::vec(0_usize..30, 30),
        ) {
            let mut text = ReplyText::new(1);
            let (mut whole, mut client) = (String::new(), Vec::new());
            let mut drafts = vec![String::new()];
            for (index, word) in words.iter().enumerate() {
                let heard = delta(1, units(&whole), word);
                whole.push_str(word);
                drafts.push(whole.clone());
                if !lost[index] {
                    apply(&mut client, text.hear(&heard));
                }
                if read[index] < drafts.len() && text.needs_draft() {
                    let pieces = text.read(Some((1, &drafts[read[index]])));
                    apply(&mut client, pieces);
                }
                let so_far = String::from_utf16(&client).unwrap();
                prop_assert!(whole.starts_with(&so_far));
            }
            apply(&mut client, text.read(Some((1, &whole))));
            prop_assert_eq!(String::from_utf16(&client).unwrap(), whole);
        }
    }

    /// What a client does: it keeps what is before the offset and appends.
    fn apply(client: &mut Vec<u16>, pieces: impl IntoIterator<Item = Piece>) {
        for piece in pieces {
            let offset = usize::try_from(piece.offset).unwrap();
            assert_eq!(offset, client.len(), "a gap or a repeat");
            client.extend(piece.text.encode_utf16());
        }
    }

    fn joined(pieces: &[Piece]) -> String {
        let mut client = Vec::new();
        apply(&mut client, pieces.iter().cloned());
        String::from_utf16(&client).unwrap()
    }

    fn piece(attempt: u32, offset: u64, text: &str) -> Piece {
        Piece { attempt, offset, text: text.to_owned() }
    }

    fn delta(attempt: u32, offset: u64, text: &str) -> Arc<Delta> {
        Arc::new(Delta {
            reply_id: ReplyId::from("r1"),
            conversation_id: ConversationId::from("c1"),
            attempt,
            offset,
            text: text.to_owned(),
        })
    }
}
