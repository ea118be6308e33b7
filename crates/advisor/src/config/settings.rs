//! The table of all settings, and where each value comes from.
//!
//! One table says everything: the name in the file, the environment variables, the default, and the
//! sentence that becomes the commented template and `docs/configuration.md`.

use super::{
    limits::{SECTIONS, Section},
    masking::{MASK, masked},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown; it can also be given as the path of a file, `…_FILE`.
    Secret,
    /// A URL, which is shown without who signs in and with what; it can also be given as the path of a file.
    Url,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// Texts between commas, or an array in the file.
    List,
}

impl Kind {
    /// Whether a value may be given as the path of a file that holds it, `…_FILE`.
    fn may_be_in_a_file(self) -> bool {
        match self {
            Self::Secret | Self::Url => true,
            Self::Text | Self::Flag | Self::Number | Self::List => false,
        }
    }

    /// A value as it may be shown.
    fn shown(self, value: &str) -> String {
        match self {
            Self::Secret if !value.is_empty() => MASK.to_owned(),
            Self::Url => masked(value),
            Self::Secret | Self::Text | Self::Flag | Self::Number | Self::List => value.to_owned(),
        }
    }
}

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// Its name in the file; in the environment it is `ADVISOR_<NAME>`.
    pub(crate) name: &'static str,
    /// A name that other programs of the application already use for it.
    pub(crate) alias: Option<&'static str>,
    /// What a value must look like.
    pub(crate) kind: Kind,
    /// Its default; empty means not set.
    pub(crate) default: &'static str,
    /// What it is for, with units.
    pub(crate) help: &'static str,
}

impl Setting {
    /// `ADVISOR_<NAME>`.
    pub(crate) fn variable(&self) -> String {
        format!("ADVISOR_{}", self.name.to_uppercase())
    }

    /// Every variable that sets it, the alias last.
    fn variables(&self) -> impl Iterator<Item = String> {
        [Some(self.variable()), self.alias.map(str::to_owned)].into_iter().flatten()
    }
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, alias: None, kind, default, help }
}

const fn known_as(alias: &'static str, setting: Setting) -> Setting {
    Setting { alias: Some(alias), ..setting }
}

use Kind::{Flag, List, Number, Secret, Text, Url};

/// All settings but the limits, in the order of the template.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    setting("data_dir", Text, "./advisor-data", "Directory of everything that the embedded default keeps: log, read models, keys, sockets. Each process of a system has its own."),
    setting("listen", Text, "127.0.0.1:8080", "Address of the API. Port 0 takes a free one."),
    setting("admin_listen", Text, "127.0.0.1:8081", "Address of health, metrics and the operators' and analysts' routes."),
    setting("trusted_proxies", List, "", "Addresses and networks of proxies in front of the API, such as `10.0.0.0/8`: what their `X-Forwarded-For` says is taken for where a request comes from, and their connections are not limited by address. Of others it is ignored."),
    setting("role", List, "api,worker", "What this process does: `api`, `worker`, or both. One alone needs engines that several processes can share, and a given `master_key`."),
    setting("seed", Flag, "true", "Whether four sample advisors are written into an empty log."),
    setting("event_log_url", Url, "", "The event log: `sqlite:PATH`, `postgres://…`, or `esdb://host:port`, `esdb+discover://cluster` (or `kurrentdb…`) for KurrentDB and EventStoreDB. Default: `log.db` in the data directory."),
    setting("event_log_namespace", Text, "advisor.", "What the names of all streams in KurrentDB begin with, where others use the server, too."),
    setting("read_model_url", Url, "", "The read models, the side store and, in PostgreSQL, persons' keys: `sqlite:DIRECTORY` or `postgres://…`. Default: the data directory."),
    setting("bus_url", Url, "local:", "The bus between processes: `local:` is this process; `nats://user:password@host:port`, or `tls://…`, a NATS server, and with commas between them several of one cluster. Beyond loopback it needs a login."),
    setting("bus_credentials_file", Text, "", "A file with credentials for NATS (a JWT and the seed of an nkey), instead of a login in `bus_url`."),
    setting("bus_ca_file", Text, "", "A file with the certificates, in PEM, that `tls://` trusts. Default: those of the system."),
    setting("bus_prefix", Text, "advisor", "What the names of all topics on NATS begin with; the login needs to publish and to subscribe to nothing but this, a dot and `>`."),
    setting("master_key", Secret, "", "Wraps the persons' keys: 32 bytes in base64 or hexadecimal. Default: the file `master.key` in the data directory, made on first use. Whoever loses it loses everybody's words."),

    known_as("CLERK_ISSUER", setting("clerk_issuer", Text, "", "The issuer of sign-in tokens, as it stands in their `iss`: https, or http on loopback.")),
    known_as("CLERK_JWKS_URL", setting("clerk_jwks_url", Text, "", "Where the issuer's keys are. Default: `/.well-known/jwks.json` of the issuer.")),
    known_as("CLERK_JWT_KEY", setting("clerk_jwt_key", Secret, "", "The issuer's public key as PEM, instead of a JWKS URL.")),
    known_as("CLERK_AUTHORIZED_PARTIES", setting("clerk_authorized_parties", List, "", "Origins that a token's `azp` may name. Where any is set, `azp` must be there.")),
    known_as("CLERK_AUDIENCE", setting("clerk_audience", List, "", "Audiences that a template token's `aud` may name. Tokens without `aud` must have `sid`.")),
    known_as("CLERK_WEBHOOK_SECRET", setting("clerk_webhook_secret", Secret, "", "What Clerk signs its webhooks with: `whsec_` and base64, as its dashboard shows it. Without it `/api/webhooks/clerk` answers 404.")),
    setting("dev_tokens", Flag, "false", "Whether tokens of `advisor token` are accepted although an issuer is set or the server listens beyond loopback."),
    setting("role_claim", Text, "", "The claim of a verified token that holds the roles `operator`, `analyst`, dots between levels, such as `public_metadata.role`."),
    setting("operators", List, "", "Ids of people who are operators."),
    setting("analysts", List, "", "Ids of people who are analysts."),
    known_as("APP_URL", setting("app_url", Text, "http://localhost:3000", "Where the front end lives: sent to model providers as `HTTP-Referer`.")),
    setting("allowed_origins", List, "", "Origins that browsers may call from. Default: `app_url`."),

    known_as("OPENROUTER_API_KEY", setting("openrouter_api_key", Secret, "", "Key of OpenRouter, sent to OpenRouter only. Without it and without `model_url`, the demo model answers.")),
    known_as("OPENROUTER_FREE_MODEL", setting("free_model", Text, "meta-llama/llama-3.3-70b-instruct:free", "The model of the plan `free`.")),
    known_as("OPENROUTER_BASE_MODEL", setting("base_model", Text, "openai/gpt-4o-mini", "The model of the plans `base` and `pro`.")),
    known_as("OPENROUTER_PREMIUM_MODEL", setting("premium_model", Text, "anthropic/claude-sonnet-4", "The model of the plans `premium` and `enterprise`.")),
    setting("model_url", Text, "", "Base URL of an OpenAI-compatible server, ending in `/v1`; used instead of OpenRouter."),
    setting("model_api_key", Secret, "", "Key of the server at `model_url`, if it wants one."),
    setting("model_limits", List, "", "Limits of single models as `MODEL=CONTEXT/OUTPUT`, in tokens, such as `openai/gpt-4o-mini=128000/2000`."),
    setting("demo_delay_ms", Number, "30", "Time between two words of the demo model, in milliseconds."),

    setting("log_format", Text, "auto", "`pretty`, `json`, or `auto`: pretty on a terminal."),
];

/// All settings, those that are limits too.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(SECTIONS.iter().flat_map(Section::settings))
}

/// Where a value comes from; later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The table above.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Why the settings can't be used: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("the configuration file {path} can't be read: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {path} is no TOML: {source}")]
    NotToml { path: PathBuf, source: Box<toml::de::Error> },
    #[error(
        "the configuration file {path} has an unknown setting `{name}`; `advisor config template` prints all of them"
    )]
    UnknownSetting { path: PathBuf, name: String },
    #[error("the configuration file {path} gives `{name}` a table or a list of something else than texts")]
    WrongType { path: PathBuf, name: String },
    #[error("the environment variable {0} is no setting; `advisor config template` prints all of them")]
    UnknownVariable(String),
    #[error("{0} and {0}_FILE are both set: keep one of them")]
    SetTwice(String),
    #[error("`{name}` ({origin}) must be {expected}")]
    Wrong { name: &'static str, origin: Origin, expected: String },
}

/// Every setting's value as text, with its origin.
#[derive(Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Settings {
    /// Lays the file over the defaults, the environment over the file, and the flags over all.
    pub(crate) fn resolve(
        file: Option<&Path>,
        environment: &HashMap<String, String>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, SettingsError> {
        let mut settings = Self { values: all().map(|s| (s.name, (s.default.to_owned(), Origin::Default))).collect() };
        if let Some(path) = file {
            settings.lay_file(path)?;
        }
        settings.lay_environment(environment)?;
        for (name, value) in flags {
            settings.values.insert(name, (value.clone(), Origin::Flag));
        }
        Ok(settings)
    }

    fn lay_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        let table: toml::Table = text
            .parse()
            .map_err(|source| SettingsError::NotToml { path: path.to_owned(), source: Box::new(source) })?;
        for (name, value) in table {
            let Some(setting) = all().find(|setting| setting.name == name) else {
                return Err(SettingsError::UnknownSetting { path: path.to_owned(), name });
            };
            let text = text_of(&value).ok_or(SettingsError::WrongType { path: path.to_owned(), name })?;
            self.values.insert(setting.name, (text, Origin::File(path.to_owned())));
        }
        Ok(())
    }

    fn lay_environment(&mut self, environment: &HashMap<String, String>) -> Result<(), SettingsError> {
        for setting in all() {
            // The alias is laid first, so that the project's own name wins.
            for variable in setting.variables().collect::<Vec<_>>().into_iter().rev() {
                let file = format!("{variable}_FILE");
                let (direct, by_file) = (environment.get(&variable), environment.get(&file));
                match (direct, by_file.filter(|_| setting.kind.may_be_in_a_file())) {
                    (Some(_), Some(_)) => return Err(SettingsError::SetTwice(variable)),
                    (Some(value), None) => {
                        self.values.insert(setting.name, (value.clone(), Origin::Environment(variable)));
                    }
                    (None, Some(path)) => {
                        let text = std::fs::read_to_string(path)
                            .map_err(|source| SettingsError::Unreadable { path: path.into(), source })?;
                        let value = text.trim_end_matches(['\r', '\n']).to_owned();
                        self.values.insert(setting.name, (value, Origin::Environment(file)));
                    }
                    (None, None) => {}
                }
            }
        }
        unknown_variable(environment).map_or(Ok(()), |name| Err(SettingsError::UnknownVariable(name)))
    }

    /// Every setting with its value and origin; secrets are masked.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&'static Setting, String, &Origin)> {
        all().filter_map(|setting| {
            let (value, origin) = self.values.get(setting.name)?;
            Some((setting, setting.kind.shown(value), origin))
        })
    }

    /// The value as text; `None` if it is empty.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The values of a list.
    pub(crate) fn list(&self, name: &'static str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, SettingsError> {
        self.parsed(name, "`true` or `false`")
    }

    /// A whole number of the type that is asked for.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, SettingsError> {
        self.parsed(name, "a whole number, not negative and not too large")
    }

    /// A value of any type that reads itself from text; `expected` ends the sentence of the error.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, name: &'static str, expected: &str) -> Result<T, SettingsError> {
        self.text(name).unwrap_or_default().parse().map_err(|_| self.wrong(name, expected))
    }

    /// The error that a setting's value is not what it must be.
    pub(crate) fn wrong(&self, name: &'static str, expected: impl Into<String>) -> SettingsError {
        let origin = self.values.get(name).map_or(Origin::Default, |(_, origin)| origin.clone());
        SettingsError::Wrong { name, origin, expected: expected.into() }
    }
}

/// A variable that looks like a setting and is none. `ADVISOR_TEST_…` belongs to tests.
fn unknown_variable(environment: &HashMap<String, String>) -> Option<String> {
    let known = |name: &str| {
        all().any(|setting| {
            let variable = setting.variable();
            name == variable || (setting.kind.may_be_in_a_file() && name == format!("{variable}_FILE"))
        })
    };
    let mut unknown: Vec<&String> = environment
        .keys()
        .filter(|name| name.starts_with("ADVISOR_") && !name.starts_with("ADVISOR_TEST_") && !known(name))
        .collect();
    unknown.sort();
    unknown.first().map(|name| (*name).clone())
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            items.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// The commented configuration file, every setting at its default.
pub(crate) fn template() -> String {
    let head = "# Every setting of `advisor`, at its default. Each can also be given as the environment variable named\n\
         # with it, which wins over this file; flags win over both. Printed by `advisor config template`.\n";
    let own = SETTINGS.iter().map(template_entry);
    let limits = SECTIONS.iter().map(|section| {
        format!("\n\n# Limits: {}.\n", section.title.to_lowercase())
            + &section.settings().map(template_entry).collect::<String>()
    });
    let limits = limits.filter(|text| text.contains('='));
    head.to_owned() + &own.chain(limits).collect::<String>()
}

fn template_entry(setting: &Setting) -> String {
    let variables: Vec<String> = setting.variables().collect();
    let by_file = if setting.kind.may_be_in_a_file() { " (or …_FILE, the path of a file that holds it)" } else { "" };
    let value = match setting.kind {
        Flag | Number => setting.default.to_owned(),
        List => {
            let items = setting.default.split(',').filter(|item| !item.is_empty());
            format!("[{}]", items.map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", "))
        }
        Text | Secret | Url => format!("\"{}\"", setting.default),
    };
    format!("\n# {}\n# {}{by_file}\n#{} = {value}\n", setting.help, variables.join(", "), setting.name)
}

/// The same table for `docs/configuration.md`.
pub(crate) fn markdown() -> String {
    let head = "# Configuration\n\n\
         Printed by `advisor config template --markdown`. Defaults, then the file of `--config`, then the environment,\n\
         then flags: later ones win. `advisor config show --origin` says where each value comes from.\n\
         What happens when a limit is reached stands in [limits.md](limits.md).\n\n\
         | setting | variables | default | what it is for |\n| --- | --- | --- | --- |\n";
    head.to_owned() + &all().map(markdown_row).collect::<String>()
}

fn markdown_row(setting: &Setting) -> String {
    let variables: Vec<String> = setting.variables().map(|name| format!("`{name}`")).collect();
    let by_file = if setting.kind.may_be_in_a_file() { " (or `…_FILE`)" } else { "" };
    let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
    format!("| `{}` | {}{by_file} | {default} | {} |\n", setting.name, variables.join(", "), setting.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("advisor.toml");
        std::fs::write(&path, "listen = \"a\"\nadmin_listen = \"a\"\nseed = false\noperators = [\"x\", \"y\"]\n")
            .unwrap();
        let environment = variables(&[("ADVISOR_LISTEN", "b"), ("ADVISOR_ADMIN_LISTEN", "b")]);

        let settings = Settings::resolve(Some(&path), &environment, &[("listen", "c".to_owned())]).unwrap();

        assert_eq!(settings.text("listen"), Some("c"));
        assert_eq!(settings.text("admin_listen"), Some("b"));
        assert!(!settings.flag("seed").unwrap());
        assert_eq!(settings.list("operators"), ["x", "y"]);
        assert_eq!(settings.text("demo_delay_ms"), Some("30"));
    }

    #[test]
    fn an_unknown_setting_or_variable_is_an_error_and_a_test_variable_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("advisor.toml");
        std::fs::write(&path, "lisen = \"a\"\n").unwrap();
        assert!(matches!(
            Settings::resolve(Some(&path), &HashMap::new(), &[]),
            Err(SettingsError::UnknownSetting { name, .. }) if name == "lisen"
        ));
        let unknown = Settings::resolve(None, &variables(&[("ADVISOR_LISEN", "x")]), &[]);
        assert!(matches!(unknown, Err(SettingsError::UnknownVariable(name)) if name == "ADVISOR_LISEN"));
        assert!(Settings::resolve(None, &variables(&[("ADVISOR_TEST_DATA", "x")]), &[]).is_ok());
    }

    #[test]
    fn a_secret_may_come_from_a_file_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "geheim\n").unwrap();
        let environment = variables(&[("OPENROUTER_API_KEY_FILE", path.to_str().unwrap())]);

        let settings = Settings::resolve(None, &environment, &[]).unwrap();

        assert_eq!(settings.text("openrouter_api_key"), Some("geheim"));
        let shown: Vec<String> = settings.shown().map(|(_, value, _)| value).collect();
        assert!(!shown.iter().any(|value| value.contains("geheim")));
        let in_url = variables(&[("ADVISOR_BUS_URL", "nats://me:geheim@bus")]);
        let settings = Settings::resolve(None, &in_url, &[]).unwrap();
        assert!(!settings.shown().any(|(_, value, _)| value.contains("geheim")));
        let both = variables(&[("ADVISOR_MASTER_KEY", "a"), ("ADVISOR_MASTER_KEY_FILE", "b")]);
        assert!(matches!(Settings::resolve(None, &both, &[]), Err(SettingsError::SetTwice(_))));
    }

    #[test]
    fn a_wrong_value_names_its_setting_and_its_origin() {
        let settings = Settings::resolve(None, &variables(&[("ADVISOR_CONNECTIONS_MAX", "many")]), &[]).unwrap();
        let error = settings.number::<usize>("connections_max").unwrap_err().to_string();
        assert!(error.contains("connections_max") && error.contains("ADVISOR_CONNECTIONS_MAX"), "{error}");
    }

    #[test]
    fn the_template_with_its_comments_taken_away_gives_the_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("advisor.toml");
        let uncommented: String = template()
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
            .fold(String::new(), |text, line| text + line + "\n");
        std::fs::write(&path, uncommented).unwrap();

        let settings = Settings::resolve(Some(&path), &HashMap::new(), &[]).unwrap();

        for setting in all() {
            assert_eq!(settings.text(setting.name).unwrap_or_default(), setting.default, "{}", setting.name);
        }
    }

    fn variables(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}
