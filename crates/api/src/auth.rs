//! Who asks: sign-in tokens in, verified people out.
//!
//! A handler asks for [`Viewer`] (signed in), [`MaybeViewer`] (works signed out too) or [`Operator`];
//! what it does not ask for it can't know.

pub mod clerk;
mod credentials;
mod extractors;
pub mod jwks;
pub mod own_issuer;
pub mod registration;
pub mod revoked;
pub mod roles;
pub mod token;

pub use extractors::{LocalOperator, MaybeViewer, Operator, Runs, Viewer};

use crate::{
    live::BEYOND_TOKEN_MS,
    problem::{Code, Problem},
    traffic::Meter,
};
use advisor_events::{Clock, Timestamp, UserId};
use clerk::Issuer;
use http::HeaderMap;
use lru::LruCache;
use registration::{People, Registration, RegistrationError};
use revoked::{Revoked, Watch};
use roles::Roles;
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use token::{TokenFault, Verified};

/// Whom the authenticator remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RememberLimits {
    /// Most verified tokens.
    pub tokens_max: NonZeroUsize,
    /// Most people who are known to be registered.
    pub people_max: NonZeroUsize,
}

impl Default for RememberLimits {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Self { tokens_max: count(20_000), people_max: count(100_000) }
    }
}

/// A person whose token was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub user_id: UserId,
    /// What they may do beside their own.
    pub roles: Roles,
    /// The plan that their token names, if it names one.
    pub plan: Option<String>,
    /// The session of the token, if it names one.
    pub session_id: Option<String>,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// The session was ended, or its person deleted.
#[derive(Debug, thiserror::Error)]
#[error("the sign-in was revoked")]
struct SignInRevoked;

/// Verifies tokens, remembers the verified ones until they expire, and registers people on first sight. Those that
/// were revoked since are refused, remembered or not.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    registration: Registration,
    revoked: Arc<Revoked>,
    clock: Arc<dyn Clock>,
    verified: Mutex<LruCache<[u8; 32], Arc<Person>>>,
}

impl Authenticator {
    /// One that accepts tokens of these issuers, and of nobody else.
    pub fn new(
        issuers: Vec<Issuer>,
        people: Arc<dyn People>,
        revoked: Arc<Revoked>,
        clock: Arc<dyn Clock>,
        limits: RememberLimits,
    ) -> Self {
        let registration = Registration::new(people, limits.people_max);
        Self { issuers, registration, revoked, clock, verified: Mutex::new(LruCache::new(limits.tokens_max)) }
    }

    /// Whose token the request carries; `None` if it carries none.
    pub async fn authenticate(&self, headers: &HeaderMap, meter: &Meter) -> Result<Option<Arc<Person>>, Problem> {
        match credentials::token(headers).inspect_err(|problem| meter.note_sign_in(problem))? {
            None => Ok(None),
            Some(token) => self.person_of(token, meter).await.map(Some),
        }
    }

    /// Whose token this is. One that is refused is charged to the meter's address.
    pub async fn person_of(&self, token: &str, meter: &Meter) -> Result<Arc<Person>, Problem> {
        self.recognised(token, meter).await.inspect_err(|problem| meter.note_sign_in(problem))
    }

    async fn recognised(&self, token: &str, meter: &Meter) -> Result<Arc<Person>, Problem> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(person) = self.remembered(&hash) {
            self.check_not_revoked(&person)?;
            return Ok(person);
        }
        // Who was let in before is not held up by others who guess.
        meter.check_sign_ins()?;
        let verified = self.verify(token).await?;
        let person = Arc::new(Person {
            user_id: verified.user_id.clone(),
            roles: verified.roles,
            plan: verified.plan.clone(),
            session_id: verified.session_id.clone(),
            expires_at: verified.expires_at,
        });
        self.check_not_revoked(&person)?;
        self.registration.ensure(&verified, self.clock.now()).await.map_err(|error| match error {
            RegistrationError::Deleted => Problem::invalid_token(&error),
            RegistrationError::Unavailable(_) => Problem::unavailable(&error),
        })?;
        self.lock().put(hash, Arc::clone(&person));
        Ok(person)
    }

    /// Watches a person's sign-in, for what goes on after the request was let in.
    pub fn watch(&self, person: &Person) -> Watch {
        self.revoked.watch(person)
    }

    /// Returns when a person's sign-in is over for what went on with it: it was revoked, or its token ended a while ago.
    pub async fn sign_in_end(&self, person: &Person) {
        let watch = self.watch(person);
        let left = person.expires_at.plus_ms(BEYOND_TOKEN_MS).0.saturating_sub(self.clock.now().0);
        tokio::select! {
            () = watch.revoked() => {}
            () = tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or_default())) => {}
        }
    }

    fn check_not_revoked(&self, person: &Person) -> Result<(), Problem> {
        if self.revoked.refuses(person) { Err(Problem::invalid_token(&SignInRevoked)) } else { Ok(()) }
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Person>> {
        let mut verified = self.lock();
        let person = verified.get(hash)?;
        if token::is_expired(person.expires_at, self.clock.now()) {
            verified.pop(hash);
            return None;
        }
        Some(Arc::clone(person))
    }

    async fn verify(&self, token: &str) -> Result<Verified, Problem> {
        let parsed = token::parse(token).map_err(|fault| refuse(&fault))?;
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| issuer.is_named(parsed.issuer()))
            .ok_or_else(|| refuse(&TokenFault::Issuer))?;
        issuer.verify(&parsed, self.clock.now()).await.map_err(|fault| refuse(&fault))
    }

    /// The map stays whole whatever panicked while it was held: it is only looked at and put into.
    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Arc<Person>>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(fault: &TokenFault) -> Problem {
    match fault {
        TokenFault::Pending => {
            Problem::new(Code::SessionPending, "Your session waits for a step of yours: finish signing in.")
        }
        TokenFault::KeysUnavailable(_) => Problem::unavailable(fault),
        TokenFault::Malformed(_)
        | TokenFault::Header(_)
        | TokenFault::Issuer
        | TokenFault::UnknownKey
        | TokenFault::Signature
        | TokenFault::Claim(_)
        | TokenFault::Expired
        | TokenFault::NotYetValid
        | TokenFault::LivesTooLong => Problem::invalid_token(fault),
    }
}

#[cfg(test)]
pub(crate) mod test_issuer;
#[cfg(test)]
mod tests;
