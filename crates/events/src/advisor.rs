//! Facts of an advisor: stream `advisor-<id>`.

use crate::{AdvisorId, Personal, PersonalField, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened to an advisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum AdvisorEvent {
    /// An advisor was made.
    #[serde(rename = "advisor.created.v1")]
    Created(Created),
    /// An advisor's document was replaced.
    #[serde(rename = "advisor.revised.v1")]
    Revised(Revised),
    /// An advisor became active, inactive or archived.
    #[serde(rename = "advisor.status_changed.v1")]
    StatusChanged(StatusChanged),
    /// An advisor became visible to all, or to its owner alone.
    #[serde(rename = "advisor.visibility_changed.v1")]
    VisibilityChanged(VisibilityChanged),
}

impl AdvisorEvent {
    /// The fields to seal and to open.
    pub fn personal_fields(&mut self) -> Vec<&mut dyn PersonalField> {
        let document = match self {
            Self::Created(event) => &mut event.document,
            Self::Revised(event) => &mut event.document,
            Self::VisibilityChanged(event) => &mut event.document,
            Self::StatusChanged(_) => return Vec::new(),
        };
        match document {
            Document::Public(_) => Vec::new(),
            Document::Private(personal) => vec![personal],
        }
    }
}

/// An advisor document (persona, role definition, components …), kept with every field that it came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Document {
    /// Seen by all: not personal.
    Public(Value),
    /// Seen by its owner alone: sealed under the owner's key.
    Private(Personal<Value>),
}

impl Document {
    /// The document, unless it is sealed or erased.
    pub fn known(&self) -> Option<&Value> {
        match self {
            Self::Public(value) => Some(value),
            Self::Private(personal) => personal.known(),
        }
    }
}

/// Whether an advisor can be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Listed and answering.
    Active,
    /// Not listed; its messages stay.
    Inactive,
    /// Taken away by its owner or an operator; its messages stay.
    Archived,
}

impl Status {
    /// The word in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Archived => "archived",
        }
    }
}

/// Who sees an advisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Its owner alone.
    Private,
    /// Everybody.
    Public,
}

impl Visibility {
    /// The word in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// An advisor was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// The advisor.
    pub advisor_id: AdvisorId,
    /// The user or operator who made it; absent for seeded and imported ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<UserId>,
    /// Who sees it.
    pub visibility: Visibility,
    /// Whether it can be talked to.
    pub status: Status,
    /// Its document.
    pub document: Document,
}

/// An advisor's document was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revised {
    /// The new document.
    pub document: Document,
}

/// An advisor became active, inactive or archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusChanged {
    /// The new status.
    pub status: Status,
}

/// An advisor became visible to all, or to its owner alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VisibilityChanged {
    /// The new visibility.
    pub visibility: Visibility,
    /// The document once more, sealed or in the clear as the visibility asks.
    pub document: Document,
}
