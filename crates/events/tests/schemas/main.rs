//! Proves that the catalogue of events says what the log holds, and that what was ever written still reads.
//!
//! The JSON Schemas in `schemas/`, the samples in `samples/` and `docs/events.md` are made by
//! `UPDATE_EVENTS=1 cargo test -p advisor-events --test schemas`, which adds missing samples and never
//! touches one that is there.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "A test that can't go on says where and ends."
)]

mod catalogue;
mod expected;
mod reference;
mod samples;

use advisor_events::{DecodeError, Event, Metadata, Personal};
use catalogue::{Kind, kinds, metadata_schema, personal_paths};
use samples::Sample;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_schema_in_the_repository_is_the_one_of_the_code() {
    let wanted: Vec<(String, Value)> = kinds()
        .iter()
        .map(|kind| (kind.name.clone(), kind.schema.clone()))
        .chain([("metadata".to_owned(), metadata_schema())])
        .collect();
    let files = files_in(&schemas_folder());

    for (name, schema) in &wanted {
        same_or_written(&schemas_folder().join(format!("{name}.json")), &pretty(schema));
    }

    let names: BTreeSet<String> = wanted.into_iter().map(|(name, _)| name).collect();
    let stale: Vec<&String> = files.iter().filter(|file| !names.contains(file.trim_end_matches(".json"))).collect();
    assert!(stale.is_empty(), "schemas of no event: {stale:?}");
}

#[test]
fn the_reference_in_the_repository_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");

    same_or_written(&path, &reference::page(&kinds()));
}

#[test]
fn every_wire_name_has_a_sample() {
    let names: BTreeSet<&str> = samples::all().iter().map(|sample| sample.type_name.as_str()).collect();

    for kind in kinds() {
        assert!(names.contains(kind.name.as_str()), "{} has no sample; {UPDATE}", kind.name);
    }
}

#[test]
fn no_sample_was_ever_changed_or_taken_away() {
    let listed = samples::digests();
    let files = files_in(&samples::folder());

    for file in &files {
        let digest = listed.get(file).unwrap_or_else(|| panic!("{file} is not in SHA256SUMS"));
        assert_eq!(&samples::digest(file), digest, "{file} was changed: a sample stands for what logs hold");
    }
    assert_eq!(files, listed.into_keys().collect(), "a sample was taken away: its events still stand in logs");
}

#[test]
fn every_sample_opens_to_the_event_that_was_written() {
    for sample in samples::all() {
        let (mut event, _) = decode(sample);
        event.open(Some(&expected::key()), sample.context());

        assert_eq!(event, expected::event(&sample.name), "{}", sample.name);
    }
}

#[test]
fn every_sample_has_a_stream_of_its_kind_and_the_data_and_metadata_of_its_schema() {
    let metadata = validator(&metadata_schema());
    for (kind, sample) in newest() {
        let data = validator(&kind.schema);

        assert!(kind.has_stream(sample.stream.as_str()), "{}: {}", kind.name, sample.stream);
        assert_valid(&data, sample.data.get(), &kind.name);
        assert_valid(&metadata, sample.metadata.get(), &kind.name);
    }
}

#[test]
fn every_sample_is_written_again_as_the_same_bytes() {
    for (_, sample) in newest() {
        let (event, metadata) = decode(sample);

        let again = event.encode(Some(&expected::key()), sample.context(), &metadata).expect("it encodes");

        assert_eq!(again.type_name, sample.type_name);
        assert_eq!(text(&again.data), sample.data.get());
        assert_eq!(text(&again.metadata), sample.metadata.get());
    }
}

#[test]
fn every_field_of_an_event_stands_in_its_sample() {
    for (kind, sample) in newest() {
        let data: Value = serde_json::from_str(sample.data.get()).expect("JSON");

        for field in kind.fields().into_iter().filter(|field| !field.alternative) {
            assert!(catalogue::holds(&data, &field.path), "{}: {} is in no sample", kind.name, field.path);
        }
    }
}

#[test]
fn what_a_schema_calls_personal_is_sealed_and_without_the_key_erased_and_nothing_else_is() {
    for (kind, sample) in newest() {
        let sealed = catalogue::sealed_places(&serde_json::from_str(sample.data.get()).expect("JSON"));
        let (mut event, _) = decode(sample);
        let before = format!("{event:?}");

        event.open(None, sample.context());

        assert_eq!(sealed, personal_paths(&kind, sample), "{}", kind.name);
        assert_eq!(before.matches("Sealed(…)").count(), sealed.len(), "{}", kind.name);
        assert_eq!(format!("{event:?}"), before.replace("Sealed(…)", "Erased"), "{}", kind.name);
    }
}

#[test]
fn the_box_of_a_sample_opens_in_no_other_event_and_no_other_stream() {
    let sealed = samples::all().iter().filter(|sample| sample.data.get().contains("sealed"));
    for sample in sealed {
        for context in [sample.context_of_another_event(), sample.context_of_another_stream()] {
            let (mut event, _) = decode(sample);

            event.open(Some(&expected::key()), context);

            let mut erased = decode(sample).0;
            erased.open(None, sample.context());
            assert_eq!(event, erased, "{}", sample.type_name);
        }
    }
}

#[test]
fn a_sample_with_any_bit_of_its_data_flipped_is_refused_by_its_checksum() {
    for sample in samples::all() {
        let data = sample.data.get().as_bytes();
        for bit in 0..data.len() * 8 {
            let mut flipped = data.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);

            let refused = Event::decode(&sample.type_name, &flipped, sample.metadata.get().as_bytes());

            assert!(matches!(refused, Err(DecodeError::Checksum)), "{}, bit {bit}", sample.type_name);
        }
    }
}

/// How to bring everything up to date.
const UPDATE: &str = "run `UPDATE_EVENTS=1 cargo test -p advisor-events --test schemas` and read what it changed";

/// Whether files are written rather than compared.
#[expect(clippy::disallowed_methods, reason = "No setting of the program: it tells these tests to write files.")]
fn updating() -> bool {
    std::env::var("UPDATE_EVENTS").is_ok_and(|value| value == "1")
}

fn same_or_written(path: &Path, wanted: &str) {
    if updating() {
        fs::write(path, wanted).expect("the file is written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the code says; {UPDATE}", path.display());
}

fn schemas_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// The names of a folder's JSON files.
fn files_in(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in ASCII"))
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("JSON is UTF-8")
}

/// The samples whose version and edition are the newest: only such events are written today.
fn newest() -> Vec<(Kind, &'static Sample)> {
    kinds().into_iter().filter_map(|kind| samples::newest(&kind.name).map(|found| (kind, found))).collect()
}

fn decode(sample: &Sample) -> (Event, Metadata) {
    Event::decode(&sample.type_name, sample.data.get().as_bytes(), sample.metadata.get().as_bytes())
        .unwrap_or_else(|error| panic!("{}: {error}", sample.type_name))
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::validator_for(schema).expect("a JSON Schema")
}

fn assert_valid(validator: &jsonschema::Validator, json: &str, name: &str) {
    let value = serde_json::from_str(json).expect("JSON");
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

/// Keeps the tests honest: words in an expected event are known, or the comparison would prove nothing.
#[test]
fn the_expected_events_hold_their_words_in_the_clear() {
    for kind in kinds() {
        let shown = format!("{:?}", expected::event(&kind.name));
        assert!(!shown.contains("Sealed") && !shown.contains("Erased"), "{}", kind.name);
    }
    assert_eq!(Personal::Known("words").known(), Some(&"words"));
}
