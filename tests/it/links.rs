//! The project's own pages lead where they say: every relative link and anchor in them resolves, and every
//! file that they name is there.

use crate::markdown::{anchors, code_spans, links};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_link_and_anchor_in_the_documentation_resolves() {
    let pages = pages();
    assert!(pages.len() > 20 && pages.contains(&root().join("README.md")), "{pages:?}");
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|page| {
            let text = fs::read_to_string(page).unwrap();
            let broken = links(&text).into_iter().filter(|(_, target)| !resolves(page, target));
            broken.map(|(line, target)| format!("{}:{line}: {target}", page.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn a_planted_link_that_leads_nowhere_is_found() {
    let page = root().join("docs/events.md");
    for target in ["openapi.json", "../README.md#start-it", "decisions", "https://example.org/", "#events"] {
        assert!(resolves(&page, target), "{target}");
    }
    for target in ["nothing.md", "../README.md#no-such-heading", "openapi.json#x", "/etc/passwd", "../../..", "", "#no"]
    {
        assert!(!resolves(&page, target), "{target}");
    }
}

/// A decision tells of its day; every other page of today.
#[test]
fn every_file_that_a_page_names_is_there() {
    let decisions = root().join("docs/decisions");
    let pages = pages().into_iter().filter(|page| !page.starts_with(&decisions) && !page.ends_with("CHANGELOG.md"));
    let named: Vec<(PathBuf, usize, String)> = pages
        .flat_map(|page| {
            let spans = code_spans(&fs::read_to_string(&page).unwrap());
            let named = spans.into_iter().filter(|(_, text)| names_a_file(text));
            named.map(|(line, text)| (page.clone(), line, text)).collect::<Vec<_>>()
        })
        .collect();
    assert!(named.len() > 30, "{named:?}");
    let absent: Vec<_> = named.iter().filter(|(_, _, name)| !is_there(name)).collect();
    assert!(absent.is_empty(), "files that are not there: {absent:#?}");
}

#[test]
fn every_test_that_the_page_of_attacks_names_is_there() {
    let page = fs::read_to_string(root().join("docs/security-tests.md")).unwrap();
    let (named, tests) = (tests_named(&page), tests());
    assert!(named.len() > 100 && tests.len() > 1_000, "{} and {}", named.len(), tests.len());
    let absent: Vec<_> = named.iter().filter(|(_, name)| !tests.contains(name)).collect();
    assert!(absent.is_empty(), "tests that are not there: {absent:#?}");
}

/// Every page of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// A path from the root, or from a crate as ARCHITECTURE.md says it; `X.rs` is a file yet to be.
fn names_a_file(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let folder = text.split('/').next().unwrap_or_default();
    let known = root().join(folder).is_dir() || root().join("crates").join(folder).is_dir();
    let yet_to_be = Path::new(text).file_stem().is_some_and(|stem| stem.len() == 1);
    plain
        && text.contains('/')
        && !folder.is_empty()
        && !folder.starts_with('.')
        && known
        && !yet_to_be
        && folder != "target"
}

fn is_there(name: &str) -> bool {
    root().join(name).exists() || root().join("crates").join(name).exists()
}

/// What stands in backticks in the last column of a page's tables and is a name of Rust's, with its line.
fn tests_named(page: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (number, line) in page.lines().enumerate() {
        let last = line.strip_suffix('|').and_then(|row| row.rsplit_once('|')).map(|(_, cell)| cell);
        for (_, name) in code_spans(last.unwrap_or_default()) {
            if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
                named.push((number + 1, name));
            }
        }
    }
    named
}

/// The names of all tests of the workspace.
fn tests() -> HashSet<String> {
    let mut tests = HashSet::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = source.lines().map(str::trim).collect();
                let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                for (number, _) in lines.iter().enumerate().filter(|(_, line)| is_test(line)) {
                    let signature = lines[number..].iter().find_map(|line| line.split_once("fn "));
                    tests.extend(signature.and_then(|(_, rest)| rest.split('(').next()).map(str::to_owned));
                }
            }
        }
    }
    tests
}

/// Other sites are not visited.
fn resolves(page: &Path, target: &str) -> bool {
    if target.starts_with("https://") || target.starts_with("http://") {
        return true;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let file = if file.is_empty() && anchor.is_some() { page.to_owned() } else { page.parent().unwrap().join(file) };
    let within = !target.is_empty() && file.canonicalize().is_ok_and(|file| file.starts_with(root()));
    within
        && anchor.is_none_or(|anchor| {
            fs::read_to_string(&file).is_ok_and(|text| anchors(&text).contains(&anchor.to_owned()))
        })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
