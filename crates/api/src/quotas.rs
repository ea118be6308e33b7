//! How much is kept for one person: looked at on the read side before a command makes more of it.
//!
//! Commands that are on their way at the same time don't see each other there: together they may pass the bound by as
//! many as there are of them. What bounds a single stream is a rule of its own and exact.

use crate::{
    command_request::CommandRequest,
    problem::{Code, Problem},
};
use advisor_projections::{Query, advisors, conversations};

/// Why the caller can't begin another conversation.
pub(crate) async fn conversations(request: &CommandRequest) -> Result<Option<Problem>, Problem> {
    let most = request.api.settings.quotas.conversations_per_person_max;
    let count = conversations::count_of_user(request.viewer.user_id(), most);
    refusal(request, count, most, "conversations").await
}

/// Why the caller can't make another advisor. Operators make public ones, which are nobody's.
pub(crate) async fn advisors(request: &CommandRequest) -> Result<Option<Problem>, Problem> {
    if request.is_of_an_operator() {
        return Ok(None);
    }
    let most = request.api.settings.quotas.advisors_per_person_max;
    let count = advisors::count_of_user(request.viewer.user_id(), most);
    refusal(request, count, most, "advisors, archived ones among them").await
}

/// Whoever gets one asks for a repeat at most: what was accepted once is not refused later.
async fn refusal(
    request: &CommandRequest,
    count: Query<u64>,
    most: u32,
    what: &str,
) -> Result<Option<Problem>, Problem> {
    let count = request.api.read(count).await?.value;
    let text = format!("You have {most} {what}, and can't have more.");
    let full = || Problem::new(Code::QuotaExceeded, text).command_id(&request.id);
    Ok((count >= u64::from(most)).then(full))
}

#[cfg(test)]
mod tests;
