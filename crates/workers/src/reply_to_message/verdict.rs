//! What to do about an open reply that this process does not run. Pure.

use advisor_commands::conversation::ATTEMPTS_MAX;
use advisor_projections::{Draft, replies::ReplyRow};

/// What is known of a reply's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It may be alive.
    Alive,
    /// It gave the reply up in good order.
    Released,
    /// It is dead, as far as anybody can tell.
    Dead,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing, for now.
    Leave,
    /// Begin this attempt.
    Begin(u32),
    /// Begin this attempt, which is not counted.
    BeginReleased(u32),
    /// A stop was asked for and nobody is left to carry it out: end it with the draft's text.
    EndStopped,
    /// As many attempts as are allowed have died.
    Exhausted,
}

/// Whether a draft says that its owner gave up this very attempt.
pub(crate) fn is_released(reply: &ReplyRow, draft: Option<&Draft>) -> bool {
    draft.is_some_and(|draft| draft.released && draft.attempt == reply.attempt)
}

/// What to do about a reply.
pub(crate) fn verdict(reply: &ReplyRow, owner: Owner, queue: Queue) -> Verdict {
    let in_turn = |begin| match queue {
        Queue::First => begin,
        Queue::Behind => Verdict::Leave,
    };
    if reply.attempt == 0 {
        return in_turn(Verdict::Begin(1));
    }
    match owner {
        Owner::Alive => Verdict::Leave,
        Owner::Released | Owner::Dead if reply.stop_requested => Verdict::EndStopped,
        Owner::Released => in_turn(Verdict::BeginReleased(reply.attempt + 1)),
        Owner::Dead if reply.attempts_counted >= ATTEMPTS_MAX => Verdict::Exhausted,
        Owner::Dead => in_turn(Verdict::Begin(reply.attempt + 1)),
    }
}

/// Where a reply stands among those of its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// It may begin.
    First,
    /// A reply to an earlier message has not ended.
    Behind,
}

#[cfg(test)]
mod tests {
    use super::*;
    use advisor_eventlog::Position;
    use advisor_events::Timestamp;
    use advisor_projections::replies::ReplyStatus;

    #[test]
    fn a_reply_that_nobody_has_begun_begins_unless_an_earlier_one_is_open() {
        for owner in [Owner::Alive, Owner::Released, Owner::Dead] {
            let reply = reply(0, 0);
            assert_eq!(verdict(&reply, owner, Queue::First), Verdict::Begin(1));
            assert_eq!(verdict(&reply, owner, Queue::Behind), Verdict::Leave);
        }
    }

    #[test]
    fn a_reply_with_a_living_owner_is_left_alone() {
        assert_eq!(verdict(&reply(1, 1), Owner::Alive, Queue::First), Verdict::Leave);
        let stopping = ReplyRow { stop_requested: true, ..reply(1, 1) };
        assert_eq!(verdict(&stopping, Owner::Alive, Queue::First), Verdict::Leave);
    }

    #[test]
    fn a_dead_owner_is_followed_by_a_counted_attempt_and_the_third_is_the_last() {
        let next = Verdict::Begin;
        assert_eq!(verdict(&reply(1, 1), Owner::Dead, Queue::First), next(2));
        assert_eq!(verdict(&reply(2, 2), Owner::Dead, Queue::First), next(3));
        assert_eq!(verdict(&reply(3, 3), Owner::Dead, Queue::First), Verdict::Exhausted);
        assert_eq!(verdict(&reply(3, 2), Owner::Dead, Queue::First), next(4));
    }

    #[test]
    fn a_release_is_followed_at_once_and_not_counted() {
        let next = Verdict::BeginReleased(4);
        assert_eq!(verdict(&reply(3, 3), Owner::Released, Queue::First), next);
    }

    #[test]
    fn a_stop_that_nobody_is_left_to_carry_out_ends_the_reply() {
        for owner in [Owner::Released, Owner::Dead] {
            let stopping = ReplyRow { stop_requested: true, ..reply(3, 3) };
            assert_eq!(verdict(&stopping, owner, Queue::Behind), Verdict::EndStopped);
        }
    }

    #[test]
    fn a_release_of_an_older_attempt_does_not_count() {
        let draft = |attempt, released| Draft {
            reply_id: "r".into(),
            conversation_id: "c".into(),
            attempt,
            text: String::new(),
            beat: 1,
            owner: "o".into(),
            released,
            updated_at: Timestamp(0),
        };
        assert!(is_released(&reply(2, 2), Some(&draft(2, true))));
        assert!(!is_released(&reply(2, 2), Some(&draft(1, true))));
        assert!(!is_released(&reply(2, 2), Some(&draft(2, false))));
        assert!(!is_released(&reply(2, 2), None));
    }

    fn reply(attempt: u32, attempts_counted: u32) -> ReplyRow {
        ReplyRow {
            id: "r".into(),
            conversation_id: "c".into(),
            user_id: "u".into(),
            message_id: "m".into(),
            advisor_id: "a".into(),
            status: ReplyStatus::Streaming,
            attempt,
            attempts_counted,
            claim: None,
            stop_requested: false,
            error: None,
            asked_position: Position(1),
            revision: 1,
            place: 0,
            position: Position(1),
        }
    }
}
