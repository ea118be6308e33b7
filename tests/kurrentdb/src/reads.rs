//! Reads of a stream and of the whole log.

use crate::{
    cluster::{Cluster, Node},
    faults::{Access, Ends},
    log::{Stored, index},
    protocol::event_store::client::{
        AllStreamPosition, StreamIdentifier,
        streams::{
            ReadResp,
            read_req::{
                Options,
                options::{
                    AllOptions, CountOption, FilterOption, FilterOptions, ReadDirection, StreamOption, StreamOptions,
                    all_options::AllOption, filter_options, stream_options::RevisionOption, uuid_option,
                },
            },
            read_resp::{Content, ReadEvent, StreamNotFound, read_event},
        },
    },
    streams::{IdForm, deleted, missing, name},
};
use futures::{StreamExt, stream, stream::BoxStream};
use std::{sync::Arc, time::Duration};
use tonic::Status;

/// How late an end is that is late.
const LATE: Duration = Duration::from_millis(200);

type Answers = BoxStream<'static, Result<ReadResp, Status>>;

/// How it is read, a stream or all.
#[derive(Clone, Copy)]
struct Manner {
    direction: ReadDirection,
    max: usize,
    ids: IdForm,
}

impl Node {
    pub(crate) fn read_events(&self, options: Options) -> Result<Answers, Status> {
        let direction = ReadDirection::try_from(options.read_direction).map_err(|_| missing("direction"))?;
        let max = match options.count_option.ok_or_else(|| missing("count"))? {
            CountOption::Count(0) => return Err(Status::invalid_argument("count must be positive")),
            CountOption::Count(max) => index(max),
            CountOption::Subscription(_) => {
                self.cluster.faults.see(|seen| seen.subscriptions += 1);
                return Err(Status::unimplemented("the double has no subscriptions"));
            }
        };
        let ids = match options.uuid_option.and_then(|option| option.content) {
            Some(uuid_option::Content::Structured(_)) => IdForm::Structured,
            Some(uuid_option::Content::String(_)) => IdForm::Text,
            None => return Err(missing("uuid option")),
        };
        let compatibility = options.control_option.map_or(0, |control| control.compatibility);
        let manner = Manner { direction, max, ids };
        match options.stream_option.ok_or_else(|| missing("stream"))? {
            StreamOption::Stream(stream) => self.read_stream(stream, manner, compatibility),
            StreamOption::All(all) => self.read_all(&all, manner, options.filter_option),
        }
    }

    fn read_stream(&self, options: StreamOptions, manner: Manner, compatibility: u32) -> Result<Answers, Status> {
        let Manner { direction, max, ids } = manner;
        let stream = name(options.stream_identifier.clone())?;
        let log = self.cluster.log();
        if log.is_tombstoned(&stream) {
            return Err(deleted(&stream));
        }
        let events = log.stream(&stream);
        drop(log);
        let Some(last) = events.last().map(|last| last.revision) else {
            let stream_identifier = options.stream_identifier;
            return Ok(answers(vec![Content::StreamNotFound(StreamNotFound { stream_identifier })]));
        };
        let from = match options.revision_option.ok_or_else(|| missing("revision"))? {
            RevisionOption::Revision(revision) => revision,
            RevisionOption::Start(_) => 0,
            RevisionOption::End(_) => u64::MAX,
        };
        if i64::try_from(from).is_err() && from != u64::MAX {
            return Err(Status::invalid_argument("a revision beyond what the server counts to"));
        }
        let chosen: Vec<_> = match direction {
            ReadDirection::Forwards => events.iter().filter(|event| event.revision >= from).take(max).collect(),
            ReadDirection::Backwards => {
                // From beyond the end it still looks at no more than `max` revisions.
                let newest = if from == u64::MAX { last } else { from };
                let oldest = newest.saturating_sub(max as u64 - 1);
                events.iter().rev().filter(|event| (oldest..=newest).contains(&event.revision)).collect()
            }
        };
        let mut contents: Vec<_> = chosen.into_iter().map(|event| content(event, ids)).collect();
        if compatibility > 0 {
            contents.push(Content::LastStreamPosition(last));
        }
        Ok(answers(contents))
    }

    fn read_all(&self, options: &AllOptions, manner: Manner, filter: Option<FilterOption>) -> Result<Answers, Status> {
        let Manner { direction, max, ids } = manner;
        if self.cluster.faults.whole_log() == Access::Denied {
            return Err(Status::permission_denied("Access Denied"));
        }
        let place = match options.all_option.ok_or_else(|| missing("position"))? {
            AllOption::Position(position) => position.commit_position,
            AllOption::Start(_) => 0,
            AllOption::End(_) => u64::MAX,
        };
        let log = self.cluster.log();
        // A place within an event is read as if an event began there, and nothing that is one is found.
        if !log.begins_at(place) {
            return Err(Status::invalid_argument("Trying to read from an invalid position."));
        }
        let filter = match filter.ok_or_else(|| missing("filter"))? {
            FilterOption::Filter(filter) => Some(filter),
            FilterOption::NoFilter(_) => None,
        };
        let scanned = match direction {
            // Inclusive this way, exclusive the other.
            ReadDirection::Forwards => log.forward(place, if filter.is_some() { usize::MAX } else { max }),
            ReadDirection::Backwards => log.backward(place, if filter.is_some() { usize::MAX } else { max }),
        };
        drop(log);
        let chosen = scanned.iter().filter(|event| filter.as_ref().is_none_or(|filter| matches(filter, event)));
        let chosen: Vec<_> = chosen.take(max).cloned().collect();
        self.cluster.faults.see(|seen| seen.told_of_all += chosen.len() as u64);
        let last = chosen.last().map(|last| last.position);
        let events = stream::iter(chosen).map(move |event| content(&event, ids));
        let end = last
            .map(|at| Content::LastAllStreamPosition(AllStreamPosition { commit_position: at, prepare_position: at }));
        let contents = events.chain(stream::iter(end)).map(|content| Ok(ReadResp { content: Some(content) }));
        Ok(self.to_the_end(contents.boxed()))
    }

    /// Ends when reads are to end, and counts those whose end nobody waited for.
    fn to_the_end(&self, answers: Answers) -> Answers {
        let reader = Reader { cluster: Arc::clone(&self.cluster), heard_all: false };
        let told = stream::unfold((answers, reader), |(mut answers, mut reader)| async move {
            if let Some(answer) = answers.next().await {
                return Some((answer, (answers, reader)));
            }
            if reader.cluster.faults.ends() == Ends::Late {
                tokio::time::sleep(LATE).await;
            }
            reader.hear_the_end();
            None
        });
        told.boxed()
    }
}

/// Whoever reads the whole log.
struct Reader {
    cluster: Arc<Cluster>,
    heard_all: bool,
}

impl Reader {
    fn hear_the_end(&mut self) {
        self.heard_all = true;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.heard_all {
            self.cluster.faults.see(|seen| seen.left_early += 1);
        }
    }
}

fn answers(contents: Vec<Content>) -> Answers {
    stream::iter(contents).map(|content| Ok(ReadResp { content: Some(content) })).boxed()
}

/// By prefixes; a pattern lets nothing pass but what does not begin with `$`, the one that clients use.
fn matches(filter: &FilterOptions, event: &Stored) -> bool {
    let passes = |expression: &filter_options::Expression, text: &str| {
        if expression.prefix.is_empty() {
            !text.starts_with('$')
        } else {
            expression.prefix.iter().any(|prefix| text.starts_with(prefix))
        }
    };
    match &filter.filter {
        Some(filter_options::Filter::StreamIdentifier(expression)) => passes(expression, &event.stream),
        Some(filter_options::Filter::EventType(expression)) => {
            passes(expression, event.system_metadata.get("type").map_or("", String::as_str))
        }
        None => true,
    }
}

fn content(event: &Arc<Stored>, ids: IdForm) -> Content {
    let recorded = read_event::RecordedEvent {
        id: Some(ids.of(event)),
        stream_identifier: Some(StreamIdentifier { stream_name: event.stream.clone().into_bytes().into() }),
        stream_revision: event.revision,
        prepare_position: event.position,
        commit_position: event.position,
        metadata: event.system_metadata.clone(),
        custom_metadata: event.metadata.clone(),
        data: event.data.clone(),
    };
    Content::Event(ReadEvent {
        event: Some(recorded),
        link: None,
        position: Some(read_event::Position::CommitPosition(event.position)),
    })
}
