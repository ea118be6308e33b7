//! What `ops` offers to those who run the program: as far as it can be told without containers and without systemd,
//! it works.

use crate::{
    build::Build,
    live_client::LiveClient,
    model_server::python,
    server::{Server, advisor},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// What the comments of `ops/compose.yaml` make, as files of one's own.
const SECRETS: [(&str, &str); 4] = [
    ("master_key", "0707070707070707070707070707070707070707070707070707070707070707"),
    ("log_url", "postgres://advisor:0a1b@postgres:5432/advisor"),
    ("database_url", "postgres://advisor:0a1b@postgres:5432/advisor"),
    ("bus_url", "nats://advisor:0a1b@nats:4222"),
];

#[test]
fn each_server_of_the_compose_file_has_a_configuration_that_works() {
    let compose = compose();
    let place = tempfile::tempdir().unwrap();
    for (name, text) in SECRETS {
        fs::write(place.path().join(name), text).unwrap();
    }
    let mut roles = BTreeMap::new();
    for (name, service) in compose["services"].as_object().unwrap() {
        let Some(role) = service["environment"]["ADVISOR_ROLE"].as_str() else { continue };
        *roles.entry(role).or_insert(0) += 1;
        let given: BTreeSet<&str> = texts(&service["secrets"]).collect();
        assert!(given.iter().all(|secret| compose["secrets"].get(secret).is_some()), "{name}: {given:?}");
        let mut variables = environment(service, place.path());
        let told = |variables: &[(String, String)]| {
            let output = advisor(place.path(), variables, &["config", "check"]);
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        assert_eq!(told(&variables), (true, String::new()), "{name}");
        // The log of the other profile, as the file's comments say.
        fs::write(place.path().join("kurrent"), "esdb://kurrentdb:2113?tls=false").unwrap();
        let kurrent = place.path().join("kurrent").to_str().unwrap().to_owned();
        variables.retain(|(name, _)| name != "ADVISOR_EVENT_LOG_URL_FILE");
        variables.push(("ADVISOR_EVENT_LOG_URL_FILE".to_owned(), kurrent));
        assert_eq!(told(&variables), (true, String::new()), "{name} over KurrentDB");
        // What is checked is not nothing.
        variables.retain(|(name, _)| name != "ADVISOR_MASTER_KEY_FILE");
        assert!(!told(&variables).0, "{name} without a master key");
    }
    assert_eq!(roles, BTreeMap::from([("api", 2), ("worker", 2)]));
}

#[test]
fn images_are_pinned_and_what_has_not_been_run_says_so() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        let image = service["image"].as_str().unwrap();
        assert!(is_pinned(image), "{name}: {image}");
        for other in service["depends_on"].as_object().into_iter().flatten().map(|(other, _)| other) {
            assert!(compose["services"].get(other).is_some(), "{name} depends on {other}");
        }
    }
    let dockerfile = read("ops/Dockerfile");
    let bases: Vec<&str> =
        dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next()).collect();
    assert!(bases.len() == 2 && bases.iter().all(|image| is_pinned(image)), "{bases:?}");
    let toolchain = read("rust-toolchain.toml");
    let version = bases[0].strip_prefix("rust:").unwrap().split('-').next().unwrap();
    assert!(toolchain.contains(&format!("channel = \"{version}\"")), "{version}");
    let last_user = dockerfile.lines().rfind(|line| line.starts_with("USER "));
    assert!(last_user.is_some_and(|user| !matches!(user, "USER root" | "USER 0")), "{last_user:?}");
    for file in ["ops/Dockerfile", "ops/compose.yaml"] {
        assert!(read(file).contains("Untested:"), "{file}");
    }
    for loose in ["nats", "nats:latest", "nats:2", "postgres:15-bookworm", "registry:5000/nats"] {
        assert!(!is_pinned(loose), "{loose}");
    }
}

#[test]
fn every_setting_that_the_files_name_is_one() {
    let known = settings();
    assert!(known.len() > 100 && known.contains("ADVISOR_MASTER_KEY_FILE"), "{known:?}");
    for file in ["ops/compose.yaml", "ops/Dockerfile", "ops/advisor.service", "docs/scaled.md"] {
        let text = read(file);
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("ADVISOR_") && word.len() > "ADVISOR_".len()).collect();
        // Those of the tests are no settings, and no server reads them.
        let is_known = |name: &str| known.contains(name) || name.starts_with("ADVISOR_TEST_");
        let unknown: Vec<_> = named.iter().filter(|name| !is_known(name)).collect();
        assert!(!named.is_empty() && unknown.is_empty(), "{file}: {unknown:?} of {named:?}");
    }
}

#[test]
fn the_unit_is_verified_by_systemd_and_exposes_little() {
    let (_place, unit) = unit_of_this_build();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().expect("systemd-analyze");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.trim().is_empty(), "{said}");
    // Ten times the score, at most: 2.0.
    let scored = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&scored.stdout);
    let score = said.lines().last().unwrap_or_default();
    assert!(scored.status.success() && score.contains("Overall exposure level"), "{score}");
}

/// The unit's filter is not in force here: what the program asks the kernel for, from its first moment to its end, is
/// compared with it.
#[tokio::test]
async fn the_program_asks_the_kernel_for_nothing_that_the_unit_denies() {
    let place = tempfile::tempdir().unwrap();
    let traced = place.path().join("traced");
    let (program, calls) = (Build::usual().program, place.path().join("calls"));
    let (shown, folder) = (program.display(), calls.display());
    fs::create_dir(&calls).unwrap();
    // The process stays its own: what traces it is beside it.
    let script = format!("#!/bin/sh\nexec strace -D -f -qq -e signal=none -o {folder}/$$ {shown} \"$@\"\n");
    fs::write(&traced, script).unwrap();
    fs::set_permissions(&traced, fs::Permissions::from_mode(0o755)).unwrap();

    let mut server = Server::start_build(&Build { program: traced, orders: Vec::new() }, &[]);
    let user = server.client("user_1", &[]);
    let started = user.command("StartConversation", &json!({})).await;
    let conversation = started["result"]["conversationId"].as_str().unwrap().to_owned();
    let query = format!("/api/conversations/{conversation}");
    let mut device = LiveClient::connect(&user, std::slice::from_ref(&query), None).await;
    user.command("SendMessage", &json!({"conversationId": conversation, "content": "@Nadia what now?"})).await;
    let is_answered = |device: &LiveClient| {
        let shown = device.data.get(&query).and_then(|shown| shown["messages"].as_array());
        shown.is_some_and(|messages| messages.len() == 2)
    };
    device.until("the reply", is_answered).await;
    assert_eq!(server.terminate().0, Some(0));

    let asked = calls_in(&calls);
    assert!(asked.contains("fdatasync") && asked.contains("accept4") && asked.contains("exit_group"), "{asked:?}");
    let allowed = calls_allowed();
    assert!(!allowed.contains("setuid") && !allowed.contains("mount") && !allowed.contains("setpriority"));
    // SQLite gives its files to their directory's owner where it runs as root, and as nobody else.
    let denied: Vec<_> = asked.difference(&allowed).filter(|call| *call != "fchown").collect();
    assert!(denied.is_empty(), "{denied:?}");
}

/// The names of the calls in all of strace's files: `1234 openat(…`.
fn calls_in(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    let is_name =
        |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    files.flat_map(|text| text.lines().filter_map(name).filter(is_name).collect::<Vec<_>>()).collect()
}

/// What the unit's lines `SystemCallFilter=` leave, with what systemd always allows.
fn calls_allowed() -> BTreeSet<String> {
    let listed = Command::new("systemd-analyze").arg("syscall-filter").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = "";
    for line in listed.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.strip_prefix(' ') {
            Some(member) => groups.entry(group).or_default().push(member.trim()),
            None => group = line.trim(),
        }
    }
    let members = |name: &str| -> BTreeSet<String> {
        let (mut found, mut open) = (BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = open.pop() {
            match groups.get(name.as_str()) {
                Some(members) => open.extend(members.iter().map(|member| (*member).to_owned())),
                None => drop(found.insert(name)),
            }
        }
        found
    };
    let mut allowed = members("@default");
    for line in read("ops/advisor.service").lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        for name in line.trim_start_matches('~').split(' ') {
            if line.starts_with('~') {
                allowed = allowed.difference(&members(name)).cloned().collect();
            } else {
                allowed.extend(members(name));
            }
        }
    }
    allowed
}

fn compose() -> Value {
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let file = fs::File::open(root().join("ops/compose.yaml")).unwrap();
    let parsed = Command::new(python()).args(["-c", read]).stdin(file).output().unwrap();
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    serde_json::from_slice(&parsed.stdout).unwrap()
}

/// A service's environment as its process would have it, with secrets from `place`.
fn environment(service: &Value, place: &Path) -> Vec<(String, String)> {
    let given = service["environment"].as_object().unwrap();
    let value = |value: &Value| match value.as_str().unwrap() {
        text if text.starts_with("${CLERK_ISSUER:") => "https://clerk.example.com".to_owned(),
        text if text.starts_with("${") => text.split_once(":-").unwrap().1.trim_end_matches('}').to_owned(),
        text => text.replace("/run/secrets/", &format!("{}/", place.display())),
    };
    given.iter().map(|(name, given)| (name.clone(), value(given))).collect()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// A tag with the whole version, as the image counts: none that moves to another one.
fn is_pinned(image: &str) -> bool {
    let Some((_, tag)) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else { return false };
    let version = tag.split('-').next().unwrap_or_default();
    let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    numbers == version.split('.').count() && numbers >= 2
}

/// The variables of all settings, with those that name a file instead.
fn settings() -> BTreeSet<String> {
    let place = tempfile::tempdir().unwrap();
    let template = advisor(place.path(), &[], &["config", "template"]).stdout;
    let template = String::from_utf8(template).unwrap();
    let names = template.lines().filter_map(|line| line.strip_prefix("# ADVISOR_"));
    names
        .flat_map(|line| {
            let name = format!("ADVISOR_{}", line.split([' ', ',']).next().unwrap_or_default());
            let file = line.contains("…_FILE").then(|| format!("{name}_FILE"));
            std::iter::once(name).chain(file)
        })
        .collect()
}

/// The unit with the program of this build, which has to be where it says.
fn unit_of_this_build() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let program = Build::usual().program;
    let text =
        read("ops/advisor.service").replace("/usr/local/bin/advisor serve", &format!("{} serve", program.display()));
    let unit = place.path().join("advisor.service");
    fs::write(&unit, text).unwrap();
    (place, unit)
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
