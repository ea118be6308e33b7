//! The program as its own issuer, for development and tests: an RSA key in the data directory.

use super::clerk::{Issuer, IssuerKeys, TOKEN_LIFE_MAX};
use super::roles::RoleRules;
use advisor_events::{Timestamp, UserId};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// The name in `iss` of own tokens.
pub const ISSUER: &str = "advisor-dev";
/// The claim that holds the roles of own tokens.
const ROLES_CLAIM: &str = "roles";
/// Name of the key's file in the data directory.
const KEY_FILE: &str = "issuer.pem";

/// Why there is no own issuer, or no token of it.
#[derive(Debug, thiserror::Error)]
pub enum OwnIssuerError {
    /// The key's file can't be read or written.
    #[error("the issuer's key {path} can't be read or made")]
    File {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The key's file can be read by others.
    #[error("the issuer's key {0} can be read by others: `chmod 600` it, or remove it and every token with it")]
    Exposed(String),
    /// The key's file holds no RSA key.
    #[error("the issuer's key {0} is damaged: remove it, and every token with it")]
    Damaged(String),
    /// No key could be made, or nothing signed.
    #[error("cryptography failed: {0}")]
    Cryptography(&'static str),
    /// The token that was asked for would not be accepted.
    #[error("{0}")]
    Refused(&'static str),
}

/// What an own token shall say.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Whose it is.
    pub user_id: UserId,
    /// Roles beside `user`.
    pub roles: Vec<String>,
    /// The plan, if it shall name one.
    pub plan: Option<String>,
    /// How long it is good for: at most 24 hours.
    pub ttl: Duration,
}

/// The key of the own issuer.
pub struct OwnIssuer {
    signing: EncodingKey,
    verifying: Arc<DecodingKey>,
    key_id: String,
}

/// The issuer of this data directory; its key is made on first use, readable by its owner alone.
pub fn load_or_create(data_dir: &Path) -> Result<OwnIssuer, OwnIssuerError> {
    let path = data_dir.join(KEY_FILE);
    let file_error = |source| OwnIssuerError::File { path: path.display().to_string(), source };
    if !path.try_exists().map_err(file_error)? {
        let pem = generate()?;
        create(&path, pem.as_bytes()).map_err(file_error)?;
    }
    if fs::metadata(&path).map_err(file_error)?.permissions().mode() & 0o077 != 0 {
        return Err(OwnIssuerError::Exposed(path.display().to_string()));
    }
    let pem = fs::read_to_string(&path).map_err(file_error)?;
    OwnIssuer::from_pem(&pem).map_err(|_| OwnIssuerError::Damaged(path.display().to_string()))
}

/// A new RSA key of 2048 bits as PKCS#8 in PEM form.
pub fn generate() -> Result<String, OwnIssuerError> {
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| OwnIssuerError::Cryptography("no RSA key was made"))?;
    let der: Pkcs8V1Der<'_> =
        key.as_der().map_err(|_| OwnIssuerError::Cryptography("the RSA key has no PKCS#8 form"))?;
    Ok(pem("PRIVATE KEY", der.as_ref()))
}

/// Written beside and linked into place, so that no crash leaves half a key and no second process replaces one.
fn create(path: &Path, pem: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension(format!("pem.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(pem)?;
    file.sync_all()?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Err(_) | Ok(()) => fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all(),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

impl OwnIssuer {
    /// The issuer with this private key.
    pub fn from_pem(private: &str) -> Result<Self, OwnIssuerError> {
        let der: String = private.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(der.trim()).map_err(|_| OwnIssuerError::Cryptography("the key is no PEM"))?;
        let pair = KeyPair::from_pkcs8(&der).map_err(|_| OwnIssuerError::Cryptography("the key is no RSA key"))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| OwnIssuerError::Cryptography("the key has no public half"))?;
        let public = public.as_ref();
        let fingerprint = Sha256::digest(public);
        Ok(Self {
            signing: EncodingKey::from_rsa_pem(private.as_bytes())
                .map_err(|_| OwnIssuerError::Cryptography("the key is no RSA key"))?,
            verifying: Arc::new(
                DecodingKey::from_rsa_pem(pem("PUBLIC KEY", public).as_bytes())
                    .map_err(|_| OwnIssuerError::Cryptography("the public key can't be read back"))?,
            ),
            key_id: URL_SAFE_NO_PAD.encode(fingerprint.get(..12).unwrap_or_default()),
        })
    }

    /// A token.
    pub fn mint(&self, request: &TokenRequest, now: Timestamp) -> Result<String, OwnIssuerError> {
        let id = request.user_id.as_str();
        if super::token::user_id(id).is_none() {
            return Err(OwnIssuerError::Refused("a user id is 1 to 128 of A-Z a-z 0-9 _ . - and not `public`"));
        }
        if request.ttl.is_zero() || request.ttl > TOKEN_LIFE_MAX {
            return Err(OwnIssuerError::Refused("a token is good for more than nothing and at most 24 hours"));
        }
        let issued_at = now.0.div_euclid(1_000);
        let ttl = i64::try_from(request.ttl.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
        let mut nonce = [0_u8; 12];
        getrandom::fill(&mut nonce).map_err(|_| OwnIssuerError::Cryptography("no randomness"))?;
        let mut claims = json!({
            "iss": ISSUER,
            "sub": id,
            "sid": format!("sess_{}", URL_SAFE_NO_PAD.encode(nonce)),
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at.saturating_add(ttl),
            (ROLES_CLAIM): request.roles,
        });
        if let (Some(plan), Some(claims)) = (&request.plan, claims.as_object_mut()) {
            claims.insert("public_metadata".to_owned(), json!({"plan": plan}));
        }
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.signing)
            .map_err(|_| OwnIssuerError::Cryptography("nothing signed"))
    }

    /// Its tokens' conditions: the same verification as any other issuer's.
    pub fn accepted(&self, operators: HashSet<UserId>, analysts: HashSet<UserId>) -> Issuer {
        Issuer {
            name: ISSUER.to_owned(),
            keys: IssuerKeys::Fixed(Arc::clone(&self.verifying)),
            authorized_parties: Vec::new(),
            audiences: Vec::new(),
            roles: RoleRules { claim: Some(ROLES_CLAIM.to_owned()), operators, analysts },
            token_life_max: TOKEN_LIFE_MAX,
        }
    }
}
