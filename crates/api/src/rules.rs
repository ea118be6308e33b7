//! Rules for texts in requests. Characters are Unicode scalar values; texts are kept as they come.

use crate::problem::{Detail, Problem};

/// Most characters of a title.
pub const TITLE_CHARS_MAX: usize = 200;
/// Most characters of a new message.
pub const MESSAGE_CHARS_MAX: usize = 32_000;
/// Most characters of an edited message.
pub const EDITED_CHARS_MAX: usize = 4_000;

/// The broken rules of a request.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Detail>);

impl Rules {
    /// A text of 1 to `most` characters.
    #[must_use]
    pub(crate) fn text(mut self, pointer: &'static str, text: &str, most: usize) -> Self {
        // A byte is at most a character: long texts need no count, short ones are counted quickly.
        if text.is_empty() || (text.len() > most && text.chars().count() > most) {
            self.0.push(Detail::at(pointer, format!("must have 1 to {most} characters")));
        }
        self
    }

    /// The same, unless it is absent.
    #[must_use]
    pub(crate) fn optional_text(self, pointer: &'static str, text: Option<&str>, most: usize) -> Self {
        match text {
            Some(text) => self.text(pointer, text, most),
            None => self,
        }
    }

    /// A text that is more than white space.
    #[must_use]
    pub(crate) fn said(mut self, pointer: &'static str, text: &str) -> Self {
        if !text.is_empty() && text.chars().all(char::is_whitespace) {
            self.0.push(Detail::at(pointer, "must not be white space only"));
        }
        self
    }

    /// A rule that holds or is broken at `pointer`.
    #[must_use]
    pub(crate) fn that(mut self, pointer: &'static str, rule: &'static str, holds: impl FnOnce() -> bool) -> Self {
        if !holds() {
            self.0.push(Detail::at(pointer, rule));
        }
        self
    }

    /// The problem that `invalid` makes of the broken rules, if there are any.
    pub(crate) fn check(self, invalid: impl FnOnce(Vec<Detail>) -> Problem) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_scalar_values_and_not_bytes() {
        let check = |text: &str| Rules::default().text("/title", text, 4).check(Problem::invalid_command).is_ok();
        assert!(check("😀😀😀😀"));
        assert!(check("a"));
        assert!(!check("aaaaa"));
        assert!(!check(""));
        // A family of one glyph has seven of them.
        assert!(!check("👨‍👩‍👧‍👦"));
    }

    #[test]
    fn every_broken_rule_is_told() {
        let problem = Rules::default()
            .text("/content", "", 10)
            .optional_text("/title", None, 10)
            .said("/name", "\u{a0}\n ")
            .that("/advisorIds", "must be fewer", || false)
            .check(Problem::invalid_request)
            .unwrap_err();
        let body = problem.body();
        let pointers: Vec<_> = body["details"].as_array().unwrap().iter().map(|detail| &detail["pointer"]).collect();
        assert_eq!(pointers, ["/content", "/name", "/advisorIds"]);
    }
}
