//! A sign-in token read strictly: its parts, its header, its claims. Nothing here trusts it yet.

use super::roles::Roles;
use crate::extract::json::{self, JsonFault};
use advisor_events::{Timestamp, UserId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 8_192;
/// Longest subject in bytes.
pub const SUBJECT_BYTES_MAX: usize = 128;
/// How far clocks may differ.
pub const LEEWAY_MS: i64 = 5_000;

/// Why a token is not accepted. For logs; clients learn only that it is not.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It is not three parts of base64url around JSON objects.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Its header asks for something that is not done here.
    #[error("the token's header is refused: {0}")]
    Header(&'static str),
    /// Nobody who is trusted issued it.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// Its key is not one of the issuer's.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// The issuer's keys are not to be had now.
    #[error("the issuer's keys are not available: {0}")]
    KeysUnavailable(String),
    /// Its signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or wrong.
    #[error("the token's claim `{0}` is missing or wrong")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is good for longer than tokens may be.
    #[error("the token lives longer than allowed")]
    LivesTooLong,
    /// The session waits for the person.
    #[error("the session is pending")]
    Pending,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The subject.
    pub user_id: UserId,
    /// Roles by claim or list.
    pub roles: Roles,
    /// The plan in the public metadata.
    pub plan: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// What the token tells of the person.
    pub profile: TokenProfile,
    /// When it was issued, or became valid.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a token may tell of its person beside the id. Not printed: these are a person's own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenProfile {
    /// Claim `email`.
    pub email: Option<String>,
    /// Claim `name`.
    pub name: Option<String>,
    /// Claim `picture`, or `image_url`.
    pub image: Option<String>,
}

impl std::fmt::Debug for TokenProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenProfile(…)")
    }
}

/// A token in its parts, nothing of it verified.
pub struct Parsed<'a> {
    /// What is signed: header and claims as they came.
    pub signed: &'a str,
    /// The signature in base64url.
    pub signature: &'a str,
    /// The key that the header names.
    pub key_id: Option<String>,
    claims: Claims,
}

impl Parsed<'_> {
    /// Who says to have issued it.
    pub fn issuer(&self) -> &str {
        self.claims.text("iss").ok().flatten().unwrap_or_default()
    }

    /// Its claims; to be believed only after the signature was verified.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// Takes a token apart.
pub fn parse(token: &str) -> Result<Parsed<'_>, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::Malformed("longer than 8 KiB"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed("not three parts"))?;
    let (header, claims) = signed.split_once('.').ok_or(TokenFault::Malformed("not three parts"))?;
    if claims.contains('.') || signature.is_empty() {
        return Err(TokenFault::Malformed("not three parts"));
    }
    let key_id = read_header(&object(header)?)?;
    Ok(Parsed { signed, signature, key_id, claims: Claims(object(claims)?) })
}

/// A key twice is refused at any depth: two readers could take different ones.
fn object(part: &str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed("not base64url"))?;
    match json::parse(&bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(TokenFault::Malformed("not a JSON object")),
        Err(JsonFault::Syntax { .. } | JsonFault::Inexact(_) | JsonFault::Nul(_)) => {
            Err(TokenFault::Malformed("not JSON, or not plain"))
        }
    }
}

/// Names of the header that would let a token bring its own key, or change what is signed.
const REFUSED_HEADERS: [&str; 7] = ["crit", "jwk", "jku", "x5u", "x5c", "b64", "zip"];

/// The key id of a header that is acceptable.
fn read_header(header: &Map<String, Value>) -> Result<Option<String>, TokenFault> {
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(TokenFault::Header("the algorithm is not RS256"));
    }
    if REFUSED_HEADERS.iter().any(|name| header.contains_key(*name)) {
        return Err(TokenFault::Header("it brings its own key or an extension"));
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("JWT") => {}
        Some(_) => return Err(TokenFault::Header("the type is not JWT")),
    }
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() && id.len() <= 256 => Ok(Some(id.clone())),
        Some(_) => Err(TokenFault::Header("the key id is no short text")),
    }
}

/// The claims of a token.
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A claim that is a text, if it is there.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, TokenFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenFault::Claim(name)),
        }
    }

    /// A claim that is a moment in whole seconds, if it is there. Anything but a plain integer is refused.
    pub fn moment(&self, name: &'static str) -> Result<Option<Timestamp>, TokenFault> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let milliseconds = value.as_u64().and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000));
        milliseconds.map(|ms| Some(Timestamp(ms))).ok_or(TokenFault::Claim(name))
    }

    /// The audiences that the token is for; `None` if it names none.
    pub fn audiences(&self) -> Result<Option<Vec<&str>>, TokenFault> {
        match self.0.get("aud") {
            None => Ok(None),
            Some(Value::String(one)) => Ok(Some(vec![one])),
            Some(Value::Array(many)) => {
                many.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(Some).ok_or(TokenFault::Claim("aud"))
            }
            Some(_) => Err(TokenFault::Claim("aud")),
        }
    }

    /// The subject, if it can name a person here.
    pub fn subject(&self) -> Result<UserId, TokenFault> {
        self.text("sub")?.and_then(user_id).ok_or(TokenFault::Claim("sub"))
    }

    /// The value at a path with dots between its levels; a claim whose own name has dots wins.
    pub fn at_path(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let mut levels = path.split('.');
        let first = self.0.get(levels.next()?)?;
        levels.try_fold(first, |value, level| value.get(level))
    }

    /// The plan in the public metadata, under any of the names that session tokens give it.
    pub fn plan(&self) -> Option<String> {
        ["public_metadata", "publicMetadata", "metadata"]
            .iter()
            .find_map(|name| self.0.get(*name)?.get("plan")?.as_str())
            .filter(|plan| !plan.is_empty() && plan.len() <= 64)
            .map(str::to_owned)
    }

    /// What the token tells of the person; what is no text or too long is left out.
    pub fn profile(&self) -> TokenProfile {
        let short = |name| self.text(name).ok().flatten().filter(|text| text.len() <= 2_048).map(str::to_owned);
        TokenProfile {
            email: short("email"),
            name: short("name"),
            image: short("picture").or_else(|| short("image_url")),
        }
    }
}

/// The person of this id, if it can be one's.
pub fn user_id(text: &str) -> Option<UserId> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    // The feed of what everybody sees has this name: nobody is called so.
    let is_everybody = text == advisor_projections::changes::PUBLIC;
    (plain && !text.is_empty() && text.len() <= SUBJECT_BYTES_MAX && !is_everybody).then(|| UserId::from(text))
}

/// Whether a token that ends at `expires_at` has ended.
pub fn is_expired(expires_at: Timestamp, now: Timestamp) -> bool {
    now >= expires_at.plus_ms(LEEWAY_MS)
}
