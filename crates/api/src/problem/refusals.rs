//! What the rules, the handler and the read side say no to, as problems.

use super::{Code, Detail, Problem};
use advisor_commands::{AdvisorRefusal, CommandError, ConversationRefusal, UserRefusal};
use http::StatusCode;
use std::error::Error;

impl Problem {
    /// What became of a command that was sent: with its id, so that it can be asked again. Only where
    /// nothing is there it stays out, since such an answer must not tell one id from another.
    pub fn of_command<R>(error: CommandError<R>, command_id: &str) -> Self
    where
        R: Error + Into<Problem> + 'static,
    {
        let cause: &dyn Error = &error;
        let problem = match error {
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::KeyReused => {
                Self::new(Code::IdempotencyKeyReused, "This idempotency key was used for another request.")
            }
            CommandError::Busy => Self::new(Code::Busy, "Another command holds this at the moment. Try again."),
            CommandError::PreconditionFailed => {
                Self::new(Code::PreconditionFailed, "It was changed in the meantime. Read it again.")
            }
            CommandError::TooLarge => Self::new(Code::PayloadTooLarge, "The command is too large to be kept."),
            CommandError::Unavailable(_) => Self::unavailable(cause),
            CommandError::OutcomeUnknown(_) => Self::new(
                Code::OutcomeUnknown,
                "It may have happened. Repeat the request with the same idempotency key.",
            )
            .caused_by(cause),
            CommandError::KeyDestroyed => Self::invalid_token(cause),
            CommandError::UnknownEvent(_) | CommandError::Broken(_) => Self::internal(cause),
        };
        if problem.status_code() == StatusCode::NOT_FOUND { problem } else { problem.command_id(command_id) }
    }
}

impl From<UserRefusal> for Problem {
    fn from(refusal: UserRefusal) -> Self {
        match refusal {
            // Both can only mean that the account behind a valid token is gone.
            UserRefusal::NotFound | UserRefusal::Deleted => Self::invalid_token(&refusal),
        }
    }
}

impl From<AdvisorRefusal> for Problem {
    fn from(refusal: AdvisorRefusal) -> Self {
        match refusal {
            AdvisorRefusal::NotFound => Self::advisor_not_found(),
            AdvisorRefusal::Exists { .. } => Self::new(Code::AdvisorExists, refusal.to_string()),
            AdvisorRefusal::NotOperator => Self::forbidden(),
            AdvisorRefusal::NoOwner | AdvisorRefusal::DocumentMoved => Self::wrong_state(refusal.to_string()),
        }
    }
}

impl From<ConversationRefusal> for Problem {
    fn from(refusal: ConversationRefusal) -> Self {
        match refusal {
            ConversationRefusal::NotFound => Self::conversation_not_found(),
            ConversationRefusal::MessageNotFound => Self::message_not_found(),
            ConversationRefusal::ReplyNotFound => Self::reply_not_found(),
            ConversationRefusal::Full => Self::new(Code::QuotaExceeded, refusal.to_string()),
            ConversationRefusal::NotAUserMessage => Self::new(Code::InvalidMessageType, refusal.to_string()),
            ConversationRefusal::TooManyReplies | ConversationRefusal::SameReplyTwice => {
                Self::invalid_command(vec![Detail::at("/advisorIds", refusal.to_string())])
                    .status(StatusCode::UNPROCESSABLE_ENTITY)
            }
            ConversationRefusal::AlreadyStarted
            | ConversationRefusal::AlreadySent
            | ConversationRefusal::ReplyEnded
            | ConversationRefusal::NotYourAttempt
            | ConversationRefusal::AttemptsExhausted
            | ConversationRefusal::NotYet
            | ConversationRefusal::StopRequested
            | ConversationRefusal::StopNotRequested
            | ConversationRefusal::TitleTaken => Self::wrong_state(refusal.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_of_a_command_carries_its_id() {
        type E = CommandError<ConversationRefusal>;
        for (error, status, code) in [
            (E::Refused(ConversationRefusal::ReplyEnded), 409, "WRONG_STATE"),
            (E::Refused(ConversationRefusal::TooManyReplies), 422, "VALIDATION_ERROR"),
            (E::KeyReused, 422, "IDEMPOTENCY_KEY_REUSED"),
            (E::Busy, 409, "BUSY"),
            (E::PreconditionFailed, 412, "PRECONDITION_FAILED"),
            (E::TooLarge, 413, "PAYLOAD_TOO_LARGE"),
            (E::Unavailable("away".to_owned()), 503, "UNAVAILABLE"),
            (E::OutcomeUnknown("cut".to_owned()), 503, "OUTCOME_UNKNOWN"),
            (E::Broken("damaged".into()), 500, "INTERNAL_ERROR"),
        ] {
            let body = Problem::of_command(error, "key-1").body();
            assert_eq!(body["status"], json!(status), "{body}");
            assert_eq!(body["code"], json!(code), "{body}");
            assert_eq!(body["commandId"], json!("key-1"), "{body}");
        }
    }

    #[test]
    fn what_is_not_there_answers_the_same_under_any_id() {
        let body = |id| Problem::of_command(CommandError::Refused(ConversationRefusal::NotFound), id).body();
        assert_eq!(body("one"), body("other"));
    }

    #[test]
    fn a_deleted_account_is_not_signed_in() {
        let problem = Problem::of_command(CommandError::Refused(UserRefusal::Deleted), "key");
        assert_eq!(problem.status_code(), StatusCode::UNAUTHORIZED);
    }
}
