//! The configuration: read once, checked as a whole, typed from here on.

pub(crate) mod engines;
pub(crate) mod limits;
pub(crate) mod masking;
pub(crate) mod settings;

use advisor_api::webhooks::WebhookSecret;
use anyhow::{Context, Result, bail};
use engines::{Engines, Role};
use limits::Limits;
use secrecy::SecretString;
use settings::Settings;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that `advisor serve` wants to know.
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) seed: bool,
    pub(crate) engines: Engines,
    pub(crate) role: Role,
    pub(crate) master_key: Option<SecretString>,
    pub(crate) sign_in: SignIn,
    pub(crate) app_url: String,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) models: Models,
    pub(crate) limits: Limits,
    pub(crate) log_format: LogFormat,
}

/// Whose tokens are accepted, and which roles they give.
pub(crate) struct SignIn {
    pub(crate) clerk: Option<Clerk>,
    /// What the webhooks of its people are signed with.
    pub(crate) webhook_secret: Option<WebhookSecret>,
    /// Whether tokens of `advisor token` are accepted.
    pub(crate) own_tokens: bool,
    pub(crate) role_claim: Option<String>,
    pub(crate) operators: Vec<String>,
    pub(crate) analysts: Vec<String>,
}

/// The issuer of the application's sign-in tokens.
pub(crate) struct Clerk {
    pub(crate) issuer: String,
    pub(crate) keys: ClerkKeys,
    pub(crate) authorized_parties: Vec<String>,
    pub(crate) audiences: Vec<String>,
}

/// Where the issuer's public keys come from.
pub(crate) enum ClerkKeys {
    /// A JWKS document at this URL.
    Jwks(String),
    /// One key as PEM.
    Pem(String),
}

/// Which model answers whom.
pub(crate) struct Models {
    pub(crate) provider: ModelProvider,
    pub(crate) free: String,
    pub(crate) base: String,
    pub(crate) premium: String,
    pub(crate) context_tokens: u32,
    pub(crate) output_tokens_max: u32,
    /// Limits of single models, by name.
    pub(crate) limits: Vec<(String, ModelLimits)>,
}

/// What one model can take, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelLimits {
    pub(crate) context_tokens: u32,
    pub(crate) output_tokens_max: u32,
}

/// Who is asked.
pub(crate) enum ModelProvider {
    /// Nobody: the built-in demo model answers.
    Demo { delay: Duration },
    /// OpenRouter, the only one that its key is sent to.
    OpenRouter { key: SecretString },
    /// Another OpenAI-compatible server.
    Compatible { url: String, key: Option<SecretString> },
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Auto,
    Pretty,
    Json,
}

/// The environment of this process, read here and nowhere else.
pub(crate) fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Config {
    /// Reads file, environment and flags, and checks the whole.
    pub(crate) fn load(file: Option<&Path>, flags: &[(&'static str, String)]) -> Result<Self> {
        Self::from_settings(&Settings::resolve(file, &environment(), flags)?)
    }

    /// Gives the settings their types; a wrong one is a sentence that names it and where it comes from.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self> {
        let data_dir = PathBuf::from(settings.text("data_dir").context("`data_dir` must not be empty")?);
        let listen = address(settings, "listen")?;
        let engines = Engines::from_settings(settings, &data_dir)?;
        let role = Role::from_settings(settings)?;
        let master_key = secret(settings, "master_key");
        engines.check_for(role, master_key.as_ref())?;
        Ok(Self {
            listen,
            admin_listen: address(settings, "admin_listen")?,
            seed: settings.flag("seed")?,
            engines,
            role,
            master_key,
            sign_in: sign_in(settings, listen.ip())?,
            app_url: settings.text("app_url").context("`app_url` must not be empty")?.to_owned(),
            allowed_origins: allowed_origins(settings)?,
            models: models(settings)?,
            limits: Limits::from_settings(settings)?,
            log_format: log_format(settings)?,
            data_dir,
        })
    }
}

fn address(settings: &Settings, name: &'static str) -> Result<SocketAddr> {
    Ok(settings.parsed(name, "an address with a port, such as 127.0.0.1:8080")?)
}

fn milliseconds(settings: &Settings, name: &'static str) -> Result<Duration> {
    Ok(Duration::from_millis(settings.number(name)?))
}

fn secret(settings: &Settings, name: &'static str) -> Option<SecretString> {
    settings.text(name).map(SecretString::from)
}

fn sign_in(settings: &Settings, listening_on: IpAddr) -> Result<SignIn> {
    let clerk = clerk(settings)?;
    let own_tokens = settings.flag("dev_tokens")? || (listening_on.is_loopback() && clerk.is_none());
    if clerk.is_none() && !own_tokens {
        bail!(
            "nobody could sign in: beyond loopback, `clerk_issuer` (CLERK_ISSUER) must be set, \
             or `dev_tokens = true` to accept the tokens of `advisor token`"
        );
    }
    let webhook_secret = settings.text("clerk_webhook_secret").map(str::parse).transpose();
    let wrong = |_| settings.wrong("clerk_webhook_secret", "`whsec_` and base64, as Clerk's dashboard shows it");
    Ok(SignIn {
        clerk,
        webhook_secret: webhook_secret.map_err(wrong)?,
        own_tokens,
        role_claim: settings.text("role_claim").map(str::to_owned),
        operators: settings.list("operators"),
        analysts: settings.list("analysts"),
    })
}

fn clerk(settings: &Settings) -> Result<Option<Clerk>> {
    let (jwks, pem) = (settings.text("clerk_jwks_url"), settings.text("clerk_jwt_key"));
    let Some(issuer) = settings.text("clerk_issuer") else {
        if jwks.is_some() || pem.is_some() {
            bail!("`clerk_issuer` (CLERK_ISSUER) must be set where the issuer's keys are given");
        }
        return Ok(None);
    };
    check_https(settings, "clerk_issuer", issuer)?;
    let keys = match (jwks, pem) {
        (Some(_), Some(_)) => bail!("`clerk_jwks_url` and `clerk_jwt_key` are both set: keep one of them"),
        (None, Some(pem)) => ClerkKeys::Pem(pem.to_owned()),
        (Some(url), None) => {
            check_https(settings, "clerk_jwks_url", url)?;
            ClerkKeys::Jwks(url.to_owned())
        }
        (None, None) => ClerkKeys::Jwks(format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'))),
    };
    Ok(Some(Clerk {
        issuer: issuer.to_owned(),
        keys,
        authorized_parties: settings.list("clerk_authorized_parties"),
        audiences: settings.list("clerk_audience"),
    }))
}

fn check_https(settings: &Settings, name: &'static str, text: &str) -> Result<()> {
    let url = reqwest::Url::parse(text).map_err(|_| settings.wrong(name, "a URL"))?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(())
    } else {
        Err(settings.wrong(name, "an https URL; http is for loopback only").into())
    }
}

fn allowed_origins(settings: &Settings) -> Result<Vec<String>> {
    let mut origins = settings.list("allowed_origins");
    if origins.is_empty() {
        origins.extend(settings.text("app_url").map(str::to_owned));
    }
    for origin in &mut origins {
        let url = reqwest::Url::parse(origin)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| settings.wrong("allowed_origins", "origins such as https://app.example.com, never `*`"))?;
        *origin = url.origin().ascii_serialization();
    }
    Ok(origins)
}

fn models(settings: &Settings) -> Result<Models> {
    let model = |name| settings.text(name).map(str::to_owned).context(format!("`{name}` must not be empty"));
    Ok(Models {
        provider: model_provider(settings)?,
        free: model("free_model")?,
        base: model("base_model")?,
        premium: model("premium_model")?,
        context_tokens: settings.number("model_context_tokens")?,
        output_tokens_max: settings.number("model_output_tokens_max")?,
        limits: model_limits(settings)?,
    })
}

fn model_limits(settings: &Settings) -> Result<Vec<(String, ModelLimits)>> {
    let parse = |item: &String| {
        let (model, limits) = item.rsplit_once('=')?;
        let (context, output) = limits.split_once('/')?;
        let limits = ModelLimits { context_tokens: context.parse().ok()?, output_tokens_max: output.parse().ok()? };
        Some((model.to_owned(), limits))
    };
    let items = settings.list("model_limits");
    let wrong = || settings.wrong("model_limits", "items such as `openai/gpt-4o-mini=128000/2000`").into();
    items.iter().map(|item| parse(item).ok_or_else(wrong)).collect()
}

fn model_provider(settings: &Settings) -> Result<ModelProvider> {
    if let Some(url) = settings.text("model_url") {
        let url = url.trim_end_matches('/');
        if reqwest::Url::parse(url).is_err() || !url.ends_with("/v1") {
            return Err(settings.wrong("model_url", "a URL that ends in `/v1`").into());
        }
        return Ok(ModelProvider::Compatible { url: url.to_owned(), key: secret(settings, "model_api_key") });
    }
    Ok(match secret(settings, "openrouter_api_key") {
        Some(key) => ModelProvider::OpenRouter { key },
        None => ModelProvider::Demo { delay: milliseconds(settings, "demo_delay_ms")? },
    })
}

fn log_format(settings: &Settings) -> Result<LogFormat> {
    match settings.text("log_format") {
        Some("auto") => Ok(LogFormat::Auto),
        Some("pretty") => Ok(LogFormat::Pretty),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(settings.wrong("log_format", "`auto`, `pretty` or `json`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{engines::EventLogEngine, *};

    #[test]
    fn the_defaults_need_nothing_and_accept_own_tokens_on_loopback() {
        let config = load(&[]).unwrap();
        assert!(config.sign_in.own_tokens && config.sign_in.clerk.is_none());
        assert!(matches!(config.models.provider, ModelProvider::Demo { delay } if delay == Duration::from_millis(30)));
        assert_eq!(config.allowed_origins, ["http://localhost:3000"]);
        let EventLogEngine::Sqlite(path) = config.engines.event_log else { panic!("another engine") };
        assert_eq!((path.as_path(), config.role), (Path::new("./advisor-data/log.db"), Role::Everything));
    }

    #[test]
    fn an_issuer_turns_own_tokens_off_unless_they_are_asked_for_by_name() {
        let issuer = ("CLERK_ISSUER", "https://clerk.example.com");
        let config = load(&[issuer]).unwrap();
        assert!(!config.sign_in.own_tokens);
        let Some(Clerk { keys: ClerkKeys::Jwks(url), .. }) = config.sign_in.clerk else { panic!("no issuer") };
        assert_eq!(url, "https://clerk.example.com/.well-known/jwks.json");
        assert!(load(&[issuer, ("ADVISOR_DEV_TOKENS", "true")]).unwrap().sign_in.own_tokens);
    }

    #[test]
    fn what_cannot_work_or_is_not_safe_is_refused_with_a_sentence() {
        for (variables, word) in [
            (vec![("ADVISOR_LISTEN", "0.0.0.0:80")], "nobody could sign in"),
            (vec![("ADVISOR_LISTEN", "here")], "listen"),
            (vec![("ADVISOR_ROLE", "api")], "role"),
            (vec![("ADVISOR_ROLE", "api,king")], "role"),
            (vec![("ADVISOR_ROLE", " ,")], "role"),
            (vec![("ADVISOR_BUS_URL", "kafka://x")], "bus_url"),
            (vec![("ADVISOR_EVENT_LOG_URL", "mysql://x")], "event_log_url"),
            (vec![("ADVISOR_READ_MODEL_URL", "sqlite:")], "read_model_url"),
            (vec![("CLERK_ISSUER", "http://clerk.example.com")], "clerk_issuer"),
            (vec![("CLERK_JWT_KEY", "pem")], "clerk_issuer"),
            (
                vec![("CLERK_ISSUER", "https://a.b"), ("CLERK_JWT_KEY", "p"), ("CLERK_JWKS_URL", "https://a.b/c")],
                "both",
            ),
            (vec![("CLERK_WEBHOOK_SECRET", "c2VjcmV0")], "clerk_webhook_secret"),
            (vec![("CLERK_WEBHOOK_SECRET", "whsec_no base64")], "`whsec_` and base64"),
            (vec![("CLERK_WEBHOOK_SECRET", "whsec_")], "clerk_webhook_secret"),
            (vec![("ADVISOR_ALLOWED_ORIGINS", "*")], "allowed_origins"),
            (vec![("ADVISOR_MODEL_URL", "http://127.0.0.1:1/v2")], "model_url"),
            (vec![("ADVISOR_MODEL_LIMITS", "a/b=1000")], "model_limits"),
            (vec![("ADVISOR_LOG_FORMAT", "xml")], "log_format"),
        ] {
            let error = load(&variables).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(word), "{variables:?}: {error:?}");
        }
    }

    #[test]
    fn single_models_have_limits_of_their_own() {
        let config = load(&[("ADVISOR_MODEL_LIMITS", "a/b:free=1000/200,c=5/6")]).unwrap();
        let limits = ModelLimits { context_tokens: 1000, output_tokens_max: 200 };
        assert_eq!(config.models.limits.first(), Some(&("a/b:free".to_owned(), limits)));
        assert_eq!(config.models.limits.len(), 2);
    }

    #[test]
    fn the_openrouter_key_goes_to_openrouter_only() {
        let both = [("OPENROUTER_API_KEY", "k"), ("ADVISOR_MODEL_URL", "http://127.0.0.1:1/v1")];
        let config = load(&both).unwrap();
        assert!(matches!(config.models.provider, ModelProvider::Compatible { key: None, .. }));
        let config = load(&[("OPENROUTER_API_KEY", "k")]).unwrap();
        assert!(matches!(config.models.provider, ModelProvider::OpenRouter { .. }));
    }

    fn load(variables: &[(&str, &str)]) -> Result<Config> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::from_settings(&Settings::resolve(None, &environment, &[])?)
    }
}
