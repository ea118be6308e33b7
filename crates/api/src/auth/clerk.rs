//! The rules that a token of an issuer must keep: those of Clerk's session tokens.

use super::{
    jwks::{Jwks, JwksError},
    roles::RoleRules,
    token::{Claims, LEEWAY_MS, Parsed, TokenFault, Verified, is_expired},
};
use advisor_events::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use std::{sync::Arc, time::Duration};

/// Longest life of a token, unless configured otherwise.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_hours(24);

/// Somebody whose tokens are accepted, and on which conditions.
pub struct Issuer {
    /// Its name, exactly as it stands in `iss`.
    pub name: String,
    /// Its keys.
    pub keys: IssuerKeys,
    /// Origins that `azp` may name; where there are any, `azp` must be there.
    pub authorized_parties: Vec<String>,
    /// Audiences that `aud` may name.
    pub audiences: Vec<String>,
    /// Where its tokens' roles come from.
    pub roles: RoleRules,
    /// Longest life of its tokens.
    pub token_life_max: Duration,
}

/// Where an issuer's public keys come from.
pub enum IssuerKeys {
    /// One key that is known; its id need not be named.
    Fixed(Arc<DecodingKey>),
    /// A JWKS document that is fetched.
    Jwks(Jwks),
}

/// A key that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the issuer's key is no RSA public key in PEM form")]
pub struct PemError(#[source] jsonwebtoken::errors::Error);

impl IssuerKeys {
    /// The key in a PEM text; in one line, `\n` stands for its line ends, as environment files have it.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        DecodingKey::from_rsa_pem(pem.replace("\\n", "\n").as_bytes())
            .map(|key| Self::Fixed(Arc::new(key)))
            .map_err(PemError)
    }

    async fn find(&self, key_id: Option<&str>) -> Result<Arc<DecodingKey>, TokenFault> {
        match self {
            Self::Fixed(key) => Ok(Arc::clone(key)),
            Self::Jwks(jwks) => {
                let key_id = key_id.ok_or(TokenFault::UnknownKey)?;
                jwks.find(key_id).await.map_err(|error| match error {
                    JwksError::UnknownKey => TokenFault::UnknownKey,
                    JwksError::Unavailable(cause) => TokenFault::KeysUnavailable(cause),
                })
            }
        }
    }
}

impl Issuer {
    /// Whether tokens that name `issuer` are this one's.
    pub fn is_named(&self, issuer: &str) -> bool {
        !issuer.is_empty() && issuer == self.name
    }

    /// What the token says, once its signature and every rule hold.
    pub async fn verify(&self, token: &Parsed<'_>, now: Timestamp) -> Result<Verified, TokenFault> {
        let key = self.keys.find(token.key_id.as_deref()).await?;
        if !is_genuine(token.signed.as_bytes(), token.signature, &key) {
            return Err(TokenFault::Signature);
        }
        self.check(token.claims(), now)
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<Verified, TokenFault> {
        if !self.is_named(claims.text("iss")?.unwrap_or_default()) {
            return Err(TokenFault::Issuer);
        }
        let (issued_at, expires_at) = self.check_times(claims, now)?;
        let user_id = claims.subject()?;
        let session_id = claims.text("sid")?.filter(|id| !id.is_empty()).map(str::to_owned);
        self.check_audience(claims, session_id.as_deref())?;
        self.check_party(claims)?;
        if claims.text("sts")? == Some("pending") {
            return Err(TokenFault::Pending);
        }
        Ok(Verified {
            roles: self.roles.of(&user_id, claims),
            plan: claims.plan(),
            profile: claims.profile(),
            user_id,
            session_id,
            issued_at,
            expires_at,
        })
    }

    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<(Timestamp, Timestamp), TokenFault> {
        let expires_at = claims.moment("exp")?.ok_or(TokenFault::Claim("exp"))?;
        let not_before = claims.moment("nbf")?.ok_or(TokenFault::Claim("nbf"))?;
        let issued_at = claims.moment("iat")?.unwrap_or(not_before);
        if is_expired(expires_at, now) {
            return Err(TokenFault::Expired);
        }
        if not_before.max(issued_at) > now.plus_ms(LEEWAY_MS) {
            return Err(TokenFault::NotYetValid);
        }
        let life_max_ms = i64::try_from(self.token_life_max.as_millis()).unwrap_or(i64::MAX);
        // `nbf` may lie some seconds before `iat`, to forgive clocks: that is no part of a token's life.
        if expires_at > not_before.min(issued_at).plus_ms(life_max_ms.saturating_add(2 * LEEWAY_MS)) {
            return Err(TokenFault::LivesTooLong);
        }
        Ok((issued_at, expires_at))
    }

    /// A token for an audience must be for ours; one for none must be a session's.
    fn check_audience(&self, claims: &Claims, session_id: Option<&str>) -> Result<(), TokenFault> {
        match claims.audiences()? {
            Some(named) if named.iter().any(|name| self.audiences.iter().any(|ours| ours == name)) => Ok(()),
            Some(_) => Err(TokenFault::Claim("aud")),
            None if session_id.is_some() => Ok(()),
            None => Err(TokenFault::Claim("sid")),
        }
    }

    fn check_party(&self, claims: &Claims) -> Result<(), TokenFault> {
        let party = claims.text("azp")?;
        if self.authorized_parties.is_empty() || party.is_some_and(|p| self.authorized_parties.iter().any(|a| a == p)) {
            return Ok(());
        }
        Err(TokenFault::Claim("azp"))
    }
}

/// Whether `signature` (in base64url) is the key's, by RS256.
pub(super) fn is_genuine(signed: &[u8], signature: &str, key: &DecodingKey) -> bool {
    jsonwebtoken::crypto::verify(signature, signed, key, Algorithm::RS256).unwrap_or(false)
}
