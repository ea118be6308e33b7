//! What must be true of a world that has come to rest.

use crate::{client::Told, process::Process, store::SimStore, weather::Weather, world::World};
use advisor_bus::InProcessBus;
use advisor_eventlog::{EventLog, Filter, Position, Recorded, port::PAGE_EVENTS_MAX};
use advisor_events::{Actor, Event, Metadata, ReplyId, SealContext, conversation::ConversationEvent};
use advisor_projections::{
    Generation, Reader, Runner, RunnerLimits, RunnerParts, State, generations::dump, replies, verification::verify,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// An event of the log, opened.
pub(crate) struct Stored {
    recorded: Recorded,
    event: Event,
    metadata: Metadata,
}

impl World {
    /// Whether nobody has anything to do any more.
    pub(crate) async fn is_at_rest(&self) -> bool {
        let head = self.log.head().await.unwrap();
        // A power cut may have left no tables at all, until somebody makes them.
        let Ok(open) = self.onlooker.run(replies::open(1)).await else { return false };
        let is_read = open.position == head && open.value.is_empty();
        let is_heard = self.follower.events().last().is_some_and(|last| last.0 == head);
        is_read && is_heard && self.clients.iter().all(|client| client.is_settled())
    }

    /// Everything that is wrong.
    pub(crate) async fn violations(&self) -> Vec<String> {
        let stored = self.stored().await;
        let mut wrong = self.weather.all_wrong();
        wrong.extend(revisions_are_dense(&stored));
        wrong.extend(self.commands_are_kept(&stored));
        wrong.extend(self.replies_end_once(&stored));
        wrong.extend(self.follower_heard_all(&stored));
        wrong.extend(self.rows_are_the_fold().await);
        match self.served() {
            Some(served) => {
                for viewer in &self.viewers {
                    wrong.extend(viewer.differences(&served).await);
                }
            }
            None => wrong.push("nobody serves".to_owned()),
        }
        wrong
    }

    async fn stored(&self) -> Vec<Stored> {
        let mut all = Vec::new();
        let mut after = Position::START;
        let head = self.log.head().await.unwrap();
        while after < head {
            let page = self.log.read_all(after, &Filter::all(), PAGE_EVENTS_MAX).await.unwrap();
            after = page.scanned_to;
            for recorded in page.events {
                let decoded = Event::decode(&recorded.type_name, &recorded.data, &recorded.metadata);
                let (mut event, metadata) = decoded.unwrap();
                let key = match &metadata.subject {
                    Some(person) => self.keys.find(person).await.unwrap(),
                    None => None,
                };
                event.open(key.as_ref(), SealContext { stream: &recorded.stream, event_id: recorded.id });
                all.push(Stored { recorded, event, metadata });
            }
        }
        all
    }

    /// What was acknowledged is there once, as it was told; what was refused is not there; nothing else is.
    fn commands_are_kept(&self, stored: &[Stored]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut events: HashMap<(Actor, String), Vec<&Recorded>> = HashMap::new();
        for Stored { recorded, metadata, .. } in stored {
            let command = (metadata.actor.clone(), metadata.command_id.clone());
            events.entry(command).or_default().push(recorded);
        }
        for entry in self.clients.iter().flat_map(|client| client.history()) {
            let found = events.remove(&(entry.actor.clone(), entry.command_id.clone())).unwrap_or_default();
            let last = found.last().map(|last| (last.stream.clone(), last.revision, last.position));
            match entry.told {
                Told::Done { events: 0, .. } | Told::Refused(_) | Told::NothingWritten if found.is_empty() => {}
                Told::Done { events, revision, position }
                    if found.len() == events
                        && last == Some((entry.stream.clone(), revision, position))
                        && revision - found[0].revision == events as u64 - 1 => {}
                told @ (Told::Done { .. } | Told::Refused(_) | Told::NothingWritten) => {
                    wrong.push(format!("{} was told {told:?}, and the log has {found:?}", entry.command_id));
                }
            }
        }
        for (actor, command_id) in events.into_keys().filter(|(actor, _)| matches!(actor, Actor::User(_))) {
            wrong.push(format!("nobody has asked for {command_id} of {actor:?}"));
        }
        wrong
    }

    /// Each reply has one end; its attempts are 1, 2, 3 …, each claimed once; no model was asked without a claim; and
    /// what it says is what the model said.
    fn replies_end_once(&self, stored: &[Stored]) -> Vec<String> {
        let mut replies: BTreeMap<String, Reply> = BTreeMap::new();
        for Stored { event, .. } in stored {
            let Event::Conversation(event) = event else { continue };
            note(&mut replies, event);
        }
        let mut wrong = Vec::new();
        for (id, answers) in self.model.asked() {
            let reply = replies.entry(id.clone()).or_default();
            if answers.len() > reply.attempts.len() {
                wrong.push(format!("{id}: the model was asked {} times for {:?}", answers.len(), reply.attempts));
            }
            if let Some(text) = reply.text.as_ref().filter(|text| !answers.contains(text)) {
                wrong.push(format!("{id}: nobody said {text:?} but {answers:?}"));
            }
        }
        for (id, reply) in replies {
            let numbers: Vec<u32> = (1..).take(reply.attempts.len()).collect();
            let is_ended_once = reply.ends == 1 && reply.ended_by == reply.attempts.last().copied().unwrap_or_default();
            if reply.attempts != numbers || !is_ended_once || reply.is_started_after_end {
                wrong.push(format!("{id}: {reply:?}"));
            }
        }
        wrong
    }

    fn follower_heard_all(&self, stored: &[Stored]) -> Option<String> {
        let all: Vec<_> = stored.iter().map(|stored| (stored.recorded.position, stored.recorded.id)).collect();
        let heard = self.follower.events();
        let first = heard.iter().zip(&all).position(|(heard, there)| heard != there);
        let at = first.or((heard.len() != all.len()).then(|| heard.len().min(all.len())))?;
        let near = |events: &[_]| format!("{:?}", events.iter().skip(at).take(3).collect::<Vec<&(Position, _)>>());
        Some(format!("the follower heard {}, and the log has {}", near(&heard), near(&all)))
    }

    /// The rows are what a runner without any trouble makes of the same log.
    async fn rows_are_the_fold(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let lived = &self.onlooker;
        match verify(&*self.log, lived).await {
            Ok(verification) if verification.difference.is_none() => {}
            other => wrong.push(format!("what was consumed is not the log: {other:?}")),
        }
        let rows = SimStore::open("refolded", &Weather::calm());
        let generation = Generation::over(1, rows.of(&Process::start("refolding"))).await.unwrap();
        let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
        let parts = RunnerParts {
            log: Arc::<crate::log::SimLog>::clone(&self.log),
            keys: Arc::clone(&self.keys),
            generation: generation.clone(),
            bus: Arc::new(InProcessBus::new()),
            clock: Arc::<Weather>::clone(&self.weather),
            limits: RunnerLimits { batch_events_max: 50, ..RunnerLimits::default() },
        };
        tracker.spawn(Runner::open(parts).await.unwrap().run(shutdown.clone()));
        let refolded = Reader::new(&generation);
        refolded.progress().wait_for(|progress| progress.state == State::Live).await.unwrap();
        let (there, folded) = (lived.run(dump()).await.unwrap(), refolded.run(dump()).await.unwrap());
        shutdown.cancel();
        if there.value != folded.value {
            wrong.push(format!(
                "the rows are\n{}\nand the log's fold is\n{}",
                String::from_utf8_lossy(&there.value),
                String::from_utf8_lossy(&folded.value)
            ));
        }
        wrong
    }
}

fn revisions_are_dense(stored: &[Stored]) -> Vec<String> {
    let mut next: HashMap<&str, u64> = HashMap::new();
    let mut wrong = Vec::new();
    for Stored { recorded, .. } in stored {
        let next = next.entry(recorded.stream.as_str()).or_default();
        if recorded.revision != *next {
            wrong.push(format!("{} has {} where {next} is due", recorded.stream, recorded.revision));
        }
        *next += 1;
    }
    wrong
}

/// What the log says of a reply.
#[derive(Debug, Default)]
struct Reply {
    attempts: Vec<u32>,
    ends: usize,
    ended_by: u32,
    text: Option<String>,
    is_started_after_end: bool,
}

fn note(replies: &mut BTreeMap<String, Reply>, event: &ConversationEvent) {
    let mut end = |reply_id: &ReplyId, attempt: u32, text: Option<&String>| {
        let reply = replies.entry(reply_id.0.clone()).or_default();
        reply.ends += 1;
        reply.ended_by = attempt;
        reply.text = text.cloned();
    };
    match event {
        ConversationEvent::ReplyCompleted(event) => end(&event.reply_id, event.attempt, event.content.known()),
        ConversationEvent::ReplyFailed(event) => end(&event.reply_id, event.attempt, None),
        ConversationEvent::ReplyStopped(event) => end(&event.reply_id, event.attempt, None),
        ConversationEvent::MessageSent(event) => {
            for reply in &event.replies {
                replies.entry(reply.reply_id.0.clone()).or_default();
            }
        }
        ConversationEvent::ReplyStarted(event) => {
            let reply = replies.entry(event.reply_id.0.clone()).or_default();
            reply.attempts.push(event.attempt);
            reply.is_started_after_end |= reply.ends > 0;
        }
        ConversationEvent::Started(_)
        | ConversationEvent::Renamed(_)
        | ConversationEvent::AdvisorAssigned(_)
        | ConversationEvent::MessageEdited(_)
        | ConversationEvent::MessageDeleted(_)
        | ConversationEvent::ReplyStopRequested(_)
        | ConversationEvent::Deleted(_) => {}
    }
}
