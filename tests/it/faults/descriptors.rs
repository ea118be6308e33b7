//! A process without file descriptors: nobody new is let in, nothing breaks, and nothing spins.

use crate::{build::Build, server::Server};
use reqwest::Method;
use serde_json::json;
use std::{
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

/// What the process may have open; a started server has about half of it.
const DESCRIPTORS: &str = "96";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_without_descriptors_waits_for_some_and_goes_on() {
    let server = Server::start_build(&Build::usual(), &[]);
    let user = server.client("user_1", &[]);
    user.command("StartConversation", &json!({})).await;
    let pid = server.pid().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={DESCRIPTORS}")]).status().unwrap();
    assert!(limited.success());

    // More than there can be: those beyond wait in the system's queue, and nobody answers them.
    let address = server.url.trim_start_matches("http://").to_owned();
    let crowd: Vec<TcpStream> = (0..128).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let before = processor_time(server.pid());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = processor_time(server.pid()).saturating_sub(before);
    assert!(spent < Duration::from_millis(500), "{spent:?} of processor time went into waiting");
    // Who is connected is served.
    user.command("StartConversation", &json!({})).await;

    drop(crowd);
    let begun = Instant::now();
    let stranger = server.client("user_2", &[]);
    let (status, answer) = stranger.send(Method::GET, "/api/conversations", None).await;
    assert_eq!(status, 200, "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// User and system time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().unwrap()).sum();
    // The kernel counts in hundredths of a second for everybody who asks.
    Duration::from_millis(ticks * 10)
}
