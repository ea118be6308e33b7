//! Whether the read models were made from this log, and from this past of it.

use super::RunnerError;
use crate::{checkpoint::Checkpoint, log_identity};
use advisor_eventlog::{EventLog, Position};
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
    let applied = log.event_at(checkpoint.position).await?.map(|event| event.id);
    if applied.is_some() && applied == checkpoint.event_id { Ok(identity) } else { Err(RunnerError::OtherPast) }
}
