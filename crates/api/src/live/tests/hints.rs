//! Hints by the thousand, or by the million: the runner commits each event by itself, and rings for each commit.
//!
//! Wherever a client is told that it stands, what it was told since it stood somewhere else is what has changed
//! between the two, each row once and as it was there: no gap, nothing twice, nothing too early. Whatever becomes of
//! the bell, and however often the client loses its connection.
//!
//! `ADVISOR_TEST_HINTS` is how many hints the faulty line must have carried (1000000 takes a while), and
//! `ADVISOR_TEST_NATS_STOP` how many seconds the server is frozen for.

use super::{
    faulty_bus::Faulty,
    sequences::Transport,
    watcher::{Told, Watcher},
    world::{context, conversation, document, operator, public_advisor},
};
use crate::{live::hub::LOOK_EVERY, test_api::TestApi};
use advisor_bus::contract::proxy::Faults;
use advisor_commands::{AdvisorCommand, ConversationCommand};
use advisor_events::{Actor, AdvisorId, ConversationId, StreamName, UserId};
use advisor_projections::RunnerLimits;
use futures::future::join_all;
use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// Hints of a check.
const HINTS: u64 = 3_000;
/// Hints of one world, whose log lies in memory.
const WORLD_HINTS: u64 = 100_000;
/// Fewer say nothing of how often each fate befalls them.
const FATES_JUDGED_FROM: u64 = 1_000;
/// Changes between two looks at what clients were told.
const ROUND: u64 = 1_000;
/// The same while the server is frozen, when the last of each round is waited for by the clock.
const FROZEN_ROUND: u64 = 5_000;
/// How long the server is frozen in a check.
const FROZEN: Duration = Duration::from_secs(3);
/// So many changes in a row are told by the bell: the first one after its return, whoever was told that it is back looks
/// for.
const BY_THE_BELL: u32 = 5;
/// How long a bell may take to ring again.
const PATIENCE: Duration = Duration::from_secs(20);

const PEOPLE: [&str; 2] = ["ana", "bo"];
const CONVERSATIONS_EACH: u64 = 20;
const ADVISORS: [&str; 2] = ["robin", "kim"];
/// Commands at the same time.
const WRITERS: u64 = 8;
/// Of so many changes one concerns everybody.
const PUBLIC_ONE_OF: u64 = 8;
/// What a device looks at. Nothing of it ever overflows: all that changes is told as a change.
const QUERIES: [&str; 2] = ["/api/conversations", "/api/advisors"];
/// Moves after which a device loses its connection, and comes back to where it stood.
const MOVES_CONNECTED: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_hints_that_are_lost_doubled_late_and_overtaken_none_leaves_a_gap_or_comes_twice() {
    let wanted = variable("ADVISOR_TEST_HINTS").unwrap_or(HINTS);
    let (begun, mut hints, mut account) = (Instant::now(), 0, Account::default());
    for seed in 1.. {
        let mut world = World::begin(Faults::tenth(seed)).await;
        while world.hints() < WORLD_HINTS.min(wanted - hints) {
            world.round(ROUND).await;
        }
        if world.hints() >= FATES_JUDGED_FROM {
            world.faulty.met_all_fates(world.hints());
        }
        hints += world.hints();
        account = world.ends(&account);
        println!("{hints} hints; {account:?}; in {:?}", begun.elapsed());
        if hints >= wanted {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_frozen_clients_are_told_by_the_clock_and_when_it_is_awake_by_the_bell() {
    let frozen = variable("ADVISOR_TEST_NATS_STOP").map_or(FROZEN, Duration::from_secs);
    let mut world = World::begin(Faults::default()).await;
    world.round(ROUND).await;
    world.faulty.server.signal("STOP");
    let (begun, before) = (Instant::now(), world.account.changes);
    while begun.elapsed() < frozen {
        world.round(FROZEN_ROUND).await;
    }
    let (slept, changes) = (begun.elapsed(), world.account.changes - before);
    world.faulty.server.signal("CONT");
    // By the clock nothing is told sooner than that: this is the bell.
    let (begun, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < BY_THE_BELL {
        in_a_row = if world.round(1).await < LOOK_EVERY { in_a_row + 1 } else { 0 };
        assert!(begun.elapsed() < PATIENCE, "the bell is not heard");
    }
    let quick = begun.elapsed();
    let account = world.ends(&Account::default());
    println!("{changes} changes while it was frozen for {slept:?}; the bell again after {quick:?}; {account:?}");
}

/// A number that the long form is told by.
#[expect(clippy::disallowed_methods, reason = "How long a trial is, the environment says.")]
fn variable(name: &str) -> Option<u64> {
    let said = std::env::var(name).ok()?;
    Some(said.parse().unwrap_or_else(|_| panic!("{name} is no number: {said}")))
}

/// What people change, and the devices that look on.
struct World {
    faulty: Faulty,
    /// Each with its owner.
    conversations: Vec<(&'static str, String)>,
    devices: Vec<Device>,
    account: Account,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
struct Account {
    changes: u64,
    moves: u64,
    connections: u64,
    /// From the last command's append until the last device was told of it.
    longest_wait: Duration,
}

/// A change that was made.
struct Fact {
    position: u64,
    /// Whom it concerns, if not everybody.
    owner: Option<&'static str>,
    row: (&'static str, String),
    title: String,
}

impl World {
    async fn begin(line: Faults) -> Self {
        let one_by_one = RunnerLimits { batch_events_max: 1, ..RunnerLimits::default() };
        let faulty = Faulty::start_with(line, one_by_one).await;
        let test = &faulty.test;
        let (mut conversations, mut devices) = (Vec::new(), Vec::new());
        for _ in 0..CONVERSATIONS_EACH {
            for person in PEOPLE {
                conversations.push((person, conversation(test, person).await));
            }
        }
        // Later than the conversations, which name none of them.
        for advisor in ADVISORS {
            public_advisor(test, advisor, "Coach").await;
        }
        for person in PEOPLE {
            for transport in [Transport::Stream, Transport::Socket] {
                devices.push(Device::connect(test, person, transport).await);
            }
        }
        Self { faulty, conversations, devices, account: Account::default() }
    }

    /// How many hints have come to the line.
    fn hints(&self) -> u64 {
        self.faulty.proxy.fates().all.load(Ordering::Relaxed)
    }

    /// So many changes at full speed, and then the last one of each person, of which all their devices must hear;
    /// then everything that they were told is compared with what was changed. Gives how long they took to hear.
    async fn round(&mut self, changes: u64) -> Duration {
        let mut devices = std::mem::take(&mut self.devices);
        let first = self.account.changes;
        let last_title = format!("the last one of {first}");
        let world = &*self;
        let writing = async {
            let writers = (0..WRITERS).map(|writer| async move {
                let mut made = Vec::new();
                for number in (first..first + changes).filter(|number| number % WRITERS == writer) {
                    made.push(world.change(number).await);
                }
                made
            });
            let mut facts: Vec<Fact> = join_all(writers).await.into_iter().flatten().collect();
            for (person, conversation) in &world.conversations[..PEOPLE.len()] {
                facts.push(world.rename(person, conversation, &last_title).await);
            }
            facts.sort_by_key(|fact| fact.position);
            (facts, Instant::now())
        };
        let hearing = async {
            let all = devices.iter_mut().map(|device| {
                let (_, last) = world.conversations.iter().find(|(owner, _)| *owner == device.person).unwrap();
                device.hear(&world.faulty.test, last, &last_title)
            });
            join_all(all).await;
            Instant::now()
        };
        let ((facts, written), heard) = tokio::join!(writing, hearing);
        for device in &mut devices {
            device.check(&facts);
        }
        self.devices = devices;
        self.account.changes += facts.len() as u64;
        let took = heard.duration_since(written);
        self.account.longest_wait = self.account.longest_wait.max(took);
        took
    }

    async fn change(&self, number: u64) -> Fact {
        let title = format!("number {number}");
        let place = |many: usize| usize::try_from(number / PUBLIC_ONE_OF).unwrap() % many;
        if number.is_multiple_of(PUBLIC_ONE_OF) {
            return self.revise(ADVISORS[place(ADVISORS.len())], title).await;
        }
        let number = usize::try_from(number).unwrap() % self.conversations.len();
        let (person, conversation) = &self.conversations[number];
        self.rename(person, conversation, &title).await
    }

    async fn rename(&self, person: &'static str, conversation: &str, title: &str) -> Fact {
        let test = &self.faulty.test;
        let stream = StreamName::conversation(&ConversationId::from(conversation));
        let command = ConversationCommand::Rename { user_id: UserId::from(person), title: title.to_owned() };
        let context = context(test, Actor::User(UserId::from(person)));
        let done = test.api.commands.conversations.execute(&stream, command, context).await.unwrap();
        let row = ("conversations", conversation.to_owned());
        Fact { position: done.position.0, owner: Some(person), row, title: title.to_owned() }
    }

    async fn revise(&self, advisor: &str, title: String) -> Fact {
        let test = &self.faulty.test;
        let stream = StreamName::advisor(&AdvisorId::from(advisor));
        let command = AdvisorCommand::Revise { by: operator(), document: document(advisor, &title) };
        let context = context(test, Actor::Operator(operator().user_id));
        let done = test.api.commands.advisors.execute(&stream, command, context).await.unwrap();
        Fact { position: done.position.0, owner: None, row: ("advisors", advisor.to_owned()), title }
    }

    /// What was seen in this world, and before it.
    fn ends(self, before: &Account) -> Account {
        let sum = |of: fn(&Device) -> u64| self.devices.iter().map(of).sum::<u64>();
        Account {
            changes: before.changes + self.account.changes,
            moves: before.moves + sum(|device| device.moves),
            connections: before.connections + sum(|device| device.connections),
            longest_wait: before.longest_wait.max(self.account.longest_wait),
        }
    }
}

/// Somebody who looks on.
struct Device {
    person: &'static str,
    transport: Transport,
    watcher: Watcher,
    /// Where it stood when everything that it had been told was right.
    after: u64,
    /// What it was told since.
    told: Vec<Told>,
    moves: u64,
    connections: u64,
}

impl Device {
    async fn connect(test: &TestApi, person: &'static str, transport: Transport) -> Self {
        let mut watcher = transport.watch_as(person, test, &QUERIES, None).await;
        watcher.until(|watcher| watcher.kept.len() == QUERIES.len()).await;
        let after = watcher.position;
        watcher.told.clear();
        Self { person, transport, watcher, after, told: Vec::new(), moves: 0, connections: 1 }
    }

    /// Takes in what comes until this conversation has this title.
    async fn hear(&mut self, test: &TestApi, conversation: &str, title: &str) {
        while self.watcher.kept[QUERIES[0]].rows["conversations"][conversation]["title"] != title {
            if self.watcher.told.len() == MOVES_CONNECTED {
                self.come_back(test).await;
            }
            assert!(self.watcher.next().await.is_some(), "the stream ends: {:?}", self.watcher.told.last());
        }
    }

    async fn come_back(&mut self, test: &TestApi) {
        self.told.append(&mut self.watcher.told);
        let next = self.transport.watch_as(self.person, test, &QUERIES, self.watcher.id.as_deref()).await;
        self.watcher = next.with(&self.watcher);
        self.connections += 1;
    }

    /// What it was told from place to place is what was changed there.
    fn check(&mut self, facts: &[Fact]) {
        self.told.append(&mut self.watcher.told);
        for told in std::mem::take(&mut self.told) {
            assert_eq!(told.name, "change", "{told:?}");
            let to = told.data["position"].as_u64().unwrap();
            let wanted = self.changed_until(to, facts);
            let changes = told.data["changes"].as_array().unwrap();
            let heard: BTreeMap<(&str, &str), &str> = changes
                .iter()
                .map(|change| ["set", "key"].map(|name| change[name].as_str().unwrap()).into())
                .zip(changes.iter().map(|change| change["row"]["title"].as_str().unwrap()))
                .collect();
            assert_eq!(heard, wanted, "{:?} of {} from {} to {to}", self.transport, self.person, self.after);
            assert_eq!(changes.len(), wanted.len(), "a row came twice: {told:?}");
            self.after = to;
            self.moves += 1;
        }
        let rest = self.changed_until(u64::MAX, facts);
        assert!(rest.is_empty(), "{} was never told of {rest:?}", self.person);
    }

    /// The rows that it sees and that were changed after where it stands, as they were at `to`.
    fn changed_until<'a>(&self, to: u64, facts: &'a [Fact]) -> BTreeMap<(&'a str, &'a str), &'a str> {
        let begin = facts.partition_point(|fact| fact.position <= self.after);
        let later = facts[begin..].iter().take_while(|fact| fact.position <= to);
        let seen = later.filter(|fact| fact.owner.is_none_or(|owner| owner == self.person));
        seen.map(|fact| ((fact.row.0, fact.row.1.as_str()), fact.title.as_str())).collect()
    }
}
