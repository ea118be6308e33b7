//! An issuer for tests: signs whatever header and claims it is given, as attackers do too.

use super::{
    Authenticator, RememberLimits,
    clerk::{Issuer, IssuerKeys, TOKEN_LIFE_MAX},
    own_issuer,
    registration::{People, RegistrationError},
    revoked::Revoked,
    roles::RoleRules,
    token::Verified,
};
use advisor_events::{Clock, Timestamp};
use advisor_projections::{Row, Statement, Store, StoreError, Write, side::Revocations};
use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::KeyPair,
    signature::KeyPair as _,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use futures::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

/// The issuer's name.
pub(crate) const ISSUER: &str = "https://clerk.example.com";
/// The time at which every test begins, in seconds.
pub(crate) const NOW: i64 = 1_758_010_530;

/// The issuer whose key is configured.
pub(crate) static CLERK: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new("ins_1"));
/// Somebody else with a key of their own.
pub(crate) static ATTACKER: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer::new("ins_1"));

/// A clock that tests set.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOW * 1_000)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Notes who was registered and refuses who was deleted.
#[derive(Default)]
pub(crate) struct TestPeople {
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) deleted: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl People for TestPeople {
    async fn register(&self, person: &Verified, plan: &str, _: Timestamp) -> Result<(), RegistrationError> {
        if self.deleted.lock().unwrap().contains(person.user_id.as_str()) {
            return Err(RegistrationError::Deleted);
        }
        self.calls.lock().unwrap().push(format!("register {} {plan}", person.user_id));
        Ok(())
    }

    async fn change_plan(&self, person: &Verified, plan: &str, _: Timestamp) -> Result<(), RegistrationError> {
        self.calls.lock().unwrap().push(format!("plan {} {plan}", person.user_id));
        Ok(())
    }
}

/// A key pair under a key id.
pub(crate) struct TestIssuer {
    pub(crate) key_id: &'static str,
    pub(crate) private_pem: String,
    /// The public key in DER form, with its algorithm.
    pub(crate) public_der: Vec<u8>,
    modulus: String,
    exponent: String,
}

impl TestIssuer {
    pub(crate) fn new(key_id: &'static str) -> Self {
        let private_pem = own_issuer::generate().unwrap();
        let body: String = private_pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pair = KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let unsigned = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self {
            key_id,
            public_der: public.as_ref().to_vec(),
            modulus: unsigned(pair.public_key().modulus().big_endian_without_leading_zero()),
            exponent: unsigned(pair.public_key().exponent().big_endian_without_leading_zero()),
            private_pem,
        }
    }

    pub(crate) fn public_pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&self.public_der))
    }

    pub(crate) fn jwk(&self) -> Value {
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": self.modulus, "e": self.exponent})
    }

    /// A token of these claims under the usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id}), claims)
    }

    /// A token of this header, signed with this key whatever the header says.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of_texts(&header.to_string(), &claims.to_string())
    }

    /// The same of texts, which need not be JSON.
    pub(crate) fn token_of_texts(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = EncodingKey::from_rsa_pem(self.private_pem.as_bytes()).unwrap();
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::RS256).unwrap();
        format!("{signed}.{signature}")
    }
}

/// Claims that are accepted.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user_ana", "sid": "sess_1", "azp": "https://app.example.com",
        "iat": NOW, "nbf": NOW - 10, "exp": NOW + 60
    })
}

/// The same with some of them changed; `null` takes a claim away.
pub(crate) fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(&name)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                claims[name] = value;
            }
        }
    }
    claims
}

/// The issuer's conditions with these keys.
pub(crate) fn issuer(keys: IssuerKeys) -> Issuer {
    Issuer {
        name: ISSUER.to_owned(),
        keys,
        authorized_parties: vec!["https://app.example.com".to_owned()],
        audiences: Vec::new(),
        roles: RoleRules::default(),
        token_life_max: TOKEN_LIFE_MAX,
    }
}

/// An authenticator for one issuer, of whose people nobody is revoked.
pub(crate) fn authenticator(issuer: Issuer, clock: &Arc<TestClock>, people: &Arc<TestPeople>) -> Arc<Authenticator> {
    authenticator_that_refuses(revoked(clock), issuer, clock, people)
}

/// An authenticator for one issuer.
pub(crate) fn authenticator_that_refuses(
    revoked: Arc<Revoked>,
    issuer: Issuer,
    clock: &Arc<TestClock>,
    people: &Arc<TestPeople>,
) -> Arc<Authenticator> {
    let people: Arc<dyn People> = Arc::<TestPeople>::clone(people);
    let shared: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    Arc::new(Authenticator::new(vec![issuer], people, revoked, shared, RememberLimits::default()))
}

/// Nobody is revoked yet, and what is revoked is kept in memory alone.
pub(crate) fn revoked(clock: &Arc<TestClock>) -> Arc<Revoked> {
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    Revoked::load(Revocations::new(Arc::new(NoStore)), clock).now_or_never().unwrap().unwrap()
}

/// Holds nothing and is content with everything.
struct NoStore;

#[async_trait]
impl Store for NoStore {
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        Ok(statements.iter().map(|_| Vec::new()).collect())
    }

    async fn write(&self, _: Vec<Write>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn write_durably(&self, _: Vec<Write>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn copy_to(&self, _: &std::path::Path) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {}
}

/// One that accepts tokens of [`CLERK`] by its PEM.
pub(crate) fn clerk_authenticator(clock: &Arc<TestClock>, people: &Arc<TestPeople>) -> Arc<Authenticator> {
    authenticator(issuer(IssuerKeys::from_pem(&CLERK.public_pem()).unwrap()), clock, people)
}
