//! How many files the process may have open: each connection is one.

use crate::config::limits::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open beside the connections: the databases with their readers, listeners, calls of models.
const OTHERS: usize = 256;

/// Raises the limit to what the system lets this process have, and warns when that does not suffice.
pub(super) fn raise(limits: &Limits) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(open_files.error = %error, "the limit of open files was not raised");
    }
    let wanted = limits.accept.connections_max.saturating_add(2 * limits.admin_accept.connections_max) + OTHERS;
    // None is no limit.
    let Some(allowed) = getrlimit(Resource::Nofile).current else { return };
    if allowed < wanted as u64 {
        tracing::warn!(
            open_files.allowed = allowed,
            open_files.wanted = wanted,
            "fewer files may be open than `connections_max` needs: raise the limit (ulimit -n, LimitNOFILE) or lower it"
        );
    }
}
