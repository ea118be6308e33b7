//! What every adapter must do, as tests: each case once, for all of them.
//!
//! An adapter's test module implements [`Fixture`] and calls [`contract_tests!`](crate::contract_tests), which
//! makes one test of each case. Beside it, what tests of NATS stand on: [`server`] and [`proxy`].

pub mod cases;
pub mod proxy;
pub mod server;

use crate::port::{Bus, BusMessage, Change, Changes, Delta, Listener};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};

/// Longest that a case waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How an adapter's tests come by a bus.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Two processes on one bus that nobody else is on, which keeps so many messages for a slow listener.
    async fn open(&self, messages_max: usize) -> [Arc<dyn Bus>; 2];
}

/// Makes a test of each case of the contract. The expression gives a fresh [`Fixture`].
#[macro_export]
macro_rules! contract_tests {
    ($fixture:expr) => {
        $crate::contract_tests!(@cases $fixture;
            what_is_said_after_listening_is_heard_in_order,
            everybody_who_listens_hears_all_of_it,
            what_nobody_listens_to_is_gone,
            no_id_hears_what_is_said_of_another,
            all_of_a_message_comes_as_it_went,
            many_changes_come_all_in_one_message_or_in_several_that_follow_on_nothing,
            a_slow_listener_is_told_of_its_loss_and_hears_on,
            a_wait_that_is_given_up_loses_nothing,
            who_leaves_disturbs_nobody,
            many_speakers_are_all_heard,
        );
    };
    (@cases $fixture:expr; $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::cases::$case(&$fixture).await;
            }
        )+
    };
}

/// What a listener hears next, which must come.
pub async fn heard(listener: &mut Box<dyn Listener>) -> Option<BusMessage> {
    tokio::time::timeout(PATIENCE, listener.next()).await.expect("something is heard")
}

/// Read models that moved from one position to the next, with one change.
pub fn changes(to: u64) -> BusMessage {
    let change = Change { feed: "ana".into(), projection: "messages".into(), key: to.to_string() };
    BusMessage::Changes(Arc::new(Changes { generation: 1, from: to - 1, to, changes: vec![change] }))
}

/// A piece of this reply.
pub fn delta(reply: &str, offset: u64, text: &str) -> BusMessage {
    BusMessage::Delta(Arc::new(Delta {
        reply_id: reply.into(),
        conversation_id: "c1".into(),
        attempt: 1,
        offset,
        text: text.to_owned(),
    }))
}
