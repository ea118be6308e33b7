//! Many seeds, each a world of its own.

use crate::world::World;
use std::{path::Path, sync::Mutex, time::Duration};

/// How long a storm lasts, on the world's own clock.
const STORM: Duration = Duration::from_mins(1);
/// Seeds that are tried, unless `ADVISOR_TEST_SEEDS` says otherwise: `first..end`, or a number of them.
const SEEDS: std::ops::Range<u64> = 0..200;
/// Seeds that are tried twice.
const TWICE: std::ops::Range<u64> = 0..20;

/// What has to befall some world or other: a storm in which nothing happens proves nothing.
const BEFALLS: [&str; 19] = [
    "events: 1, revision",
    "Refused(",
    "NothingWritten",
    "log: crashes",
    "refused: the stream's last revision",
    "cuts the power",
    "kills server",
    "kills worker",
    "freezes server",
    "freezes worker",
    "retires worker",
    "is superseded",
    "refuses server",
    "for the 2. time",
    "hears change",
    "hears reset",
    "\"retention\"",
    "is trapped",
    "is cut off",
];

#[test]
fn whatever_befalls_them_worlds_come_to_rest_and_nothing_is_wrong() {
    let seeds = seeds();
    let are_many = seeds.end - seeds.start >= SEEDS.end;
    let (seeds, failed, befell) = (Mutex::new(seeds), Mutex::new(None), Mutex::new([0; BEFALLS.len()]));
    let try_seeds = || {
        loop {
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            match live(seed) {
                Ok(lived) => {
                    let mut befell = befell.lock().unwrap();
                    for (count, what) in befell.iter_mut().zip(BEFALLS) {
                        *count += lived.trace.iter().filter(|line| line.contains(what)).count();
                    }
                }
                Err(failure) => {
                    *failed.lock().unwrap() = Some(failure);
                    // One is enough to look at.
                    while seeds.lock().unwrap().next().is_some() {}
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(try_seeds))));
    if let Some(failure) = failed.lock().unwrap().take() {
        panic!("{failure}");
    }
    for (what, count) in BEFALLS.iter().zip(befell.into_inner().unwrap()) {
        println!("{count:>8} × {what}");
        assert!(count > 0 || !are_many, "no world has seen: {what}");
    }
}

#[test]
fn the_same_seed_leads_to_the_same_events() {
    for seed in TWICE {
        let (first, second) = (run(seed), run(seed));
        let difference = first.trace.iter().zip(&second.trace).find(|(one, two)| one != two);
        assert_eq!(difference, None, "seed {seed} does not repeat itself");
        assert_eq!(first.hash, second.hash, "seed {seed} does not repeat itself");
    }
}

/// A server is frozen while it comes up, and followed meanwhile: requests do not go to it when it wakes.
#[test]
fn seed_1778() {
    run(1778);
}

/// Both clients of a person are told that nothing was written of their first command.
#[test]
fn seed_4308() {
    run(4308);
}

/// What came of a seed.
struct Lived {
    hash: Vec<u8>,
    trace: Vec<String>,
}

fn run(seed: u64) -> Lived {
    live(seed).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Lives through a world. A failure tells how to see it again.
fn live(seed: u64) -> Result<Lived, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World::begin(seed).await;
        world.storm(STORM).await;
        let rests = world.come_to_rest().await;
        let wrong = world.violations().await;
        if rests && wrong.is_empty() {
            return Ok(Lived { hash: world.weather.trace_hash(), trace: world.weather.trace() });
        }
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.trace"));
        std::fs::write(&file, world.weather.trace().join("\n")).expect("a file");
        Err(format!(
            "seed {seed} comes to rest: {rests}; wrong: {wrong:#?}\n\nWhat happened: {}\nAs a test:\n\n\
             #[test]\nfn seed_{seed}() {{\n    run({seed});\n}}",
            file.display()
        ))
    })
}

#[expect(clippy::disallowed_methods, reason = "Tests are told here how much they shall do.")]
fn seeds() -> std::ops::Range<u64> {
    let Ok(wanted) = std::env::var("ADVISOR_TEST_SEEDS") else { return SEEDS };
    match wanted.split_once("..") {
        Some((first, end)) => first.parse().expect("a first seed")..end.parse().expect("an end of seeds"),
        None => 0..wanted.parse().expect("a number of seeds"),
    }
}
