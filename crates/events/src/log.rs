//! Facts of the log itself: stream `log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum LogEvent {
    /// The log was opened for the first time.
    #[serde(rename = "log.opened.v1")]
    Opened(Opened),
    /// The sample advisors were written into the empty log.
    #[serde(rename = "log.seeded.v1")]
    Seeded(Seeded),
}

/// The log was opened for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// Random name of this log: read models and cursors made from another one are refused.
    pub identity: String,
}

/// The sample advisors were written into the empty log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seeded {
    /// How many advisors were written.
    pub advisors: u32,
}
