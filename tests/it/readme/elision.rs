//! Outputs with `…` in place of what differs from run to run.

/// How much of what was printed the expected lines stand for.
#[derive(Clone, Copy)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Its beginning: more may have come since.
    Beginning,
}

/// Compares, and gives how many printed lines the expected ones stand for; an error is the first expected
/// line that was not printed where it should be.
pub(super) fn compare(expected: &str, printed: &str, extent: Extent) -> Result<usize, String> {
    let printed: Vec<&str> = printed.trim_end().lines().collect();
    let expected: Vec<&str> = expected.trim_end().lines().collect();
    let mut place = 0;
    let mut anywhere = false;
    for run in expected.split(|line| *line == "…") {
        let places = place..=if anywhere { printed.len() } else { place };
        let found = places.clone().find(|place| begins_with(printed.get(*place..).unwrap_or_default(), run));
        let Some(found) = found else { return Err(missing(run, printed.get(place..).unwrap_or_default())) };
        place = found + run.len();
        anywhere = true;
    }
    let open = matches!(extent, Extent::Beginning) || expected.last() == Some(&"…");
    if open || place == printed.len() { Ok(place) } else { Err(format!("nothing more than {place} lines")) }
}

fn begins_with(printed: &[&str], run: &[&str]) -> bool {
    printed.len() >= run.len() && run.iter().zip(printed).all(|(expected, printed)| same(expected, printed))
}

/// The first line of the run that differs, or that is nowhere.
fn missing(run: &[&str], printed: &[&str]) -> String {
    let differs = |line: &&&str| !printed.iter().any(|there| same(line, there));
    let line = run.iter().find(differs).or(run.first());
    line.copied().unwrap_or_default().to_owned()
}

fn same(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| printed.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_any_text_within_its_line_and_alone_for_any_lines() {
    for (expected, printed) in [
        ("a", "a\n"),
        ("", ""),
        ("a…d", "abcd"),
        ("a…b…c", "a-b-b-c"),
        ("…\nc", "a\nb\nc"),
        ("a\n…\nc\nd", "a\nc\nb\nc\nd"),
        ("a\n…", "a\nb"),
        ("a\n…\nb", "a\nb"),
    ] {
        assert!(compare(expected, printed, Extent::Whole).is_ok(), "{expected:?} {printed:?}");
    }
    for (expected, printed) in [
        ("a", "b"),
        ("a", ""),
        ("", "a"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("a…c", "acb"),
        ("a…a", "a"),
        ("a\n…\nc", "a\nb"),
    ] {
        assert!(compare(expected, printed, Extent::Whole).is_err(), "{expected:?} {printed:?}");
    }
    assert_eq!(compare("a\n…\nc", "a\nb\nc\nd", Extent::Beginning), Ok(3));
    assert_eq!(compare("b", "a\nb", Extent::Beginning), Err("b".to_owned()));
}
