//! A second opinion on the double: KurrentDB's own Python client reads what the adapter wrote.

use crate::fixture::brisk_log;
use advisor_eventlog::{
    EventLog, NewEvent,
    contract::scene::{at, event},
};
use advisor_events::StreamName;
use advisor_kurrentdb_double::Double;
use serde_json::Value;
use std::{path::Path, process::Command};
use uuid::Uuid;

#[tokio::test]
async fn the_python_client_reads_what_the_adapter_wrote() {
    let double = Double::start();
    let log = brisk_log(&double.url()).await;
    let stream = StreamName::from_text("peer-1");
    let written: Vec<NewEvent> = [&b"{\"n\": 1}"[..], b"\xff\x00\xfe", b"", "{\"words\":\"\u{fc}ber\"}".as_bytes()]
        .map(|data| event(data.to_vec()))
        .into();
    let first = log.append(&stream, at(0), written[..3].to_vec()).await.expect("an append");
    let second = log.append(&stream, at(3), written[3..].to_vec()).await.expect("another");

    let told = read_by_python(&double.url(), "advisor.peer-1");

    for source in ["stream", "all"] {
        let read: Vec<_> = told.iter().filter(|event| event["source"] == source && of_ours(event)).collect();
        assert_eq!(read.len(), written.len(), "{source}: {told:?}");
        for ((read, written), revision) in read.iter().zip(&written).zip(0..) {
            assert_eq!(read["stream"], "advisor.peer-1");
            assert_eq!(read["revision"], revision);
            assert_eq!(read["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()), Some(written.id));
            assert_eq!(read["type"], *written.type_name);
            assert_eq!(bytes(&read["data"]), written.data);
            assert_eq!(bytes(&read["metadata"]), written.metadata);
            assert_eq!(read["hasTime"], true);
        }
        assert_eq!([&read[2]["position"], &read[3]["position"]], [first.position.0, second.position.0]);
        assert_eq!(
            [&read[0]["contentType"], &read[1]["contentType"]],
            ["application/json", "application/octet-stream"]
        );
    }
    assert!(told.iter().all(|event| !event["type"].as_str().expect("a type").starts_with('$')), "{told:?}");
}

fn of_ours(event: &Value) -> bool {
    event["stream"].as_str().is_some_and(|stream| stream.starts_with("advisor."))
}

#[expect(clippy::disallowed_methods, reason = "a test's own environment")]
fn read_by_python(url: &str, stream: &str) -> Vec<Value> {
    let python = std::env::var("ADVISOR_TEST_PYTHON")
        .expect("ADVISOR_TEST_PYTHON names a Python that has kurrentdbclient; `ops/check` installs one");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/kurrentdb_reads.py");
    let output = Command::new(python).arg(script).args([url, stream]).output().expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn bytes(base64: &Value) -> Vec<u8> {
    data_encoding::BASE64.decode(base64.as_str().expect("base64").as_bytes()).expect("base64")
}
