//! The contract of every log.

use crate::fixture::OnDouble;

advisor_eventlog::contract_tests!(OnDouble::new(|_| {}));

/// So small a ring and pages so short that every follower falls behind and comes back.
mod with_the_smallest_limits {
    use crate::fixture::OnDouble;

    advisor_eventlog::contract_tests!(OnDouble::new(|options| {
        options.recent_events_max = 8;
        options.page_scan_max = 8;
        options.page_bytes_max = 1_000;
        options.look_events_max = 2;
        options.calls_max = 2;
        options.first_stream = Some(advisor_events::StreamName::log());
    }));
}

/// On a real server, with one command and no other change (and acceptance with it):
/// `ADVISOR_TEST_ESDB=esdb://… ops/engines cargo nextest run --workspace --profile kurrentdb`.
/// Where no server is named, each of these says aloud that it did not run.
mod on_a_real_server {
    use crate::fixture::OnServer;

    advisor_eventlog::contract_tests!(OnServer::named());
}
