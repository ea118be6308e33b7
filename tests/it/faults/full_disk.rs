//! A disk that is full: commands are refused, reads go on, and when there is room again nothing has to be done.

use super::{
    after::{account, check},
    asks::{entry, start, until_done},
    disk::Disk,
    load::{Entry, Load},
    watchers::Watchers,
};
use crate::{
    build::Build,
    server::{Client, Server},
};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::Path,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_commands_lets_reads_go_on_and_recovers_by_itself() {
    let disk = Disk::of(64);
    let data = disk.path().join("data");
    let variables = [("ADVISOR_DATA_DIR", data.to_str().unwrap()), ("ADVISOR_DEMO_DELAY_MS", "5")];
    let server = Server::start_build(&Build::usual(), &variables);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    let user = load.people().remove(0);
    let mut asked = Vec::new();
    for turn in ["once", "twice", "three times"] {
        load.answers(100).await;
        let ballast = disk.path().join("ballast");
        tokio::task::block_in_place(|| fill(&ballast).unwrap());
        let (title, refused) = until_refused(&user, turn, &mut asked).await;
        let code = refused["code"].as_str().unwrap();
        assert!(["UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&code), "{refused}");
        assert!(refused["commandId"].is_string(), "{refused}");
        assert!(user.get("/api/conversations").await.is_array(), "reads go on");
        std::fs::remove_file(&ballast).unwrap();
        // What was refused may be in the log, where its outcome is unknown.
        asked.push(until_done(&user, &title).await);
    }
    load.answers(200).await;
    let (mut history, users) = load.end(&server).await;
    history.extend(asked);
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    println!("{}; {} events; {watched}", account(&history), checked.events.len());
}

/// Commands until one is refused because there is no room; gives its title and what it was told. There may be room for
/// some yet.
async fn until_refused(user: &Client, turn: &str, asked: &mut Vec<Entry>) -> (String, Value) {
    for number in 0..1_000 {
        let title = format!("{turn} {number}");
        let answer = start(user, &title).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{}", answer.text);
            return (title, answer.body);
        }
        asked.push(entry(&title, answer, 1));
    }
    panic!("the disk is full, and nothing is refused");
}

/// Writes until there is no room at all.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    for size in [1 << 20, 4_096, 512] {
        let block = vec![7; size];
        loop {
            match file.write_all(&block).and_then(|()| file.sync_all()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
