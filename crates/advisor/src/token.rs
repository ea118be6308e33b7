//! `advisor token`: a sign-in token of this server's own issuer, for development and tests.

use crate::{admin_client::data_dir, output, system_clock::SystemClock};
use advisor_api::auth::own_issuer::{self, TokenRequest};
use advisor_events::{Clock, UserId};
use anyhow::{Context, Result};
use clap::Parser;
use std::{path::PathBuf, time::Duration};

/// Print a sign-in token for development and tests.
#[derive(Parser)]
pub(crate) struct Args {
    /// Whose token it is: 1 to 128 of `A-Z a-z 0-9 _ . -`.
    #[arg(long, value_name = "ID")]
    user: String,
    /// A role beside `user`: `operator` or `analyst`.
    #[arg(long, value_name = "ROLE", value_parser = ["user", "operator", "analyst"])]
    role: Vec<String>,
    /// The plan: `free`, `base`, `premium`, `pro`, `enterprise`.
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// How long it is good for, such as `30s`, `15m`, `1h`; at most `24h`.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time_to_live)]
    ttl: Duration,
    /// The data directory of the server; it need not have run yet.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Prints one token and nothing else.
pub(crate) fn run(args: &Args) -> Result<()> {
    let directory = data_dir(args.data_dir.as_deref())?;
    crate::serve::create_data_dir(&directory)?;
    let issuer = own_issuer::load_or_create(&directory).context("the issuer's key can't be had")?;
    let request = TokenRequest {
        user_id: UserId::from(args.user.as_str()),
        roles: args.role.clone(),
        plan: args.plan.clone(),
        ttl: args.ttl,
    };
    output::line(&issuer.mint(&request, SystemClock.now())?)
}

fn time_to_live(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or_default();
    let seconds_per_unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err("a number and `s`, `m` or `h`, such as `15m`".to_owned()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| "a whole number and a unit".to_owned())?;
    let ttl = Duration::from_secs(number.saturating_mul(seconds_per_unit));
    if ttl.is_zero() || ttl > Duration::from_hours(24) {
        return Err("more than nothing and at most `24h`".to_owned());
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_a_number_and_a_unit_of_at_most_a_day() {
        assert_eq!(time_to_live("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time_to_live("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(time_to_live("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "1", "h", "0s", "25h", "1d", "-1h", "99999999999999999999h"] {
            assert!(time_to_live(wrong).is_err(), "{wrong}");
        }
    }
}
