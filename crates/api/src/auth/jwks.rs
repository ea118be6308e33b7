//! An issuer's public keys, fetched from its JWKS document and kept.
//!
//! Fresh for a while (an hour by default); then fetched again, and the old ones go on (for a day) while the issuer
//! is down.
//! A key that is not known is looked for at most once in five minutes, whatever tokens name.

use advisor_events::{Clock, Timestamp};
use arc_swap::ArcSwapOption;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Shortest time between two fetches because of unknown keys.
pub const UNKNOWN_KEY_INTERVAL_MS: i64 = 300_000;
/// Shortest time between two fetches while the issuer does not answer.
pub const FAILURE_INTERVAL_MS: i64 = 5_000;
/// Largest JWKS document.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Most keys of a document that are looked at.
pub const KEYS_MAX: usize = 64;

/// How long keys are fetched and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JwksLimits {
    /// Most time for one fetch.
    pub timeout: Duration,
    /// How long fetched keys are used without asking again.
    pub fresh_for: Duration,
    /// How long they go on while the issuer is down.
    pub stale_for: Duration,
}

impl Default for JwksLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            fresh_for: Duration::from_hours(1),
            stale_for: Duration::from_hours(24),
        }
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The issuer has no key of this id.
    #[error("the issuer has no such key")]
    UnknownKey,
    /// The issuer's keys are not to be had.
    #[error("the issuer's keys can't be fetched: {0}")]
    Unavailable(String),
}

/// Why a fetch gave no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no answer")]
    Transport(#[source] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is no JWKS document")]
    NotJwks(#[source] serde_json::Error),
    #[error("the document has no RSA key for signatures")]
    NoKey,
}

/// The keys of one issuer.
pub struct Jwks {
    url: String,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    limits: JwksLimits,
    keys: ArcSwapOption<Fetched>,
    /// Held while fetching, so that there is one fetch at a time.
    fetching: Mutex<Attempts>,
}

struct Fetched {
    keys: HashMap<String, Arc<DecodingKey>>,
    at: Timestamp,
}

#[derive(Default)]
struct Attempts {
    failed_at: Option<Timestamp>,
    failure: String,
    unknown_key_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    n: String,
    e: String,
}

impl Jwks {
    /// The keys at this URL. Nothing is fetched before a token needs it.
    pub fn new(url: impl Into<String>, clock: Arc<dyn Clock>, limits: JwksLimits) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(limits.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("advisor")
            .build()?;
        let (keys, fetching) = (ArcSwapOption::empty(), Mutex::new(Attempts::default()));
        Ok(Self { url: url.into(), client, clock, limits, keys, fetching })
    }

    /// The key of this id.
    pub async fn find(&self, key_id: &str) -> Result<Arc<DecodingKey>, JwksError> {
        if let Some(fetched) = self.fresh() {
            if let Some(key) = fetched.keys.get(key_id) {
                return Ok(Arc::clone(key));
            }
            return self.look_for(key_id).await;
        }
        // While one request fetches, the others that can go on with old keys do.
        if let Some(key) = self.stale(key_id)
            && self.fetching.try_lock().is_err()
        {
            return Ok(key);
        }
        self.renew(key_id).await
    }

    fn fetched_within(&self, age_max: Duration) -> Option<Arc<Fetched>> {
        let (now, age_max_ms) = (self.clock.now(), i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX));
        self.keys.load_full().filter(|fetched| now < fetched.at.plus_ms(age_max_ms))
    }

    fn fresh(&self) -> Option<Arc<Fetched>> {
        self.fetched_within(self.limits.fresh_for)
    }

    fn stale(&self, key_id: &str) -> Option<Arc<DecodingKey>> {
        self.fetched_within(self.limits.stale_for)?.keys.get(key_id).cloned()
    }

    /// The keys are fresh and the one that is asked for is not among them: it may be newer than they are.
    async fn look_for(&self, key_id: &str) -> Result<Arc<DecodingKey>, JwksError> {
        let mut attempts = self.fetching.lock().await;
        if let Some(key) = self.fresh().and_then(|fetched| fetched.keys.get(key_id).cloned()) {
            return Ok(key);
        }
        let now = self.clock.now();
        if attempts.unknown_key_at.is_some_and(|at| now < at.plus_ms(UNKNOWN_KEY_INTERVAL_MS)) {
            return Err(JwksError::UnknownKey);
        }
        attempts.unknown_key_at = Some(now);
        self.fetch(&mut attempts).await;
        self.stale(key_id).ok_or(JwksError::UnknownKey)
    }

    /// The keys are old, or there are none yet.
    async fn renew(&self, key_id: &str) -> Result<Arc<DecodingKey>, JwksError> {
        let mut attempts = self.fetching.lock().await;
        let now = self.clock.now();
        let failed_just_now = attempts.failed_at.is_some_and(|at| now < at.plus_ms(FAILURE_INTERVAL_MS));
        if self.fresh().is_none() && !failed_just_now {
            self.fetch(&mut attempts).await;
        }
        match self.fetched_within(self.limits.stale_for) {
            Some(fetched) => fetched.keys.get(key_id).cloned().ok_or(JwksError::UnknownKey),
            None => Err(JwksError::Unavailable(attempts.failure.clone())),
        }
    }

    async fn fetch(&self, attempts: &mut Attempts) {
        match self.download().await {
            Ok(keys) => {
                attempts.failed_at = None;
                self.keys.store(Some(Arc::new(Fetched { keys, at: self.clock.now() })));
            }
            Err(error) => {
                attempts.failed_at = Some(self.clock.now());
                attempts.failure = error.to_string();
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(jwks.error = %error, jwks.cause = cause, "the issuer's keys were not fetched");
            }
        }
    }

    async fn download(&self) -> Result<HashMap<String, Arc<DecodingKey>>, FetchError> {
        let request = self.client.get(&self.url).header(http::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(FetchError::Transport)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Transport)? {
            if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        read(&document)
    }
}

/// The RSA keys for signatures; others, and those that can't be read, are left out.
fn read(document: &[u8]) -> Result<HashMap<String, Arc<DecodingKey>>, FetchError> {
    let document: Document = serde_json::from_slice(document).map_err(FetchError::NotJwks)?;
    let mut keys = HashMap::new();
    for value in document.keys.into_iter().take(KEYS_MAX) {
        let Ok(key) = serde_json::from_value::<Key>(value) else { continue };
        let signs = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let rs256 = key.alg.as_deref().is_none_or(|algorithm| algorithm == "RS256");
        if key.kty != "RSA" || !signs || !rs256 {
            continue;
        }
        if let Ok(decoding) = DecodingKey::from_rsa_components(&key.n, &key.e) {
            keys.entry(key.kid).or_insert_with(|| Arc::new(decoding));
        }
    }
    if keys.is_empty() { Err(FetchError::NoKey) } else { Ok(keys) }
}
