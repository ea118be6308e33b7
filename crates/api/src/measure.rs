//! Where the program's own measurements are collected and shown.

use crate::layers::REQUEST_DURATION;
use advisor_projections::Reader;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub use metrics_exporter_prometheus::PrometheusHandle as Measurements;

/// Upper bounds of the histograms of durations, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

const PARKED_STREAMS: &str = "advisor_parked_streams";

/// How often what was measured is summed up, whether somebody asks for it or not: every measurement is kept until
/// then.
pub const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// Collects what is measured from now on in this process; to be called once.
pub fn install() -> Result<Measurements, BuildError> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    let handle = builder.install_recorder()?;
    metrics::describe_histogram!(
        REQUEST_DURATION,
        metrics::Unit::Seconds,
        "Time from a request's headers to its answer's."
    );
    metrics::describe_gauge!(PARKED_STREAMS, "Streams that are parked, since an event of theirs can't be applied.");
    Ok(handle)
}

/// Sums up what was measured until `shutdown`.
pub async fn keep_up(measurements: Measurements, shutdown: CancellationToken) {
    let mut sums = tokio::time::interval(SUM_UP_EVERY);
    while shutdown.run_until_cancelled(sums.tick()).await.is_some() {
        measurements.run_upkeep();
    }
}

/// Shows how many streams are parked, until `shutdown`.
pub async fn show_parked(reader: Reader, shutdown: CancellationToken) {
    let mut progress = reader.progress();
    let shown = async {
        loop {
            let parked = progress.borrow_and_update().parked_streams;
            metrics::gauge!(PARKED_STREAMS).set(u32::try_from(parked).unwrap_or(u32::MAX));
            let moved = progress.wait_for(|progress| progress.parked_streams != parked).await;
            if moved.is_err() {
                return;
            }
        }
    };
    shutdown.run_until_cancelled(shown).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::task::TaskTracker;

    #[tokio::test(start_paused = true)]
    async fn what_is_measured_takes_no_more_memory_though_nobody_asks_for_it() {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .unwrap()
            .build_recorder();
        let shutdown = CancellationToken::new();
        let keeping_up = TaskTracker::new().spawn(keep_up(recorder.handle(), shutdown.clone()));
        let histogram = metrics::with_local_recorder(&recorder, || metrics::histogram!(REQUEST_DURATION));
        let mut before = 0;
        for second in 0..60 {
            (0..50_000).for_each(|_| histogram.record(0.001));
            tokio::time::sleep(SUM_UP_EVERY).await;
            if second == 0 {
                before = memory_kib();
            }
        }
        let grown = memory_kib().saturating_sub(before);
        assert!(grown < 10 * 1_024, "three million measurements have taken {grown} KiB");

        shutdown.cancel();
        keeping_up.await.unwrap();
    }

    fn memory_kib() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
