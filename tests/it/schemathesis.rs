//! Requests that a tool of others (schemathesis) makes from the server's own descriptions: none makes a server
//! error, what breaks the description is refused, and every answer is one that it knows.
//!
//! `ops/check` installs the tool. `ADVISOR_TEST_EXAMPLES` says how many cases it tries for each operation.

use crate::server::Server;
use std::{path::Path, process::Command};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      missing_required_header,allow_header_conformance,ignored_auth";
const SEED: &str = "7391";
const EXAMPLES: &str = "25";

#[test]
fn answers_of_the_public_listener_are_what_its_description_says() {
    let server = Server::start_with(&[("ADVISOR_DEMO_DELAY_MS", "0")]);
    // A live stream has no end to wait for.
    check(&server.url, &server.token("somebody", &["--plan", "premium"]), "/api/live");
}

#[test]
fn answers_of_the_operators_listener_are_what_its_description_says() {
    let server = Server::start();
    check(&server.admin_url, &server.token("ops", &["--role", "operator"]), "/admin/events");
}

#[expect(clippy::disallowed_methods, reason = "The check script says by a variable where the interpreter is.")]
fn check(url: &str, token: &str, without: &str) {
    let python = std::env::var("ADVISOR_TEST_PYTHON").expect("ADVISOR_TEST_PYTHON names a Python with schemathesis");
    let examples = std::env::var("ADVISOR_TEST_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(Path::new(&python).with_file_name("schemathesis"))
        .current_dir(directory.path())
        .args(["run", &format!("{url}/openapi.json"), "--no-color", "--no-shrink", "--generation-database", "none"])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--exclude-path", without])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure"])
        .args(["--seed", SEED, "--max-examples", &examples, "--request-timeout", "20"])
        .output()
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    let tried = said.lines().find_map(|line| {
        line.trim().strip_suffix(" skipped").or(Some(line.trim())).filter(|line| line.contains(" generated, "))
    });
    let tried: usize = tried.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_default();
    assert!(tried > 100, "only {tried} cases were tried: {said}");
}
