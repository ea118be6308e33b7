//! `advisor openapi`: the description that the server gives at `/openapi.json`.

use crate::output;
use anyhow::Result;

/// Prints the OpenAPI document.
pub(crate) fn run() -> Result<()> {
    output::line(&advisor_api::openapi_json()?)
}
