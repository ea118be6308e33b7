//! What reading the whole log costs: page after page through the port, every event decoded to its type.

use crate::{Stores, write::say};
use advisor_eventlog::{Filter, Position, Recorded, port::PAGE_EVENTS_MAX};
use advisor_events::Event;
use anyhow::{Context, Result};
use std::time::Instant;
use tokio::task::spawn_blocking;

/// Reads everything so many times; prints the rate of each.
pub(crate) async fn measure(stores: &Stores, rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        let begun = Instant::now();
        let events = read(stores).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(events)?) / seconds;
        say(&format!("{{\"events\":{events},\"seconds\":{seconds:.2},\"events_per_second\":{rate:.0}}}"))?;
    }
    Ok(())
}

/// The next page is read while this one is decoded, as the runner of the projections does it.
async fn read(stores: &Stores) -> Result<usize> {
    let head = stores.log.head().await?;
    let (mut after, mut count) = (Position::START, 0);
    let mut decoding = None;
    while after < head {
        let page = stores.log.read_all(after, &Filter::all(), PAGE_EVENTS_MAX).await?;
        after = page.scanned_to;
        count += page.events.len();
        if let Some(decoding) = decoding.replace(spawn_blocking(move || decode(&page.events))) {
            decoding.await??;
        }
    }
    match decoding {
        Some(decoding) => decoding.await?.map(|()| count),
        None => Ok(count),
    }
}

fn decode(events: &[Recorded]) -> Result<()> {
    for event in events {
        let decoded = Event::decode(&event.type_name, &event.data, &event.metadata);
        decoded.with_context(|| format!("the event at {}", event.position))?;
    }
    Ok(())
}
