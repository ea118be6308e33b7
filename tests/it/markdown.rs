//! As much of Markdown as the project's own pages use: fenced blocks, links, and the anchors of headings.

use std::collections::HashMap;

/// A fenced block.
#[derive(Debug, PartialEq)]
pub(crate) struct Fenced {
    /// What stands after the opening fence.
    pub(crate) info: String,
    pub(crate) text: String,
    /// The line of the opening fence, from 1.
    pub(crate) line: usize,
}

/// All fenced blocks, in order.
pub(crate) fn fenced(page: &str) -> Vec<Fenced> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        blocks.push(Fenced { info: info.to_owned(), text: text.join("\n"), line: number + 1 });
    }
    blocks
}

/// The targets of all links outside of code, with their lines.
pub(crate) fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(page) {
        let line = without_code(line);
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            links.push((number, target.to_owned()));
        }
    }
    links
}

/// What stands in backticks outside of fenced blocks, with its lines.
pub(crate) fn code_spans(page: &str) -> Vec<(usize, String)> {
    let spans = |(number, line): (usize, &str)| -> Vec<(usize, String)> {
        line.split('`').skip(1).step_by(2).map(|span| (number, span.to_owned())).collect()
    };
    prose(page).into_iter().flat_map(spans).collect()
}

/// The anchors that a page's headings have where it is shown.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(page).into_iter().filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len() && text.starts_with(' ')).then(|| anchor(text.trim()))
    });
    let number = |anchor: String| {
        let count = seen.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
    };
    headings.map(number).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The lines outside of fenced blocks, numbered from 1.
fn prose(page: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (number, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            lines.push((number + 1, line));
        }
    }
    lines
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[test]
fn blocks_links_and_anchors_are_found() {
    let page =
        "# A page: `one`\n[a](b.md#c) and `[no](link)`\n```sh x\nls # [no](link)\n\nls\n```\n## Same\n## Same\n[d](e)";
    let block = Fenced { info: "sh x".to_owned(), text: "ls # [no](link)\n\nls".to_owned(), line: 3 };
    assert_eq!(fenced(page), [block]);
    assert_eq!(links(page), [(2, "b.md#c".to_owned()), (10, "e".to_owned())]);
    assert_eq!(code_spans(page), [(1, "one".to_owned()), (2, "[no](link)".to_owned())]);
    assert_eq!(anchors(page), ["a-page-one", "same", "same-1"]);
}
