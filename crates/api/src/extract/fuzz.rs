//! What requests carry, by chance: nothing panics, and what is taken is what stands there.

use super::{
    CommandBody, CursorKey, IdempotencyKey, IfMatch, PageLimit, Prefer,
    json::{self, canonical},
    min_position, negotiate,
};
use crate::fuzz::{TIME, text_of};
use axum::extract::FromRequestParts;
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Request, header};
use serde_json::{Map, Value};

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\"",
    "\"b\"",
    "\"\\u0061\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"é\"",
    "0",
    "-1",
    "1.5",
    "1e400",
    "0.1000000000000000055511151231257827",
    "18446744073709551616",
    "1E-3",
    "null",
    "true",
    "false",
    " ",
    "\n",
    "\"",
    "\\",
    "{\"a\":",
    "[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]",
    "9007199254740993",
];

#[test]
fn json_that_is_taken_is_what_any_reader_takes_it_for() {
    bolero::check!().with_type::<(bool, u8, Vec<u8>)>().with_test_time(TIME).for_each(|(raw, levels, bytes)| {
        let levels = usize::from(*levels / 2);
        let nested = || format!("{}{}{}", "[".repeat(levels), text_of(bytes, JSON), "]".repeat(levels));
        let text = if *raw { bytes.clone() } else { nested().into_bytes() };
        let Ok(value) = json::parse(&text) else { return };
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), value);
        assert_eq!(json::parse(&canonical(&value)), Ok(value.clone()));
        assert!(depth(&value) <= 64 && !value.to_string().contains("\\u0000"), "{value}");
    });
}

#[test]
fn a_value_that_can_be_kept_comes_back_as_it_was_written() {
    bolero::check!().with_type::<Vec<(u8, u64)>>().with_test_time(TIME).for_each(|rolls| {
        let value = value(&mut rolls.iter().copied(), 5);
        let text = serde_json::to_vec(&value).unwrap();
        assert_eq!(json::parse(&text), Ok(value.clone()), "{value}");
        assert_eq!(json::parse(&canonical(&value)), Ok(value));
    });
}

#[test]
fn a_cursor_opens_for_its_own_scope_and_no_text_else_does() {
    let key = CursorKey::from_bytes([7; 32]);
    bolero::check!().with_type::<(Vec<String>, String, Vec<String>, usize)>().with_test_time(TIME).for_each(
        |(scope, place, other, bit)| {
            let (scope, other): (Vec<&str>, Vec<&str>) =
                (scope.iter().map(String::as_str).collect(), other.iter().map(String::as_str).collect());
            let cursor = key.seal(&scope, place);
            if cursor.len() <= 1_024 {
                assert_eq!(key.open(&scope, &cursor).unwrap(), *place);
            }
            assert!(scope == other || key.open(&other, &cursor).is_err());
            assert!(key.open(&scope, place).is_err());
            let mut bytes = cursor.into_bytes();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(String::from_utf8(bytes).is_ok_and(|changed| key.open(&scope, &changed).is_err()) || bit % 8 == 7);
        },
    );
}

#[test]
fn headers_and_queries_by_chance_are_read_or_refused() {
    const PIECES: &[&str] = &[
        "application/json",
        "text/event-stream",
        "*/*",
        ";q=",
        "0.5",
        ",",
        "\"17\"",
        "W/",
        "*",
        "respond-async",
        ";",
        "limit=",
        "min_position=",
        "&",
        "9007199254740992",
        "%",
        "%00",
        "+",
        "é",
        "1",
    ];
    bolero::check!().with_type::<Vec<u8>>().with_test_time(TIME).for_each(|bytes| {
        let text = text_of(bytes, PIECES);
        let mut builder = Request::get(format!("/?{}", text.replace(|c: char| !c.is_ascii_graphic() || c == '#', "")));
        for name in [HeaderName::from_static("idempotency-key"), header::IF_MATCH, header::ACCEPT] {
            if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                builder = builder.header(name, value);
            }
        }
        let Ok(request) = builder.body(()) else { return };
        let mut parts = request.into_parts().0;
        if let Some(Ok(IdempotencyKey(key))) = IdempotencyKey::from_request_parts(&mut parts, &()).now_or_never() {
            assert!((1..=128).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{key}");
        }
        drop(IfMatch::from_request_parts(&mut parts, &()).now_or_never());
        drop(Prefer::from_request_parts(&mut parts, &()).now_or_never());
        if let Ok(chosen) = negotiate(&parts.headers, &["application/json", "text/event-stream"]) {
            assert!(["application/json", "text/event-stream"].contains(&chosen));
        }
        if let Ok(Some(position)) = min_position(&parts) {
            assert!(position.0 < 1 << 53);
        }
        let limit: PageLimit = serde_json::from_value(Value::from(text)).unwrap();
        assert!(limit.get(50).is_err() || limit.get(50).is_ok_and(|limit| (1..=100).contains(&limit)));
    });
}

#[test]
fn a_shape_out_of_any_json_is_right_or_points_at_what_is_not() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "It is only read.")]
    struct Shape {
        a: String,
        b: Option<Vec<u32>>,
    }
    bolero::check!().with_type::<Vec<u8>>().with_test_time(TIME).for_each(|bytes| {
        let Ok(json) = json::parse(text_of(bytes, JSON).as_bytes()) else { return };
        let shaped = super::decode_command::<Shape>(&json).map(|value| CommandBody { value, json: json.clone() });
        let body = match shaped {
            Ok(_) => return assert!(json["a"].is_string()),
            Err(problem) => problem.body(),
        };
        let pointer = body["details"][0]["pointer"].as_str().unwrap();
        let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(json.pointer(pointer).or_else(|| json.pointer(parent)).is_some(), "{pointer} in {json}");
    });
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn value(rolls: &mut impl Iterator<Item = (u8, u64)>, levels: usize) -> Value {
    let Some((kind, number)) = rolls.next() else { return Value::Null };
    match kind % if levels == 0 { 6 } else { 8 } {
        0 => Value::Bool(number % 2 == 0),
        1 => Value::from(number),
        2 => Value::from(number.cast_signed()),
        3 => serde_json::Number::from_f64(f64::from_bits(number)).map_or(Value::Null, Value::Number),
        4 | 5 => {
            let chars = char::from_u32(u32::try_from(number % 0x11_0000).unwrap_or_default());
            Value::from(format!("{}\"\\\u{1}\n", chars.filter(|c| *c != '\0').unwrap_or('😀')))
        }
        6 => (0..number % 4).map(|_| value(rolls, levels - 1)).collect(),
        _ => {
            let members: Map<_, _> = (0..number % 4).map(|n| (format!("~{n}/"), value(rolls, levels - 1))).collect();
            Value::Object(members)
        }
    }
}
