//! The key of a person, what is derived from it, and the port to the store that keeps it.

use crate::{UserId, personal::SealError};
use async_trait::async_trait;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

/// A person's 256-bit key: it seals their words and keys the hashes of their requests.
#[derive(Clone)]
pub struct PersonKey(Zeroizing<[u8; 32]>);

impl PersonKey {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Unavailable("no randomness".into()))?;
        Ok(Self(bytes))
    }

    /// The key's bytes, for the store that wraps and keeps it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Nonce and box of `clear`, bound to `associated_data`.
    pub fn seal(&self, clear: &[u8], associated_data: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError)?;
        self.seal_with_nonce(nonce, clear, associated_data)
    }

    fn seal_with_nonce(
        &self,
        nonce: [u8; NONCE_BYTES],
        clear: &[u8],
        associated_data: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let payload = Payload { msg: clear, aad: associated_data };
        let boxed = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError)?;
        Ok([&nonce[..], &boxed].concat())
    }

    /// What was sealed, unless the key, the associated data or a bit of the box differ.
    pub fn open(&self, sealed: &[u8], associated_data: &[u8]) -> Option<Vec<u8>> {
        let (nonce, boxed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: boxed, aad: associated_data }).ok()
    }

    /// A keyed hash of a request's body: tells equal bodies from others, and nothing once the key is gone.
    pub fn body_hash(&self, body: &[u8]) -> String {
        let mut derived = Zeroizing::new([0_u8; 32]);
        // HKDF can only refuse lengths above 255 hashes; this one is a hash long.
        if Hkdf::<Sha256>::new(None, self.0.as_slice()).expand(b"advisor body hash", derived.as_mut_slice()).is_err() {
            unreachable!("HKDF gives 32 bytes");
        }
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(derived.as_slice()) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(body);
        data_encoding::BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

/// A key is never printed.
impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(…)")
    }
}

/// Why a key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The person has been erased: no key will ever be made for them again.
    #[error("this person's key has been destroyed")]
    Destroyed,
    /// The key store does not answer; the same call may succeed later.
    #[error("the key store is not available: {0}")]
    Unavailable(String),
}

/// Where persons' keys are kept: durable before the first event that is sealed under them.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The person's key, made and stored durably if there is none yet.
    async fn obtain(&self, person: &UserId) -> Result<PersonKey, KeyError>;
    /// The person's key, or `None` if there is none (never made, or destroyed).
    async fn find(&self, person: &UserId) -> Result<Option<PersonKey>, KeyError>;
    /// Destroys the person's key for ever. Destroying what is not there is no error.
    async fn destroy(&self, person: &UserId) -> Result<(), KeyError>;
    /// Returns once nothing of destroyed keys is left where keys are kept, wrapped or not.
    async fn scrub(&self) -> Result<(), KeyError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_body_has_the_same_hash_and_another_body_or_key_has_another() {
        let hash = key(1).body_hash(b"{}");

        assert_eq!(hash, key(1).body_hash(b"{}"));
        assert_ne!(hash, key(1).body_hash(b"{ }"));
        assert_ne!(hash, key(2).body_hash(b"{}"));
    }

    #[test]
    fn a_body_hash_never_changes_from_build_to_build() {
        // Retries are told from reuse by hashes that older builds have written.
        assert_eq!(key(1).body_hash(b"{}"), "yPxfgpaAGuwMJmR1Cd-3awbcHenEHCGG0tDWA7Tw_w4");
    }

    #[test]
    fn a_key_is_not_shown_by_debugging() {
        assert_eq!(format!("{:?}", key(1)), "PersonKey(…)");
    }

    #[test]
    fn two_generated_keys_differ() {
        assert_ne!(PersonKey::generate().unwrap().expose(), PersonKey::generate().unwrap().expose());
    }

    fn key(byte: u8) -> PersonKey {
        PersonKey::from_bytes([byte; 32])
    }
}
