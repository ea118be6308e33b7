//! What holds whatever is asked, in whatever order.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each reply ends once at most, after its attempts, of which each follows the one before and none
    /// begins beside an open reply to an earlier message.
    #[test]
    fn a_reply_has_one_attempt_at_a_time_and_one_end(commands in prop::collection::vec(any_command(), 1..80)) {
        let mut seen = Seen::default();
        for event in events_of(commands) {
            seen.take(&event);
        }
    }

    /// What was asked for once need not happen twice: where a command has brought about a situation, asking
    /// for it again changes nothing or is refused; only words may be set again.
    #[test]
    fn the_same_asked_twice_happens_once(commands in prop::collection::vec(any_command(), 1..60)) {
        let mut state = Conversation::evolve(ConversationState::Unknown, &started());
        for command in commands {
            let Ok(events) = Conversation::decide(&state, command.clone()) else { continue };
            state = events.iter().fold(state, Conversation::evolve);
            let again = Conversation::decide(&state, command.clone());
            let sets_words_again = matches!(
                command,
                ConversationCommand::Rename { .. } | ConversationCommand::EditMessage { .. }
            );
            // The first stop asks, and nothing more happens until the reply ends.
            let has_effect = again.is_ok_and(|events| !events.is_empty());
            prop_assert!(!has_effect || sets_words_again, "{command:?} once more");
        }
    }

    /// Nothing happens after the end, to nobody.
    #[test]
    fn a_deleted_conversation_stays_deleted(
        before in prop::collection::vec(any_command(), 0..40),
        after in any_command(),
    ) {
        let mut state = Conversation::evolve(ConversationState::Unknown, &started());
        for command in before.into_iter().chain([delete()]) {
            if let Ok(events) = Conversation::decide(&state, command) {
                state = events.iter().fold(state, Conversation::evolve);
            }
        }
        prop_assert_eq!(Conversation::decide(&state, after), Err(ConversationRefusal::NotFound));
    }

    /// A fold of the same events is the same situation, wherever it was begun and however it was cut.
    #[test]
    fn a_fold_depends_on_its_events_alone(
        commands in prop::collection::vec(any_command(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let events = events_of(commands);
        let whole = events.iter().fold(ConversationState::Unknown, Conversation::evolve);
        let (head, tail) = events.split_at(cut.index(events.len() + 1));
        let half = head.iter().fold(ConversationState::Unknown, Conversation::evolve);
        prop_assert_eq!(tail.iter().fold(half.clone(), Conversation::evolve), whole);
    }
}

/// Everything that has happened in a conversation of its owner, asked for in this order.
fn events_of(commands: Vec<ConversationCommand>) -> Vec<ConversationEvent> {
    let mut state = Conversation::evolve(ConversationState::Unknown, &started());
    let mut happened = vec![started()];
    for command in commands {
        if let Ok(events) = Conversation::decide(&state, command) {
            state = events.iter().fold(state, Conversation::evolve);
            happened.extend(events);
        }
    }
    happened
}

/// What an observer of the events alone may rely on.
#[derive(Default)]
struct Seen {
    asked: Vec<(ReplyId, MessageId)>,
    attempts: HashMap<ReplyId, u32>,
    ended: HashSet<ReplyId>,
    stopping: HashSet<ReplyId>,
    is_over: bool,
}

impl Seen {
    fn take(&mut self, event: &ConversationEvent) {
        assert!(!self.is_over, "nothing follows the end");
        match event {
            ConversationEvent::MessageSent(event) => {
                for reply in &event.replies {
                    assert!(self.asked.iter().all(|(asked, _)| *asked != reply.reply_id), "a reply is asked for once");
                    self.asked.push((reply.reply_id.clone(), event.message_id.clone()));
                }
            }
            ConversationEvent::ReplyStarted(event) => self.begin(&event.reply_id, event.attempt),
            ConversationEvent::ReplyStopRequested(event) => {
                assert!(self.attempts.contains_key(&event.reply_id), "only what runs is asked to stop");
                assert!(!self.ended.contains(&event.reply_id));
                assert!(self.stopping.insert(event.reply_id.clone()), "once");
            }
            ConversationEvent::ReplyCompleted(event) => {
                assert!(!self.stopping.contains(&event.reply_id), "what was stopped is not completed");
                self.end(&event.reply_id, event.attempt);
            }
            ConversationEvent::ReplyFailed(event) => self.end(&event.reply_id, event.attempt),
            ConversationEvent::ReplyStopped(event) => self.end(&event.reply_id, event.attempt),
            ConversationEvent::Deleted(_) => self.is_over = true,
            ConversationEvent::Started(_)
            | ConversationEvent::Renamed(_)
            | ConversationEvent::AdvisorAssigned(_)
            | ConversationEvent::MessageEdited(_)
            | ConversationEvent::MessageDeleted(_) => {}
        }
    }

    fn begin(&mut self, reply_id: &ReplyId, attempt: u32) {
        assert!(!self.ended.contains(reply_id), "nothing begins after the end");
        assert!(!self.stopping.contains(reply_id), "nothing begins after a stop");
        let last = self.attempts.insert(reply_id.clone(), attempt).unwrap_or(0);
        assert_eq!(attempt, last + 1, "each attempt follows the one before");
        let message = &self.asked.iter().find(|(asked, _)| asked == reply_id).expect("it was asked for").1;
        let earlier = self.asked.iter().take_while(|(_, asked_by)| asked_by != message);
        for (earlier, _) in earlier {
            assert!(self.ended.contains(earlier), "the replies to earlier messages have ended");
        }
    }

    fn end(&mut self, reply_id: &ReplyId, attempt: u32) {
        assert!(self.asked.iter().any(|(asked, _)| asked == reply_id), "it was asked for");
        assert_eq!(attempt, self.attempts.get(reply_id).copied().unwrap_or(0), "by the last attempt");
        assert!(self.ended.insert(reply_id.clone()), "a reply ends once");
    }
}

fn any_command() -> impl Strategy<Value = ConversationCommand> {
    let message = (0..6_u8).prop_map(|n| format!("m{n}"));
    let reply = (0..6_u8, prop::sample::select(vec!["alex", "bea"])).prop_map(|(n, who)| format!("m{n}-{who}"));
    let attempt = 0..5_u32;
    let advisors = prop::sample::subsequence(vec!["alex", "bea"], 0..=2);
    prop_oneof![
        1 => Just(start()),
        1 => Just(rename()),
        1 => Just(make_title()),
        2 => prop::sample::select(vec!["alex", "bea"]).prop_map(assign),
        8 => (message.clone(), advisors).prop_map(|(id, advisors)| send(super::message(&id, &advisors))),
        1 => message.clone().prop_map(|id| edit(&id)),
        2 => prop_oneof![message, reply.clone()].prop_map(|id| delete_message(&id)),
        4 => reply.clone().prop_map(|id| stop(&id)),
        12 => (reply.clone(), attempt.clone()).prop_map(|(id, attempt)| start_reply(&id, attempt)),
        2 => (reply.clone(), attempt.clone()).prop_map(|(id, attempt)| restart_released(&id, attempt)),
        6 => (reply.clone(), attempt.clone()).prop_map(|(id, attempt)| complete(&id, attempt)),
        2 => (reply.clone(), attempt.clone()).prop_map(|(id, attempt)| fail(&id, attempt)),
        4 => (reply, attempt).prop_map(|(id, attempt)| end_stopped(&id, attempt)),
    ]
}
