//! Names of topics in NATS. No id can carry a dot or a wildcard into one, and no two ids have the same.

use crate::port::{BusError, Topic};
use data_encoding::BASE64URL_NOPAD;

/// Longest id in a subject, in bytes: NATS takes lines of 4 KiB, and what is longer is no id of ours.
pub const ID_BYTES_MAX: usize = 1_024;

/// The names of one system's topics.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    prefix: String,
}

impl Subjects {
    /// All names begin with `prefix`: letters, digits, `_` and `-`, and dots between them. `None` if it is another.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let fits = |part: &str| !part.is_empty() && part.bytes().all(is_plain);
        prefix.split('.').all(fits).then(|| Self { prefix: prefix.to_owned() })
    }

    /// The subject of a topic.
    pub(super) fn of(&self, topic: &Topic) -> Result<String, BusError> {
        match topic {
            Topic::Appends => Ok(format!("{}.appends", self.prefix)),
            Topic::Changes => Ok(format!("{}.changes", self.prefix)),
            Topic::Reply(id) if id.as_str().len() > ID_BYTES_MAX => {
                Err(BusError(format!("an id of more than {ID_BYTES_MAX} bytes names no topic")))
            }
            Topic::Reply(id) => Ok(format!("{}.replies.{}", self.prefix, encoded(id.as_str()))),
        }
    }

    /// Where a process speaks to itself.
    pub(super) fn inbox(&self) -> String {
        format!("{}.inbox", self.prefix)
    }
}

/// The id itself where it fits, as those that the server makes do; otherwise `_` and its base64. What fits never
/// begins with `_`, so that no id can take the name of another.
fn encoded(id: &str) -> String {
    if !id.is_empty() && !id.starts_with('_') && id.bytes().all(is_plain) {
        id.to_owned()
    } else {
        format!("_{}", BASE64URL_NOPAD.encode(id.as_bytes()))
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_that_the_server_makes_stands_as_it_is() {
        let subjects = Subjects::new("advisor").unwrap();
        assert_eq!(subjects.of(&Topic::Appends).unwrap(), "advisor.appends");
        assert_eq!(subjects.of(&Topic::Changes).unwrap(), "advisor.changes");
        let reply = "5f0c5d9e-6c1a-5f0e-9a54-0f3f9d6f2b11";
        assert_eq!(subjects.of(&Topic::Reply(reply.into())).unwrap(), format!("advisor.replies.{reply}"));
        assert!(subjects.of(&Topic::Reply("a".repeat(ID_BYTES_MAX + 1).into())).is_err());
    }

    #[test]
    fn a_prefix_that_is_no_subject_is_refused() {
        for prefix in ["", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "ä", "a\r\nPUB"] {
            assert!(Subjects::new(prefix).is_none(), "{prefix:?}");
        }
        assert!(Subjects::new("apps.advisor-2").is_some());
    }

    proptest! {
        #[test]
        fn no_two_ids_have_the_same_name_and_none_has_a_dot_or_a_wildcard(
            one in any_id(), other in any_id()
        ) {
            let name = encoded(&one);
            prop_assert!(!name.is_empty() && name.bytes().all(is_plain), "{name}");
            prop_assert_eq!(one == other, name == encoded(&other));
            // Neither can be made to look like the other's.
            prop_assert_ne!(encoded(&name) == name, name.starts_with('_'));
        }
    }

    fn any_id() -> impl Strategy<Value = String> {
        prop_oneof!["[a-b_-]{0,3}", "[ .*>\\PC\r\n\0]{0,4}", Just("_".to_owned()), "_[A-Za-z0-9_-]{0,6}"]
    }
}
