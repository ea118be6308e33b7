//! The samples: real events of each wire name and version, as bytes that never change. A version that gained
//! optional fields has a further edition: `<type>.2.json` beside `<type>.json`.

use crate::{catalogue::kinds, expected, files_in, text, updating};
use advisor_events::{SealContext, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use uuid::Uuid;

/// An event as it stands in a log. The data and the metadata are kept byte for byte.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) stream: StreamName,
    pub(crate) event_id: Uuid,
    pub(crate) data: Box<RawValue>,
    pub(crate) metadata: Box<RawValue>,
    /// Its file without the ending: the type, and from the second edition on its number.
    #[serde(skip)]
    pub(crate) name: String,
}

impl Sample {
    /// Which edition of its version it is, from 1.
    pub(crate) fn edition(&self) -> u32 {
        let number = self.name.strip_prefix(&self.type_name).and_then(|rest| rest.strip_prefix('.'));
        number.map_or(1, |number| number.parse().expect("a number"))
    }

    pub(crate) fn context(&self) -> SealContext<'_> {
        SealContext { stream: &self.stream, event_id: self.event_id }
    }

    pub(crate) fn context_of_another_event(&self) -> SealContext<'_> {
        SealContext { event_id: Uuid::from_u128(self.event_id.as_u128() ^ 1), ..self.context() }
    }

    pub(crate) fn context_of_another_stream(&self) -> SealContext<'static> {
        static ANOTHER: LazyLock<StreamName> = LazyLock::new(|| StreamName::from_text("conversation-another"));
        SealContext { stream: &ANOTHER, event_id: self.event_id }
    }
}

/// Every sample that there is, of all versions.
pub(crate) fn all() -> &'static [Sample] {
    static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
        if updating() {
            write_missing();
        }
        files_in(&folder()).iter().map(|file| read(file)).collect()
    });
    &SAMPLES
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// File → digest, as `sha256sum` writes and checks them.
pub(crate) fn digests() -> BTreeMap<String, String> {
    // When files are being written, the digests come with the samples.
    all();
    let list = fs::read_to_string(digests_file()).unwrap_or_default();
    list.lines()
        .map(|line| line.split_once("  ").expect("digest, two spaces, file"))
        .map(|(digest, file)| (file.to_owned(), digest.to_owned()))
        .collect()
}

pub(crate) fn digest(file: &str) -> String {
    hex(&fs::read(folder().join(file)).expect("a sample"))
}

fn digests_file() -> PathBuf {
    folder().join("SHA256SUMS")
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

fn read(file: &str) -> Sample {
    let json = fs::read_to_string(folder().join(file)).expect("a sample");
    let mut sample: Sample = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{file}: {error}"));
    file.strip_suffix(".json").expect("a JSON file").clone_into(&mut sample.name);
    let edition = Some(sample.edition()).filter(|edition| *edition > 1).map(|edition| format!(".{edition}"));
    let wanted = format!("{}{}", sample.type_name, edition.unwrap_or_default());
    assert_eq!(sample.name, wanted, "a sample is named for its type and edition");
    sample
}

/// The newest edition of an event.
pub(crate) fn newest(type_name: &str) -> Option<&'static Sample> {
    all().iter().filter(|sample| sample.type_name == type_name).max_by_key(|sample| sample.edition())
}

/// Writes the events that have no sample yet. What is there is never touched.
fn write_missing() {
    fs::create_dir_all(folder()).expect("a folder");
    let mut sums = fs::read_to_string(digests_file()).unwrap_or_default();
    let names = kinds().into_iter().map(|kind| kind.name).chain(expected::FURTHER_EDITIONS.map(str::to_owned));
    for name in names {
        let file = format!("{name}.json");
        if sums.contains(&format!("  {file}\n")) {
            continue;
        }
        let json = serde_json::to_string_pretty(&made(&name)).expect("JSON") + "\n";
        fs::write(folder().join(&file), &json).expect("the sample is written");
        writeln!(sums, "{}  {file}", hex(json.as_bytes())).expect("a String takes everything");
    }
    fs::write(digests_file(), sums).expect("the digests are written");
}

fn made(name: &str) -> Sample {
    let stream = expected::stream(name);
    let event_id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
    let context = SealContext { stream: &stream, event_id };
    let metadata = expected::metadata(name);
    let encoded = expected::event(name).encode(Some(&expected::key()), context, &metadata).expect("it encodes");
    let raw = |bytes: &[u8]| RawValue::from_string(text(bytes).to_owned()).expect("JSON");
    let (data, metadata) = (raw(&encoded.data), raw(&encoded.metadata));
    Sample { type_name: encoded.type_name, stream, event_id, data, metadata, name: name.to_owned() }
}
