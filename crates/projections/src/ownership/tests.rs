//! What is promised of owners: there is one at a time, another one follows when it is gone, and one that was frozen
//! writes nothing. The clock is the test's own; a process that is frozen is one that nobody polls.

use super::*;
use crate::{
    Generation, Reader, RunnerLimits, SharedLease, SideStore, Waited,
    follower::{FOLLOW_EVERY, NOBODY_AFTER},
    given::{MemoryKeys, Story, doors::Door, dump, opened},
    lease::{BEAT_EVERY, SILENCE},
    sqlite::in_memory::InMemory,
};
use advisor_bus::{Bus, InProcessBus};
use advisor_eventlog::{EventLog, Expected, MemoryLog, NewEvent, Position};
use advisor_events::{Clock, StreamName, Timestamp};
use futures::{FutureExt, future::BoxFuture};
use proptest::prelude::*;
use std::sync::Arc;
use tokio::time::Instant;

/// Within which another one takes over.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(5);
const AT: (&str, &str) = ("c", "ana");
const STRIDE: u64 = 3;

#[tokio::test(start_paused = true)]
async fn one_works_and_another_takes_over_within_five_seconds_when_it_is_gone() {
    let town = Town::open().await;
    let mut one = town.process("one").await;
    one.lives(SILENCE).await;
    let mut two = town.process("two").await;

    one.beside(&mut two, 10 * SILENCE).await;
    assert_eq!((one.duty(), two.duty()), (Duty::Owner, Duty::StandingBy));
    drop(one);
    let gone_at = Instant::now();
    two.lives_until(&Duty::Owner).await;
    assert!(gone_at.elapsed() <= TAKEN_OVER_WITHIN, "{:?}", gone_at.elapsed());

    let head = town.tell(Story::sent, "m").await;
    two.lives(BEAT_EVERY).await;
    assert_eq!(two.reader().position(), head);
    assert_eq!(town.dump(&two).await, dump(&town.story.lock().unwrap().fold_with_stride(STRIDE)));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_ends_in_good_order_lets_another_one_in_at_once() {
    let town = Town::open().await;
    let mut one = town.process("one").await;
    one.lives(SILENCE).await;
    let mut two = town.process("two").await;
    one.beside(&mut two, SILENCE).await;

    one.shutdown.cancel();
    one.lives(Duration::from_millis(1)).await;
    let released_at = Instant::now();
    two.lives_until(&Duty::Owner).await;
    assert!(released_at.elapsed() <= 2 * LOOK_EVERY, "{:?}", released_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_frozen_writes_nothing_and_stands_by() {
    let town = Town::open().await;
    let mut frozen = town.process("frozen").await;
    frozen.lives(SILENCE).await;
    // Something waits for it to go on with.
    town.tell(Story::sent, "m").await;
    let written = frozen.door.written();
    let mut next = town.process("next").await;
    next.lives_until(&Duty::Owner).await;
    let head = town.tell(Story::sent, "n").await;
    next.lives(BEAT_EVERY).await;
    assert_eq!(next.reader().position(), head);
    town.tell(Story::sent, "o").await;

    frozen.beside(&mut next, 2 * SILENCE).await;

    assert_eq!((frozen.duty(), next.duty()), (Duty::StandingBy, Duty::Owner));
    assert_eq!(frozen.door.written(), written, "it has written nothing");
    assert_eq!(town.dump(&next).await, dump(&town.story.lock().unwrap().fold_with_stride(STRIDE)));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_can_not_beat_stops_before_another_one_begins() {
    let town = Town::open().await;
    let mut one = town.process("one").await;
    one.lives(SILENCE).await;
    let mut two = town.process("two").await;
    one.beside(&mut two, SILENCE).await;

    one.door.shut();
    let shut_at = Instant::now();
    while two.duty() != Duty::Owner {
        one.beside(&mut two, Duration::from_millis(50)).await;
        assert!(one.duty() != Duty::Owner || two.duty() != Duty::Owner, "two are owners");
        assert!(shut_at.elapsed() <= TAKEN_OVER_WITHIN);
    }
    one.door.open();
    one.beside(&mut two, 10 * SILENCE).await;
    assert_eq!((one.duty(), two.duty()), (Duty::StandingBy, Duty::Owner));
}

#[tokio::test(start_paused = true)]
async fn what_one_build_does_not_know_is_left_to_the_next_one_and_the_reason_is_told() {
    let town = Town::open().await;
    let mut one = town.process("one").await;
    one.lives(SILENCE).await;
    let mut two = town.process("two").await;
    let mut api = town.follower();
    town.append_unknown().await;

    one.beside(&mut two, SILENCE).await;

    for process in [&one, &two] {
        let Duty::Stopped(reason) = process.duty() else { panic!("{:?}", process.duty()) };
        assert!(reason.contains("conversation-other"), "{reason}");
    }
    api.lives(FOLLOW_EVERY).await;
    let State::Stopped(reason) = api.state() else { panic!("{:?}", api.state()) };
    assert!(reason.contains("conversation-other"), "{reason}");
    assert!(town.side.leases().get("read models").await.unwrap().unwrap().released, "anybody may go on");
}

#[tokio::test(start_paused = true)]
async fn a_follower_knows_how_far_the_owner_is_and_how_it_fares() {
    let town = Town::open().await;
    let mut api = town.follower();
    api.lives(FOLLOW_EVERY).await;
    assert_eq!(api.state(), State::CatchingUp);
    let mut owner = town.process("owner").await;

    owner.beside(&mut api, 2 * FOLLOW_EVERY).await;
    let head = town.tell(Story::sent, "m").await;
    owner.beside(&mut api, FOLLOW_EVERY + Duration::from_millis(1)).await;
    assert_eq!((api.state(), api.reader().position()), (State::Live, head));

    drop(owner);
    api.lives(NOBODY_AFTER * 4 / 5).await;
    assert_eq!(api.state(), State::Live, "another one takes over meanwhile");
    api.lives(4 * FOLLOW_EVERY).await;
    assert!(matches!(api.state(), State::Stopped(_)), "{:?}", api.state());
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_a_follower_waits_not_for_a_second_though_no_bus_rings() {
    let town = Town::open().await;
    let mut owner = town.process("owner").await;
    // On another bus: what the owner rings is not heard.
    let mut api = town.follower_on(&(Arc::new(InProcessBus::new()) as Arc<dyn Bus>));
    owner.beside(&mut api, 2 * FOLLOW_EVERY + Duration::from_millis(300)).await;

    let began = Instant::now();
    let head = town.tell(Story::sent, "m").await;
    let reader = api.reader();
    let both = async { owner.beside(&mut api, SILENCE).await };
    let waited = tokio::select! {
        waited = reader.wait_for(head, SILENCE) => waited,
        () = both => panic!("nobody was told"),
    };
    assert_eq!(waited, Waited::Reached(head));
    assert!(began.elapsed() <= Duration::from_millis(200), "{:?}", began.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn of_many_that_come_and_go_one_is_the_owner_at_a_time(
        steps in prop::collection::vec((0_usize..4, 0_u8..4, 1_u64..4_000), 1..12),
    ) {
        come_and_go(steps);
    }
}

#[test]
fn one_who_comes_after_all_have_gone_is_the_owner() {
    come_and_go((0..4).map(|who| (who, 0, 1_000)).collect());
}

/// Four processes, of which at each step one ends, begins, or sends a message; then all live for so many milliseconds.
fn come_and_go(steps: Vec<(usize, u8, u64)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let town = Town::open().await;
        let mut processes: Vec<Option<Process>> = Vec::new();
        for number in 0..4 {
            processes.push(Some(town.process(&format!("p{number}")).await));
        }
        for (number, (who, what, milliseconds)) in steps.into_iter().enumerate() {
            match what {
                0 => processes[who] = None,
                1 => processes[who] = Some(town.process(&format!("p{who}-{number}")).await),
                2 => drop(town.tell(Story::sent, &format!("m{number}")).await),
                _ => {}
            }
            all_live(&mut processes, Duration::from_millis(milliseconds)).await;
        }
        processes[0] = Some(town.process("last").await);
        all_live(&mut processes, TAKEN_OVER_WITHIN + SILENCE).await;
        let owners: Vec<_> = processes.iter().flatten().filter(|process| process.duty() == Duty::Owner).collect();
        assert_eq!(owners.len(), 1);
        assert_eq!(town.dump(owners[0]).await, dump(&town.story.lock().unwrap().fold_with_stride(STRIDE)));
    });
}

/// All live for so long; at no moment two are owners.
async fn all_live(processes: &mut [Option<Process>], time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let all = futures::future::join_all(processes.iter_mut().flatten().map(|process| &mut process.running));
        // Time passes where nobody is left, too.
        let all = async { (all.await, std::future::pending::<()>().await) };
        tokio::select! {
            () = sleep(Duration::from_millis(50)) => {}
            _ = all => {}
        }
        let owners = processes.iter().flatten().filter(|process| process.duty() == Duty::Owner).count();
        assert!(owners <= 1, "{owners} are owners");
    }
}

/// What processes share.
struct Town {
    log: Arc<MemoryLog>,
    keys: Arc<MemoryKeys>,
    bus: Arc<dyn Bus>,
    database: Arc<InMemory>,
    side: SideStore,
    story: std::sync::Mutex<Story>,
}

/// A process, which lives only while it is polled.
struct Process {
    door: Arc<Door>,
    generation: Generation,
    duty: watch::Receiver<Duty>,
    shutdown: CancellationToken,
    running: BoxFuture<'static, ()>,
}

impl Town {
    async fn open() -> Self {
        let database = Arc::new(InMemory::new());
        let town = Self {
            log: Arc::new(MemoryLog::with_stride(STRIDE)),
            keys: Arc::default(),
            bus: Arc::new(InProcessBus::new()),
            side: SideStore::over(Door::to(&database)).await.unwrap(),
            database,
            story: std::sync::Mutex::new(opened("this log").registered("ana").started(AT.0, AT.1)),
        };
        town.append().await;
        town
    }

    async fn append(&self) -> Position {
        let story = self.story.lock().unwrap().clone();
        story.append_to(self.log.as_ref(), self.keys.as_ref()).await;
        self.log.head().await.unwrap()
    }

    /// Somebody sends a message.
    async fn tell(
        &self,
        sent: impl Fn(Story, (&'static str, &'static str), &str, &[&str]) -> Story,
        id: &str,
    ) -> Position {
        let story = self.story.lock().unwrap().clone();
        *self.story.lock().unwrap() = sent(story, AT, id, &[]);
        self.append().await
    }

    async fn append_unknown(&self) {
        let metadata = r#"{"recordedAt":"2025-09-16T08:15:30.123Z","actor":{"kind":"worker","id":"test"},
            "commandId":"k","bodyHash":"","checksum":"a3a6bf43"}"#;
        let event = NewEvent {
            id: uuid::Uuid::from_u128(77),
            type_name: "conversation.painted_blue.v1".to_owned(),
            data: b"{}".to_vec(),
            metadata: metadata.as_bytes().to_vec(),
        };
        let stream = StreamName::from_text("conversation-other");
        self.log.append(&stream, Expected::NoStream, vec![event]).await.unwrap();
    }

    async fn process(&self, name: &str) -> Process {
        let door = Door::to(&self.database);
        let generation = Generation::over(1, Arc::clone(&door) as _).await.unwrap();
        let side = SideStore::over(Arc::clone(&door) as _).await.unwrap();
        let parts = RunnerParts {
            log: Arc::clone(&self.log) as _,
            keys: Arc::clone(&self.keys) as _,
            generation: generation.clone(),
            bus: Arc::clone(&self.bus),
            clock: Arc::new(Noon),
            limits: RunnerLimits::default(),
        };
        let ownership = Ownership::new(parts, lease(&side, name));
        let (duty, shutdown) = (ownership.duty(), CancellationToken::new());
        Process { door, generation, duty, running: ownership.run(shutdown.clone()).boxed(), shutdown }
    }

    fn follower(&self) -> Process {
        self.follower_on(&self.bus)
    }

    /// A process that only answers.
    fn follower_on(&self, bus: &Arc<dyn Bus>) -> Process {
        let door = Door::to(&self.database);
        let generation = Generation::over(1, Arc::clone(&door) as _).now_or_never().unwrap().unwrap();
        let mut follower = Follower::new(generation.clone(), Arc::clone(bus), lease(&self.side, "api"));
        let running = async move { match follower.follow().await {} }.boxed();
        let duty = watch::Sender::new(Duty::StandingBy).subscribe();
        Process { door, generation, duty, shutdown: CancellationToken::new(), running }
    }

    async fn dump(&self, process: &Process) -> String {
        String::from_utf8(process.reader().run(crate::generations::dump()).await.unwrap().value).unwrap()
    }
}

impl Process {
    /// Lives for so long.
    async fn lives(&mut self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = &mut self.running => {}
        }
    }

    async fn lives_until(&mut self, duty: &Duty) {
        let mut duties = self.duty.clone();
        tokio::select! {
            reached = duties.wait_for(|now| now == duty) => drop(reached.unwrap()),
            () = &mut self.running => panic!("it has ended"),
        }
    }

    /// Both live for so long.
    async fn beside(&mut self, other: &mut Self, time: Duration) {
        let both = async { tokio::join!(&mut self.running, &mut other.running) };
        tokio::select! {
            () = sleep(time) => {}
            _ = both => {}
        }
    }

    fn duty(&self) -> Duty {
        self.duty.borrow().clone()
    }

    fn state(&self) -> State {
        self.generation.progress().borrow().state.clone()
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.generation)
    }
}

fn lease(side: &SideStore, owner: &str) -> Lease {
    Lease::Shared(SharedLease::new(side.leases().clone(), "read models", owner))
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000)
    }
}
