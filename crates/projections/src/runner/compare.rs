//! Whether the read models were made from this log, and from this past of it.

use super::RunnerError;
use crate::{checkpoint::Checkpoint, log_identity};
use advisor_eventlog::{EventLog, Filter, Position};
use advisor_proof::{Mutant, is_planted};

/// Refuses to go on from a checkpoint that this log has not led to. Tells the log's identity.
pub(super) async fn compare(log: &dyn EventLog, checkpoint: &Checkpoint) -> Result<String, RunnerError> {
    let identity = log_identity::read(log).await?;
    if checkpoint.log_identity.as_ref().is_some_and(|known| *known != identity) {
        return Err(RunnerError::OtherLog);
    }
    if checkpoint.position == Position::START || is_planted(Mutant::CheckpointUncompared) {
        return Ok(identity);
    }
    if log.head().await? < checkpoint.position {
        return Err(RunnerError::AheadOfLog);
    }
    // Reads begin after a position: the one before the checkpoint's, whether an event stands there or not.
    let before = Position(checkpoint.position.0.saturating_sub(1));
    let page = log.read_all(before, &Filter::all(), 1).await?;
    let same = |event: &advisor_eventlog::Recorded| {
        event.position == checkpoint.position && Some(event.id) == checkpoint.event_id
    };
    if page.events.first().is_some_and(same) { Ok(identity) } else { Err(RunnerError::OtherPast) }
}
