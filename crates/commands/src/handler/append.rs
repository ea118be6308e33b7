//! Seals, encodes and appends a command's events.

use super::{Asked, CommandError, Handler, fold::Last, identity::Identity};
use crate::Decider;
use advisor_eventlog::{AppendError, Appended, Expected, NewEvent};
use advisor_events::{Event, SealContext, StreamName, UserId};
use advisor_proof::{Point, reached};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause before an append with an unknown outcome is repeated; it doubles each time.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest such pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where an append stands.
pub(super) enum Written {
    /// In the log.
    Here(Appended),
    /// Nowhere: the stream went on without it.
    OthersWereFaster,
}

impl<D: Decider> Handler<D> {
    /// The events as the log stores them. The subject is named where there is something sealed, and only there.
    pub(super) async fn encode(
        &self,
        asked: &Asked<'_, D>,
        identity: &Identity,
        subject: Option<&UserId>,
        events: &[D::Event],
    ) -> Result<Vec<NewEvent>, CommandError<D::Refusal>> {
        let mut batch = Vec::with_capacity(events.len());
        let mut metadata = asked.context.metadata(&identity.body_hash);
        for (index, event) in events.iter().enumerate() {
            let mut event: Event = event.clone().into();
            metadata.subject = if event.personal_fields().is_empty() { None } else { subject.cloned() };
            let key = match &metadata.subject {
                Some(person) => Some(identity.key_of(person, &*self.keys).await?),
                None => None,
            };
            let id = identity.event_id(index);
            let seal = SealContext { stream: asked.stream, event_id: id };
            let encoded = event.encode(key.as_ref(), seal, &metadata)?;
            batch.push(NewEvent { id, type_name: encoded.type_name, data: encoded.data, metadata: encoded.metadata });
        }
        Ok(batch)
    }

    /// Appends after the fold's last event. Repeats the identical append until the log says what became of
    /// it, or time is over. What the log says of a repeat alone ("not available") tells nothing of the append
    /// before it. A fold that does not hear of an append that was written is stale, as others may be.
    pub(super) async fn append(
        &self,
        stream: &StreamName,
        last: Option<Last>,
        batch: Vec<NewEvent>,
    ) -> Result<Written, CommandError<D::Refusal>> {
        let expected = last.map_or(Expected::NoStream, |last| Expected::Exact(last.revision));
        let deadline = Instant::now() + self.limits.repeat;
        let mut pause = PAUSE_FIRST;
        let mut is_unknown = false;
        loop {
            reached(Point::BeforeAppend);
            let reason = match self.log.append(stream, expected, batch.clone()).await {
                Ok(appended) => {
                    reached(Point::AfterAppend);
                    return Ok(Written::Here(appended));
                }
                Err(AppendError::WrongRevision { .. }) => return Ok(Written::OthersWereFaster),
                Err(AppendError::OutcomeUnknown(reason)) => reason,
                Err(error) if is_unknown => error.to_string(),
                Err(AppendError::TooLarge) => return Err(CommandError::TooLarge),
                Err(AppendError::Unavailable(reason)) => return Err(CommandError::Unavailable(reason)),
                Err(error @ (AppendError::Invalid(_) | AppendError::Denied)) => {
                    return Err(CommandError::Broken(Box::new(error)));
                }
            };
            is_unknown = true;
            if Instant::now() + pause > deadline {
                return Err(CommandError::OutcomeUnknown(reason));
            }
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }
}
