//! Which numbers of a JSON text would be rounded: integers beyond 64 bits, decimals that no double keeps.

use super::pointer_level;

/// Numbers of this length have at most 15 significant digits: integers fit, and doubles keep decimals of them.
const SURELY_EXACT_BYTES: usize = 15;

/// Where the parser stands in the containers around it.
enum Container {
    /// In an object, behind the key that stands in these bytes.
    Object { key: (usize, usize), expects_key: bool },
    /// In an array, at this index.
    Array { index: usize },
}

/// The pointer of the first number that would be rounded. `text` must be valid JSON up to there.
pub(super) fn first_inexact(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut containers = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let mut next = at + 1;
        match byte {
            b'{' => containers.push(Container::Object { key: (0, 0), expects_key: true }),
            b'[' => containers.push(Container::Array { index: 0 }),
            b'}' | b']' => drop(containers.pop()),
            b',' => match containers.last_mut() {
                Some(Container::Object { expects_key, .. }) => *expects_key = true,
                Some(Container::Array { index }) => *index += 1,
                None => {}
            },
            b'"' => {
                next = string_end(bytes, at);
                if let Some(Container::Object { key, expects_key: expects_key @ true }) = containers.last_mut() {
                    (*key, *expects_key) = ((at, next), false);
                }
            }
            b'-' | b'0'..=b'9' => {
                next = number_end(bytes, at);
                if !is_exact(text.get(at..next).unwrap_or_default()) {
                    return Some(pointer(text, &containers));
                }
            }
            _ => {}
        }
        at = next;
    }
    None
}

/// The byte behind the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn number_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')).count()
}

fn pointer(text: &str, containers: &[Container]) -> String {
    let level = |container: &Container| match container {
        Container::Array { index } => format!("/{index}"),
        Container::Object { key: (start, end), .. } => {
            let key: Option<String> = text.get(*start..*end).and_then(|key| serde_json::from_str(key).ok());
            pointer_level(&key.unwrap_or_default())
        }
    };
    containers.iter().map(level).collect()
}

fn is_exact(number: &str) -> bool {
    let decimal = number.contains(['.', 'e', 'E']);
    if !decimal {
        return number.len() <= SURELY_EXACT_BYTES || number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok();
    }
    // Compared with what will be written: of two decimals that are as short and as near to a double, not every
    // printer chooses the same.
    let kept = number.parse().ok().and_then(serde_json::Number::from_f64).map(|double| double.to_string());
    kept.is_some_and(|kept| normalized(number).is_some_and(|wanted| normalized(&kept) == Some(wanted)))
}

/// Significant digits without zeros around them, and the power of ten behind the last one.
fn normalized(number: &str) -> Option<(String, i64)> {
    let number = number.trim_start_matches('-');
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some((String::new(), 0));
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let exponent: i64 = exponent.trim_start_matches('+').parse().ok()?;
    let shift = i64::try_from(trailing).ok()? - i64::try_from(fraction.len()).ok()?;
    Some((significant.to_owned(), exponent.checked_add(shift)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::json::{JsonFault, parse};

    #[test]
    fn a_number_that_is_kept_as_it_stands_is_exact() {
        for number in [
            "0",
            "-0",
            "-1",
            "9007199254740993",
            "9223372036854775808",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1.50",
            "1e3",
            "1E+3",
            "100000000000000000000e-20",
            "0.30000000000000004",
            "1.7976931348623157e308",
            "0e9",
            "-1934813307929635.2",
            "5e-324",
        ] {
            assert!(is_exact(number), "{number}");
        }
    }

    #[test]
    fn a_number_that_would_be_rounded_is_not() {
        for number in [
            "18446744073709551616",
            "-9223372036854775809",
            "1e400",
            "3.141592653589793238462643",
            "1e-400",
            "-1934813307929635.3",
            "0.1000000000000000055511151231257827",
            "123456789012345678901234567890",
            "1e99999999999999999999",
        ] {
            assert!(!is_exact(number), "{number}");
        }
    }

    #[test]
    fn the_pointer_leads_to_the_number() {
        for (text, pointer) in [
            ("18446744073709551616", ""),
            (r#"{"a": "1e400", "b, \" }": [1, {"c": 18446744073709551616}]}"#, "/b, \" }/1/c"),
            (r#"{"a": {"b": []}, "c~/": 1.00000000000000000001}"#, "/c~0~1"),
            // Beyond every double: the parser itself goes no further.
            (r#"{"a": [0, 1e400, "x"]}"#, "/a/1"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(JsonFault::Inexact(pointer.to_owned())), "{text}");
        }
    }
}
