//! What a person may do beside their own: from a claim that only the issuer writes, or from a list of ids.

use super::token::Claims;
use advisor_events::UserId;
use serde_json::Value;
use std::collections::HashSet;

/// The roles beside `user`, which everybody has who is signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Runs the system.
    pub operator: bool,
    /// Reads the event stream.
    pub analyst: bool,
}

impl Roles {
    /// The roles as texts, `user` first.
    pub fn names(self) -> Vec<&'static str> {
        [(true, "user"), (self.operator, "operator"), (self.analyst, "analyst")]
            .into_iter()
            .filter_map(|(held, name)| held.then_some(name))
            .collect()
    }
}

/// Where roles come from.
#[derive(Clone, Debug, Default)]
pub struct RoleRules {
    /// The claim that holds them, dots between levels: a text (names between commas or spaces) or a list of texts.
    pub claim: Option<String>,
    /// Ids of operators.
    pub operators: HashSet<UserId>,
    /// Ids of analysts.
    pub analysts: HashSet<UserId>,
}

impl RoleRules {
    /// The roles of a person with these claims, which must have been verified.
    pub fn of(&self, user_id: &UserId, claims: &Claims) -> Roles {
        let value = self.claim.as_deref().and_then(|path| claims.at_path(path));
        Roles {
            operator: self.operators.contains(user_id) || value.is_some_and(|value| names(value, "operator")),
            analyst: self.analysts.contains(user_id) || value.is_some_and(|value| names(value, "analyst")),
        }
    }
}

fn names(value: &Value, role: &str) -> bool {
    match value {
        Value::String(text) => text.split([',', ' ']).any(|name| name == role),
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(role)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}
