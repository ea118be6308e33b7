//! Bytes by chance: decoding never panics, and what it takes is written and read again as the same event.
//!
//! An ordinary test that runs for a short time; `CONTRIBUTING.md` has the command for a long run.

use super::*;
use std::{fs, time::Duration};

const TIME: Duration = Duration::from_secs(2);

/// A sample of an event as it is stored.
struct Sample {
    type_name: String,
    data: String,
    metadata: Value,
}

#[test]
fn an_event_that_is_decoded_is_the_same_when_it_was_written_again() {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "null",
        "true",
        "0",
        "-1",
        "1e9",
        "\"sealed\"",
        "{\"sealed\":\"AAAA\"}",
        "\"\\ud800\"",
        "\"2025-09-16T08:15:30.123Z\"",
        "\"+010000-01-01T00:00:00Z\"",
        "\"user\"",
        "é",
        "[[[[[[[[",
        "\"content\":",
    ];
    let samples = samples();
    bolero::check!().with_type::<(u8, u8, u16, u16, Vec<u8>, bool)>().with_test_time(TIME).for_each(
        |(sample, name, from, to, bytes, in_data)| {
            let sample = &samples[usize::from(*sample) % samples.len()];
            let name = &samples[usize::from(*name) % samples.len()].type_name;
            let piece =
                |byte: &u8| PIECES.get(usize::from(*byte)).map_or_else(|| vec![*byte], |p| p.as_bytes().to_vec());
            let put: Vec<u8> = bytes.iter().flat_map(piece).collect();
            let mut metadata = sample.metadata.clone();
            let mut data = sample.data.clone().into_bytes();
            if *in_data {
                data = changed(&data, *from, *to, &put);
            }
            metadata["checksum"] = json!(format!("{:08x}", crc32fast::hash(&data)));
            let mut metadata = metadata.to_string().into_bytes();
            if !in_data {
                metadata = changed(&metadata, *from, *to, &put);
            }
            for name in [name, &sample.type_name] {
                let Ok((mut event, its_metadata)) = Event::decode(name, &data, &metadata) else { continue };
                // Sealed fields stay sealed, so nothing is needed to write it again but a subject.
                let its_metadata = Metadata { subject: Some("user_a".into()), ..its_metadata };
                let again = event.clone().encode(Some(&key()), here(), &its_metadata).unwrap();
                // An older version is written as the newest one, with what that one seals.
                assert_eq!(without_version(&again.type_name), without_version(name));
                let (mut back, back_metadata) = decode(&again);
                event.open(Some(&key()), here());
                back.open(Some(&key()), here());
                assert_eq!(back, event);
                assert_eq!(Metadata { checksum: its_metadata.checksum.clone(), ..back_metadata }, its_metadata);
            }
        },
    );
}

#[test]
fn a_box_by_chance_opens_for_nobody_and_one_of_ours_for_its_key_and_place_alone() {
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>, usize)>().with_test_time(TIME).for_each(|(clear, place, bit)| {
        assert_eq!(key().open(clear, place), None);
        let sealed = key().seal(clear, place).unwrap();
        assert_eq!(key().open(&sealed, place).as_ref(), Some(clear));
        let mut changed = sealed;
        let bit = bit % (changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key().open(&changed, place), None);
    });
}

#[test]
fn a_time_that_is_read_is_written_as_the_same_moment() {
    const PIECES: &[&str] =
        &["2025", "-", "09", "16", "T", "08", ":", "30", ".123", "Z", "+02:00", "9999", "0000", "60", "."];
    bolero::check!().with_type::<Vec<u8>>().with_test_time(TIME).for_each(|bytes| {
        let piece =
            |byte: &u8| PIECES.get(usize::from(*byte)).map_or_else(|| char::from(*byte).to_string(), |p| (*p).into());
        let text: String = bytes.iter().map(piece).collect();
        for text in [text.clone(), format!("2025-09-16T{text}Z"), format!("{text}T08:15:30Z")] {
            let Some(moment) = Timestamp::parse(&text) else { continue };
            assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment), "{text}");
        }
    });
}

fn without_version(name: &str) -> Option<&str> {
    name.rsplit_once(".v").map(|(name, _)| name)
}

fn changed(bytes: &[u8], from: u16, to: u16, put: &[u8]) -> Vec<u8> {
    let (from, to) = (usize::from(from) % (bytes.len() + 1), usize::from(to) % (bytes.len() + 1));
    // Mostly little is taken away: what is half gone has no shape any more.
    let to = if to % 4 == 0 { to.max(from) } else { (from + to % 4 - 1).min(bytes.len()) };
    [&bytes[..from], put, &bytes[to..]].concat()
}

fn samples() -> Vec<Sample> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let sample: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let type_name = sample["type"].as_str().unwrap().to_owned();
        Sample { type_name, data: sample["data"].to_string(), metadata: sample["metadata"].clone() }
    };
    files.iter().map(read).collect()
}
