//! What a webhook of Clerk's tells, as far as it concerns this system.

use crate::{
    auth::token,
    problem::{Code, Detail, Problem},
};
use advisor_events::{Timestamp, UserId, user::Profile};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// The plan of whom nothing else is told.
const DEFAULT_PLAN: &str = "free";
/// Longest word of a plan, in bytes.
pub const PLAN_BYTES_MAX: usize = 64;
/// Longest text of a profile, in bytes; what is longer is left out.
pub const TEXT_BYTES_MAX: usize = 2_048;
/// Longest id of a session, in bytes.
pub const SESSION_ID_BYTES_MAX: usize = 256;
/// 9999-12-31T23:59:59.999Z: what is later can't be written.
const LATEST_MS: i64 = 253_402_300_799_999;

/// What is told.
pub(super) enum News {
    /// A person as a whole is now like this.
    Account { user_id: UserId, profile: Profile, plan: String, told_at: Timestamp },
    /// A person was deleted.
    Deletion { user_id: UserId },
    /// A session was ended, by whomever.
    SessionEnd { session_id: String },
    /// Something else.
    OfNoConcern,
}

#[derive(Deserialize)]
struct Delivery {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Value,
    /// When it happened, in milliseconds.
    #[serde(default)]
    timestamp: Value,
}

/// A person, as Clerk tells of them. What is missing is not known.
#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    first_name: Value,
    #[serde(default)]
    last_name: Value,
    #[serde(default)]
    username: Value,
    #[serde(default)]
    image_url: Value,
    #[serde(default)]
    primary_email_address_id: Value,
    #[serde(default)]
    email_addresses: Value,
    #[serde(default)]
    public_metadata: Value,
    /// As of when all this is so, in milliseconds.
    #[serde(default)]
    updated_at: Value,
}

/// A thing of which only the id counts.
#[derive(Deserialize)]
struct Named {
    id: String,
}

impl News {
    /// What a body tells that was sent at `sent_at`.
    pub(super) fn read(body: &[u8], sent_at: Timestamp) -> Result<Self, Problem> {
        let delivery: Delivery = serde_json::from_slice(body)
            .map_err(|error| Problem::new(Code::InvalidJson, "The body is no event.").caused_by(&error))?;
        match delivery.kind.as_str() {
            "user.created" | "user.updated" => {
                let user: User = thing(delivery.data)?;
                let told_at = moment(&user.updated_at).or_else(|| moment(&delivery.timestamp)).unwrap_or(sent_at);
                let (user_id, profile, plan) = (user_id(&user.id)?, user.profile(), user.plan());
                Ok(Self::Account { user_id, profile, plan, told_at })
            }
            "user.deleted" => Ok(Self::Deletion { user_id: user_id(&thing::<Named>(delivery.data)?.id)? }),
            "session.ended" | "session.removed" | "session.revoked" => {
                let session_id = thing::<Named>(delivery.data)?.id;
                if session_id.is_empty() || session_id.len() > SESSION_ID_BYTES_MAX {
                    return Err(no_id());
                }
                Ok(Self::SessionEnd { session_id })
            }
            _ => Ok(Self::OfNoConcern),
        }
    }
}

impl User {
    fn profile(&self) -> Profile {
        Profile {
            email: self.email().map(Into::into),
            name: self.name().map(Into::into),
            image: text(&self.image_url).map(|image| image.to_owned().into()),
        }
    }

    /// The primary address; the first one, where none is called so.
    fn email(&self) -> Option<String> {
        let addresses = self.email_addresses.as_array()?;
        let primary = match self.primary_email_address_id.as_str() {
            Some(id) => addresses.iter().find(|address| address.get("id").is_some_and(|named| named == id)),
            None => addresses.first(),
        };
        primary?.get("email_address").and_then(text).map(str::to_owned)
    }

    fn name(&self) -> Option<String> {
        let names: Vec<_> = [&self.first_name, &self.last_name].into_iter().filter_map(text).collect();
        if names.is_empty() { text(&self.username).map(str::to_owned) } else { Some(names.join(" ")) }
    }

    fn plan(&self) -> String {
        let plan = self.public_metadata.get("plan").and_then(text).filter(|plan| plan.len() <= PLAN_BYTES_MAX);
        plan.unwrap_or(DEFAULT_PLAN).to_owned()
    }
}

fn thing<T: DeserializeOwned>(data: Value) -> Result<T, Problem> {
    serde_json::from_value(data).map_err(|error| no_id().caused_by(&error))
}

fn user_id(text: &str) -> Result<UserId, Problem> {
    token::user_id(text).ok_or_else(no_id)
}

fn no_id() -> Problem {
    Problem::invalid_request(vec![Detail::at("/data/id", "must be the id of what the event is about")])
}

/// A text that says something and can be kept.
fn text(value: &Value) -> Option<&str> {
    let text = value.as_str()?.trim();
    (!text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains('\0')).then_some(text)
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.as_i64().filter(|milliseconds| (0..=LATEST_MS).contains(milliseconds)).map(Timestamp)
}

#[cfg(test)]
mod tests;
