//! The shape of the project itself: which crate may use which, and rules that no lint knows.

mod limits;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

/// Each crate with what it may use, from the ground up: nothing uses what stands below it in this list.
const ARROWS: [(&str, &[&str]); 12] = [
    ("advisor-proof", &[]),
    ("advisor-events", &[]),
    ("advisor-kurrentdb-double", &[]),
    ("advisor-bus", &["advisor-events"]),
    ("advisor-eventlog", &["advisor-events", "advisor-proof"]),
    ("advisor-commands", &["advisor-eventlog", "advisor-events", "advisor-proof"]),
    ("advisor-projections", &["advisor-bus", "advisor-eventlog", "advisor-events", "advisor-proof"]),
    ("advisor-workers", BELOW_API_AND_WORKERS),
    ("advisor-api", BELOW_API_AND_WORKERS),
    ("advisor", EVERYTHING),
    ("advisor-tests", EVERYTHING),
    ("advisor-simulation", EVERYTHING),
];

const BELOW_API_AND_WORKERS: &[&str] =
    &["advisor-projections", "advisor-commands", "advisor-bus", "advisor-eventlog", "advisor-events", "advisor-proof"];

const EVERYTHING: &[&str] = &[
    "advisor-api",
    "advisor-workers",
    "advisor-projections",
    "advisor-commands",
    "advisor-bus",
    "advisor-eventlog",
    "advisor-events",
    "advisor-proof",
];

/// Names that say nothing about what is inside.
const DRAWERS: [&str; 8] = ["util", "helpers", "common", "misc", "manager", "service", "core", "impl"];

const SOURCE_LINES_MAX: usize = 500;

#[test]
fn every_arrow_between_crates_is_one_of_the_design() {
    assert_eq!(wrong(arrows()), [""; 0], "arrows that ARCHITECTURE.md does not have");
}

#[test]
fn a_planted_arrow_is_found() {
    let planted = [
        arrow("advisor-projections", "advisor-commands", Use::Program),
        arrow("advisor-commands", "advisor-eventlog", Use::Program),
        arrow("advisor-events", "advisor-eventlog", Use::Tests),
        arrow("advisor-projections", "advisor-commands", Use::Tests),
    ];

    assert_eq!(wrong(planted), ["advisor-projections → advisor-commands", "advisor-events → advisor-eventlog"]);
}

#[test]
fn the_arrow_test_knows_every_crate() {
    let crates: BTreeSet<String> = packages().iter().map(|package| text(package, "name")).collect();

    assert_eq!(crates, ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for package in packages() {
        let manifest = read(Path::new(&text(&package, "manifest_path")));
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{} has lints of its own", text(&package, "name"));
    }
}

/// A dependency of tests switches this on too, so that no test of the codec would miss it.
#[test]
fn the_program_itself_reads_numbers_to_the_last_digit() {
    let packages = packages();
    let events = packages.iter().find(|package| package["name"] == "advisor-events").expect("the crate");
    let dependencies = events["dependencies"].as_array().expect("a list of dependencies");
    let json = dependencies.iter().find(|dependency| dependency["name"] == "serde_json").expect("the dependency");

    assert!(json["features"].as_array().expect("features").contains(&Value::from("float_roundtrip")));
}

#[test]
fn no_module_is_a_drawer() {
    for file in rust_files() {
        let names = [file.file_stem(), file.parent().and_then(Path::file_name)];
        for name in names.into_iter().flatten().filter_map(|name| name.to_str()) {
            assert!(name != "mod", "{}: a module lies in `foo.rs` beside its folder", file.display());
            assert!(!DRAWERS.contains(&name), "{}: the name says nothing", file.display());
        }
        for line in read(&file).lines() {
            let module = line.trim_start().trim_start_matches("pub ").strip_prefix("mod ");
            let name = module.and_then(|rest| rest.split([';', ' ']).next()).unwrap_or_default();
            assert!(!DRAWERS.contains(&name), "{}: the name `{name}` says nothing", file.display());
        }
    }
}

#[test]
fn no_test_is_switched_off_and_nothing_is_left_to_do() {
    // Put together here, so that this file does not hold them itself.
    let forbidden = [concat!("#[", "ignore"), concat!("should_", "panic"), concat!("todo", "!("), concat!("TO", "DO")];
    for file in rust_files() {
        let source = read(&file);
        for word in forbidden {
            assert!(!source.contains(word), "{} holds {word}", file.display());
        }
    }
}

#[test]
fn a_source_file_is_read_in_a_sitting() {
    let files = rust_files();
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    let long: Vec<String> = files
        .iter()
        .filter(|file| in_a_source_folder(file) && !tests.iter().any(|test| file.starts_with(test.with_extension(""))))
        .filter(|file| !tests.contains(*file))
        .map(|file| (file, lines_before_tests(&read(file))))
        .filter(|(_, lines)| *lines > SOURCE_LINES_MAX)
        .map(|(file, lines)| format!("{} has {lines}", file.display()))
        .collect();

    assert!(long.is_empty(), "files of more than {SOURCE_LINES_MAX} lines: {long:?}");
}

struct Arrow {
    from: String,
    to: String,
    used_by: Use,
}

#[derive(PartialEq)]
enum Use {
    Program,
    Tests,
}

fn arrow(from: &str, to: &str, used_by: Use) -> Arrow {
    Arrow { from: from.to_owned(), to: to.to_owned(), used_by }
}

fn wrong(arrows: impl IntoIterator<Item = Arrow>) -> Vec<String> {
    arrows
        .into_iter()
        .filter(|arrow| match arrow.used_by {
            Use::Program => !allowed(&arrow.from).contains(&arrow.to.as_str()),
            Use::Tests => points_up(arrow),
        })
        .map(|arrow| format!("{} → {}", arrow.from, arrow.to))
        .collect()
}

fn allowed(name: &str) -> &'static [&'static str] {
    ARROWS.iter().find(|(from, _)| *from == name).map_or(&[], |(_, to)| to)
}

/// Tests may use a neighbour, but nothing that stands on the crate under test.
fn points_up(arrow: &Arrow) -> bool {
    let uses = allowed(&arrow.to);
    uses.contains(&arrow.from.as_str()) || arrow.to == "advisor" || arrow.to == "advisor-tests"
}

/// The dependencies between crates of the workspace.
fn arrows() -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for package in packages() {
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let to = text(dependency, "name");
            if ARROWS.iter().any(|(name, _)| *name == to) {
                let used_by = if dependency["kind"] == "dev" { Use::Tests } else { Use::Program };
                arrows.push(arrow(&text(&package, "name"), &to, used_by));
            }
        }
    }
    arrows
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON of cargo");
    let Value::Array(packages) = metadata["packages"].take() else { panic!("cargo lists packages") };
    packages
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("a text {field}")).to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > ARROWS.len(), "the walk has found the sources");
    files
}

fn in_a_source_folder(file: &Path) -> bool {
    let mut parts = file.strip_prefix(root()).expect("below the root").components().map(Component::as_os_str);
    parts.next().is_some_and(|part| part == "crates") && parts.nth(1).is_some_and(|part| part == "src")
}

/// The files that a file names as modules of tests: `#[cfg(test)] mod name;`.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main") => file.parent().expect("a folder").to_owned(),
        _ => file.with_extension(""),
    };
    let source = read(file);
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(|name| folder.join(name).with_extension("rs"))
        .collect()
}

/// Tests stand last in a file: what comes from their module on is not counted.
fn lines_before_tests(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'))
        .unwrap_or(lines.len())
}
