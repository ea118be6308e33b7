//! Power cuts: what a commit did not force to the disk is gone.

use super::{
    after::{account, check},
    chance,
    disk::Disk,
    load::Load,
    rounds,
    watchers::Watchers,
};
use crate::{build::Build, server::Server};
use rusqlite::Connection;
use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_whose_power_is_cut_again_and_again_loses_nothing_that_was_acknowledged() {
    trial(Build::usual(), rounds("ADVISOR_TEST_CUTS", 10)).await;
}

/// Cuts the power so often, each time under load.
#[expect(clippy::print_stdout, reason = "What was found is told beside the result.")]
pub(super) async fn trial(build: Build, cuts: usize) {
    let disk = Disk::of(512);
    let data = disk.path().join("data");
    let variables = [("ADVISOR_DATA_DIR", data.to_str().unwrap()), ("ADVISOR_DEMO_DELAY_MS", "5")];
    let mut server = Server::start_build(&build, &variables);
    let load = Load::begin(&server).await;
    let watchers = Watchers::begin(&load).await;
    for _ in 0..cuts {
        load.answers(1 + chance(300)).await;
        tokio::task::block_in_place(|| {
            // The processors stop with the disk. One that went on could be told by the kernel that a dead file
            // system is in sync (a commit that its journal gave up looks finished to whoever comes to wait for it).
            server.signal("STOP");
            disk.cut();
            server.kill();
        });
        load.gone();
        tokio::task::block_in_place(|| {
            disk.mount_again();
            server.start_again();
        });
        load.serve(&server.url);
    }
    load.answers(200).await;
    let (history, users) = load.end(&server).await;
    let checked = check(&server, &history, &users).await;
    let watched = watchers.end(&checked.events).await;
    tokio::task::block_in_place(|| server.terminate());
    let files = check_files(&data);
    println!("{}; {} events; {cuts} cuts; {files} files are whole; {watched}", account(&history), checked.events.len());
}

/// Every database that the server keeps is whole as SQLite itself sees it.
fn check_files(data: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "db") {
            let connection = Connection::open(&path).unwrap();
            let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(said, "ok", "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 4, "the log, the keys, the side store, the read models: {files}");
    files
}
