//! How many files a process may have open.

use crate::{build::Build, server::Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, os::unix::fs::PermissionsExt};
use tempfile::TempDir;

#[test]
fn a_server_takes_all_the_files_that_the_system_lets_it_have_and_warns_where_they_are_too_few() {
    for (hard, is_enough) in [(4_000, false), (9_000, true)] {
        let (_place, build) = limited(300, hard);
        let server = Server::start_build(&build, &[("ADVISOR_CONNECTIONS_MAX", "5000")]);

        let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
        let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let [soft, most, ..] = open_files.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{limits}") };
        assert_eq!((soft, most), (hard.to_string().as_str(), hard.to_string().as_str()), "it began with 300");
        let warned = server.log_text().contains("fewer files may be open than `connections_max` needs");
        assert_eq!(warned, !is_enough, "{hard}: {}", server.log_text());
    }
}

/// The usual build under limits of open files: what it begins with, and what it may raise that to.
fn limited(soft: u64, hard: u64) -> (TempDir, Build) {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("advisor");
    let usual = Build::usual();
    let script =
        format!("#!/bin/sh\nulimit -Sn {soft} && ulimit -Hn {hard} && exec {} \"$@\"\n", usual.program.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (place, Build { program, ..usual })
}

/// Lets this process, too, have as many open as it may: thousands of connections are thousands of files at both ends.
pub(crate) fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let enough = maximum.is_none_or(|maximum| maximum >= 8_192);
    assert!(enough, "this test needs 8,192 open files, and may have {maximum:?}");
}
