//! Every constant that bounds something stands in the list of limits, or here with the reason why it bounds nothing.

use super::{in_a_source_folder, lines_before_tests, read, root, rust_files, test_modules};
use std::{collections::BTreeMap, path::Path};

/// Constants that look like bounds: what they belong to stands in the list, or they bound nothing that grows or waits.
const NO_BOUNDS: [(&str, &str); 29] = [
    ("api/src/accept.rs", "BACK_OFF_MIN"), // The first pause; the longest one is the bound.
    ("api/src/live/hub.rs", "TOO_MANY_RETRY"), // What a client is told.
    ("api/src/webhooks/news.rs", "LATEST_MS"), // The last moment that can be written.
    ("bus/src/in_process.rs", "MESSAGES_MAX"), // The default of a setting.
    ("bus/src/contract.rs", "PATIENCE"),   // Tests of adapters.
    ("bus/src/nats.rs", "RECONNECT_PAUSE_FIRST"), // The first pause.
    ("commands/src/handler/append.rs", "PAUSE_FIRST"), // The first pause.
    ("api/src/live.rs", "RECONNECT_AFTER_MS"), // What a client is told.
    ("events/src/ids.rs", "STREAM_NAME_BYTES_MAX"), // The table takes it from there.
    ("events/src/timestamp.rs", "YEAR_0_MS"),
    ("events/src/timestamp.rs", "YEAR_9999_END_MS"),
    ("eventlog/src/contract/scene.rs", "PATIENCE"), // Tests of adapters.
    ("projections/src/changes.rs", "FEEDS_MAX"),    // A person's and everybody's: there are two.
    ("projections/src/conversations.rs", "EXCERPT_CHARS_MAX"), // How much of a message a list shows.
    ("projections/src/conversations/apply.rs", "TITLE_CHARS_MAX"), // When a title is long enough to be made anew.
    ("projections/src/given/read_side.rs", "PATIENCE"), // Tests.
    ("projections/src/side/keys.rs", "CACHED_MAX"), // The default of a setting.
    ("projections/src/runner.rs", "PAUSE"),         // The first pause.
    ("workers/src/effects.rs", "PAUSE"),            // The first pause.
    ("workers/src/model/demo.rs", "QUOTE_CHARS_MAX"), // How much of a message the demo model quotes.
    ("workers/src/reply_to_message/look.rs", "REST"), // The first rest.
    ("workers/src/reply_to_message/look.rs", "REST_LEFT"), // The first rest of another kind.
    ("advisor/src/serve/appends.rs", "REST"),       // Named in the list by what it is exported as.
    ("advisor/src/serve/end.rs", "WORK_MAX"),       // Likewise.
    ("advisor/src/serve/end.rs", "RUNNER_MAX"),     // Likewise.
    ("advisor/src/serve/end.rs", "STORES_MAX"),     // Likewise.
    ("advisor/src/serve/waiting.rs", "PAUSE_MAX"),  // Likewise.
    ("advisor/src/serve/waiting.rs", "PAUSE_FIRST"), // The first pause.
    ("advisor/src/serve/read_side.rs", "FILLING_WAIT"), // Named in the list without a crate.
];

#[test]
fn every_constant_that_bounds_something_stands_in_the_list_of_limits() {
    let unlisted: Vec<String> = bounds()
        .into_iter()
        .filter(|((krate, name), files)| {
            let exempt = files.iter().filter(|file| NO_BOUNDS.contains(&(file.as_str(), name))).count();
            times_listed(krate, name) < files.len() - exempt
        })
        .map(|((_, name), files)| format!("{name} in {files:?}"))
        .collect();
    assert!(unlisted.is_empty(), "name them in `limits.rs` and `config/limits/table.rs`: {unlisted:#?}");
}

#[test]
fn every_limit_that_a_crate_names_stands_in_the_table() {
    let table = root().join("crates/advisor/src/config/limits");
    let files = rust_files().into_iter().filter(|file| file.starts_with(&table));
    let table: String = files.map(|file| read(&file)).collect();
    for file in rust_files().iter().filter(|file| file.ends_with("src/limits.rs")) {
        for name in exported(&read(file)) {
            assert!(table.contains(&format!("::{name}.amount()")), "{name} of {} is not in the table", file.display());
        }
    }
}

/// Crate and name of each constant that looks like a bound, with the files that have one of this name.
fn bounds() -> BTreeMap<(String, String), Vec<String>> {
    let files = rust_files();
    let tests: Vec<_> = files.iter().flat_map(|file| test_modules(file)).collect();
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| in_a_source_folder(file) && !is_of_tests(file, &tests)) {
        let source = read(file);
        let place = file.strip_prefix(root().join("crates")).unwrap().to_str().unwrap().to_owned();
        let krate = place.split('/').next().unwrap().to_owned();
        for line in source.lines().take(lines_before_tests(&source)) {
            if let Some(name) = bound(line) {
                found.entry((krate.clone(), name.to_owned())).or_default().push(place.clone());
            }
        }
    }
    assert!(found.len() > 50, "the walk has found the constants");
    found
}

fn is_of_tests(file: &Path, tests: &[std::path::PathBuf]) -> bool {
    tests.iter().any(|test| file == test || file.starts_with(test.with_extension("")))
}

/// The name of a constant whose name or type says that it bounds something.
fn bound(line: &str) -> Option<&str> {
    let declared = ["pub const ", "pub(crate) const ", "pub(super) const ", "const "]
        .iter()
        .find_map(|start| line.strip_prefix(start))?;
    let (name, rest) = declared.split_once(": ")?;
    let says_so = name.ends_with("_MAX") || name.ends_with("_MS") || rest.starts_with("Duration");
    says_so.then_some(name)
}

/// How often the lists of the crate name a constant. A name that is common has another one in the list.
fn times_listed(krate: &str, name: &str) -> usize {
    let folder = root().join("crates").join(krate).join("src");
    let lists = rust_files().into_iter().filter(|file| file.starts_with(&folder));
    let lists = lists.filter(|file| file.ends_with("limits.rs") || file.ends_with("bounds.rs"));
    lists.map(|file| read(&file)).map(|text| words(&text).filter(|word| *word == name).count()).sum()
}

/// The names under which a list exports its constants.
fn exported(text: &str) -> Vec<String> {
    let names: Vec<&str> = words(text).collect();
    let is_constant =
        |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    let mut exported = Vec::new();
    for (at, name) in names.iter().enumerate().filter(|(_, word)| is_constant(word)) {
        if names.get(at + 1) != Some(&"as") {
            exported.push((*name).to_owned());
        }
    }
    exported
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
