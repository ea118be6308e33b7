//! Every bound of the program: those that an operator sets get their types here, and all of them, the fixed ones
//! too, make `docs/limits.md`.

mod table;

pub(crate) use table::SECTIONS;

use super::settings::{Setting, Settings, SettingsError};
use advisor_api::{
    accept::{AcceptLimits, AddressLimits},
    auth::{RememberLimits, jwks::JwksLimits},
    settings::{BodyLimits, Quotas, SocketLimits, StreamLimits, TimeLimits},
    traffic::{GateLimits, Network, Rate, RateLimits, TrafficLimits, TrustedProxies},
};
use advisor_commands::HandlerLimits;
use advisor_eventlog::SqliteLogOptions;
use advisor_projections::{RunnerLimits, SqliteOptions};
use advisor_workers::{
    make_title::TitleOptions,
    model::{breaker::BreakerOptions, openai::CallLimits},
    reply_to_message::ReplyOptions,
    tiers::RetryOptions,
};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// One bound.
pub(crate) enum Limit {
    /// An operator sets it.
    Set {
        setting: Setting,
        unit: &'static str,
        /// What happens when it is reached.
        reached: &'static str,
    },
    /// It is what it is, taken from where it is in force.
    Fixed { what: &'static str, value: fn() -> u64, unit: &'static str, reached: &'static str },
}

/// Bounds of one part of the program.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) limits: &'static [Limit],
}

impl Section {
    /// Those of its bounds that an operator sets.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &'static Setting> {
        self.limits.iter().filter_map(|limit| match limit {
            Limit::Set { setting, .. } => Some(setting),
            Limit::Fixed { .. } => None,
        })
    }
}

/// The bounds that an operator sets, in the shapes that their owners want.
pub(crate) struct Limits {
    pub(crate) accept: AcceptLimits,
    pub(crate) admin_accept: AcceptLimits,
    pub(crate) body: BodyLimits,
    pub(crate) time: TimeLimits,
    pub(crate) traffic: TrafficLimits,
    pub(crate) position_wait: Duration,
    pub(crate) streams: StreamLimits,
    pub(crate) socket: SocketLimits,
    pub(crate) quotas: Quotas,
    pub(crate) followers_max: usize,
    pub(crate) remembered: RememberLimits,
    pub(crate) jwks: JwksLimits,
    pub(crate) keys_cached_max: NonZeroUsize,
    pub(crate) handler: HandlerLimits,
    /// Of the log in whichever file.
    pub(crate) log: SqliteLogOptions,
    /// Of each generation, in whichever file.
    pub(crate) read_models: SqliteOptions,
    pub(crate) runner: RunnerLimits,
    pub(crate) bus_messages_max: usize,
    pub(crate) model_call: CallLimits,
    pub(crate) model_retry: RetryOptions,
    pub(crate) model_breaker: BreakerOptions,
    pub(crate) replies: ReplyOptions,
    pub(crate) titles: TitleOptions,
}

impl Limits {
    pub(super) fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        let accept = accept(settings)?;
        let admin_connections_max = count(settings, "admin_connections_max")?;
        Ok(Self {
            admin_accept: AcceptLimits { connections_max: admin_connections_max, ..accept.clone() },
            accept,
            body: BodyLimits {
                bytes_max: count(settings, "body_bytes_max")?,
                timeout: time(settings, "body_timeout_ms")?,
            },
            time: TimeLimits {
                command: time(settings, "command_timeout_ms")?,
                query: time(settings, "query_timeout_ms")?,
                chat: time(settings, "chat_timeout_ms")?,
            },
            traffic: traffic(settings)?,
            position_wait: time(settings, "position_wait_ms")?,
            streams: StreamLimits {
                all_max: count(settings, "streams_max")?,
                per_person_max: count(settings, "streams_per_person_max")?,
                heartbeat: time(settings, "stream_heartbeat_ms")?,
                slow_after: time(settings, "stream_slow_ms")?,
            },
            socket: SocketLimits {
                authenticate_timeout: time(settings, "socket_authenticate_timeout_ms")?,
                silence_timeout: time(settings, "socket_silence_timeout_ms")?,
                message_bytes_max: count(settings, "socket_message_bytes_max")?,
                frames_per_second_max: settings.number("socket_frames_per_second_max")?,
            },
            quotas: quotas(settings)?,
            followers_max: count(settings, "followers_max")?,
            remembered: RememberLimits {
                tokens_max: settings.parsed("tokens_remembered_max", FROM_ONE)?,
                people_max: settings.parsed("people_remembered_max", FROM_ONE)?,
            },
            jwks: jwks(settings)?,
            keys_cached_max: settings.parsed("keys_cached_max", FROM_ONE)?,
            handler: handler(settings)?,
            log: log(settings)?,
            read_models: read_models(settings)?,
            runner: runner(settings)?,
            bus_messages_max: count(settings, "bus_messages_max")?,
            model_call: model_call(settings)?,
            model_retry: RetryOptions {
                passes_max: settings.number("model_passes_max")?,
                budget: time(settings, "model_retry_budget_ms")?,
                ..RetryOptions::default()
            },
            model_breaker: BreakerOptions {
                failures_max: settings.number("model_breaker_failures_max")?,
                pause: time(settings, "model_breaker_pause_ms")?,
            },
            replies: ReplyOptions {
                parallel_max: count(settings, "replies_parallel_max")?,
                text_chars_max: count(settings, "reply_chars_max")?,
                deadline: time(settings, "model_timeout_ms")?,
                ..ReplyOptions::default()
            },
            titles: TitleOptions {
                parallel_max: count(settings, "titles_parallel_max")?,
                deadline: time(settings, "title_timeout_ms")?,
                ..TitleOptions::default()
            },
        })
    }
}

fn time(settings: &Settings, name: &'static str) -> Result<Duration, SettingsError> {
    settings.number(name).map(Duration::from_millis)
}

/// What is expected where with none at all nothing would go.
const FROM_ONE: &str = "a whole number from 1, not too large";

fn count(settings: &Settings, name: &'static str) -> Result<usize, SettingsError> {
    settings.parsed::<NonZeroUsize>(name, FROM_ONE).map(NonZeroUsize::get)
}

fn accept(settings: &Settings) -> Result<AcceptLimits, SettingsError> {
    Ok(AcceptLimits {
        connections_max: count(settings, "connections_max")?,
        of_address: AddressLimits {
            connections_max: count(settings, "connections_per_address_max")?,
            rate: rate(settings, "connections_per_address_per_minute", "connections_per_address_burst")?,
            remembered_max: settings.parsed("rates_remembered_max", FROM_ONE)?,
            trusted_proxies: trusted_proxies(settings)?,
        },
        header_timeout: time(settings, "header_timeout_ms")?,
        header_bytes_max: count(settings, "header_bytes_max")?,
        headers_max: count(settings, "headers_max")?,
        write_timeout: time(settings, "write_timeout_ms")?,
    })
}

fn traffic(settings: &Settings) -> Result<TrafficLimits, SettingsError> {
    let wait = time(settings, "overload_wait_ms")?;
    let gate = |running_max, waiting_max| {
        Ok(GateLimits { running_max: count(settings, running_max)?, waiting_max: settings.number(waiting_max)?, wait })
    };
    Ok(TrafficLimits {
        rates: rates(settings)?,
        commands: gate("commands_running_max", "commands_waiting_max")?,
        queries: gate("queries_running_max", "queries_waiting_max")?,
        chats: GateLimits { running_max: count(settings, "chats_running_max")?, waiting_max: 0, wait },
        bodies_bytes_max: count(settings, "bodies_bytes_max")?,
        answers_bytes_max: count(settings, "answers_bytes_max")?,
        events_bytes_max: count(settings, "events_bytes_max")?,
        trusted_proxies: trusted_proxies(settings)?,
    })
}

fn trusted_proxies(settings: &Settings) -> Result<TrustedProxies, SettingsError> {
    let wrong = || settings.wrong("trusted_proxies", "addresses and networks, such as 127.0.0.1 or 10.0.0.0/8");
    let network = |text: String| text.parse::<Network>().map_err(|_| wrong());
    settings.list("trusted_proxies").into_iter().map(network).collect::<Result<Vec<_>, _>>().map(Into::into)
}

fn rates(settings: &Settings) -> Result<RateLimits, SettingsError> {
    Ok(RateLimits {
        commands: rate(settings, "commands_per_minute", "commands_burst")?,
        queries: rate(settings, "queries_per_minute", "queries_burst")?,
        replies: rate(settings, "replies_per_minute", "replies_burst")?,
        refused_sign_ins: rate(settings, "refused_sign_ins_per_minute", "refused_sign_ins_burst")?,
        anonymous: rate(settings, "anonymous_per_minute", "anonymous_burst")?,
        remembered_max: settings.parsed("rates_remembered_max", FROM_ONE)?,
    })
}

fn rate(settings: &Settings, per_minute: &'static str, burst: &'static str) -> Result<Rate, SettingsError> {
    let burst: NonZeroU32 = settings.parsed(burst, FROM_ONE)?;
    Ok(Rate { per_minute: settings.number(per_minute)?, burst: burst.get() })
}

fn quotas(settings: &Settings) -> Result<Quotas, SettingsError> {
    Ok(Quotas {
        conversations_per_person_max: settings.number("conversations_per_person_max")?,
        advisors_per_person_max: settings.number("advisors_per_person_max")?,
        messages_per_conversation_max: count(settings, "messages_per_conversation_max")?,
    })
}

fn jwks(settings: &Settings) -> Result<JwksLimits, SettingsError> {
    Ok(JwksLimits {
        timeout: time(settings, "jwks_timeout_ms")?,
        fresh_for: time(settings, "jwks_fresh_ms")?,
        stale_for: time(settings, "jwks_stale_ms")?,
    })
}

fn handler(settings: &Settings) -> Result<HandlerLimits, SettingsError> {
    Ok(HandlerLimits {
        wait: time(settings, "command_wait_ms")?,
        conflicts_max: settings.number("command_conflicts_max")?,
        repeat: time(settings, "command_repeat_ms")?,
        cached_streams_max: count(settings, "folds_cached_max")?,
        cached_events_max: count(settings, "fold_events_cached_max")?,
    })
}

fn log(settings: &Settings) -> Result<SqliteLogOptions, SettingsError> {
    Ok(SqliteLogOptions {
        readers: count(settings, "log_readers")?,
        append_queue_max: count(settings, "append_queue_max")?,
        append_queue_bytes_max: count(settings, "append_queue_bytes_max")?,
        append_queue_wait: time(settings, "append_queue_wait_ms")?,
        append_timeout: time(settings, "append_timeout_ms")?,
        read_queue_max: count(settings, "log_read_queue_max")?,
        read_timeout: time(settings, "log_read_timeout_ms")?,
        recent_events_max: count(settings, "log_recent_events_max")?,
        recent_bytes_max: count(settings, "log_recent_bytes_max")?,
        streams_cached_max: count(settings, "log_streams_cached_max")?,
        wal_bytes_max: settings.number("log_wal_bytes_max")?,
        ..SqliteLogOptions::at("")
    })
}

fn read_models(settings: &Settings) -> Result<SqliteOptions, SettingsError> {
    Ok(SqliteOptions {
        readers: count(settings, "read_model_readers")?,
        read_queue_max: count(settings, "read_model_read_queue_max")?,
        timeout: time(settings, "read_model_timeout_ms")?,
        cache_kib: settings.number("read_model_cache_kib")?,
        wal_bytes_max: settings.number("read_model_wal_bytes_max")?,
        ..SqliteOptions::at("")
    })
}

fn runner(settings: &Settings) -> Result<RunnerLimits, SettingsError> {
    Ok(RunnerLimits {
        batch_events_max: count(settings, "projection_batch_events_max")?,
        batch_bytes_max: count(settings, "projection_batch_bytes_max")?,
        rows_cached_max: count(settings, "projection_rows_cached_max")?,
        changes_kept_max: settings.number("changes_kept_max")?,
        changes_kept_for: time(settings, "changes_kept_ms")?,
        parked_streams_max: count(settings, "parked_streams_max")?,
    })
}

fn model_call(settings: &Settings) -> Result<CallLimits, SettingsError> {
    Ok(CallLimits {
        connect: time(settings, "model_connect_timeout_ms")?,
        first_token: time(settings, "model_first_token_timeout_ms")?,
        idle: time(settings, "model_idle_timeout_ms")?,
        total: time(settings, "model_timeout_ms")?,
        response_bytes_max: count(settings, "model_response_bytes_max")?,
        ..CallLimits::default()
    })
}

/// `docs/limits.md`.
pub(crate) fn markdown() -> String {
    let head = "# Limits\n\n\
         Printed by `advisor config limits`. Every queue, cache, buffer, body, page, subscription, retry and time-out,\n\
         with what happens when it is reached. What has a setting is set in the configuration file or by its variable\n\
         ([configuration.md](configuration.md)); what is fixed stands here with the value that is in force.\n";
    head.to_owned() + &SECTIONS.iter().map(section).collect::<String>()
}

fn section(section: &Section) -> String {
    let head = format!(
        "\n## {}\n\n| what | setting | variable | default | unit | when it is reached |\n| --- | --- | --- | --- | --- | --- |\n",
        section.title
    );
    head + &section.limits.iter().map(row).collect::<String>()
}

fn row(limit: &Limit) -> String {
    match limit {
        Limit::Set { setting, unit, reached } => format!(
            "| {} | `{}` | `{}` | {} | {unit} | {reached} |\n",
            setting.help,
            setting.name,
            setting.variable(),
            setting.default
        ),
        Limit::Fixed { what, value, unit, reached } => {
            format!("| {what} | fixed | | {} | {unit} | {reached} |\n", value())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn no_bound_is_said_twice() {
        let mut said = HashSet::new();
        for section in SECTIONS {
            for limit in section.limits {
                let said_now = match limit {
                    Limit::Set { setting, .. } => ("", setting.help),
                    // Engines of one kind have bounds of one kind, each in its section.
                    Limit::Fixed { what, .. } => (section.title, *what),
                };
                assert!(said.insert(said_now), "{said_now:?}");
            }
        }
    }

    #[test]
    fn a_bound_of_nothing_at_all_is_refused() {
        let environment = HashMap::from([("ADVISOR_CONNECTIONS_MAX".to_owned(), "0".to_owned())]);
        let settings = Settings::resolve(None, &environment, &[]).unwrap();
        let error = Limits::from_settings(&settings).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("connections_max") && error.contains("from 1")));
    }

    /// Whoever uses a part of the program without a configuration gets the same bounds.
    #[test]
    fn the_defaults_are_those_of_the_parts_themselves() {
        let settings = Settings::resolve(None, &HashMap::new(), &[]).unwrap();
        let limits = Limits::from_settings(&settings).unwrap();

        assert_eq!(limits.handler, HandlerLimits::default());
        same(&limits.accept, &AcceptLimits::default());
        same(&limits.body, &BodyLimits::default());
        same(&limits.time, &TimeLimits::default());
        same(&limits.streams, &StreamLimits::default());
        same(&limits.socket, &SocketLimits::default());
        same(&limits.quotas, &Quotas::default());
        same(&limits.remembered, &RememberLimits::default());
        same(&limits.jwks, &JwksLimits::default());
        same(&limits.traffic, &TrafficLimits::default());
        same(&limits.model_call, &CallLimits::default());
        same(&limits.model_retry, &RetryOptions::default());
        same(&limits.model_breaker, &BreakerOptions::default());
        same(&limits.replies, &ReplyOptions::default());
        same(&limits.titles, &TitleOptions::default());
        // Two of those that read: the machine has as many cores.
        same(&limits.log, &SqliteLogOptions { readers: 2, ..SqliteLogOptions::at("") });
        same(&limits.read_models, &SqliteOptions { readers: 2, ..SqliteOptions::at("") });
        let day = Duration::from_hours(24);
        same(&limits.runner, &RunnerLimits { changes_kept_for: day, ..RunnerLimits::default() });
    }

    fn same(one: &impl std::fmt::Debug, other: &impl std::fmt::Debug) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}
