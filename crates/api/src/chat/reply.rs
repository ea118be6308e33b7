//! Waiting for a reply: on the bell of the bus, and by looking at the read side.

use super::Awaited;
use crate::{
    Api,
    auth::revoked::Watch,
    conversations::shown_title,
    problem::{Code, Problem},
};
use advisor_bus::{BusMessage, Listener, Topic};
use advisor_eventlog::Position;
use advisor_events::{MessageId, conversation::ReplyFailure};
use advisor_projections::{
    conversations::{self, ConversationRow},
    messages::{self, MessageRow},
    replies::{self, ReplyRow, ReplyStatus},
};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often one looks by oneself: the bell may be lost.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How a reply ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// It is a message, of this conversation.
    Message(Box<MessageRow>, Option<Box<ConversationRow>>),
    /// It will not come.
    Failed(ReplyFailure),
    /// It is nowhere: stopped before it said anything, or deleted.
    Gone,
}

/// What the read side shows of a reply.
#[derive(Debug)]
pub(super) enum Look {
    /// It has ended.
    Ended(Ending),
    /// It runs, or has not begun; with its row unless the read side has not come that far.
    Running(Option<Box<ReplyRow>>),
}

/// What makes one look again.
#[derive(Debug)]
pub(super) enum Bell {
    /// Somebody rang, or enough time has passed.
    Look,
    /// The worker said something.
    Said(BusMessage),
}

/// A reply, and where to look for it.
pub(super) struct Watched {
    pub(super) api: Api,
    pub(super) awaited: Awaited,
    /// Where the log asked for it: before that the read side knows nothing of it.
    asked_at: Position,
}

/// A request that waits for a reply.
pub(super) struct Waiting {
    pub(super) watched: Watched,
    sign_in: Watch,
    changes: Option<Box<dyn Listener>>,
    deltas: Option<Box<dyn Listener>>,
    interval: Interval,
    deadline: Instant,
}

impl Waiting {
    /// Listens first, so that nothing is missed between looking and listening.
    pub(super) async fn new(api: &Api, awaited: &Awaited, asked_at: Position, sign_in: Watch) -> Self {
        // Without a bell there is still the clock.
        let changes = api.bus.listen(&Topic::Changes).await.ok();
        let mut interval = interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            watched: Watched { api: api.clone(), awaited: awaited.clone(), asked_at },
            sign_in,
            changes,
            deltas: None,
            interval,
            deadline: Instant::now() + api.settings.time.chat,
        }
    }

    /// From now on hears the worker's words too.
    pub(super) async fn listen_to_text(&mut self) {
        let topic = Topic::Reply(self.watched.awaited.reply_id.clone());
        self.deltas = self.watched.api.bus.listen(&topic).await.ok();
    }

    /// Waits for the end, whatever it is.
    pub(super) async fn ending(&mut self) -> Result<Ending, Problem> {
        loop {
            self.bell().await?;
            if let Look::Ended(ending) = self.watched.look().await? {
                return Ok(ending);
            }
        }
    }

    /// Waits until there may be something new; at once the first time.
    pub(super) async fn bell(&mut self) -> Result<Bell, Problem> {
        loop {
            let heard = tokio::select! {
                () = self.watched.api.shutdown.cancelled() => {
                    return Err(Problem::new(Code::ShuttingDown, "The server stops. Ask again with the same key."));
                }
                () = self.sign_in.revoked() => return Err(Problem::auth_required()),
                () = tokio::time::sleep_until(self.deadline) => {
                    return Err(Problem::new(Code::TimedOut, "The reply takes too long. Ask again with the same key."));
                }
                _ = self.interval.tick() => None,
                heard = next(&mut self.changes) => heard,
                heard = next(&mut self.deltas) => heard,
            };
            match heard {
                Some(BusMessage::Changes(changes)) => {
                    let ours = [self.watched.awaited.reply_id.as_str(), self.watched.awaited.conversation_id.as_str()];
                    if changes.changes.iter().any(|change| ours.contains(&change.key.as_str())) {
                        return Ok(Bell::Look);
                    }
                }
                Some(delta @ BusMessage::Delta(_)) => return Ok(Bell::Said(delta)),
                Some(BusMessage::Appended(_)) => {}
                None => return Ok(Bell::Look),
            }
        }
    }
}

impl Watched {
    /// What the read side shows now.
    pub(super) async fn look(&self) -> Result<Look, Problem> {
        let Awaited { user_id, conversation_id, reply_id, .. } = &self.awaited;
        let message_id: MessageId = reply_id.clone().into();
        let query = messages::by_id(user_id, &message_id)
            .zip(replies::by_id(user_id, reply_id))
            .zip(conversations::by_id(user_id, conversation_id));
        let read = self.api.read(query).await?;
        let ((message, reply), conversation) = read.value;
        Ok(match (message, reply) {
            (Some(message), _) => Look::Ended(Ending::Message(Box::new(message), conversation.map(Box::new))),
            (None, Some(ReplyRow { status: ReplyStatus::Failed, error, .. })) => {
                Look::Ended(Ending::Failed(error.unwrap_or(ReplyFailure::AiApiError)))
            }
            (None, Some(reply)) => Look::Running(Some(Box::new(reply))),
            (None, None) if read.position < self.asked_at => Look::Running(None),
            (None, None) => Look::Ended(Ending::Gone),
        })
    }
}

/// The contract's answer.
pub(super) fn answer(message: &MessageRow, conversation: Option<&ConversationRow>) -> Value {
    let beside = message.content_json.as_ref();
    let usage = beside.and_then(|beside| beside.get("usage"));
    let tokens = |snake: &str, camel: &str| usage.and_then(|usage| usage.get(snake).or_else(|| usage.get(camel)));
    let mut answer = Map::new();
    answer.insert("success".into(), json!(true));
    answer.insert(
        "message".into(),
        json!({
            "id": message.id,
            "content": message.content,
            "sender": message.sender,
            "advisorId": message.advisor_id,
            "createdAt": message.created_at,
            "tokensUsed": message.tokens_used,
        }),
    );
    answer.insert(
        "conversation".into(),
        json!({
            "id": message.conversation_id,
            "activeAdvisorId": conversation.and_then(|row| row.active_advisor_id.as_ref()),
            "title": shown_title(conversation.and_then(|row| row.title.as_deref())),
        }),
    );
    answer.insert(
        "usage".into(),
        json!({
            "prompt_tokens": tokens("prompt_tokens", "promptTokens"),
            "completion_tokens": tokens("completion_tokens", "completionTokens"),
            "total_tokens": tokens("total_tokens", "totalTokens"),
        }),
    );
    if beside.and_then(|beside| beside.get("isDemo")) == Some(&Value::Bool(true)) {
        answer.insert("isDemo".into(), json!(true));
    }
    Value::Object(answer)
}

/// The next message; never, where nobody could be listened to.
async fn next(listener: &mut Option<Box<dyn Listener>>) -> Option<BusMessage> {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}
