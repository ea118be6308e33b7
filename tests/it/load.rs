//! The load generator: each of its scenarios runs, for as short as makes sense, and finds what it says.

use crate::{build::Build, database::variable};
use serde_json::Value;
use std::process::Command;

#[test]
fn messages_are_written_and_none_fails() {
    let rows = load(&["commands", "--clients", "1,8", "--conversations", "16"]);
    assert_eq!(cases(&rows), ["1 at a time", "8 at a time"]);
    for row in &rows {
        assert_answered(row);
    }
}

#[test]
fn lists_and_pages_are_read_and_none_fails() {
    let rows = load(&["queries", "--clients", "4", "--messages", "60"]);
    assert_eq!(cases(&rows), ["list of 50 conversations, 4 at a time", "newest 50 messages, 4 at a time"]);
    for row in &rows {
        assert_answered(row);
    }
}

#[test]
fn every_subscriber_hears_of_every_change() {
    let rows = load(&["live", "--subscribers", "1,20", "--changes", "5"]);
    let expected = ["own messages, 1 subscriber", "public changes, 1 subscribers", "public changes, 20 subscribers"];
    assert_eq!(cases(&rows), expected);
    for row in &rows {
        assert_eq!(row["changes"], 5.0, "{row}");
        assert!(positive(row, &["p50_ms", "p99_ms", "all_p50_ms", "answer_p50_ms"]), "{row}");
    }
    assert!(rows[2]["kib_each"].is_number(), "{}", rows[2]);
}

#[test]
fn every_piece_of_a_reply_is_heard_and_little_is_sent_twice() {
    let rows = load(&["replies", "--replies", "4", "--pieces", "5"]);
    assert_eq!(cases(&rows), ["4 replies at once"]);
    assert_eq!(rows[0]["pieces"], 20.0, "{}", rows[0]);
    assert_eq!(rows[0]["sent/reply"], 1.0, "who looks on from the beginning hears all of it once: {}", rows[0]);
}

#[test]
fn writers_readers_and_subscribers_stand_each_other() {
    let rows = load(&["mixed", "--writers", "2", "--readers", "2", "--subscribers", "5"]);
    assert_eq!(cases(&rows), ["2 writers", "2 readers", "5 subscribers"]);
    for row in &rows[..2] {
        assert_answered(row);
    }
    assert!(positive(&rows[2], &["changes", "p50_ms", "all_p50_ms"]), "{}", rows[2]);
}

#[test]
fn what_is_acknowledged_under_too_much_is_there_afterwards() {
    let rows = load(&["overload", "--clients", "4"]);
    let row = |case: &str| rows.iter().find(|row| row["case"] == case).unwrap_or_else(|| panic!("{case}: {rows:?}"));
    assert!(positive(row("three times as much"), &["per_s", "p99_ms"]), "{rows:?}");
    assert!(positive(row("medians of 1 rounds"), &["done/best", "accepted_p99_ms"]), "{rows:?}");
    for case in ["read back", "read back after a crash"] {
        assert!(positive(row(case), &["acknowledged", "there"]), "{rows:?}");
        let lost = row(case)["acknowledged"].as_f64() > row(case)["there"].as_f64();
        assert!(!lost, "{rows:?}");
    }
}

#[test]
fn good_people_are_answered_beside_bad_ones() {
    let rows = load(&["neighbours", "--good", "20", "--guesses", "50", "--commands", "20", "--head-start", "0"]);
    for row in rows.iter().filter(|row| row["case"].as_str().unwrap().starts_with("good people")) {
        assert_answered(row);
    }
    let guesses = rows.iter().find(|row| row["case"] == "guessed tokens").unwrap();
    assert_eq!(guesses["per_s"], 0.0, "a guess is let in: {guesses}");
    assert!(guesses["by_status"]["401"].as_u64() > Some(0), "{guesses}");
}

#[test]
fn what_is_added_between_processes_is_measured_beside_what_nats_takes() {
    let [postgres, nats] = ["ADVISOR_TEST_POSTGRES", "ADVISOR_TEST_NATS"]
        .map(|name| variable(name).unwrap_or_else(|| panic!("{name} is set by `ops/engines COMMAND`")));
    let rows = load(&["between", "--postgres", &postgres, "--nats", &nats, "--changes", "5"]);
    let expected = ["commit to another process's event", "plain publisher to plain subscriber", "ours / plain"];
    assert_eq!(cases(&rows), expected);
    assert!(rows[..2].iter().all(|row| positive(row, &["p50_ms", "p99_ms"])), "{rows:?}");
    let ratio = |name: &str, of: &str| rows[2][name].as_f64().unwrap() * rows[1][of].as_f64().unwrap();
    assert!((ratio("p50", "p50_ms") - rows[0]["p50_ms"].as_f64().unwrap()).abs() < 1e-6, "{rows:?}");
}

/// The rows that a scenario has written.
fn load(arguments: &[&str]) -> Vec<Value> {
    let advisor = Build::usual().program;
    let load = advisor.with_file_name("load");
    assert!(load.exists(), "{} is not there: build it first, as ops/check does", load.display());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("figures.jsonl");
    let output = Command::new(load)
        .args(arguments)
        .args(["--seconds", "0.5", "--rounds", "1", "--advisor"])
        .arg(&advisor)
        .arg("--json")
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(file).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cases(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["case"].as_str().unwrap()).collect()
}

#[track_caller]
fn assert_answered(row: &Value) {
    assert!(positive(row, &["per_s", "p50_ms", "p99_ms"]), "{row}");
    assert_eq!(row["errors"], 0.0, "{row}");
}

fn positive(row: &Value, names: &[&str]) -> bool {
    names.iter().all(|name| row[name].as_f64() > Some(0.0))
}
