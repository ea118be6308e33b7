//! The contract, on a real PostgreSQL, and what only several processes and broken connections can show.

mod connections;
mod followers;
mod lock;
mod place;
mod processes;
mod schema;
mod wire;

use place::Place;

crate::contract_tests!(Place::new(|_| {}));

/// So small a ring and so short pages that every follower falls behind and comes back.
mod with_the_smallest_limits {
    use super::Place;

    crate::contract_tests!(Place::new(|options| {
        options.readers = 1;
        options.group_appends_max = 2;
        options.group_events_max = 4;
        options.recent_events_max = 8;
        options.follow_page_max = 3;
        options.page_scan_max = 5;
        options.look_events_max = 2;
    }));
}
