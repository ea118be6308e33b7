//! JSON read strictly: no key twice, no number that would be rounded, no NUL, no text that is no Unicode.

mod exact_numbers;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{cell::Cell, fmt};

/// Deepest nesting. Events wrap what clients send in some levels more, and are read back by a parser with a limit of
/// its own (128): what could be written and never read would stop the whole read side.
pub const NESTING_MAX: usize = 64;

/// Most values of one text, names not counted: each takes more memory than the two bytes that it needs in the text.
pub const VALUES_MAX: usize = 100_000;

/// Why bytes are not taken as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// They are no JSON, or a key stands in an object twice, or it nests too deep or has too many values.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 where it is not known.
        column: usize,
    },
    /// The number at this pointer can't be kept exactly.
    Inexact(String),
    /// The text at this pointer holds a NUL.
    Nul(String),
}

/// About what a value takes in memory, beside its text.
pub const VALUE_BYTES: usize = 100;

/// The value that the bytes stand for.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    parse_counting(bytes).map(|(value, _)| value)
}

/// The same, and how many values it is made of.
pub fn parse_counting(bytes: &[u8]) -> Result<(Value, usize), JsonFault> {
    let text = std::str::from_utf8(bytes).map_err(|error| position(bytes, error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let room = Cell::new(VALUES_MAX);
    let value =
        Strict { room: &room }.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    let value = value.map_err(|error| {
        if error.to_string().starts_with("number out of range") {
            // The parser went no further than this number, and the scan needs no more of the text than that.
            return JsonFault::Inexact(exact_numbers::first_inexact(text).unwrap_or_default());
        }
        JsonFault::Syntax { line: error.line(), column: error.column() }
    })?;
    if !is_shallower_than(&value, NESTING_MAX) {
        return Err(JsonFault::Syntax { line: 1, column: 0 });
    }
    if let Some(pointer) = exact_numbers::first_inexact(text) {
        return Err(JsonFault::Inexact(pointer));
    }
    // A NUL can only come in escaped; most texts need no second look.
    if text.contains("\\u0000")
        && let Some(pointer) = first_nul(&value, "")
    {
        return Err(JsonFault::Nul(pointer));
    }
    Ok((value, VALUES_MAX - room.get()))
}

/// One level of a JSON pointer.
pub fn pointer_level(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The bytes that stand for a value whatever the order of its keys and its white space were.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text.into_bytes()
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            text.push('{');
            for (index, name) in names.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(members.get(name).unwrap_or(&Value::Null), text);
            }
            text.push('}');
        }
    }
}

/// The parser's own limit bounds the recursion.
fn is_shallower_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_shallower_than(item, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|member| is_shallower_than(member, levels - 1)),
    }
}

fn position(bytes: &[u8], at: usize) -> JsonFault {
    let before = bytes.get(..at).unwrap_or_default();
    let line = before.split(|byte| *byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    JsonFault::Syntax { line, column }
}

/// Nesting is limited by the parser, so the recursion is too.
fn first_nul(value: &Value, pointer: &str) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => text.contains('\0').then(|| pointer.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| first_nul(item, &format!("{pointer}/{index}")))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if name.contains('\0') {
                return Some(pointer.to_owned());
            }
            first_nul(member, &format!("{pointer}{}", pointer_level(name)))
        }),
    }
}

/// Builds a [`Value`] and refuses a key that stands twice, and a value beyond those that there is room for.
#[derive(Clone, Copy)]
struct Strict<'a> {
    /// How many more values there may be.
    room: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.room.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.room.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key_seed(Name)? {
            let member = map.next_value_seed(self)?;
            if members.insert(name, member).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nests_deeper_than_an_event_can_hold_is_refused() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert!(matches!(parse(nested(65).as_bytes()), Err(JsonFault::Syntax { .. })));
        let deep = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
        assert!(matches!(parse(deep.as_bytes()), Err(JsonFault::Syntax { .. })));
    }

    #[test]
    fn more_values_than_may_be_are_refused_where_the_first_of_them_stands() {
        let numbers = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        let members = |count: usize| {
            let members: Vec<String> = (0..count).map(|name| format!("\"{name}\":null")).collect();
            format!("{{{}}}", members.join(","))
        };
        // The list and the object are values, too.
        for text in [numbers(VALUES_MAX - 1), members(VALUES_MAX - 1)] {
            assert!(parse(text.as_bytes()).is_ok());
        }
        assert!(matches!(parse(numbers(VALUES_MAX).as_bytes()), Err(JsonFault::Syntax { line: 1, column: 199_999.. })));
        assert!(matches!(parse(members(VALUES_MAX).as_bytes()), Err(JsonFault::Syntax { .. })));
        let nested = format!("[{}0]", "[[]],".repeat(VALUES_MAX / 2));
        assert!(matches!(parse(nested.as_bytes()), Err(JsonFault::Syntax { .. })));
    }

    #[test]
    fn what_is_json_is_read() {
        let text = br#"{"a": [1, -2, 2.5, 1e3, true, null, "\ud83d\ude00 \u00e9"], "b": {"c": 18446744073709551615}}"#;
        let value = json!({"a": [1, -2, 2.5, 1000.0, true, null, "😀 é"], "b": {"c": u64::MAX}});
        assert_eq!(parse(text), Ok(value));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let endless = "[".repeat(100_000);
        for text in [
            &b""[..],
            b"{",
            b"{} x",
            b"\xef\xbb\xbf{}",
            b"NaN",
            b"{\"a\": 1 /* no */}",
            b"{'a': 1}",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"\"\\udc00\\ud800\"",
            b"{\"a\\ud800\": 1}",
            b"\"\x00\"",
            b"{\"a\": 1, \"a\": 2}",
            b"{\"x\": {\"a\": 1, \"\\u0061\": 2}}",
            b"[1,]",
            b"01",
            deep.as_bytes(),
            endless.as_bytes(),
        ] {
            let fault = parse(text);
            assert!(matches!(fault, Err(JsonFault::Syntax { .. })), "{:?}: {fault:?}", text.get(..20).unwrap_or(text));
        }
        assert_eq!(parse(b"{\n  \"a\": \xff}"), Err(JsonFault::Syntax { line: 2, column: 8 }));
    }

    #[test]
    fn a_nul_is_found_wherever_it_stands() {
        for (text, pointer) in [
            (r#""a\u0000""#, ""),
            (r#"{"a": {"b/c": ["", "\u0000"]}}"#, "/a/b~1c/1"),
            (r#"{"a": {"\u0000": 1}}"#, "/a"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(JsonFault::Nul(pointer.to_owned())), "{text}");
        }
        assert!(parse(br#""\\u0000""#).is_ok());
    }

    #[test]
    fn the_canonical_form_knows_no_order_of_keys_and_no_white_space() {
        let one = parse(br#"{"b": [1, {"d": "x", "c": null}], "a": 1.50}"#).unwrap();
        let other = parse(br#"{"a":1.5,"b":[1,{"c":null,"d":"x"}]}"#).unwrap();
        assert_eq!(canonical(&one), br#"{"a":1.5,"b":[1,{"c":null,"d":"x"}]}"#);
        assert_eq!(canonical(&one), canonical(&other));
    }
}
