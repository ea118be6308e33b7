//! What sealing and opening 500 bytes of a person's words costs.

#![expect(clippy::unwrap_used, reason = "A benchmark that can't go on ends.")]

use advisor_events::PersonKey;
use criterion::{Criterion, Throughput};
use std::hint::black_box;

/// A message of usual length.
const WORDS: [u8; 500] = [b'w'; 500];
/// A stream's name and an event's id.
const ASSOCIATED: &[u8] = b"conversation-5f0c7f3a-6a0e-5d0b-9a44-0d9f3c7b1e21\x0008fef08b-4566-56";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let key = PersonKey::from_bytes([7; 32]);
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Bytes(WORDS.len() as u64));
    group.bench_function("seal 500 bytes", |bencher| {
        bencher.iter(|| key.seal(black_box(&WORDS), ASSOCIATED).unwrap());
    });
    group.bench_function("open 500 bytes", |bencher| {
        let sealed = key.seal(&WORDS, ASSOCIATED).unwrap();
        bencher.iter(|| key.open(black_box(&sealed), ASSOCIATED).unwrap());
    });
    group.finish();
    criterion.final_summary();
}
