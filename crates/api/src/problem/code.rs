//! Every error code in one table: when it is given, its text, its status, its title, and what a client does about it.

use http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:ident, $title:literal, $advice:literal;)+) => {
        /// A stable text that says what went wrong. The table in this file is all of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The text that clients see.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The status that usually goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The kind of problem in a few words, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What a client does about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }

            /// When it is given, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii_start(),)+ }
            }
        }
    };
}

codes! {
    /// The route needs a sign-in token, and there is none, or one that is not valid.
    AuthRequired = "AUTH_REQUIRED", UNAUTHORIZED, "Sign-in required",
        "Sign in, then send the request again with a fresh token.";
    /// The session waits for something that the person must do first (`sts: pending`).
    SessionPending = "SESSION_PENDING", FORBIDDEN, "Session pending",
        "Let the person finish what the sign-in asks for, then use the new token.";
    /// The person is signed in and lacks the role.
    Forbidden = "FORBIDDEN", FORBIDDEN, "Not allowed",
        "Don't repeat it; an operator gives roles.";
    /// A page of another origin tries to open a WebSocket.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED", FORBIDDEN, "Origin not allowed",
        "Don't repeat it; an operator names the origins of front ends.";
    /// Two tokens that disagree, or two `Authorization` headers.
    AmbiguousAuthorization = "AMBIGUOUS_AUTHORIZATION", BAD_REQUEST, "Ambiguous authorization",
        "Send one token, in the header or in the cookie.";

    /// The headers of a webhook that sign it are missing, doubled or malformed, or its time is more than five minutes off.
    InvalidWebhook = "INVALID_WEBHOOK", BAD_REQUEST, "Invalid webhook",
        "Send `svix-id`, `svix-timestamp` and `svix-signature` as Svix makes them, and set the sender's clock.";
    /// No signature of a webhook is one of the configured secret over this very body.
    InvalidSignature = "INVALID_SIGNATURE", UNAUTHORIZED, "Invalid signature",
        "Compare `clerk_webhook_secret` with the signing secret of the endpoint in Clerk.";

    /// The head of the request is no HTTP/1, names no host, or tells the body's length in two ways.
    MalformedRequest = "MALFORMED_REQUEST", BAD_REQUEST, "Malformed request", "Send HTTP/1.1 with one `Host`, and one `Content-Length` or chunks.";
    /// The first line and the headers are larger than the limit, or too many.
    HeadersTooLarge = "HEADERS_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large", "Send fewer or shorter headers, or a shorter path.";
    /// The body is no JSON: broken text, bytes that are no UTF-8, a lone surrogate, a key twice, too deep.
    InvalidJson = "INVALID_JSON", BAD_REQUEST, "Invalid JSON",
        "Mend the body.";
    /// The body or the query breaks a rule; `details` point at what breaks it. 422 in commands.
    ValidationError = "VALIDATION_ERROR", BAD_REQUEST, "Invalid request",
        "Show the details to whoever wrote the input; send it again when it is mended.";
    /// An id that can't be one.
    InvalidId = "INVALID_ID", BAD_REQUEST, "Invalid id",
        "Use an id as an answer gave it.";
    /// The media type or the encoding of the body is not one that the route takes.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type",
        "Send `content-type: application/json`, not compressed.";
    /// The body is larger than the limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", PAYLOAD_TOO_LARGE, "Request too large",
        "Send less.";
    /// The body did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", REQUEST_TIMEOUT, "Request time-out",
        "Send it again.";
    /// The route can't answer in any media type of `Accept`.
    NotAcceptable = "NOT_ACCEPTABLE", NOT_ACCEPTABLE, "Not acceptable",
        "Ask for a media type that the route is described with.";
    /// The request is to become a WebSocket, and its headers are not those of an opening. 426 for another version.
    InvalidUpgrade = "INVALID_UPGRADE", BAD_REQUEST, "Invalid upgrade",
        "Open it with a WebSocket library (RFC 6455, version 13).";
    /// The method is not one of the route's; `Allow` names them.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "Method not allowed",
        "Use a method that `Allow` names.";
    /// The idempotency key is empty, longer than 128 bytes, not printable ASCII, or there twice.
    InvalidIdempotencyKey = "INVALID_IDEMPOTENCY_KEY", BAD_REQUEST, "Invalid idempotency key",
        "Send one key of 1 to 128 printable ASCII characters, such as a UUID.";
    /// The idempotency key was used before with another request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, "Idempotency key reused",
        "Make a new key for each new thing to do; keep it only to repeat the same request.";
    /// `If-Match` is no entity tag.
    InvalidIfMatch = "INVALID_IF_MATCH", BAD_REQUEST, "Invalid If-Match",
        "Send the `ETag` of an answer, in its quotes.";
    /// What `If-Match` names is not how things are.
    PreconditionFailed = "PRECONDITION_FAILED", PRECONDITION_FAILED, "Precondition failed",
        "Read it again, decide again, and send the new `ETag`.";
    /// `min_position` is no position of the log.
    InvalidPosition = "INVALID_POSITION", BAD_REQUEST, "Invalid position",
        "Use a position that an answer of this server gave.";
    /// The read side has not reached `min_position` in time.
    PositionNotReached = "POSITION_NOT_REACHED", SERVICE_UNAVAILABLE, "Position not reached",
        "Ask again after `Retry-After`.";
    /// The cursor is not one that this route gave to this person.
    InvalidCursor = "INVALID_CURSOR", BAD_REQUEST, "Invalid cursor",
        "Begin again with the first page.";
    /// `limit` is not between 1 and 100.
    InvalidLimit = "INVALID_LIMIT", BAD_REQUEST, "Invalid limit",
        "Ask for 1 to 100.";

    /// There is no such route, or nothing there that the caller may see.
    NotFound = "NOT_FOUND", NOT_FOUND, "Not found",
        "Don't repeat it.";
    /// There is no command of this name.
    UnknownCommand = "UNKNOWN_COMMAND", NOT_FOUND, "Unknown command",
        "Use a command that the description lists.";
    /// There is no such conversation, or it is somebody else's.
    ConversationNotFound = "CONVERSATION_NOT_FOUND", NOT_FOUND, "Conversation not found",
        "Take it off the screen.";
    /// There is no such message, or it is somebody else's.
    MessageNotFound = "MESSAGE_NOT_FOUND", NOT_FOUND, "Message not found",
        "Take it off the screen.";
    /// There is no such reply, or it is somebody else's.
    ReplyNotFound = "REPLY_NOT_FOUND", NOT_FOUND, "Reply not found",
        "Take it off the screen.";
    /// There is no such advisor, or it is not active, or not visible to the caller. Where a body names it: 422 in
    /// commands, 400 on other routes.
    AdvisorNotFound = "ADVISOR_NOT_FOUND", NOT_FOUND, "Advisor not found",
        "Choose from the list of advisors.";

    /// The thing is in a state that does not allow it.
    WrongState = "WRONG_STATE", CONFLICT, "Wrong state",
        "Read it again: somebody was quicker.";
    /// Another command holds the same thing at this moment; ask again.
    Busy = "BUSY", CONFLICT, "Busy",
        "Send it again after `Retry-After`, with the same idempotency key.";
    /// An advisor with this id is there already.
    AdvisorExists = "ADVISOR_EXISTS", CONFLICT, "Advisor exists",
        "Choose another id, or revise the one that is there.";
    /// Only the user's own messages can be edited.
    InvalidMessageType = "INVALID_MESSAGE_TYPE", BAD_REQUEST, "Invalid message type",
        "Offer editing only where `sender` is `user`.";
    /// A chat request without a message of the user.
    NoUserMessage = "NO_USER_MESSAGE", BAD_REQUEST, "No user message",
        "Send at least one message whose `role` is `user`.";
    /// There is no advisor who could answer.
    NoAdvisorAvailable = "NO_ADVISOR_AVAILABLE", BAD_REQUEST, "No advisor available",
        "Make an advisor first, or activate one.";
    /// As much is kept for this person, or in this conversation, as may be.
    QuotaExceeded = "QUOTA_EXCEEDED", UNPROCESSABLE_ENTITY, "Quota exceeded",
        "Delete conversations, or begin a new one; an operator sets the quotas.";
    /// Fields of the advisor's form are absent or empty.
    MissingFields = "MISSING_FIELDS", BAD_REQUEST, "Missing fields",
        "Fill in the fields that `error` names.";
    /// The advisor's configuration is no JSON object.
    InvalidConfiguration = "INVALID_CONFIGURATION", BAD_REQUEST, "Invalid configuration",
        "Send the text of a JSON object.";
    /// One person, or one address, asks too often; `RateLimit` says what is left.
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS, "Too many requests",
        "Wait as long as `Retry-After` says; keep an eye on `RateLimit`.";
    /// One person has too many live streams.
    TooManyStreams = "TOO_MANY_STREAMS", TOO_MANY_REQUESTS, "Too many streams",
        "Close a stream first; one of `/api/live` carries up to 20 queries.";

    /// The model failed; the user's message stays.
    AiApiError = "AI_API_ERROR", BAD_GATEWAY, "Model failed",
        "Offer to ask again in the conversation that `conversationId` names.";
    /// The model gave no text; the user's message stays.
    NoAiResponse = "NO_AI_RESPONSE", BAD_GATEWAY, "No reply",
        "Offer to ask again in the conversation that `conversationId` names.";
    /// There is more to do than can be done at the moment; nothing has been done.
    Overloaded = "OVERLOADED", SERVICE_UNAVAILABLE, "Overloaded",
        "Wait as long as `Retry-After` says, longer each time, then repeat the request with the same idempotency key.";
    /// A part of the system is away; the same request may succeed later.
    Unavailable = "UNAVAILABLE", SERVICE_UNAVAILABLE, "Unavailable",
        "Send it again after `Retry-After`, with the same idempotency key.";
    /// It may have happened: repeat the request with the same idempotency key to learn which.
    OutcomeUnknown = "OUTCOME_UNKNOWN", SERVICE_UNAVAILABLE, "Outcome unknown",
        "Send it again after `Retry-After`, with `commandId` as the idempotency key.";
    /// The answer took too long; the same request may succeed later.
    TimedOut = "TIMED_OUT", SERVICE_UNAVAILABLE, "Timed out",
        "Send it again after `Retry-After`, with the same idempotency key.";
    /// The server stops; another one takes the same request.
    ShuttingDown = "SHUTTING_DOWN", SERVICE_UNAVAILABLE, "Shutting down",
        "Send it again after `Retry-After`, with the same idempotency key.";
    /// A fault of the server; the request id finds it in the logs.
    InternalError = "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, "Internal error",
        "Report it with the answer's `x-request-id`.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_there_once_and_says_when_it_is_given() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.meaning().ends_with('.') && !code.meaning().contains("  "), "{code:?}");
            assert!(code.advice().ends_with('.'), "{code:?}");
            assert!(!code.meaning().contains('|') && !code.advice().contains('|'), "{code:?} stands in a table");
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(code.text().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code:?}");
        }
    }
}
