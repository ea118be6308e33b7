//! Signatures as Svix makes them: HMAC-SHA256 over the delivery's id, its time and the body's own bytes.

use advisor_events::Timestamp;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use std::{fmt, str::FromStr};
use subtle::{Choice, ConstantTimeEq};

/// How far the time of a delivery may be off, in either direction.
pub const TOLERANCE_S: i64 = 300;
/// Most signatures of one delivery: one for each secret, while secrets are exchanged.
pub const SIGNATURES_MAX: usize = 64;
/// Longest id of a delivery: it becomes the id of a command.
pub const ID_BYTES_MAX: usize = 128;
/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// The scheme of signatures that is read; those of others are passed over.
const SCHEME: &str = "v1";

/// What signs deliveries.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// A text is no secret.
#[derive(Debug, thiserror::Error)]
#[error("a webhook's secret is `whsec_` and base64")]
pub struct SecretError;

/// Why a delivery is not accepted. For logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SvixFault {
    #[error("the header {0} is missing, or there twice")]
    Missing(&'static str),
    #[error("the header {0} does not have its form")]
    Malformed(&'static str),
    #[error("there are more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    #[error("it was sent too long ago")]
    TooOld,
    #[error("it was sent in the future")]
    TooNew,
    #[error("no signature is that of the secret")]
    Signature,
}

/// What the headers say, nothing of it verified but the time.
pub(crate) struct Signed<'a> {
    /// The delivery: the same whenever it is told again.
    pub(crate) id: &'a str,
    timestamp: &'a str,
    seconds: i64,
    signatures: Vec<Vec<u8>>,
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        if key.is_empty() {
            return Err(SecretError);
        }
        KeyInit::new_from_slice(&key).map(Self).map_err(|_| SecretError)
    }
}

impl Secret {
    /// Whether one of the signatures is this secret's, in a time that does not tell how much of it is right.
    pub(crate) fn verify(&self, signed: &Signed<'_>, body: &[u8]) -> Result<(), SvixFault> {
        let mut mac = self.0.clone();
        for part in [signed.id.as_bytes(), b".", signed.timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let wanted = mac.finalize().into_bytes();
        let right = signed
            .signatures
            .iter()
            .fold(Choice::from(0), |right, given| right | given.as_slice().ct_eq(wanted.as_slice()));
        if right.into() { Ok(()) } else { Err(SvixFault::Signature) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'a> Signed<'a> {
    /// Reads the headers of a delivery that comes now.
    pub(crate) fn read(headers: &'a HeaderMap, now: Timestamp) -> Result<Self, SvixFault> {
        let id = one(headers, "svix-id")?;
        if id.len() > ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SvixFault::Malformed("svix-id"));
        }
        let timestamp = one(headers, "svix-timestamp")?;
        let seconds = check_time(timestamp, now)?;
        let signatures = signatures(one(headers, "svix-signature")?)?;
        Ok(Self { id, timestamp, seconds, signatures })
    }

    /// When it was sent, this time.
    pub(crate) fn sent_at(&self) -> Timestamp {
        Timestamp(self.seconds.saturating_mul(1_000))
    }
}

/// The one value of a header, not empty.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SvixFault> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(SvixFault::Missing(name)) };
    match value.to_str() {
        Ok("") => Err(SvixFault::Missing(name)),
        Ok(text) => Ok(text),
        Err(_) => Err(SvixFault::Malformed(name)),
    }
}

fn check_time(timestamp: &str, now: Timestamp) -> Result<i64, SvixFault> {
    let malformed = SvixFault::Malformed("svix-timestamp");
    if !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    let seconds: i64 = timestamp.parse().map_err(|_| malformed)?;
    let age = now.0.div_euclid(1_000).saturating_sub(seconds);
    if age > TOLERANCE_S {
        return Err(SvixFault::TooOld);
    }
    if age < -TOLERANCE_S {
        return Err(SvixFault::TooNew);
    }
    Ok(seconds)
}

/// The signatures of the scheme that is read. There may be none: others are no fault of form.
fn signatures(header: &str) -> Result<Vec<Vec<u8>>, SvixFault> {
    let all = || header.split(' ').filter(|entry| !entry.is_empty());
    if all().take(SIGNATURES_MAX + 1).count() > SIGNATURES_MAX {
        return Err(SvixFault::TooManySignatures);
    }
    let ours: Vec<_> = all().filter_map(|entry| entry.strip_prefix(SCHEME)?.strip_prefix(',')).collect();
    let decoded: Vec<_> = ours.iter().filter_map(|encoded| STANDARD.decode(encoded).ok()).collect();
    if decoded.is_empty() && !ours.is_empty() {
        return Err(SvixFault::Malformed("svix-signature"));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
