//! The table of all bounds, in the order of `docs/limits.md`.

mod shared_logs;

use super::{
    super::settings::{Kind, Setting},
    Limit, Section,
};
use crate::serve::{APPENDS_REST, ENGINE_PAUSE_MAX, FILLING_WAIT, RUNNER_END_MAX, STORES_END_MAX, WORK_END_MAX};
use advisor_api::limits as api;
use advisor_bus::limits as bus;
use advisor_commands::limits as commands;
use advisor_eventlog::{SqliteLogOptions, limits as log};
use advisor_events::ids::STREAM_NAME_BYTES_MAX;
use advisor_projections::{PostgresOptions, SqliteOptions, limits as projections};
use advisor_workers::{
    erase_person::EraseOptions,
    limits as workers,
    make_title::TitleOptions,
    model::openai::CallLimits,
    reply_to_message::{BeatOptions, ReplyOptions},
    tiers::RetryOptions,
};
use std::{num::NonZeroUsize, time::Duration};

const fn set(
    name: &'static str,
    default: &'static str,
    unit: &'static str,
    help: &'static str,
    reached: &'static str,
) -> Limit {
    let setting = Setting { name, alias: None, kind: Kind::Number, default, help };
    Limit::Set { setting, unit, reached }
}

const fn fixed(what: &'static str, value: fn() -> u64, unit: &'static str, reached: &'static str) -> Limit {
    Limit::Fixed { what, value, unit, reached }
}

/// A constant as the number that the table shows; times in milliseconds.
trait Amount {
    fn amount(self) -> u64;
}

impl Amount for usize {
    fn amount(self) -> u64 {
        self as u64
    }
}

impl Amount for NonZeroUsize {
    fn amount(self) -> u64 {
        self.get().amount()
    }
}

impl Amount for u64 {
    fn amount(self) -> u64 {
        self
    }
}

impl Amount for u32 {
    fn amount(self) -> u64 {
        u64::from(self)
    }
}

impl Amount for i64 {
    fn amount(self) -> u64 {
        self.unsigned_abs()
    }
}

impl Amount for Duration {
    fn amount(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

/// All of them.
pub(crate) const SECTIONS: &[Section] = &[
    Section { title: "Connections", limits: CONNECTIONS },
    Section { title: "Requests", limits: REQUESTS },
    Section { title: "Rates", limits: RATES },
    Section { title: "Overload", limits: OVERLOAD },
    Section { title: "Live streams", limits: STREAMS },
    Section { title: "Sign-in", limits: SIGN_IN },
    Section { title: "Commands", limits: COMMANDS },
    Section { title: "The event log", limits: LOG },
    Section { title: "The event log in PostgreSQL", limits: shared_logs::POSTGRES },
    #[cfg(feature = "kurrentdb")]
    Section { title: "The event log in KurrentDB", limits: shared_logs::KURRENTDB },
    Section { title: "The read side", limits: READ_SIDE },
    Section { title: "The bus", limits: BUS },
    Section { title: "Models and replies", limits: MODELS },
    Section { title: "Erasure", limits: ERASURE },
    Section { title: "The start", limits: START },
    Section { title: "The end", limits: END },
];

#[rustfmt::skip]
const CONNECTIONS: &[Limit] = &[
    set("connections_max", "16384", "connections", "Most open connections of the API listener.", "More wait in the system's queue until one ends."),
    fixed("Connections that have come and wait to be accepted, as far as the system allows (`net.core.somaxconn`).", || api::BACKLOG_MAX.amount(), "connections", "The client's system tries again after a second."),
    set("connections_per_address_max", "12288", "connections", "Most open connections from one address; IPv6 addresses count by their /64. Trusted proxies are not limited.", "The new connection is closed."),
    set("connections_per_address_per_minute", "60000", "a minute", "New connections from one address, in the long run; 0 counts none.", "The new connection is closed."),
    set("connections_per_address_burst", "12288", "connections", "New connections from one address at once.", "The new connection is closed."),
    set("admin_connections_max", "256", "connections", "Most open connections of the operators' listener, and of the socket in the data directory.", "More wait in the system's queue until one ends."),
    set("followers_max", "16", "connections", "Most of them that follow the event log.", "503 `OVERLOADED` with `Retry-After`"),
    set("header_timeout_ms", "10000", "ms", "Most time for the headers of a request, and between two requests, in milliseconds.", "The connection is closed."),
    set("header_bytes_max", "16384", "bytes", "Most bytes of a request's headers with its first line.", "431"),
    set("headers_max", "100", "headers", "Most headers of a request.", "431"),
    set("write_timeout_ms", "30000", "ms", "Most time that a client may leave an answer unread, in milliseconds.", "The connection is closed."),
    fixed("Most bytes of an answer that wait for a client to read, but for the last piece.", || api::CONNECTION_BUFFER_BYTES_MAX.amount(), "bytes", "The answer is not asked for more until there is room."),
    fixed("A client that acknowledges nothing for so long is gone.", || api::SILENT_CLIENT_TIMEOUT_MS.amount(), "ms", "The connection is closed."),
    fixed("Longest wait before the next attempt to accept after one that failed (no file descriptors).", || api::ACCEPT_BACK_OFF_MAX.amount(), "ms", "It is tried again."),
];

#[rustfmt::skip]
const REQUESTS: &[Limit] = &[
    set("body_bytes_max", "1048576", "bytes", "Largest body of a request, in bytes.", "413 `PAYLOAD_TOO_LARGE`, and the connection is closed."),
    set("body_timeout_ms", "30000", "ms", "Most time for the body of a request, in milliseconds.", "408 `REQUEST_TIMEOUT`, and the connection is closed."),
    set("command_timeout_ms", "30000", "ms", "Most time for the answer to a command, in milliseconds.", "503 `TIMED_OUT` with `commandId`: the same key tells what became of it."),
    set("query_timeout_ms", "15000", "ms", "Most time for the answer to a query, in milliseconds.", "503 `TIMED_OUT`"),
    set("chat_timeout_ms", "150000", "ms", "Most time that `/api/chat` waits for its reply, in milliseconds.", "503 `TIMED_OUT` with `commandId`: the same key waits on."),
    set("position_wait_ms", "2000", "ms", "Most time that a read waits for `min_position`, and a command for the read side, in milliseconds.", "A read: 503 `POSITION_NOT_REACHED`. A command: its answer, with how far the read side is."),
    fixed("A read side that does not move for so long is not waited for.", || projections::STALLED_AFTER.amount(), "ms", "As when the wait is over."),
    fixed("Longest wait of a server that comes up for read models that are being filled.", || FILLING_WAIT.amount(), "ms", "It listens, and queries are 503 `UNAVAILABLE` until they are filled."),
    fixed("How often it looks meanwhile.", || projections::FILLING_LOOK.amount(), "ms", "It looks; sooner where it fills them itself."),
    fixed("How often a process that does not bring the read models forward looks how far they are, and who does.", || projections::FOLLOW_EVERY.amount(), "ms", "It looks; sooner when the bus rings."),
    fixed("How often it looks while somebody waits for a position.", || projections::FOLLOW_WAITED_FOR.amount(), "ms", "It looks, whatever the bus says."),
    fixed("Longest silence of whoever brings the read models forward.", || projections::NOBODY_AFTER.amount(), "ms", "Nobody is waited for, and readiness says so."),
    fixed("How often an owner shows that it lives.", || projections::LEASE_BEAT_EVERY.amount(), "ms", "It raises the beat of its lease."),
    fixed("How often those who stand by look at a lease.", || projections::LEASE_LOOK_EVERY.amount(), "ms", "They take it where nobody has it."),
    fixed("Longest silence of an owner until another one takes over; longest time that an owner goes on that can't be heard.", || projections::LEASE_SILENCE.amount(), "ms", "Another one takes the lease; the owner stands by."),
    fixed("Most time for giving up a lease.", || projections::LEASE_RELEASE_MAX.amount(), "ms", "It is taken after its silence."),
    fixed("Most time for what is being written when an owner loses its lease.", || projections::LOST_END_MAX.amount(), "ms", "It is left; its fence makes it harmless."),
    fixed("Deepest nesting of a JSON body.", || api::JSON_NESTING_MAX.amount(), "levels", "400 `INVALID_JSON`"),
    fixed("Most values in a JSON body.", || api::JSON_VALUES_MAX.amount(), "values", "400 `INVALID_JSON`"),
    fixed("Longest `Idempotency-Key`.", || api::IDEMPOTENCY_KEY_BYTES_MAX.amount(), "bytes", "400 `INVALID_IDEMPOTENCY_KEY`"),
    fixed("Longest `x-request-id` of a client that is kept.", || api::REQUEST_ID_BYTES_MAX.amount(), "bytes", "The server makes one of its own."),
    fixed("Longest trace context that is kept.", || api::TRACE_CONTEXT_BYTES_MAX.amount(), "bytes", "It is left out."),
    fixed("Longest title.", || api::TITLE_CHARS_MAX.amount(), "characters", "422, on the front end's routes 400 `VALIDATION_ERROR`"),
    fixed("Longest message.", || api::MESSAGE_CHARS_MAX.amount(), "characters", "422, on the front end's routes 400 `VALIDATION_ERROR`"),
    fixed("Longest text of an edited message.", || api::EDITED_CHARS_MAX.amount(), "characters", "422, on the front end's routes 400 `VALIDATION_ERROR`"),
    fixed("Most advisors that one message asks for a reply.", || commands::REPLIES_MAX.amount(), "advisors", "Named: 422 `VALIDATION_ERROR`. Mentioned: the first ones reply."),
    fixed("Longest id of an advisor that a document brings.", || api::ADVISOR_ID_CHARS_MAX.amount(), "characters", "422 `VALIDATION_ERROR`"),
    fixed("Most characters of a name in an advisor's id that is made here.", || api::SLUG_CHARS_MAX.amount(), "characters", "It is cut."),
    fixed("Conversations whose owner is remembered from one command to the next.", || api::CONVERSATIONS_REMEMBERED_MAX.amount(), "conversations", "The one commanded longest ago is looked up again."),
    fixed("Longest id of a conversation.", || api::CONVERSATION_ID_BYTES_MAX.amount(), "bytes", "400 `INVALID_ID`"),
    fixed("Most conversations in a list.", || api::CONVERSATIONS_LISTED_MAX.amount(), "conversations", "The newest ones are listed."),
    fixed("Most messages in a conversation's own answer.", || api::MESSAGES_SHOWN_MAX.amount(), "messages", "The newest ones, and `hasMore`."),
    fixed("Most bytes of messages in a conversation's own answer, in a page of them, and in what a reply is made from, but for a single one that has more.", || projections::MESSAGES_BYTES_MAX.amount(), "bytes", "The newest ones, and `hasMore`; the page ends."),
    fixed("Largest page of messages.", || api::PAGE_LIMIT_MAX.amount(), "messages", "400 `INVALID_LIMIT`"),
    fixed("Longest cursor.", || api::CURSOR_BYTES_MAX.amount(), "bytes", "400 `INVALID_CURSOR`"),
    fixed("Events that the operators' routes read at once.", || api::ADMIN_PAGE_EVENTS.amount(), "events", "The next page is read when the client has taken this one."),
    fixed("Most time for one check of `/readyz`.", || api::CHECK_TIMEOUT.amount(), "ms", "The check fails."),
    fixed("How often measurements are summed up, whether `/metrics` is asked for or not.", || api::SUM_UP_EVERY.amount(), "ms", "They are summed up."),
    fixed("When a client may try again that was refused for a while.", || api::RETRY_AFTER.amount(), "ms", "`Retry-After`"),
];

#[rustfmt::skip]
const RATES: &[Limit] = &[
    set("commands_per_minute", "30000", "a minute", "Commands of one person, in the long run; 0 counts none.", "429 `RATE_LIMITED`"),
    set("commands_burst", "2000", "commands", "Commands of one person at once.", "429 `RATE_LIMITED`"),
    set("queries_per_minute", "60000", "a minute", "Queries of one person, in the long run; 0 counts none. Each live stream is one, each socket, and each subscription of a socket.", "429 `RATE_LIMITED`"),
    set("queries_burst", "4000", "queries", "Queries of one person at once.", "429 `RATE_LIMITED`"),
    set("replies_per_minute", "300", "a minute", "Replies of models that one person asks for, in the long run; 0 counts none.", "429 `RATE_LIMITED`"),
    set("replies_burst", "200", "replies", "Replies of models that one person asks for at once.", "429 `RATE_LIMITED`"),
    set("refused_sign_ins_per_minute", "600", "a minute", "Refused sign-ins from one address, and apart from them refused webhooks, in the long run; 0 counts none.", "429 `RATE_LIMITED` for every token from there that was not seen before, or for every webhook."),
    set("refused_sign_ins_burst", "1000", "sign-ins", "Refused sign-ins from one address, and apart from them refused webhooks, at once.", "429 `RATE_LIMITED` for every token from there that was not seen before, or for every webhook."),
    set("anonymous_per_minute", "60000", "a minute", "Requests without a sign-in from one address, in the long run; 0 counts none.", "429 `RATE_LIMITED`"),
    set("anonymous_burst", "4000", "requests", "Requests without a sign-in from one address at once.", "429 `RATE_LIMITED`"),
    set("rates_remembered_max", "50000", "people", "People, and addresses, that are remembered for each of these rates.", "Whoever asked longest ago begins anew."),
];

#[rustfmt::skip]
const OVERLOAD: &[Limit] = &[
    set("commands_running_max", "256", "commands", "Most commands that run at a time.", "More wait in line."),
    set("commands_waiting_max", "256", "commands", "Most commands that wait in line.", "503 `OVERLOADED` with `Retry-After` and `commandId`, at once."),
    set("queries_running_max", "256", "queries", "Most queries that run at a time; live streams count until they begin.", "More wait in line."),
    set("queries_waiting_max", "256", "queries", "Most queries that wait in line.", "503 `OVERLOADED` with `Retry-After`, at once."),
    set("overload_wait_ms", "50", "ms", "Longest wait in line, in milliseconds.", "503 `OVERLOADED` with `Retry-After`"),
    fixed("How long the refusal waits of who was told to wait and asks again at once on the same connection.", || api::SHED_DELAY.amount(), "ms", "It is sent."),
    fixed("How soon after a refusal a request on the same connection is at once.", || api::SHED_HASTE.amount(), "ms", "Its refusal waits."),
    fixed("Longest body of a refused request that is received and thrown away, so that its connection goes on.", || api::SHED_BODY_BYTES_MAX.amount(), "bytes", "The request is read, and refused at its gate."),
    set("chats_running_max", "1024", "chats", "Most requests to `/api/chat` that wait for their reply.", "503 `OVERLOADED` with `Retry-After` and `commandId`, at once."),
    set("bodies_bytes_max", "67108864", "bytes", "Most bytes of bodies of all requests together, and of the values that they are read into, at 100 bytes each.", "503 `OVERLOADED` with `Retry-After` and `commandId`, and the connection is closed."),
    fixed("Bytes of each body that do not count.", || api::BODY_FREE_BYTES.amount(), "bytes", "More takes room."),
    set("answers_bytes_max", "67108864", "bytes", "Most bytes of all answers together that wait for their clients to read them.", "Those that have waited longest are given up, and their connections closed; 503 `OVERLOADED` with `Retry-After` where all are new."),
    fixed("An answer of so many bytes does not count.", || api::ANSWER_FREE_BYTES.amount(), "bytes", "A longer one takes room."),
    fixed("What is handed to a connection at once of one that does.", || api::ANSWER_PIECE_BYTES.amount(), "bytes", "It is asked for the next piece when there is room."),
    fixed("An answer is not given up for others before it has waited for so long.", || api::ANSWER_SAFE_FOR.amount(), "ms", "It may be."),
    set("events_bytes_max", "67108864", "bytes", "Most bytes of events of all live streams that wait for their clients to read them; of each stream, one frame does not count.", "`reset` with the reason `slow`, and the stream ends."),
    fixed("A body that takes longer to come gives up its request's place among those that run.", || api::BODY_PROMPT.amount(), "ms", "The request waits in line again when its body is there."),
];

#[rustfmt::skip]
const STREAMS: &[Limit] = &[
    set("streams_max", "12288", "streams", "Most live streams and sockets of everybody.", "503 `OVERLOADED` with `Retry-After`; a socket is closed with 1013."),
    set("streams_per_person_max", "20", "streams", "Most live streams of one person.", "429 `TOO_MANY_STREAMS`"),
    set("stream_heartbeat_ms", "15000", "ms", "How long a live stream is silent before a comment shows that it lives, and how often a socket is pinged, in milliseconds.", "A comment or a ping is sent."),
    set("stream_slow_ms", "10000", "ms", "How long the client of a live stream may leave no room for what is next, in milliseconds.", "`reset` with the reason `slow`, and the stream ends."),
    set("socket_authenticate_timeout_ms", "10000", "ms", "Most time until the client of a socket has said who it is, in milliseconds.", "The socket is closed with 1008."),
    set("socket_silence_timeout_ms", "45000", "ms", "How long the client of a socket may send nothing, not even an answer to a ping, in milliseconds.", "The connection is closed."),
    set("socket_message_bytes_max", "65536", "bytes", "Largest message of a socket's client, in bytes.", "The socket is closed with 1009."),
    set("socket_frames_per_second_max", "100", "frames", "Most frames of a socket's client in a second, fragments and answers to pings among them.", "The socket is closed with 1008."),
    fixed("Most queries of one stream or socket.", || api::STREAM_QUERIES_MAX.amount(), "queries", "400 `VALIDATION_ERROR`"),
    fixed("Most bytes that are handed to a connection at once.", || api::FRAME_BYTES_MAX.amount(), "bytes", "A larger event goes out in several frames."),
    fixed("How long a stream may outlast the token that it began with.", || api::BEYOND_TOKEN_MS.amount(), "ms", "`reset` with the reason `session`, and the stream ends."),
    fixed("Longest id of an event that is resumed from.", || api::EVENT_ID_BYTES_MAX.amount(), "bytes", "`reset` with the reason `query`, and everything anew."),
    fixed("Longest text of a query that is live.", || api::QUERY_BYTES_MAX.amount(), "bytes", "404 `NOT_FOUND`"),
    fixed("Longest id that the client of a socket gives to a subscription.", || api::SUBSCRIPTION_ID_BYTES_MAX.amount(), "bytes", "`error` with `VALIDATION_ERROR`"),
    fixed("Bytes that wait for the client of a socket to read.", || api::SOCKET_WRITE_BUFFER_BYTES_MAX.amount(), "bytes", "It is not asked for more until there is room."),
    fixed("Over which time the frames of a socket's client are counted.", || api::SOCKET_FRAMES_WINDOW.amount(), "ms", "They are counted anew."),
    fixed("Most time for the last word on a socket, and for its client to hear it.", || api::SOCKET_CLOSE_TIMEOUT.amount(), "ms", "The connection is closed."),
    fixed("Pieces of a reply that wait for its draft.", || api::DELTAS_WAITING_MAX.amount(), "pieces", "The oldest go; the draft has them."),
    fixed("How often a running reply is compared with its draft.", || api::DRAFT_COMPARE_EVERY.amount(), "ms", "The draft is read."),
    fixed("How long a draft that lags behind is left alone.", || api::DRAFT_READ_AGAIN_AFTER.amount(), "ms", "It is read again."),
    fixed("How long a stream waits before it reads again what could not be read.", || api::STREAM_READ_AGAIN_AFTER.amount(), "ms", "It is read again."),
    fixed("How long a shared read may be ahead of what was told.", || api::TOLD_WITHIN.amount(), "ms", "The stream reads for itself."),
    fixed("Reads of one move.", || api::STREAM_ROUNDS_MAX.amount(), "reads", "Everything is sent as a whole."),
    fixed("Shared reads of public changes that are remembered.", || api::PUBLIC_READS_MAX.amount(), "reads", "The one used longest ago goes."),
    fixed("Places of public changes that are remembered.", || api::PUBLIC_PLACES_MAX.amount(), "places", "The oldest goes; who stands there reads for itself."),
    fixed("How often the read models' checkpoint is looked at, whatever the bus says.", || api::HUB_LOOK_EVERY.amount(), "ms", "It is looked at."),
    fixed("How often a bus that is away is listened to again.", || api::HUB_LISTEN_EVERY.amount(), "ms", "It is tried again."),
    fixed("How often `/api/chat` looks at its reply, whatever the bus says.", || api::CHAT_LOOK_INTERVAL.amount(), "ms", "It is looked at."),
];

#[rustfmt::skip]
const SIGN_IN: &[Limit] = &[
    fixed("Longest token.", || api::TOKEN_BYTES_MAX.amount(), "bytes", "401 `AUTH_REQUIRED`"),
    fixed("Longest subject of a token.", || api::SUBJECT_BYTES_MAX.amount(), "bytes", "401 `AUTH_REQUIRED`"),
    fixed("Longest life of an issuer's token.", || api::TOKEN_LIFE_MAX.amount(), "ms", "401 `AUTH_REQUIRED`"),
    fixed("How far clocks may differ.", || api::LEEWAY_MS.amount(), "ms", "401 `AUTH_REQUIRED`"),
    set("tokens_remembered_max", "20000", "tokens", "Verified tokens that are remembered.", "The one used longest ago is verified anew."),
    set("people_remembered_max", "100000", "people", "People that are remembered as registered.", "The one seen longest ago is looked up again."),
    fixed("How long a person is remembered as registered.", || api::REGISTERED_FOR_MS.amount(), "ms", "They are looked up again."),
    fixed("How long a revoked session or a deleted person's sign-in is kept as revoked: longer than any token lives.", || api::REVOCATION_KEPT_MS.amount(), "ms", "It is forgotten."),
    fixed("Most revoked sign-ins in memory.", || api::REVOCATIONS_MAX.amount(), "sign-ins", "The oldest tenth is forgotten, and the log warns."),
    fixed("How often a process looks for sign-ins that other ones were told are revoked.", || api::REVOCATIONS_LOOK_EVERY.amount(), "ms", "It looks."),
    fixed("How far the clocks of processes may differ, so that none misses a revocation.", || api::REVOCATIONS_OVERLAP_MS.amount(), "ms", "It may be heard of at the next start only."),
    fixed("How often revoked sign-ins that are too old are removed from the side store.", || api::REVOCATIONS_SWEEP_EVERY.amount(), "ms", "They are removed."),
    fixed("How far the time of a webhook may be off.", || api::WEBHOOK_TOLERANCE_S.amount() * 1_000, "ms", "400 `INVALID_WEBHOOK`"),
    fixed("Most signatures of a webhook.", || api::WEBHOOK_SIGNATURES_MAX.amount(), "signatures", "400 `INVALID_WEBHOOK`"),
    fixed("Longest `svix-id` of a webhook.", || api::WEBHOOK_ID_BYTES_MAX.amount(), "bytes", "400 `INVALID_WEBHOOK`"),
    fixed("Longest word of a plan in a webhook.", || api::WEBHOOK_PLAN_BYTES_MAX.amount(), "bytes", "The plan is `free`."),
    fixed("Longest text of a profile in a webhook.", || api::WEBHOOK_TEXT_BYTES_MAX.amount(), "bytes", "The text is left out."),
    fixed("Longest id of a session in a webhook.", || api::WEBHOOK_SESSION_ID_BYTES_MAX.amount(), "bytes", "400 `VALIDATION_ERROR`"),
    set("keys_cached_max", "50000", "keys", "Persons' keys in memory.", "The one used longest ago is read again."),
    fixed("Keys that `advisor log copy` copies in one transaction.", || projections::KEYS_COPIED_AT_ONCE.amount(), "keys", "The next ones go in the next."),
    fixed("Drafts of replies that it copies in one transaction.", || projections::DRAFTS_COPIED_AT_ONCE.amount(), "drafts", "The next ones go in the next."),
    fixed("How long a person's key in memory is trusted where other processes may destroy it.", || projections::SHARED_KEYS_TRUSTED_FOR.amount(), "ms", "It is read again."),
    set("jwks_timeout_ms", "5000", "ms", "Most time to fetch the issuer's keys, in milliseconds.", "The old keys go on; without any 503 `UNAVAILABLE`."),
    set("jwks_fresh_ms", "3600000", "ms", "How long fetched keys are used without asking again, in milliseconds.", "They are fetched again."),
    set("jwks_stale_ms", "86400000", "ms", "How long they go on while the issuer is down, in milliseconds.", "503 `UNAVAILABLE`"),
    fixed("Shortest time between two fetches because of unknown keys.", || api::JWKS_UNKNOWN_KEY_INTERVAL_MS.amount(), "ms", "401 `AUTH_REQUIRED` without a fetch."),
    fixed("Shortest time between two fetches while the issuer does not answer.", || api::JWKS_FAILURE_INTERVAL_MS.amount(), "ms", "No fetch is made."),
    fixed("Largest document of keys.", || api::JWKS_BYTES_MAX.amount(), "bytes", "It counts as not answered."),
    fixed("Most keys of that document.", || api::JWKS_KEYS_MAX.amount(), "keys", "Further ones are not looked at."),
];

#[rustfmt::skip]
const COMMANDS: &[Limit] = &[
    set("conversations_per_person_max", "10000", "conversations", "Most conversations of one person. Commands that are on their way at the same time may pass it by as many as there are.", "422 `QUOTA_EXCEEDED`"),
    set("advisors_per_person_max", "1000", "advisors", "Most private advisors of one person, archived ones among them; passed likewise. Operators make public ones, which do not count.", "422 `QUOTA_EXCEEDED`"),
    set("messages_per_conversation_max", "100000", "messages", "Most messages of one conversation with the replies that they ask for, deleted ones among them.", "422 `QUOTA_EXCEEDED`; open replies end as they would, and everything else goes on."),
    set("command_wait_ms", "2000", "ms", "How long a command waits for others on the same stream, in milliseconds.", "409 `BUSY`"),
    set("command_conflicts_max", "5", "times", "How often a command is decided again that another process was faster than.", "409 `BUSY`"),
    set("command_repeat_ms", "5000", "ms", "How long an append whose outcome is unknown is repeated, in milliseconds.", "503 `OUTCOME_UNKNOWN` with `commandId`"),
    set("folds_cached_max", "10000", "streams", "Most streams of each kind whose state is kept in memory for their next command.", "The one used longest ago is read again from the log."),
    set("fold_events_cached_max", "250000", "events", "Most events in those states together: what bounds their memory.", "The one used longest ago is read again from the log."),
    fixed("Longest pause before such a repeat.", || commands::APPEND_PAUSE_MAX.amount(), "ms", "It is repeated."),
    fixed("Events of one read of a stream.", || commands::FOLD_PAGE_EVENTS.amount(), "events", "The next page is read."),
    fixed("How long a stream remembers its commands.", || commands::COMMANDS_REMEMBERED_FOR_MS.amount(), "ms", "A repeat is decided anew."),
    fixed("Commands that a stream remembers at least, however old.", || commands::COMMANDS_REMEMBERED_MIN.amount(), "commands", "A repeat is decided anew."),
    fixed("Commands that a stream remembers at most, however new.", || commands::COMMANDS_REMEMBERED_MAX.amount(), "commands", "The oldest is forgotten."),
    fixed("Attempts at one reply.", || commands::ATTEMPTS_MAX.amount(), "attempts", "The reply fails."),
];

fn log_default() -> SqliteLogOptions {
    SqliteLogOptions::at("")
}

#[rustfmt::skip]
const LOG: &[Limit] = &[
    set("append_queue_max", "4096", "appends", "Most appends that wait for the log.", "503 `UNAVAILABLE`"),
    set("append_queue_bytes_max", "67108864", "bytes", "Most bytes of the appends that wait for the log.", "The append waits for a place."),
    set("append_queue_wait_ms", "2000", "ms", "Longest wait for a place in that queue, in milliseconds.", "503 `UNAVAILABLE`"),
    set("append_timeout_ms", "10000", "ms", "Longest wait for the log's answer to an append, in milliseconds.", "The append is repeated, as its outcome is unknown."),
    set("log_readers", "2", "threads", "Threads that read the event log.", "Reads wait in their queue."),
    set("log_read_queue_max", "1024", "reads", "Most reads of the event log that wait for a reader.", "The read waits for a place."),
    set("log_read_timeout_ms", "10000", "ms", "Longest wait for a read of the event log, in milliseconds.", "503 `UNAVAILABLE`"),
    set("log_recent_events_max", "16384", "events", "Newest events that are kept in memory for those who follow the log.", "Who is further behind reads the file."),
    set("log_recent_bytes_max", "16777216", "bytes", "Most bytes of the newest events that are kept in memory.", "Who is further behind reads the file."),
    set("log_streams_cached_max", "32768", "streams", "Streams whose last revision the log's writer remembers.", "The one used longest ago is looked up again."),
    set("log_wal_bytes_max", "67108864", "bytes", "What the event log's write-ahead log is kept below, about, in bytes.", "It is moved into the file."),
    fixed("Largest append.", || log::APPEND_BYTES_MAX.amount(), "bytes", "413 `PAYLOAD_TOO_LARGE`"),
    fixed("Most events of an append.", || log::APPEND_EVENTS_MAX.amount(), "events", "413 `PAYLOAD_TOO_LARGE`"),
    fixed("Longest name of a stream.", || STREAM_NAME_BYTES_MAX.amount(), "bytes", "A hash stands in its place."),
    fixed("Largest page of the log that may be asked for.", || log::PAGE_EVENTS_MAX.amount(), "events", "Fewer are given."),
    fixed("Most bytes of one page of the whole log.", || log_default().page_bytes_max.amount(), "bytes", "The page ends."),
    fixed("Most events that one page of the whole log looks at.", || log_default().page_scan_max.amount(), "events", "The page ends."),
    fixed("Most events of a follower's page while it is behind.", || log_default().follow_page_max.amount(), "events", "The page ends."),
    fixed("Most events that a follower takes from memory at once.", || log::GLANCE_EVENTS_MAX.amount(), "events", "It takes more when these are done."),
    fixed("Most events of one commit.", || log_default().group_events_max.amount(), "events", "The others come with the next."),
    fixed("Most bytes of one commit.", || log_default().group_bytes_max.amount(), "bytes", "The others come with the next."),
    fixed("Names of streams that a reader remembers.", || log::STREAM_NAMES_MAX.amount(), "names", "They are looked up again."),
    fixed("Names of types of events that a reader remembers.", || log::TYPE_NAMES_MAX.amount(), "names", "They are looked up again."),
    fixed("Types of events that the writer remembers.", || log::TYPES_CACHED_MAX.amount(), "types", "The one used longest ago is looked up again."),
    fixed("Memory of the writer for pages.", || log::WRITER_CACHE_KIB.amount(), "KiB", "Pages are read again."),
    fixed("How long after the last commit the write-ahead log is moved at the latest.", || log_default().wal_idle.amount(), "ms", "It is moved into the file."),
    fixed("Longest wait for a foreign program's lock on the log's file.", || log_default().busy_timeout.amount(), "ms", "503 `UNAVAILABLE`"),
    fixed("Longest that readers hold up the write-ahead log's beginning anew.", || log::RESTART_WAIT.amount(), "ms", "It is tried again later."),
    fixed("Longest that anybody holds up its being cut.", || log::TRUNCATE_WAIT.amount(), "ms", "It is tried again later."),
    fixed("Longest that readers hold up the last move of it.", || log::CLOSING_WAIT.amount(), "ms", "The next start does it."),
];

fn read_models_default() -> SqliteOptions {
    SqliteOptions::at("")
}

fn postgres_default() -> PostgresOptions {
    PostgresOptions::at(String::new().into(), "")
}

#[rustfmt::skip]
const READ_SIDE: &[Limit] = &[
    set("read_model_readers", "2", "threads", "Threads that read the read models.", "Reads wait in their queue."),
    set("read_model_read_queue_max", "1024", "reads", "Most reads of the read models that wait for a reader.", "The read waits for a place."),
    set("read_model_timeout_ms", "10000", "ms", "Longest wait for the read models' answer, in milliseconds.", "503 `UNAVAILABLE`"),
    set("read_model_cache_kib", "65536", "KiB", "Memory for pages of the read models' writer, in KiB; each reader has a sixteenth of it.", "Pages are read again."),
    set("read_model_wal_bytes_max", "67108864", "bytes", "What the read models' write-ahead log is kept below, about, in bytes.", "It is moved into the file."),
    set("projection_batch_events_max", "10000", "events", "Most events that are projected in one transaction.", "The others come with the next."),
    set("projection_batch_bytes_max", "16777216", "bytes", "Most bytes of the events of one such transaction.", "The others come with the next."),
    set("projection_rows_cached_max", "20000", "rows", "Rows that are kept in memory for the next events.", "They are read again."),
    set("changes_kept_ms", "86400000", "ms", "How long a client may be away and still resume a live query, in milliseconds.", "`reset` with the reason `retention`, and everything anew."),
    set("changes_kept_max", "1000000", "rows", "Most changed rows that are remembered for resuming live queries.", "The oldest go: `reset` with the reason `retention`."),
    set("parked_streams_max", "1000", "streams", "Most streams that are parked because an event of theirs can't be applied.", "Nothing is projected any more, and `/readyz` says so."),
    fixed("Most parked streams that wait to be read on.", || projections::READ_ONS_MAX.amount(), "streams", "503 `UNAVAILABLE`"),
    fixed("Longest wait for what came of reading a parked stream on.", || projections::READ_ON_WAIT.amount(), "ms", "503 `UNAVAILABLE`; the work goes on."),
    fixed("Most writes that wait for the writer of a file of read models, of drafts, or of keys.", || read_models_default().write_queue_max.amount(), "writes", "The write waits for a place."),
    fixed("Longest wait for another connection's lock on such a file.", || read_models_default().busy_timeout.amount(), "ms", "503 `UNAVAILABLE`, or the runner tries again."),
    fixed("Most writes of one commit.", || projections::WRITE_GROUP_MAX.amount(), "writes", "The others come with the next."),
    fixed("Statements that a connection keeps prepared.", || projections::STATEMENTS_CACHED_MAX.amount(), "statements", "They are prepared again."),
    fixed("Bytes written between two moves of the write-ahead log, about.", || projections::BYTES_BETWEEN.amount(), "bytes", "It is moved into the file."),
    fixed("Longest that a commit is held up by its beginning anew.", || projections::RESTART_WAIT.amount(), "ms", "It is tried again later."),
    fixed("Longest that a commit is held up by its being cut.", || projections::CUT_WAIT.amount(), "ms", "It is tried again later."),
    fixed("How often the write-ahead log is tried to be cut when nothing of removed rows may be left in it.", || projections::SCRUB_TRIES_MAX.amount(), "times", "The erasure is tried again."),
    fixed("Most connections to PostgreSQL for each of read models, side store, and keys.", || postgres_default().connections_max.amount(), "connections", "Reads and writes wait for one."),
    fixed("Most reads and writes that wait for a connection of one of them.", || projections::CONNECTION_WAITING_MAX.amount(), "calls", "503 `UNAVAILABLE`, or the runner tries again."),
    fixed("Longest wait for a new connection to PostgreSQL.", || postgres_default().connect_timeout.amount(), "ms", "503 `UNAVAILABLE`, or the runner tries again."),
    fixed("Longest wait for an idle connection to PostgreSQL to begin a transaction.", || projections::IDLE_ANSWER_WAIT.amount(), "ms", "It is given up with all that are idle, and a new one made."),
    fixed("Longest wait for the answer to a read in PostgreSQL, that for a connection included.", || postgres_default().read_timeout.amount(), "ms", "503 `UNAVAILABLE`"),
    fixed("The same for a write.", || postgres_default().write_timeout.amount(), "ms", "503 `UNAVAILABLE`, or the runner tries again."),
    fixed("Longest wait for the answer to one of its statements, and to any other but a read.", || postgres_default().statement_timeout.amount(), "ms", "Its connection is given up; 503 `UNAVAILABLE`, or the runner tries again."),
    fixed("Longest wait until a table is freed of what was removed from it.", || postgres_default().scrub_timeout.amount(), "ms", "PostgreSQL gives it up; the erasure tries again."),
    fixed("How long PostgreSQL lets a transaction wait for this program's next word.", || postgres_default().idle_transaction_timeout.amount(), "ms", "It undoes the transaction and closes the connection."),
    fixed("How long what PostgreSQL sends may stay unacknowledged.", || postgres_default().unacknowledged_timeout.amount(), "ms", "It closes the connection."),
    fixed("How long this program may be silent before PostgreSQL asks whether it is there.", || postgres_default().silence_asked_after.amount(), "ms", "Where nobody answers, it closes the connection."),
    fixed("How often a transaction is tried that PostgreSQL undoes because of another one.", || projections::TRANSACTION_TRIES_MAX.amount(), "times", "503 `UNAVAILABLE`, or the runner tries again."),
    fixed("Batches of more events are decoded on a thread of their own.", || projections::DECODED_HERE_MAX.amount(), "events", "A thread decodes them."),
    fixed("Events that are applied without a pause for others.", || projections::EVENTS_AT_A_STRETCH.amount(), "events", "Others get their turn."),
    fixed("Old changes that one commit removes.", || projections::CHANGES_CUT_MAX.amount(), "rows", "The others go with the next."),
    fixed("Time between two looks at the age of the oldest changes.", || projections::CHANGES_LOOK_MS.amount(), "ms", "They are looked at."),
    fixed("Longest pause after a failure that may pass.", || projections::RUNNER_PAUSE_MAX.amount(), "ms", "It is tried again."),
];

#[rustfmt::skip]
const BUS: &[Limit] = &[
    set("bus_messages_max", "1024", "messages", "Messages of the bus that are kept for a slow listener of each topic.", "The oldest are lost to it: it looks by itself."),
    fixed("Changes in one message.", || projections::CHANGES_IN_MESSAGE_MAX.amount(), "changes", "They are told in several."),
    fixed("Least time between two messages in which a process says how far it has appended to a shared log.", || APPENDS_REST.amount(), "ms", "One message is for all that is appended meanwhile."),
    fixed("Largest message on NATS.", || bus::MESSAGE_BYTES_MAX.amount(), "bytes", "Changes are told in several; a piece of a reply is not told: its draft has it."),
    fixed("Longest id in the name of a topic on NATS.", || bus::ID_BYTES_MAX.amount(), "bytes", "The reply's text is not pushed before it is whole, but for its draft once a second."),
    fixed("Messages and subscriptions that wait to be sent to NATS.", || bus::QUEUED_MAX.amount(), "messages", "They are lost and counted (`advisor_bus_messages_lost_total`): who listens looks by itself."),
    fixed("Most time to connect to NATS.", || bus::CONNECT_TIMEOUT.amount(), "ms", "It is tried again."),
    fixed("Longest pause before that.", || bus::RECONNECT_PAUSE_MAX.amount(), "ms", "It is tried again, as long as the process runs."),
    fixed("How often a NATS server is asked whether it is there; the third question without an answer is the last.", || bus::PING_EVERY.amount(), "ms", "The connection is given up, and another one made."),
    fixed("Most time that is waited for NATS to know what is listened to, and at the end for it to have what was said.", || bus::ANSWER_TIMEOUT.amount(), "ms", "Who listens looks by itself."),
];

fn replies_default() -> ReplyOptions {
    ReplyOptions::default()
}

fn titles_default() -> TitleOptions {
    TitleOptions::default()
}

fn beats_default() -> BeatOptions {
    BeatOptions::default()
}

#[rustfmt::skip]
const MODELS: &[Limit] = &[
    set("replies_parallel_max", "128", "replies", "Most replies that this process writes at the same time.", "More wait their turn."),
    set("reply_chars_max", "100000", "characters", "Most characters of a reply.", "It is cut: `finishReason` is `length`."),
    set("model_context_tokens", "8192", "tokens", "Context window of models that `model_limits` does not name, in tokens.", "Prompts are cut to fit."),
    set("model_output_tokens_max", "2000", "tokens", "Most tokens of one reply of models that `model_limits` does not name.", "The model ends."),
    set("model_timeout_ms", "120000", "ms", "Most time for one call of a model, and for a reply in one process, in milliseconds.", "The reply fails: `AI_API_ERROR`."),
    set("model_connect_timeout_ms", "5000", "ms", "Most time to connect to a model provider, in milliseconds.", "It counts as a failure: another attempt, or the next model."),
    set("model_first_token_timeout_ms", "45000", "ms", "Most time until a model begins to answer, in milliseconds.", "It counts as a failure: another attempt, or the next model."),
    set("model_idle_timeout_ms", "20000", "ms", "Most time between two pieces of a model's answer, in milliseconds.", "The attempt fails."),
    set("model_response_bytes_max", "16777216", "bytes", "Most bytes of a model's whole answer.", "The attempt fails."),
    set("model_passes_max", "3", "times", "How often the models of a plan are gone through before the first word.", "The reply fails: `AI_API_ERROR`."),
    set("model_retry_budget_ms", "60000", "ms", "After how long no further model is asked before the first word, in milliseconds.", "The reply fails: `AI_API_ERROR`."),
    set("model_breaker_failures_max", "5", "failures", "Failures in a row after which a model provider is left alone.", "Replies fail at once: `AI_API_ERROR`."),
    set("model_breaker_pause_ms", "30000", "ms", "How long a model provider is left alone before one request tries it again, in milliseconds.", "One request is let through."),
    set("titles_parallel_max", "4", "titles", "Most titles that are made at the same time.", "More wait their turn."),
    set("title_timeout_ms", "60000", "ms", "Most time for one title, in milliseconds.", "It is tried again later."),
    fixed("Most bytes of one line of a model's answer.", || CallLimits::default().line_bytes_max.amount(), "bytes", "The attempt fails."),
    fixed("Longest `Retry-After` of a provider that is believed.", || workers::MODEL_RETRY_AFTER_MAX.amount(), "ms", "It counts as so long."),
    fixed("Pause after going through the models once; it doubles.", || RetryOptions::default().pause.amount(), "ms", "They are gone through again."),
    fixed("Longest name of a model that an advisor asks for.", || workers::HINT_CHARS_MAX.amount(), "characters", "The hint is not followed."),
    fixed("Open replies that one look sees.", || replies_default().open_max.amount(), "replies", "The others are seen when these have ended."),
    fixed("Time between two looks at open replies, whatever the bus says.", || replies_default().look.amount(), "ms", "They are looked at."),
    fixed("How long replies go on after the order to end.", || replies_default().grace.amount(), "ms", "They are released to whoever comes next."),
    fixed("Time between two writes of drafts.", || beats_default().write.amount(), "ms", "They are written."),
    fixed("Time between two beats of a reply.", || beats_default().beat.amount(), "ms", "The beat is raised."),
    fixed("A reply that could not beat for so long is dropped by its owner.", || beats_default().drop_after.amount(), "ms", "Another attempt begins."),
    fixed("Drafts that nobody has written to for so long.", || workers::ORPHANED_AFTER_MS.amount(), "ms", "They are removed."),
    fixed("How long text waits to be told together with what follows.", || workers::COALESCE.amount(), "ms", "It is told."),
    fixed("Characters of one piece of a reply on the bus.", || workers::DELTA_CHARS_MAX.amount(), "characters", "It is told in several."),
    fixed("How long the claim of a reply is repeated.", || workers::CLAIM_PATIENCE.amount(), "ms", "The next look decides."),
    fixed("How long the end of a reply is repeated.", || workers::END_PATIENCE.amount(), "ms", "The next look decides."),
    fixed("Longest pause between two such repeats.", || workers::EFFECT_PAUSE_MAX.amount(), "ms", "It is repeated."),
    fixed("Longest rest of a reply that can't be carried out.", || workers::REPLY_REST_MAX.amount(), "ms", "It is tried again."),
    fixed("Shortest time between two looks when the bus rings.", || workers::BELL_REST.amount(), "ms", "Rings are heard together."),
    fixed("Time before a worker that has panicked begins again.", || workers::RESTART_PAUSE.amount(), "ms", "It begins again."),
    fixed("Messages that are read for a history.", || workers::MESSAGES_READ_MAX.amount(), "messages", "The newest ones are read."),
    fixed("Messages of a history.", || workers::HISTORY_MESSAGES_MAX.amount(), "messages", "The newest ones stay."),
    fixed("Tokens of a history, as they are estimated.", || workers::HISTORY_TOKENS_MAX.amount(), "tokens", "The newest messages stay."),
    fixed("Tokens of a reply that are asked for.", || workers::REPLY_TOKENS_MAX.amount(), "tokens", "The model ends."),
    fixed("Characters of what tells the model who speaks.", || workers::SYSTEM_CHARS_MAX.amount(), "characters", "It is cut."),
    fixed("Characters of an advisor's name or title in it.", || workers::NAME_CHARS_MAX.amount(), "characters", "It is cut."),
    fixed("Characters of any other text of the advisor's document in it.", || workers::TEXT_CHARS_MAX.amount(), "characters", "It is cut."),
    fixed("Items of a list in it.", || workers::ITEMS_MAX.amount(), "items", "Further ones are left out."),
    fixed("Components in it.", || workers::COMPONENTS_MAX.amount(), "components", "Further ones are left out."),
    fixed("Characters of a component in it.", || workers::COMPONENT_CHARS_MAX.amount(), "characters", "It is cut."),
    fixed("Conversations without a title that one look sees.", || workers::UNTITLED_MAX.amount(), "conversations", "The others are seen when these have one."),
    fixed("Times that a conversation's title is tried.", || titles_default().tries_max.amount(), "times", "The conversation is left alone for a while."),
    fixed("Pause after the first try of a title; it doubles.", || titles_default().pause.amount(), "ms", "It is tried again."),
    fixed("How long a conversation is left alone after the last try.", || titles_default().rest.amount(), "ms", "It is tried again."),
    fixed("How long the command that gives a title is repeated.", || workers::TITLE_PATIENCE.amount(), "ms", "The title is tried again later."),
    fixed("Messages that a title is made from.", || workers::TITLE_MESSAGES_MAX.amount(), "messages", "The first ones."),
    fixed("Characters of each of them.", || workers::TITLE_MESSAGE_CHARS_MAX.amount(), "characters", "They are cut."),
    fixed("Tokens of a title that are asked for.", || workers::TITLE_TOKENS_MAX.amount(), "tokens", "The model ends."),
    fixed("Characters of an answer that a title is read from.", || workers::TITLE_ANSWER_CHARS_MAX.amount(), "characters", "It is cut."),
    fixed("Words of a title that is made.", || workers::TITLE_WORDS_MAX.amount(), "words", "It is cut."),
    fixed("Characters of a title that is made.", || workers::MADE_TITLE_CHARS_MAX.amount(), "characters", "It is cut."),
];

fn erasures_default() -> EraseOptions {
    EraseOptions::default()
}

#[rustfmt::skip]
const ERASURE: &[Limit] = &[
    fixed("Deletions of people that one look takes in.", || workers::DELETIONS_PAGE.amount(), "people", "The next page is read."),
    fixed("Drafts that are compared with the replies at once.", || workers::ERASED_DRAFTS_PAGE.amount(), "drafts", "The next page is read."),
    fixed("Most time that an operator's request waits for an erasure's end.", || api::ERASURE_WAIT.amount(), "ms", "Its answer says that the erasure goes on."),
    fixed("How often it looks.", || api::ERASURE_LOOK_EVERY.amount(), "ms", "It looks again."),
    fixed("Time between two looks at deletions, whatever the bus says.", || erasures_default().look.amount(), "ms", "They are looked at."),
    fixed("How long it takes at most until no worker writes a draft of an erased person's reply.", || erasures_default().settle.amount(), "ms", "The erasure goes on."),
    fixed("The same where several processes work.", || EraseOptions::among_processes().settle.amount(), "ms", "The erasure goes on."),
];

#[rustfmt::skip]
const START: &[Limit] = &[
    fixed("Longest pause before an engine that is not there is looked for again.", || ENGINE_PAUSE_MAX.amount(), "ms", "It is looked for, as long as the process runs."),
];

#[rustfmt::skip]
const END: &[Limit] = &[
    fixed("Most time for answers that are being given, and for workers to give up their replies.", || WORK_END_MAX.amount(), "ms", "What is left is dropped: the next start heals it as it would a crash."),
    fixed("Most time for the last transaction of the read side.", || RUNNER_END_MAX.amount(), "ms", "It is done after the next start."),
    fixed("Most time to close all files.", || STORES_END_MAX.amount(), "ms", "They are closed by the system."),
];
