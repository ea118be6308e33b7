//! The client, and all that is known of it: this is the one file that names the crate `eventstore`, so that
//! its successor `kurrentdb`, which is the same code renamed, takes one rename here.

use super::{end::LookedBack, failure::Failure, options::OpenError};
use crate::port::{Direction, Expected, NewEvent, Position, Recorded};
use advisor_events::StreamName;
use eventstore::{
    AppendToStreamOptions, Client, ClientSettings, CurrentRevision, Error, EventData, ExpectedRevision, NodePreference,
    ReadAllOptions, ReadStream, ReadStreamOptions, RecordedEvent, StreamPosition,
};
use serde_json::value::RawValue;
use std::{fs::File, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    sync::OnceCell,
    time::timeout,
};

/// Positions are plain numbers of JSON.
const POSITION_LIMIT: u64 = 1 << 53;
/// Longest wait for the throw-away client of [`prime`].
pub const PRIMING_WAIT: Duration = Duration::from_secs(5);
/// What gRPC calls `INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;
/// What gRPC calls `FAILED_PRECONDITION`.
const FAILED_PRECONDITION: i32 = 9;

/// What we rely on where a URL is silent: nobody but the leader knows all; and a client that connects sleeps first.
const RELIED_ON: [&str; 3] = ["nodePreference=leader", "discoveryInterval=100", "gossipTimeout=2000"];

/// Sets up the client's TLS, once: the first client of a process installs a provider for all, and both it and
/// whoever came before with another one would panic. So this is called before anything else that may do TLS.
pub async fn prime() -> Result<(), OpenError> {
    static PRIMED: OnceCell<()> = OnceCell::const_new();
    let priming = async || {
        if rustls::crypto::CryptoProvider::get_default().is_some() {
            return Err(OpenError::ForeignProvider);
        }
        // Nobody listens there, and nobody need: by the time it is refused, the provider is installed.
        let nowhere = settings("esdb://127.0.0.1:1?tls=false&discoveryInterval=1&maxDiscoverAttempts=2")?;
        let throw_away = Server::connect(&nowhere)?;
        match timeout(PRIMING_WAIT, throw_away.client.server_info()).await {
            Ok(Err(Error::ConnectionClosed)) | Err(_) => Err(OpenError::Client("it died at once".to_owned())),
            Ok(_) => Ok(()),
        }
    };
    PRIMED.get_or_try_init(priming).await.copied()
}

/// Understands a URL, and adds what we rely on where it is silent.
pub(super) fn settings(url: &str) -> Result<ClientSettings, OpenError> {
    let url = match url.split_once("://") {
        Some(("kurrentdb", rest)) => format!("esdb://{rest}"),
        Some(("kurrentdb+discover", rest)) => format!("esdb+discover://{rest}"),
        Some(_) | None => url.to_owned(),
    };
    let (place, given) = url.split_once('?').unwrap_or((&url, ""));
    let given: Vec<_> = given.split('&').filter(|parameter| !parameter.is_empty()).collect();
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let added = RELIED_ON.into_iter().filter(|ours| !given.iter().any(|theirs| name(theirs) == name(ours)));
    let full = format!("{place}?{}", given.iter().copied().chain(added).collect::<Vec<_>>().join("&"));
    let settings: ClientSettings = full.parse().map_err(|error: eventstore::ClientSettingsParseError| {
        // Its message repeats the URL where the URL itself could not be taken apart.
        OpenError::Url(error.error().map_or_else(|| error.message().to_owned(), ToString::to_string))
    })?;
    if settings.node_preference() != NodePreference::Leader {
        return Err(OpenError::Setting("another nodePreference than leader: followers answer with what is old"));
    }
    if settings.max_discover_attempts() < 2 {
        return Err(OpenError::Setting("less than 2 maxDiscoverAttempts: with 1 the client never connects"));
    }
    Ok(settings)
}

/// One client. Its own runtime ends with it, and with that the task that the client leaves behind otherwise.
pub(super) struct Server {
    client: Client,
    runtime: Option<Runtime>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where an append ended.
pub(super) struct Written {
    pub(super) revision: u64,
    /// `None` when the server did not say.
    pub(super) position: Option<Position>,
}

/// What one read of the whole log looked at.
pub(super) struct Scanned {
    /// What is ours.
    pub(super) events: Vec<Recorded>,
    /// Where the last event stands that was looked at; `None` when there was none.
    pub(super) last: Option<Position>,
}

/// What is read of a stream.
#[derive(Clone, Copy)]
pub(super) struct StreamRead<'a> {
    /// With its namespace.
    pub(super) name: &'a str,
    pub(super) from: u64,
    pub(super) direction: Direction,
    pub(super) max: usize,
}

/// What is read of the whole log, forward.
#[derive(Clone, Copy)]
pub(super) struct AllRead {
    /// Where an event begins; or the start.
    pub(super) from: Position,
    /// What does not stand after it is left out.
    pub(super) after: Position,
    /// Most events that are looked at.
    pub(super) events: usize,
    /// Most bytes, but for those of the last event.
    pub(super) bytes: usize,
}

impl Server {
    /// A client, which connects when it is first asked for something.
    pub(super) fn connect(settings: &ClientSettings) -> Result<Self, OpenError> {
        check_certificates(settings)?;
        let dead = |error: &dyn std::fmt::Display| OpenError::Client(error.to_string());
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("kurrentdb").enable_all().build();
        let runtime = runtime.map_err(|error| dead(&error))?;
        let client = Client::with_runtime_handle(runtime.handle().clone(), settings.clone());
        Ok(Self { client: client.map_err(|error| dead(&error))?, runtime: Some(runtime) })
    }

    /// The time-out is told to the server, too.
    pub(super) async fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: &[NewEvent],
        timeout: Duration,
    ) -> Result<Written, Failure> {
        let expected = match expected {
            Expected::NoStream => ExpectedRevision::NoStream,
            Expected::Exact(revision) => ExpectedRevision::Exact(revision),
        };
        let options = AppendToStreamOptions::default().expected_revision(expected).deadline(timeout);
        let events: Vec<_> = events.iter().map(proposed).collect();
        let written = self.client.append_to_stream(stream, &options, events).await.map_err(|error| of_call(&error))?;
        let position = match (written.position.commit, written.position.prepare) {
            // (0, 0) means that the server does not say. Two numbers that differ are not one place.
            (commit, prepare) if commit == prepare && commit > 0 => Some(position(commit)?),
            _ => None,
        };
        Ok(Written { revision: written.next_expected_version, position })
    }

    pub(super) async fn read_stream(&self, namespace: &str, read: StreamRead<'_>) -> Result<Vec<Recorded>, Failure> {
        // The server counts in signed numbers.
        let from_end = read.from >= i64::MAX.unsigned_abs();
        let place = StreamPosition::Position(read.from.min(i64::MAX.unsigned_abs()));
        let options = ReadStreamOptions::default().max_count(read.max);
        let options = match read.direction {
            Direction::Forward => options.position(place).forwards(),
            Direction::Backward if from_end => options.position(StreamPosition::End),
            Direction::Backward => options.position(place).backwards(),
        };
        let mut reading = self.client.read_stream(read.name, &options).await.map_err(|error| of_call(&error))?;
        let mut events = Vec::new();
        while let Some(event) = next(&mut reading).await? {
            events.extend(ours(namespace, event)?);
        }
        Ok(events)
    }

    /// Reads forward. The crate offers no filter here, and the server reads from a position on.
    pub(super) async fn read_all(&self, namespace: &str, all: AllRead) -> Result<Scanned, Failure> {
        let place = match all.from {
            Position::START => StreamPosition::Start,
            from => place(from),
        };
        // No more than is looked at, so that it is read to its end.
        let left_out = usize::from(all.from > Position::START && all.from == all.after);
        let options = ReadAllOptions::default().max_count(all.events.saturating_add(left_out)).forwards();
        let mut reading = self.client.read_all(&options.position(place)).await.map_err(|error| of_call(&error))?;
        let mut scanned = Scanned { events: Vec::new(), last: None };
        let mut bytes = 0;
        while bytes < all.bytes
            && let Some(event) = next(&mut reading).await?
        {
            let at = position_of(&event)?;
            if at <= all.after {
                continue;
            }
            bytes += event.data.len() + event.custom_metadata.len();
            scanned.last = Some(at);
            scanned.events.extend(ours(namespace, event)?);
        }
        Ok(scanned)
    }

    /// Looks at no more than `max` events before a position, or at the last ones, until one is ours.
    pub(super) async fn look_back(
        &self,
        namespace: &str,
        before: Option<Position>,
        max: usize,
    ) -> Result<LookedBack, Failure> {
        let before = before.map_or(StreamPosition::End, place);
        let options = ReadAllOptions::default().max_count(max).position(before).backwards();
        let mut reading = self.client.read_all(&options).await.map_err(|error| of_call(&error))?;
        let mut looked = LookedBack::default();
        while let Some(event) = next(&mut reading).await? {
            if looked.ours.is_some() {
                continue;
            }
            let at = position_of(&event)?;
            looked.newest.get_or_insert(at);
            looked.oldest = Some(at);
            looked.ours = ours(namespace, event)?.map(|_| at);
        }
        Ok(looked)
    }

    /// The event of ours that begins at a position. The server refuses positions at which none begins.
    pub(super) async fn event_at(&self, namespace: &str, position: Position) -> Result<Option<Recorded>, Failure> {
        let options = ReadAllOptions::default().max_count(1).position(place(position)).forwards();
        let mut reading = self.client.read_all(&options).await.map_err(|error| of_call(&error))?;
        let Some(event) = only(&mut reading).await? else { return Ok(None) };
        Ok(ours(namespace, event)?.filter(|event| event.position == position))
    }

    /// The last event of all.
    pub(super) async fn head(&self) -> Result<Position, Failure> {
        let options = ReadAllOptions::default().max_count(1).position(StreamPosition::End);
        let mut reading = self.client.read_all(&options).await.map_err(|error| of_call(&error))?;
        only(&mut reading).await?.map_or(Ok(Position::START), |event| position_of(&event))
    }
}

/// The client panics over a file that it can't read, even one that it does not need; so it is looked at before.
pub(super) fn check_certificates(settings: &ClientSettings) -> Result<(), OpenError> {
    let own = settings.user_certificate().into_iter().flat_map(|(certificate, key)| [certificate, key]);
    for path in own.chain(settings.tls_ca_file()) {
        File::open(path).map_err(|source| OpenError::File { path: path.clone(), source })?;
    }
    if settings.tls_ca_file().is_none()
        && let Some(error) = rustls_native_certs::load_native_certs().errors.first()
    {
        return Err(OpenError::Certificates(error.to_string()));
    }
    Ok(())
}

/// JSON goes in as JSON, byte for byte, so that the server's own tools show it; what is not JSON as bytes.
fn proposed(event: &NewEvent) -> EventData {
    let json = serde_json::from_slice::<&RawValue>(&event.data).ok();
    let json = json.filter(|json| json.get().len() == event.data.len());
    let proposed = json.and_then(|json| EventData::json(&event.type_name, &json).ok());
    let proposed = proposed.unwrap_or_else(|| EventData::binary(&event.type_name, event.data.clone().into()));
    proposed.id(event.id).metadata(event.metadata.clone().into())
}

/// The one event that was asked for.
async fn only(reading: &mut ReadStream) -> Result<Option<RecordedEvent>, Failure> {
    let event = next(reading).await?;
    while next(reading).await?.is_some() {}
    Ok(event)
}

/// The next event; `None` at the end of the answer. Whoever leaves before that end resets the HTTP/2 stream, and a
/// connection is given up over many of them.
async fn next(reading: &mut ReadStream) -> Result<Option<RecordedEvent>, Failure> {
    // Links are not followed, so that each answer is the event itself.
    match reading.next().await {
        Ok(Some(resolved)) => match resolved.event {
            Some(event) => Ok(Some(event)),
            None => Err(Failure::Damaged("an answer without an event".to_owned())),
        },
        Ok(None) => Ok(None),
        // Said within an answer, it is about the stream; as an answer, it is about the node.
        Err(Error::ResourceNotFound) => Err(Failure::NoSuchStream),
        Err(error) => Err(of_call(&error)),
    }
}

/// An event of our namespace; `None` for what is the system's or somebody else's.
fn ours(namespace: &str, event: RecordedEvent) -> Result<Option<Recorded>, Failure> {
    let Some(stream) = event.stream_id.strip_prefix(namespace) else { return Ok(None) };
    if event.stream_id.starts_with('$') || event.event_type.starts_with('$') {
        return Ok(None);
    }
    Ok(Some(Recorded {
        stream: StreamName::from_text(stream),
        revision: event.revision,
        position: position_of(&event)?,
        id: event.id,
        type_name: Arc::from(event.event_type),
        data: event.data.into(),
        metadata: event.custom_metadata.into(),
    }))
}

/// Where a read of the whole log begins.
fn place(Position(at): Position) -> StreamPosition<eventstore::Position> {
    StreamPosition::Position(eventstore::Position { commit: at, prepare: at })
}

fn position_of(event: &RecordedEvent) -> Result<Position, Failure> {
    let eventstore::Position { commit, prepare } = event.position;
    if commit == prepare {
        return position(commit);
    }
    Err(Failure::Damaged(format!("an event at two positions, {commit} and {prepare}: of a transaction of old clients")))
}

fn position(commit: u64) -> Result<Position, Failure> {
    if commit < POSITION_LIMIT { Ok(Position(commit)) } else { Err(Failure::Damaged(format!("position {commit}"))) }
}

fn of_call(error: &Error) -> Failure {
    let text = error.to_string();
    match error {
        Error::WrongExpectedVersion { current: CurrentRevision::Current(last), .. } => {
            Failure::WrongRevision(Some(*last))
        }
        Error::WrongExpectedVersion { current: CurrentRevision::NoStream, .. } => Failure::WrongRevision(None),
        Error::AccessDenied => Failure::Denied,
        Error::ResourceDeleted => Failure::Tombstoned,
        // A node that knows of no leader says that it finds nothing.
        Error::NotLeaderException(_) | Error::ResourceNotFound => Failure::NotLeader,
        Error::ConnectionClosed | Error::GrpcConnectionError(_) | Error::InitializationError(_) => Failure::Dead(text),
        Error::Grpc { code, .. } if matches!(i32::from(*code), INVALID_ARGUMENT | FAILED_PRECONDITION) => {
            Failure::Refused(text)
        }
        Error::UnsupportedFeature => Failure::Refused(text),
        Error::Grpc { .. }
        | Error::ServerError(_)
        | Error::DeadlineExceeded
        | Error::ResourceAlreadyExists
        | Error::InternalParsingError(_)
        | Error::InternalClientError
        | Error::IllegalStateError(_) => Failure::Broken(text),
    }
}
