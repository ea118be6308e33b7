//! The service `Streams`: appends, and what both sides of it share.

use crate::{
    cluster::{HeldBack, Node},
    faults::Fault,
    log::{Expected, Outcome, Proposed, Stored},
    protocol::event_store::client::{
        Empty, Uuid as WireUuid,
        streams::{
            AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq, ReadResp,
            TombstoneReq, TombstoneResp,
            append_req::{Content, ProposedMessage, options::ExpectedStreamRevision},
            append_resp::{Position, Result as Answer, Success, WrongExpectedVersion, success, wrong_expected_version},
            delete_req, delete_resp,
            streams_server::Streams,
            tombstone_resp,
        },
        uuid::{Structured, Value},
    },
};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};
use uuid::Uuid;

/// What a real one is configured to take in one append, by default.
const APPEND_BYTES_MAX: usize = 1_048_576;

#[tonic::async_trait]
impl Streams for Node {
    type ReadStream = BoxStream<'static, Result<ReadResp, Status>>;
    type BatchAppendStream = BoxStream<'static, Result<BatchAppendResp, Status>>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        self.admit(request.metadata())?;
        let options = request.into_inner().options.ok_or_else(|| missing("options"))?;
        Ok(Response::new(self.read_events(options)?))
    }

    async fn append(&self, request: Request<Streaming<AppendReq>>) -> Result<Response<AppendResp>, Status> {
        self.admit(request.metadata())?;
        self.cluster.faults.see(|seen| seen.appends += 1);
        let append = received(request.into_inner()).await?;
        let answer = self.append_with(append, self.cluster.faults.of_this_append()).await?;
        Ok(Response::new(answer))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.admit(request.metadata())?;
        let options = request.into_inner().options.ok_or_else(|| missing("options"))?;
        let stream = name(options.stream_identifier)?;
        let last = self.cluster.log().stream(&stream).last().map(|last| last.revision);
        if let Some(delete_req::options::ExpectedStreamRevision::Revision(expected)) = options.expected_stream_revision
            && last != Some(expected)
        {
            return Err(Status::failed_precondition("wrong expected version"));
        }
        self.cluster.log().delete(&stream);
        Ok(Response::new(DeleteResp { position_option: Some(delete_resp::PositionOption::NoPosition(Empty {})) }))
    }

    async fn tombstone(&self, request: Request<TombstoneReq>) -> Result<Response<TombstoneResp>, Status> {
        self.admit(request.metadata())?;
        let options = request.into_inner().options.ok_or_else(|| missing("options"))?;
        self.cluster.log().tombstone(&name(options.stream_identifier)?);
        Ok(Response::new(TombstoneResp { position_option: Some(tombstone_resp::PositionOption::NoPosition(Empty {})) }))
    }

    async fn batch_append(
        &self,
        _: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        self.cluster.faults.see(|seen| seen.batches += 1);
        Err(Status::unimplemented("the double has no sessions of appends"))
    }
}

impl Node {
    /// Counts a call; one that asks for the leader is refused by everybody else.
    fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let wants_leader = metadata.get("requires-leader").is_some_and(|value| value == "true");
        self.cluster.faults.see(|seen| {
            *if wants_leader { &mut seen.for_leader } else { &mut seen.for_anybody } += 1;
            seen.deadlines += u64::from(metadata.contains_key("grpc-timeout"));
        });
        let leader = self.cluster.leader();
        if !wants_leader || leader == self.number {
            return Ok(());
        }
        let address = self.cluster.address(leader);
        let mut refusal = Status::not_found("Leader info available");
        let about = refusal.metadata_mut();
        about.insert("exception", "not-leader".parse().expect("a value"));
        about.insert("leader-endpoint-host", address.ip().to_string().parse().expect("a value"));
        about.insert("leader-endpoint-port", address.port().to_string().parse().expect("a value"));
        Err(refusal)
    }

    async fn append_with(&self, append: HeldBack, fault: Option<Fault>) -> Result<AppendResp, Status> {
        if self.cluster.is_held_back(&append.stream, &append.events) {
            return std::future::pending().await;
        }
        match fault {
            Some(Fault::Refused(code)) => Err(Status::new(code, "a planted refusal")),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::SlowReplication) => {
                self.cluster.hold_back(append);
                std::future::pending().await
            }
            Some(Fault::WrittenBut(code)) => {
                self.write(append)?;
                Err(Status::new(code, "a planted error after the write"))
            }
            Some(Fault::WithoutPosition) => {
                let mut answer = self.write(append)?;
                if let Some(Answer::Success(success)) = &mut answer.result {
                    success.position_option = Some(success::PositionOption::NoPosition(Empty {}));
                }
                Ok(answer)
            }
            None => self.write(append),
        }
    }

    fn write(&self, append: HeldBack) -> Result<AppendResp, Status> {
        let outcome = self.cluster.log().append(&append.stream, append.expected, append.events);
        let result = match outcome {
            Outcome::Written { last, position } => success(last, Some(position)),
            // Whether a real one tells where a repeat stands differs between versions.
            Outcome::Repeated { last } => success(last, None),
            Outcome::Wrong { actual } => wrong(append.expected, actual),
            Outcome::Deleted => return Err(deleted(&append.stream)),
        };
        Ok(AppendResp { result: Some(result) })
    }
}

async fn received(mut parts: Streaming<AppendReq>) -> Result<HeldBack, Status> {
    let Some(Content::Options(options)) = parts.message().await?.and_then(|first| first.content) else {
        return Err(missing("options"));
    };
    let stream = name(options.stream_identifier)?;
    let expected = match options.expected_stream_revision.ok_or_else(|| missing("expected revision"))? {
        ExpectedStreamRevision::Revision(revision) => Expected::Exact(revision),
        ExpectedStreamRevision::NoStream(_) => Expected::NoStream,
        ExpectedStreamRevision::Any(_) => Expected::Any,
        ExpectedStreamRevision::StreamExists(_) => Expected::Exists,
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(part) = parts.message().await? {
        let Some(Content::ProposedMessage(message)) = part.content else { return Err(missing("a message")) };
        bytes += message.data.len() + message.custom_metadata.len();
        events.push(proposed(message)?);
    }
    if bytes > APPEND_BYTES_MAX {
        return Err(Status::invalid_argument(format!("Maximum Append Size of {APPEND_BYTES_MAX} Exceeded.")));
    }
    Ok(HeldBack { stream, expected, events })
}

fn proposed(message: ProposedMessage) -> Result<Proposed, Status> {
    for key in ["type", "content-type"] {
        if !message.metadata.contains_key(key) {
            return Err(Status::invalid_argument(format!("Required Metadata Property '{key}' is missing")));
        }
    }
    Ok(Proposed {
        id: id(message.id)?,
        system_metadata: message.metadata,
        metadata: message.custom_metadata,
        data: message.data,
    })
}

fn success(last: u64, position: Option<u64>) -> Answer {
    Answer::Success(Success {
        current_revision_option: Some(success::CurrentRevisionOption::CurrentRevision(last)),
        position_option: Some(match position {
            Some(at) => success::PositionOption::Position(Position { commit_position: at, prepare_position: at }),
            None => success::PositionOption::NoPosition(Empty {}),
        }),
    })
}

/// Every `oneof` is filled: clients take it for granted.
fn wrong(expected: Expected, actual: Option<u64>) -> Answer {
    use wrong_expected_version as v;
    let (current_old, current) = match actual {
        Some(last) => {
            (v::CurrentRevisionOption2060::CurrentRevision2060(last), v::CurrentRevisionOption::CurrentRevision(last))
        }
        None => {
            (v::CurrentRevisionOption2060::NoStream2060(Empty {}), v::CurrentRevisionOption::CurrentNoStream(Empty {}))
        }
    };
    let (expected_old, expected) = match expected {
        Expected::Exact(last) => (
            v::ExpectedRevisionOption2060::ExpectedRevision2060(last),
            v::ExpectedRevisionOption::ExpectedRevision(last),
        ),
        Expected::Exists => (
            v::ExpectedRevisionOption2060::StreamExists2060(Empty {}),
            v::ExpectedRevisionOption::ExpectedStreamExists(Empty {}),
        ),
        Expected::Any => {
            (v::ExpectedRevisionOption2060::Any2060(Empty {}), v::ExpectedRevisionOption::ExpectedAny(Empty {}))
        }
        Expected::NoStream => {
            (v::ExpectedRevisionOption2060::Any2060(Empty {}), v::ExpectedRevisionOption::ExpectedNoStream(Empty {}))
        }
    };
    Answer::WrongExpectedVersion(WrongExpectedVersion {
        current_revision_option_20_6_0: Some(current_old),
        expected_revision_option_20_6_0: Some(expected_old),
        current_revision_option: Some(current),
        expected_revision_option: Some(expected),
    })
}

/// What whoever reads or writes a tombstoned stream is told.
pub(crate) fn deleted(stream: &str) -> Status {
    let mut refusal = Status::failed_precondition(format!("Event stream '{stream}' is deleted."));
    refusal.metadata_mut().insert("exception", "stream-deleted".parse().expect("a value"));
    refusal
}

pub(crate) fn missing(what: &str) -> Status {
    Status::invalid_argument(format!("{what} is missing"))
}

pub(crate) fn name(
    identifier: Option<crate::protocol::event_store::client::StreamIdentifier>,
) -> Result<String, Status> {
    let name = identifier.ok_or_else(|| missing("stream identifier"))?.stream_name;
    String::from_utf8(name.into()).map_err(|_| Status::invalid_argument("a stream name that is not UTF-8"))
}

/// An id as writers send it.
pub(crate) fn structured(id: Uuid) -> WireUuid {
    let (high, low) = id.as_u64_pair();
    let halves = Structured { most_significant_bits: high.cast_signed(), least_significant_bits: low.cast_signed() };
    WireUuid { value: Some(Value::Structured(halves)) }
}

fn id(wire: Option<WireUuid>) -> Result<Uuid, Status> {
    match wire.and_then(|wire| wire.value).ok_or_else(|| missing("id"))? {
        Value::Structured(halves) => Ok(Uuid::from_u64_pair(
            halves.most_significant_bits.cast_unsigned(),
            halves.least_significant_bits.cast_unsigned(),
        )),
        Value::String(text) => text.parse().map_err(|_| Status::invalid_argument("an id that is none")),
    }
}

/// How an id is sent to whoever reads.
#[derive(Clone, Copy)]
pub(crate) enum IdForm {
    Structured,
    Text,
}

impl IdForm {
    pub(crate) fn of(self, event: &Stored) -> WireUuid {
        match self {
            Self::Structured => structured(event.id),
            Self::Text => WireUuid { value: Some(Value::String(event.id.to_string())) },
        }
    }
}
