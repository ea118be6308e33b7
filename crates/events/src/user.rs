//! Facts of a person: stream `user-<id>`.

use crate::{Personal, PersonalField, Timestamp, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to a person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// A person was seen for the first time.
    #[serde(rename = "user.registered.v1")]
    Registered(Registered),
    /// A person's profile is now this one.
    #[serde(rename = "user.profile_changed.v1")]
    ProfileChanged(ProfileChanged),
    /// A person's plan is now this one.
    #[serde(rename = "user.plan_changed.v1")]
    PlanChanged(PlanChanged),
    /// A person's account was deleted; their key is destroyed with it.
    #[serde(rename = "user.deleted.v1")]
    Deleted(Deleted),
}

impl UserEvent {
    /// The fields to seal and to open.
    pub fn personal_fields(&mut self) -> Vec<&mut dyn PersonalField> {
        let profile = match self {
            Self::Registered(event) => &mut event.profile,
            Self::ProfileChanged(event) => &mut event.profile,
            Self::PlanChanged(_) | Self::Deleted(_) => return Vec::new(),
        };
        [&mut profile.email, &mut profile.name, &mut profile.image]
            .into_iter()
            .flatten()
            .map(|field| field as &mut dyn PersonalField)
            .collect()
    }
}

/// What is known of a person beside their id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// Name as the person writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Personal<String>>,
    /// URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Personal<String>>,
}

/// A person was seen for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The person.
    pub user_id: UserId,
    /// What the sign-in told of them.
    pub profile: Profile,
    /// The plan as its word stands in the sign-in service: `free`, `base`, `premium`, `pro`, `enterprise`.
    pub plan: String,
    /// As of when the sign-in service told all this of itself: what it told earlier changes nothing. Absent where a
    /// token was all there was to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
}

/// A person's profile is now this one, as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileChanged {
    /// The new profile; what is absent is not known any more.
    pub profile: Profile,
    /// As of when the sign-in service told of the person, plan and all: what it told earlier changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
}

/// A person's plan is now this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanChanged {
    /// The plan's word.
    pub plan: String,
    /// As of when the sign-in service, or a token of its, named the plan: what it named earlier changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
}

/// A person's account was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// The person, since projections remove their rows everywhere.
    pub user_id: UserId,
}
