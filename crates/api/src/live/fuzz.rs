//! Ids of events and names of queries, by chance: what is read is read again as it is written.

use super::{
    LiveQuery,
    id::{EventId, QuerySetHash},
    named_queries,
};
use crate::fuzz::{TIME, text_of};
use advisor_eventlog::Position;
use http::Uri;

#[test]
fn an_event_id_is_read_back_as_it_was_written_and_no_text_makes_trouble() {
    const PIECES: &[&str] =
        &[":", "0", "1", "42", "18446744073709551616", "-", "+", "00000000000000000000000000000000"];
    bolero::check!().with_type::<(u64, u64, Vec<u8>)>().with_test_time(TIME).for_each(
        |(generation, position, bytes)| {
            let text = text_of(bytes, PIECES);
            let hash = QuerySetHash::of(Some(&text.as_str().into()), &[&LiveQuery::Me]);
            let id = EventId { generation: *generation, position: Position(*position), hash };
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
            if let Some(read) = EventId::parse(&text) {
                assert_eq!(EventId::parse(&read.to_string()), Some(read), "{text}");
            }
        },
    );
}

#[test]
fn a_query_that_is_live_is_read_back_from_its_own_text() {
    const PIECES: &[&str] = &[
        "/api",
        "/me",
        "/advisors",
        "/conversations",
        "/messages",
        "/",
        "?limit=",
        "50",
        "&",
        "%2f",
        "%3f",
        "%00",
        "%",
        "é",
        "before=",
        "//",
        "http:",
        "c1",
        "*",
        "?",
        "#",
    ];
    bolero::check!().with_type::<Vec<u8>>().with_test_time(TIME).for_each(|bytes| {
        let text = text_of(bytes, PIECES);
        for text in [text.clone(), format!("/api/conversations/{text}"), format!("/api/advisors/{text}")] {
            if let Ok(query) = LiveQuery::parse(&text) {
                assert_eq!(LiveQuery::parse(&query.text()).unwrap(), query, "{text}");
                assert!(text.starts_with("/api/"), "{text}");
            }
        }
    });
}

#[test]
fn queries_of_a_url_by_chance_are_at_most_twenty_or_refused() {
    const PIECES: &[&str] =
        &["query=/api/me", "&", "query=/api/advisors/", "query=", "%2Fapi%2Fme", "+", "%zz", "x=", "a"];
    bolero::check!().with_type::<Vec<u8>>().with_test_time(TIME).for_each(|bytes| {
        let Ok(uri) = format!("/api/live?{}", text_of(bytes, PIECES)).parse::<Uri>() else { return };
        if let Ok(queries) = named_queries(&uri) {
            assert!((1..=20).contains(&queries.len()), "{uri}");
            let distinct =
                |(at, (_, query)): (usize, &(String, LiveQuery))| queries[..at].iter().all(|(_, q)| q != query);
            assert!(queries.iter().enumerate().all(distinct), "{uri}");
        }
    });
}
