//! Writes `docs/events.md`: every event as an analyst meets it.

use crate::{
    catalogue::{Field, Kind, fields, metadata_schema},
    samples::{self, Sample},
};
use serde_json::Value;
use std::fmt::Write;

const OPENING: &str = "\
# Events

<!-- Made from the doc comments of `crates/events` by
     `UPDATE_EVENTS=1 cargo test -p advisor-events --test schemas`; never edited by hand. -->

Everything that happens is one of these facts. Each stands in the log as its wire name, its data and its metadata (both JSON).
Stream names hold ASCII letters, digits, `_ . -`; an id that does not fit is named `x-` and the base32 of its SHA-256.

- Only fields that may be absent are ever added to a version. Where a meaning changes, the next version (`.v2`) is written, and the old one still reads.
- A **personal** field holds a person's words. It stands as `{\"sealed\": \"<base64 of nonce and box>\"}`, sealed with
  XChaCha20-Poly1305 under a key of that person's own (associated data: stream name, NUL, the 16 bytes of the event id);
  its type below is the type of what is inside. Once the key is destroyed nobody can open it.
- *Always*: wherever the object stands that the field belongs to. A field that is not always there is left out, never `null`.
- JSON Schemas lie in [`crates/events/schemas`](../crates/events/schemas), real samples in
  [`crates/events/samples`](../crates/events/samples); both are compared with the code in a test.

| event | what happened |
| --- | --- |
";

/// The whole page.
pub(crate) fn page(kinds: &[Kind]) -> String {
    let mut page = OPENING.to_owned();
    for kind in kinds {
        let anchor = kind.name.replace('.', "");
        line(&mut page, format_args!("| [`{}`](#{anchor}) | {} |", kind.name, kind.sentence));
    }
    metadata(&mut page);
    let mut stream = "";
    for kind in kinds {
        if kind.stream != stream {
            stream = kind.stream;
            line(&mut page, format_args!("\n## Stream `{stream}`"));
        }
        event(&mut page, kind, samples::newest(&kind.name));
    }
    page
}

fn metadata(page: &mut String) {
    line(
        page,
        format_args!("\n## Metadata\n\nTravels beside the data of every event; nothing in it is personal text.\n"),
    );
    table(page, &fields(&metadata_schema()));
    if let Some(sample) = samples::newest("conversation.message_sent.v1") {
        json(page, sample.metadata.get());
    }
}

fn event(page: &mut String, kind: &Kind, sample: Option<&Sample>) {
    line(page, format_args!("\n### `{}`\n\n{}\n", kind.name, kind.sentence));
    table(page, &kind.fields());
    if let Some(sample) = sample {
        json(page, sample.data.get());
    }
}

fn table(page: &mut String, fields: &[Field]) {
    line(page, format_args!("| field | type | always | personal | meaning |\n| --- | --- | --- | --- | --- |"));
    for field in fields {
        let always = if field.always { "yes" } else { "" };
        let personal = if field.personal { "sealed" } else { "" };
        let Field { path, shape, meaning, .. } = field;
        line(page, format_args!("| `{path}` | {shape} | {always} | {personal} | {meaning} |"));
    }
}

/// A sample, one field a line.
fn json(page: &mut String, raw: &str) {
    let value: Value = serde_json::from_str(raw).expect("JSON");
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    line(page, format_args!("\n```json\n{pretty}\n```"));
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a String takes everything");
}
