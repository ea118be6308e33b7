//! The key that wraps all persons' keys: given by the operator, or made in the data directory.

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The file of the persons' keys in the data directory.
pub(crate) const KEYS_FILE: &str = "keys.db";

/// The master key's 32 bytes: from the configuration, else from `master.key`, made on first use.
pub(crate) fn load_or_create(data_dir: &Path, configured: Option<&SecretString>) -> Result<[u8; 32]> {
    let path = file(data_dir);
    if configured.is_none() && !path.exists() {
        if data_dir.join(KEYS_FILE).exists() {
            bail!(
                "{} is missing and the persons' keys are there: give the key that they were wrapped with as \
                 `master_key`, or put the file back; a new one could open nothing",
                path.display()
            );
        }
        create(&path).with_context(|| format!("the master key {} can't be made", path.display()))?;
    }
    load(data_dir, configured)
}

/// The same where it has been made.
pub(crate) fn load(data_dir: &Path, configured: Option<&SecretString>) -> Result<[u8; 32]> {
    if let Some(secret) = configured {
        return decode(secret.expose_secret()).context("`master_key` must be 32 bytes in base64 or hexadecimal");
    }
    let path = file(data_dir);
    let text = fs::read_to_string(&path).with_context(|| format!("the master key {} can't be read", path.display()))?;
    decode(text.trim()).with_context(|| format!("the master key {} is damaged", path.display()))
}

/// A key of its own for one use, which tells nothing of the master key.
pub(crate) fn derive(master_key: &[u8; 32], purpose: &str) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    let derived = Hkdf::<Sha256>::new(None, master_key).expand(purpose.as_bytes(), &mut key);
    derived.map_err(|_| anyhow!("the key of {purpose} can't be derived"))?;
    Ok(key)
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("master.key")
}

/// Written beside and linked into place, so that no crash leaves half a key and no second process replaces one.
fn create(path: &Path) -> Result<()> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow!("no randomness: {error}"))?;
    let fresh = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(STANDARD.encode(key).as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        Err(_) | Ok(()) => {}
    }
    fs::File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    Ok(())
}

fn decode(text: &str) -> Result<[u8; 32]> {
    let bytes = if text.len() == 64 { decode_hexadecimal(text)? } else { STANDARD.decode(text)? };
    let Ok(key) = <[u8; 32]>::try_from(bytes) else { bail!("not 32 bytes") };
    Ok(key)
}

fn decode_hexadecimal(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.context("not hexadecimal")?;
    digits.chunks_exact(2).map(|pair| Ok(u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit))?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let key = load_or_create(directory.path(), None).unwrap();
        assert_eq!(load_or_create(directory.path(), None).unwrap(), key);
        let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_new_key_is_made_where_persons_keys_need_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(KEYS_FILE), "").unwrap();
        let error = load_or_create(directory.path(), None).unwrap_err().to_string();
        assert!(error.contains("master.key") && error.contains("master_key"), "{error}");
    }

    #[test]
    fn a_configured_key_is_taken_in_base64_and_hexadecimal_and_a_short_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let hexadecimal = SecretString::from("07".repeat(32));
        let base64 = SecretString::from(STANDARD.encode([7_u8; 32]));
        assert_eq!(load_or_create(directory.path(), Some(&hexadecimal)).unwrap(), [7; 32]);
        assert_eq!(load_or_create(directory.path(), Some(&base64)).unwrap(), [7; 32]);
        assert!(load_or_create(directory.path(), Some(&SecretString::from("c2hvcnQ="))).is_err());
    }
}
