//! Texts by chance: whoever is mentioned is there, once, where the span says.

use super::find::{Mentionable, find};
use crate::fuzz::{TIME, text_of};

#[test]
fn mentions_by_chance_are_found_where_they_stand() {
    const PIECES: &[&str] = &[
        "@",
        "Alex",
        "alex",
        " ",
        "Reyes",
        "@Alex Reyes",
        "@alex-reyes-v3",
        "É",
        "E\u{301}",
        "ß",
        "ς",
        "\u{200b}",
        "\u{202e}",
        "'s",
        ".",
        "-",
        "\n",
        "a@",
        "İ",
        "😀",
        "\u{301}",
    ];
    let advisor = |id: &str, name: &str| Mentionable {
        id: id.into(),
        name: name.to_owned(),
        first_name: name.split(' ').next().unwrap_or_default().to_owned(),
    };
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().with_test_time(TIME).for_each(|(text, name)| {
        let (text, name) = (text_of(text, PIECES), text_of(name, PIECES));
        let advisors = [
            advisor("alex-reyes-v3", "Alex Reyes"),
            advisor("é-1", "Émile ς İnce"),
            advisor(&name, &name),
            advisor("", ""),
        ];
        let mentions = find(&text, &advisors);
        let mut end = 0;
        for (index, mention) in mentions.iter().enumerate() {
            assert!(mention.span.start >= end && text[mention.span.clone()].starts_with('@'), "{text:?}: {mentions:?}");
            end = mention.span.end;
            assert!(advisors.iter().any(|advisor| advisor.id == mention.advisor_id));
            assert!(mentions[..index].iter().all(|other| other.advisor_id != mention.advisor_id), "{mentions:?}");
        }
    });
}
