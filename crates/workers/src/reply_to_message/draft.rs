//! The text of a running reply as it grows: made inert, cut at a limit, and told in deltas.
//!
//! Offsets are UTF-16 units, since that is how clients count; a delta never begins or ends inside a
//! surrogate pair, because only whole characters are ever taken.

use std::ops::ControlFlow;

/// Characters of a delta: what is larger goes out in several.
pub const DELTA_CHARS_MAX: usize = 4_000;

/// A growing text.
#[derive(Debug)]
pub(crate) struct Growing {
    text: String,
    chars: usize,
    chars_max: usize,
    told_bytes: usize,
    told_units: u64,
}

/// A piece of a text and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// In UTF-16 units.
    pub(crate) offset: u64,
    pub(crate) text: String,
}

impl Growing {
    pub(crate) fn new(chars_max: usize) -> Self {
        Self { text: String::new(), chars: 0, chars_max, told_bytes: 0, told_units: 0 }
    }

    /// Takes what the model says; breaks when there is no room for more of it.
    pub(crate) fn push(&mut self, said: &str) -> ControlFlow<()> {
        for character in said.chars() {
            if self.chars == self.chars_max {
                return ControlFlow::Break(());
            }
            self.text.push(inert(character));
            self.chars += 1;
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What has not been told yet, piece by piece.
    pub(crate) fn take_piece(&mut self) -> Option<Piece> {
        let rest = self.text.get(self.told_bytes..)?;
        let end = rest.char_indices().nth(DELTA_CHARS_MAX).map_or(rest.len(), |(end, _)| end);
        let text = rest.get(..end)?.to_owned();
        if text.is_empty() {
            return None;
        }
        let piece = Piece { offset: self.told_units, text };
        self.told_bytes += piece.text.len();
        self.told_units += piece.text.chars().map(|character| u64::from(character.len_utf16() == 2) + 1).sum::<u64>();
        Some(piece)
    }
}

/// Control characters would be refused by a store or read as something else on the way: NUL above all.
fn inert(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' => character,
        _ if character.is_control() || is_noncharacter(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// Code points that Unicode keeps for a program's own use: U+FDD0 to U+FDEF and the last two of each plane.
fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_text_may_hold_is_made_inert() {
        let mut draft = Growing::new(100);
        assert!(draft.push("a\u{0}b\u{1b}[2J\u{7f}\u{85}\u{ffff}\u{fdd0}\u{10fffe}\r\n\tc").is_continue());
        assert_eq!(draft.text(), "a�b�[2J�����\r\n\tc");
    }

    #[test]
    fn a_text_is_cut_at_its_limit() {
        let mut draft = Growing::new(5);
        assert!(draft.push("👋👋👋").is_continue());
        assert!(draft.push("abc").is_break());
        assert!(draft.push("d").is_break());
        assert_eq!(draft.text(), "👋👋👋ab");
    }

    #[test]
    fn offsets_count_a_surrogate_pair_as_two() {
        let mut draft = Growing::new(100);
        assert!(draft.push("é👋").is_continue());
        assert_eq!(draft.take_piece(), Some(Piece { offset: 0, text: "é👋".into() }));
        assert!(draft.push("x").is_continue());
        assert_eq!(draft.take_piece(), Some(Piece { offset: 3, text: "x".into() }));
        assert_eq!(draft.take_piece(), None);
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text_wherever_they_were_taken(
            said in prop::collection::vec(("(?s).{0,30}", any::<bool>()), 0..40),
            long in 0_usize..3,
        ) {
            let mut draft = Growing::new(1_000_000);
            let mut client: Vec<u16> = Vec::new();
            let long = "👋é".repeat(long * 3_001);
            for (text, told) in said.iter().chain([&(long, true)]) {
                prop_assert!(draft.push(text).is_continue());
                if *told {
                    while let Some(piece) = draft.take_piece() {
                        prop_assert_eq!(usize::try_from(piece.offset).unwrap(), client.len());
                        client.extend(piece.text.encode_utf16());
                    }
                }
            }
            prop_assert_eq!(draft.take_piece(), None);
            prop_assert_eq!(String::from_utf16(&client).unwrap(), draft.text());
        }
    }
}
