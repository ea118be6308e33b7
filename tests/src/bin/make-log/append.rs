//! What an append costs: single events of many clients, each waiting for its own.

use crate::{Stores, write::say};
use advisor_eventlog::{Expected, NewEvent};
use advisor_events::StreamName;
use anyhow::Result;
use futures::future::try_join_all;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Streams that are appended to in turn.
const STREAMS: usize = 128;
/// Data and metadata of an event.
const DATA_BYTES: usize = 600;
const METADATA_BYTES: usize = 300;

/// Appends for some time; prints the rate and how long appends took.
pub(crate) async fn measure(stores: &Stores, clients: usize, duration: Duration) -> Result<()> {
    let run = Uuid::new_v4();
    let head = stores.log.head().await?;
    let begun = Instant::now();
    let streams_each = STREAMS.div_ceil(clients.max(1)).max(1);
    let taken = try_join_all((0..clients).map(|client| append(stores, run, (client, streams_each), begun + duration)));
    let mut taken = taken.await?.concat();
    let seconds = begun.elapsed().as_secs_f64();
    taken.sort_unstable();
    let at = |share: usize| taken.get(taken.len() * share / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
    let rate = f64::from(u32::try_from(taken.len())?) / seconds;
    say(&format!(
        "{{\"events_before\":{head},\"clients\":{clients},\"appends_per_second\":{rate:.0},\"p50_ms\":{:.2},\"p99_ms\":{:.2}}}",
        at(50),
        at(99)
    ))
}

async fn append(
    stores: &Stores,
    run: Uuid,
    (client, streams): (usize, usize),
    until: Instant,
) -> Result<Vec<Duration>> {
    let names: Vec<StreamName> =
        (0..streams).map(|number| StreamName::from_text(format!("load-{run}-{client}-{number}"))).collect();
    let mut expected = vec![Expected::NoStream; streams];
    let mut taken = Vec::new();
    while Instant::now() < until {
        for (name, expected) in names.iter().zip(&mut expected) {
            let event = NewEvent {
                id: Uuid::new_v4(),
                type_name: "load.appended.v1".to_owned(),
                data: vec![b'x'; DATA_BYTES],
                metadata: vec![b'y'; METADATA_BYTES],
            };
            let begun = Instant::now();
            let appended = stores.log.append(name, *expected, vec![event]).await?;
            taken.push(begun.elapsed());
            *expected = Expected::Exact(appended.revision);
        }
    }
    Ok(taken)
}
