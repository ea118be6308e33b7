//! What reading stored events costs: checksum, type and every field; persons' words stay sealed.

#![expect(clippy::unwrap_used, reason = "A benchmark that can't go on ends.")]

use advisor_events::Event;
use criterion::{Bencher, Criterion, Throughput};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{fs, hint::black_box, path::Path};

/// Types that a conversation is made of.
const TYPES: [&str; 4] = [
    "conversation.started.v1",
    "conversation.message_sent.v1",
    "conversation.reply_started.v2",
    "conversation.reply_completed.v1",
];

/// A real event, as the log holds it.
#[derive(Deserialize)]
struct Sample {
    data: Box<RawValue>,
    metadata: Box<RawValue>,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for type_name in TYPES {
        group.bench_function(type_name, |bencher| decode(bencher, type_name));
    }
    group.finish();
    criterion.final_summary();
}

fn decode(bencher: &mut Bencher<'_>, type_name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("samples/{type_name}.json"));
    let sample: Sample = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let (data, metadata) = (sample.data.get().as_bytes(), sample.metadata.get().as_bytes());
    bencher.iter(|| Event::decode(type_name, black_box(data), black_box(metadata)).unwrap());
}
