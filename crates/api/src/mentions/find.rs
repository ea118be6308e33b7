//! Who is mentioned in a text: a pure function over the advisors that its writer sees.
//!
//! `@Full Name`, `@First` or `@advisor-id`, whatever the case and however accents are composed.
//! A full name or an id wins over a first name at the same place, the longer one over the shorter,
//! the older advisor over the younger. An e-mail address is no mention.

use advisor_events::AdvisorId;
use std::ops::Range;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

/// An advisor that a text may mention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mentionable {
    /// Its id, which mentions it too.
    pub(crate) id: AdvisorId,
    /// Its persona's name.
    pub(crate) name: String,
    /// Its first name, perhaps of several words.
    pub(crate) first_name: String,
}

/// Where a text mentions an advisor for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Who is mentioned.
    pub(crate) advisor_id: AdvisorId,
    /// The bytes of the text, from the `@` to the end of the name.
    pub(crate) span: Range<usize>,
}

/// Whether `text` can mention anybody at all.
pub(crate) fn may_mention(text: &str) -> bool {
    text.contains('@')
}

/// The advisors that `text` mentions, in the order of their appearance, each once.
/// `advisors` are the active ones that the writer sees, the oldest first.
pub(crate) fn find(text: &str, advisors: &[Mentionable]) -> Vec<Mention> {
    if !may_mention(text) {
        return Vec::new();
    }
    let text = fold(text);
    let names: Vec<Names> = advisors.iter().map(Names::of).collect();
    let mut mentions: Vec<Mention> = Vec::new();
    let mut at = 0;
    while let Some(start) = text.iter().skip(at).position(|letter| letter.is('@')).map(|offset| at + offset) {
        at = start + 1;
        if mentions.len() == advisors.len() {
            break;
        }
        if ends_a_local_part(&text, start) {
            continue;
        }
        let Some((advisor, end)) = best_at(&text, start + 1, &names).and_then(|(i, end)| Some((advisors.get(i)?, end)))
        else {
            continue;
        };
        at = end;
        if mentions.iter().all(|mention| mention.advisor_id != advisor.id) {
            let span = text.get(start).map_or(0, |letter| letter.bytes.start)
                ..text.get(end - 1).map_or(0, |letter| letter.bytes.end);
            mentions.push(Mention { advisor_id: advisor.id.clone(), span });
        }
    }
    mentions
}

/// A character without case and with its accents apart, and the bytes of the text that it stands for.
#[derive(Clone, Debug)]
struct Letter {
    folded: char,
    bytes: Range<usize>,
}

impl Letter {
    fn is(&self, c: char) -> bool {
        self.folded == c
    }

    /// Whether a word goes on here.
    fn is_of_a_word(&self) -> bool {
        self.folded.is_alphanumeric() || self.folded == '_' || is_combining_mark(self.folded)
    }
}

/// Upper case first and then lower: so `ς` and `Σ`, `ß` and `SS` are the same.
fn fold(text: &str) -> Vec<Letter> {
    let mut letters = Vec::with_capacity(text.len());
    for (start, c) in text.char_indices() {
        let bytes = start..start + c.len_utf8();
        for upper in c.to_uppercase() {
            for lower in upper.to_lowercase() {
                decompose_canonical(lower, |folded| letters.push(Letter { folded, bytes: bytes.clone() }));
            }
        }
    }
    letters
}

/// What mentions an advisor, each as folded words.
struct Names {
    full: Vec<Vec<char>>,
    first: Vec<Vec<char>>,
    id: Vec<Vec<char>>,
}

impl Names {
    fn of(advisor: &Mentionable) -> Self {
        let words: Vec<Vec<char>> = advisor.name.split_whitespace().map(folded_word).collect();
        let first = advisor.first_name.split_whitespace().map(folded_word).collect();
        let full = if words.len() > 1 { words } else { Vec::new() };
        Self { full, first, id: vec![folded_word(&advisor.id.0)] }
    }
}

fn folded_word(word: &str) -> Vec<char> {
    fold(word).into_iter().map(|letter| letter.folded).collect()
}

/// How much a name at one place counts: the greater wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    First,
    Whole,
}

/// The advisor whose name stands at `at`, and where it ends.
fn best_at(text: &[Letter], at: usize, names: &[Names]) -> Option<(usize, usize)> {
    let mut best: Option<(Rank, usize, usize)> = None;
    for (index, advisor) in names.iter().enumerate() {
        for (rank, words) in [(Rank::Whole, &advisor.full), (Rank::Whole, &advisor.id), (Rank::First, &advisor.first)] {
            let Some(end) = end_of(text, at, words) else { continue };
            // Only what is better replaces: of two equals the older advisor stays.
            if best.is_none_or(|(best_rank, best_end, _)| (rank, end) > (best_rank, best_end)) {
                best = Some((rank, end, index));
            }
        }
    }
    best.map(|(_, end, index)| (index, end))
}

/// Where `words` end if they stand at `at` as whole words, with blanks between them.
fn end_of(text: &[Letter], at: usize, words: &[Vec<char>]) -> Option<usize> {
    let mut at = at;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            let blanks = text.iter().skip(at).take_while(|letter| is_blank(letter.folded)).count();
            if blanks == 0 {
                return None;
            }
            at += blanks;
        }
        let here = text.get(at..at.checked_add(word.len())?)?;
        if word.is_empty() || !here.iter().zip(word).all(|(letter, c)| letter.is(*c)) {
            return None;
        }
        at += word.len();
    }
    (!words.is_empty() && is_end_of_word(text, at)).then_some(at)
}

/// A hyphen that a word follows belongs to a longer name or id: `@Jean` is not in `@Jean-Luc`.
fn is_end_of_word(text: &[Letter], at: usize) -> bool {
    let Some(next) = text.get(at) else { return true };
    let goes_on = text.get(at + 1).is_some_and(Letter::is_of_a_word);
    !(next.is_of_a_word() || (next.is('-') && goes_on))
}

/// A name does not reach over the end of a line.
fn is_blank(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether the `@` at `at` follows what may be the local part of an e-mail address. It ends in no dot,
/// and scripts that write without blanks (`请问@Ben`) are none.
fn ends_a_local_part(text: &[Letter], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| text.get(before)).is_some_and(|letter| {
        letter.folded.is_ascii_alphanumeric()
            || matches!(letter.folded, '_' | '+' | '-' | '%')
            || is_combining_mark(letter.folded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_name_a_first_name_and_an_id_each_mention_their_advisor() {
        assert_eq!(found("@Ben Okafor, please"), ["ben-okafor-v1"]);
        assert_eq!(found("what says @ben?"), ["ben-okafor-v1"]);
        assert_eq!(found("@BEN-OKAFOR-V1"), ["ben-okafor-v1"]);
    }

    #[test]
    fn mentions_come_in_the_order_of_their_appearance_and_each_once() {
        assert_eq!(found("@Zoë then @Ben Okafor and @ben and @zoe-v1"), ["zoe-v1", "ben-okafor-v1"]);
    }

    #[test]
    fn names_of_three_words_and_with_accents_match_in_full() {
        let text = "hi @María del Carmen, hi";
        assert_eq!(
            find(text, &advisors()),
            [Mention { advisor_id: "maria-v1".into(), span: 3.."hi @María del Carmen".len() }]
        );
        assert_eq!(found("@MARI\u{301}A DEL CARMEN"), ["maria-v1"]);
        assert_eq!(found("@Zoe\u{308}"), ["zoe-v1"]);
    }

    #[test]
    fn a_name_without_its_accents_is_another_name() {
        assert!(found("@Zoe").is_empty());
        assert!(found("@Bén").is_empty());
    }

    #[test]
    fn a_name_goes_on_to_the_end_of_its_word() {
        for text in ["@Ben's idea", "@Ben.", "@Ben, @Ben! (@Ben)", "@Ben\u{2019}s", "@Ben - so", "@Ben-", "\"@Ben\""] {
            assert_eq!(found(text), ["ben-okafor-v1"], "{text}");
        }
        for text in ["@Benjamin", "@Ben_2", "@Ben2", "@Ben-Joe", "@ben-okafor-v12", "@ ben", "ben"] {
            assert!(found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn an_email_address_is_no_mention() {
        for text in ["joe@ben.com", "joe.x+y@Ben", "joe_@ben", "ö@Ben"] {
            assert!(found(text).is_empty(), "{text}");
        }
        assert_eq!(found("Thanks.@Ben"), ["ben-okafor-v1"]);
        assert_eq!(found("请问@Ben"), ["ben-okafor-v1"]);
        assert_eq!(found("joe@example.com and @Ben"), ["ben-okafor-v1"]);
    }

    #[test]
    fn of_two_advisors_with_one_first_name_the_oldest_is_meant_unless_the_full_name_says_otherwise() {
        assert_eq!(found("@Sam"), ["sam-old"]);
        assert_eq!(found("@Sam Young"), ["sam-young"]);
        assert_eq!(found("@Sam   young"), ["sam-young"]);
        assert_eq!(found("@Sam\nYoung"), ["sam-old"]);
        assert_eq!(found("@sam-young and @Sam"), ["sam-young", "sam-old"]);
    }

    #[test]
    fn the_longer_of_two_full_names_wins() {
        assert_eq!(found("@Sam Young Junior"), ["sam-junior"]);
        assert_eq!(found("@Sam Young Juniors"), ["sam-young"]);
    }

    #[test]
    fn a_name_that_begins_with_another_at_sign_is_found() {
        assert_eq!(found("@@Ben"), ["ben-okafor-v1"]);
        assert_eq!(found("@nobody @Ben"), ["ben-okafor-v1"]);
    }

    proptest! {
        #[test]
        fn every_span_begins_with_an_at_sign_and_spans_follow_each_other(text in "[@a-zA-Zë' .\n-]{0,60}") {
            let mut end = 0;
            for mention in find(&text, &advisors()) {
                prop_assert!(text[mention.span.clone()].starts_with('@'));
                prop_assert!(mention.span.start >= end);
                end = mention.span.end;
            }
        }

        #[test]
        fn any_text_at_all_mentions_nobody_twice(text in "\\PC{0,80}") {
            let mut ids: Vec<_> = find(&text, &advisors()).into_iter().map(|mention| mention.advisor_id).collect();
            let count = ids.len();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), count);
        }

        #[test]
        fn a_name_between_blanks_is_found_whatever_stands_around(before in "[a-z ]{0,10}", after in "[a-z ]{0,10}", upper: bool) {
            let name = if upper { "BEN OKAFOR" } else { "ben okafor" };
            let text = format!("{before} @{name} {after}");
            let mentions = find(&text, &advisors());
            prop_assert_eq!(mentions.len(), 1);
            prop_assert_eq!(&text[mentions[0].span.clone()], format!("@{name}"));
        }

        #[test]
        fn every_advisor_is_mentioned_by_name_and_by_id(name in "[A-Z][a-zéß]{1,8}( [A-Z][a-zñ]{1,8}){0,3}", id in "[a-z]{2,8}-v[0-9]") {
            let advisor = mentionable(&id, &name);
            let by_name = format!("({}@{name}.)", "x ");
            let by_id = format!("@{id}");
            prop_assert_eq!(find(&by_name, std::slice::from_ref(&advisor)).len(), 1);
            prop_assert_eq!(find(&by_id, std::slice::from_ref(&advisor)).len(), 1);
        }
    }

    fn found(text: &str) -> Vec<String> {
        find(text, &advisors()).into_iter().map(|mention| mention.advisor_id.0).collect()
    }

    fn advisors() -> Vec<Mentionable> {
        [
            ("ben-okafor-v1", "Ben Okafor"),
            ("zoe-v1", "Zoë"),
            ("maria-v1", "María del Carmen"),
            ("sam-old", "Sam Elder"),
            ("sam-young", "Sam Young"),
            ("sam-junior", "Sam Young Junior"),
        ]
        .into_iter()
        .map(|(id, name)| mentionable(id, name))
        .collect()
    }

    fn mentionable(id: &str, name: &str) -> Mentionable {
        let first_name = name.split_whitespace().next().unwrap_or_default().to_owned();
        Mentionable { id: id.into(), name: name.into(), first_name }
    }
}
