//! Several processes that append to one log, and one that follows it.
//!
//! `ADVISOR_TEST_PAUSE_MS` makes the pauses of stopped writers longer than the others need to show that they go on:
//! 30,000 for the long form.

use super::place::Place;
use crate::{
    contract::scene::{Follower, Scene},
    port::{Filter, Position, Recorded},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashMap,
    io::Read,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// Writers of each process.
const WRITERS: usize = 16;
/// How often one of them is stopped.
const STOPS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_processes_append_becomes_visible_in_the_order_of_its_positions() {
    let place = Place::new(|_| {});
    let scene = Scene::on(place.log());
    let mut follower = scene.subscribe_to(Position::START, Filter::all()).await;
    let processes = [Process::begin(&place, "one"), Process::begin(&place, "two")];

    // The follower itself checks that nothing comes behind what it was told.
    let mut told = follower.events(2_000).await;
    let repeats = processes.map(Process::end);
    rest(&scene, &mut follower, &mut told).await;

    assert_what_the_log_holds(&scene, &told).await;
    assert_eq!(repeats, [0, 0], "appends of one process make none of another fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_at_any_moment_holds_nobody_up() {
    let place = Place::new(|_| {});
    let scene = Scene::on(place.log());
    let mut follower = scene.subscribe_to(Position::START, Filter::all()).await;
    let processes = [Process::begin(&place, "one"), Process::begin(&place, "two")];
    let mut told = Vec::new();
    for process in &processes {
        let before = scene.head().await;
        events_of(process, before, &mut follower, &mut told).await;
    }

    for stop in 0..STOPS {
        // Some events on, so that the moment is a different one each time.
        told.extend(follower.events(1 + random_below(100)).await);
        let (one, other) = (&processes[stop % 2], &processes[(stop + 1) % 2]);
        one.stop();
        let stopped_at = scene.head().await;
        events_of(other, stopped_at, &mut follower, &mut told).await;
        tokio::time::sleep(pause()).await;
        one.go_on();
    }
    for process in processes {
        process.end();
    }
    rest(&scene, &mut follower, &mut told).await;

    assert_what_the_log_holds(&scene, &told).await;
}

/// The follower was told exactly what the log holds, and each stream's revisions are dense.
async fn assert_what_the_log_holds(scene: &Scene, told: &[Arc<Recorded>]) {
    let all = scene.scan(Position::START, &Filter::all(), 1_000).await;
    assert!(told.iter().map(Arc::as_ref).eq(all.iter()), "{} told, {} there", told.len(), all.len());
    let mut revisions: HashMap<_, u64> = HashMap::new();
    for event in &all {
        let next = revisions.entry(&event.stream).or_default();
        assert_eq!(event.revision, *next, "{}", event.stream);
        *next += 1;
    }
    assert_eq!(revisions.len(), 2 * WRITERS);
}

/// What comes, until one process has appended some more after a position.
async fn events_of(process: &Process, after: Position, follower: &mut Follower, told: &mut Vec<Arc<Recorded>>) {
    let mut missing = 20;
    while missing > 0 {
        let event = follower.events(1).await.remove(0);
        missing -= usize::from(event.position > after && event.stream.as_str().starts_with(process.name));
        told.push(event);
    }
}

/// What comes until the end of the log, which nobody appends to any more.
async fn rest(scene: &Scene, follower: &mut Follower, told: &mut Vec<Arc<Recorded>>) {
    let head = scene.head().await;
    while follower.reached < head {
        told.extend(follower.events(1).await);
    }
}

fn random_below(limit: usize) -> usize {
    usize::from(Uuid::new_v4().as_bytes()[0]) % limit
}

/// How long a stopped process stays so once the other has shown that it goes on.
#[expect(clippy::disallowed_methods, reason = "the long form of a test is asked for so")]
fn pause() -> Duration {
    let asked = std::env::var("ADVISOR_TEST_PAUSE_MS").ok();
    Duration::from_millis(asked.map_or(0, |asked| asked.parse().expect("milliseconds")))
}

/// The program of `examples/writers.rs`.
struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn begin(place: &Place, name: &'static str) -> Self {
        let tests = std::env::current_exe().expect("this program");
        let built = tests.ancestors().nth(2).expect("where cargo builds").join("examples/writers");
        let child = Command::new(&built)
            .args([&place.options.url, &place.options.schema, name, &WRITERS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo build --workspace --examples` builds it", built.display())
        });
        Self { name, child }
    }

    fn stop(&self) {
        self.signal(Signal::STOP);
    }

    fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// How many of its appends had to be repeated, when it has ended.
    fn end(mut self) -> u64 {
        drop(self.child.stdin.take());
        drop(self.child.stdin.take());
        let mut printed = String::new();
        self.child.stdout.take().expect("an output").read_to_string(&mut printed).expect("what it prints");
        assert!(self.child.wait().expect("an end").success(), "{} failed", self.name);
        printed.trim().parse().expect("a number")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that fails leaves nobody behind, not even one that is stopped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
