//! What holds in whatever order, and however often, the sign-in service tells its news.

use super::*;
use proptest::prelude::*;

const PLANS: [&str; 3] = ["free", "base", "premium"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// The newest of what was told holds in the end: its profile and its plan, whatever came when.
    #[test]
    fn the_newest_holds_whatever_the_order(news in news(), register_first in any::<bool>()) {
        let newest = news.iter().max_by_key(|news| news.told_at).cloned();
        let first = register_first.then(register);
        let told = events_of(first.into_iter().chain(news.into_iter().map(News::into_command)));

        let newest = newest.expect("there is some news");
        prop_assert_eq!(held(&told), (newest.name(), newest.plan));
    }

    /// Who is deleted stays deleted, and nothing comes after it: neither what was told before and comes late, nor
    /// anything else.
    #[test]
    fn a_deletion_holds_for_ever(before in news(), after in news()) {
        let commands = before.into_iter().map(News::into_command);
        let after = after.into_iter().map(News::into_command).chain([register(), delete(), follow_deletion()]);

        let told = events_of(commands.chain([follow_deletion()]).chain(after));

        prop_assert_eq!(told.last(), Some(&deleted()));
        prop_assert_eq!(told.iter().filter(|event| **event == deleted()).count(), 1);
    }
}

/// What the sign-in service tells of a person; each time something else.
#[derive(Clone, Debug)]
struct News {
    told_at: i64,
    plan: &'static str,
}

impl News {
    fn name(&self) -> String {
        format!("Ana at {}", self.told_at)
    }

    fn into_command(self) -> UserCommand {
        follow_account(&self.name(), self.plan, self.told_at)
    }
}

/// Times may be there twice: then it is the same news, delivered again.
fn news() -> impl Strategy<Value = Vec<News>> {
    let plans = prop::collection::vec(prop::sample::select(&PLANS[..]), 12);
    (prop::collection::vec(0_usize..12, 1..20), plans).prop_map(|(times, plans)| {
        let news = |time: usize| News { told_at: i64::try_from(time).expect("small"), plan: plans[time] };
        times.into_iter().map(news).collect()
    })
}

fn events_of(commands: impl IntoIterator<Item = UserCommand>) -> Vec<UserEvent> {
    let (mut state, mut all) = (UserState::Unknown, Vec::new());
    for command in commands {
        let events = User::decide(&state, command).unwrap_or_default();
        state = events.iter().fold(state, User::evolve);
        all.extend(events);
    }
    all
}

/// The name and the plan that these events leave.
fn held(events: &[UserEvent]) -> (String, &str) {
    let name = |profile: &Profile| profile.name.as_ref().and_then(|name| name.known()).cloned().unwrap_or_default();
    events.iter().fold((String::new(), ""), |(held_name, held_plan), event| match event {
        UserEvent::Registered(event) => (name(&event.profile), event.plan.as_str()),
        UserEvent::ProfileChanged(event) => (name(&event.profile), held_plan),
        UserEvent::PlanChanged(event) => (held_name, event.plan.as_str()),
        UserEvent::Deleted(_) => (String::new(), ""),
    })
}
