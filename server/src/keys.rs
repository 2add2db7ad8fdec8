//! The keys of an embedded installation: made on first use, kept as files in the data directory.
//!
//! | File | Holds | When it is lost |
//! |---|---|---|
//! | `jwt.key` | the secret of local tokens | tokens made so far are refused; make new ones |
//! | `command-signing.key` | the Ed25519 seed that commands to vehicles are signed with | vehicles must be told the new public key |
//!
//! Each is 64 hex digits and a line feed, readable by its owner only; the directory is made with mode 0700.
//! A key is written to a temporary file, synced, and linked to its name: the name shows the whole key or
//! nothing, and of two processes that start together both use the key of the first.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use rideplane_core::ids::KeyId;
use rideplane_http::auth::{KeyFileError, LocalKey, TrustedKey};
use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// The file of the local token key, in the data directory.
pub const TOKEN_KEY_FILE: &str = "jwt.key";
/// The file of the command-signing key, in the data directory.
pub const COMMAND_KEY_FILE: &str = "command-signing.key";
/// The file of the seed from which the embedded adapters' secrets are made.
pub const EMBEDDED_KEY_FILE: &str = "embedded.key";

/// What the embedded adapters must keep to themselves.
pub struct EmbeddedSecrets {
    /// Makes the test gateway's client secrets.
    pub gateway: [u8; 32],
    /// Makes the keys of the vehicle agents.
    pub fleet: [u8; 32],
    /// Signs webhooks, as text.
    pub webhook: String,
}

/// The key that commands to vehicles are signed with, and its name in them. Prints only the name.
#[derive(Clone)]
pub struct CommandKey {
    id: KeyId,
    signing: SigningKey,
}

/// Why a key can't be had. Never holds any part of one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or directory can't be made, read or written.
    #[error("{}: {doing}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// Others may read or write the key file.
    #[error("{}: others than its owner have access to this key (mode {mode:03o}); if nobody else can have seen it: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not a key.
    #[error("{}: this is not a key of 64 hex digits; restore it from a backup, or move it away to have a new one made", .0.display())]
    Malformed(PathBuf),
    /// The system gives no randomness.
    #[error("no random numbers from the system: {0}")]
    NoEntropy(getrandom::Error),
    /// The configured public key is no such thing.
    #[error("{}: {cause}", path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        cause: KeyFileError,
    },
}

/// The local token key of this data directory, made if there is none yet.
///
/// # Errors
/// [`KeyError`]: no access to the directory, a key that others can read, a file that is no key.
pub fn token_key(data: &Path) -> Result<LocalKey, KeyError> {
    load_or_create(data, TOKEN_KEY_FILE).map(LocalKey::from_bytes)
}

/// The command-signing key of this data directory, made if there is none yet.
///
/// # Errors
/// As [`token_key`].
pub fn command_key(data: &Path) -> Result<CommandKey, KeyError> {
    load_or_create(data, COMMAND_KEY_FILE).map(|seed| CommandKey::from_seed(&seed))
}

/// The secrets of the embedded adapters, all from one file of this data directory, made if there is none yet.
///
/// # Errors
/// As [`token_key`].
pub fn embedded_secrets(data: &Path) -> Result<EmbeddedSecrets, KeyError> {
    let seed = load_or_create(data, EMBEDDED_KEY_FILE)?;
    let derive =
        |label: &str| -> [u8; 32] { Sha256::new().chain_update(label).chain_update(seed).finalize().into() };
    Ok(EmbeddedSecrets {
        gateway: derive("rideplane test gateway"),
        fleet: derive("rideplane vehicle agents"),
        webhook: hex(&derive("rideplane webhooks")),
    })
}

/// The keys whose tokens are believed: the identity provider's if one is configured, the local one otherwise.
/// Never both: whoever can read the data directory should not thereby be everyone in production.
///
/// # Errors
/// As [`token_key`], and a configured file that is not a public key.
pub fn trusted_keys(config: &Config) -> Result<Vec<TrustedKey>, KeyError> {
    let Some(path) = &config.auth.public_key_file else {
        return Ok(vec![token_key(&config.data)?.trusted()]);
    };
    let pem = std::fs::read_to_string(path).map_err(io_error(path, "can't be read"))?;
    let key = TrustedKey::from_public_pem(&pem);
    key.map(|key| vec![key]).map_err(|cause| KeyError::PublicKey { path: path.clone(), cause })
}

impl CommandKey {
    /// The key of an Ed25519 seed. Its id is made from the public key, so it can't be given to another key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let digest = Sha256::digest(signing.verifying_key().as_bytes());
        let name = format!("ed25519-{}", hex(digest.get(..8).unwrap_or_default()));
        #[expect(clippy::expect_used, reason = "letters, digits and a hyphen are a key id")]
        let id = KeyId::new(name).expect("hex is a key id");
        Self { id, signing }
    }

    /// The key's name in commands (COSE `kid`): `ed25519-` and 16 hex digits of the SHA-256 of the public key.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// The half that signs.
    #[must_use]
    pub const fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The half that vehicles check with.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        self.signing.verifying_key()
    }
}

impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Makes the data directory, for its owner only, if it is not there.
///
/// # Errors
/// [`KeyError::Io`] when it can't be made, for example because a file has its name.
pub fn create_data_dir(data: &Path) -> Result<(), KeyError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data).map_err(io_error(data, "the data directory can't be made"))
}

fn load_or_create(data: &Path, name: &str) -> Result<[u8; 32], KeyError> {
    let path = data.join(name);
    if let Some(key) = load(&path)? {
        return Ok(key);
    }
    create_data_dir(data)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(KeyError::NoEntropy)?;
    if create(data, &path, &key)? {
        return Ok(key);
    }
    // Another process was first: its key counts.
    load(&path)?.ok_or(KeyError::Malformed(path))
}

/// The key in the file; nothing when there is no file.
fn load(path: &Path) -> Result<Option<[u8; 32]>, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(io_error(path, "can't be opened")(cause)),
    };
    refuse_exposed(&file, path)?;
    let mut text = Vec::new();
    file.take(128).read_to_end(&mut text).map_err(io_error(path, "can't be read"))?;
    unhex(&text).map(Some).ok_or_else(|| KeyError::Malformed(path.to_path_buf()))
}

#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(io_error(path, "can't be examined"))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Exposed { path: path.to_path_buf(), mode }) }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &File, _: &Path) -> Result<(), KeyError> {
    Ok(())
}

/// Writes the key under its name; `false` when the name was taken meanwhile.
fn create(data: &Path, path: &Path, key: &[u8; 32]) -> Result<bool, KeyError> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(KeyError::NoEntropy)?;
    let temporary = data.join(format!(".new-key-{}", hex(&suffix)));
    let written = write_new(&temporary, key).and_then(|()| match std::fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    // The link has the key by now; a temporary file that can't be removed is as protected as the key.
    let _ = std::fs::remove_file(&temporary);
    let created = written.map_err(io_error(path, "the new key can't be written"))?;
    // Without this a power cut could take the name away again after the key was used.
    File::open(data).and_then(|dir| dir.sync_all()).map_err(io_error(data, "can't be synced"))?;
    Ok(created)
}

fn write_new(path: &Path, key: &[u8; 32]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(format!("{}\n", hex(key)).as_bytes())?;
    file.sync_all()
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_path_buf();
    move |cause| KeyError::Io { path, doing, cause }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hex digits, of either case; white space around them is passed over.
pub(crate) fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.trim_ascii().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer as _;
    use std::fs;

    fn permissions(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_are_made_once_for_their_owner_and_loaded_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("new/data");
        let first = command_key(&data).unwrap();
        let again = command_key(&data).unwrap();
        assert_eq!(first.signing().to_bytes(), again.signing().to_bytes());
        assert_eq!(first.id(), again.id());
        token_key(&data).unwrap();
        assert_eq!(permissions(&data), 0o700);
        let files: std::collections::BTreeSet<_> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, [COMMAND_KEY_FILE, TOKEN_KEY_FILE].map(String::from).into());
        for name in files {
            assert_eq!(permissions(&data.join(name)), 0o600);
        }
        let other = command_key(parent.path()).unwrap();
        assert_ne!(other.id(), first.id());
    }

    #[test]
    fn the_key_id_belongs_to_the_public_key() {
        let key = CommandKey::from_seed(&[7; 32]);
        // The SHA-256 of the public key, from another implementation (Python's cryptography).
        assert_eq!(key.id().as_str(), "ed25519-fe812c12f3ab4ce6");
        assert!(key.verifying().verify_strict(b"unlock", &key.signing().sign(b"unlock")).is_ok());
        assert_eq!(format!("{key:?}"), "CommandKey { id: KeyId(\"ed25519-fe812c12f3ab4ce6\"), .. }");
    }

    #[test]
    fn of_processes_that_start_together_all_have_the_first_ones_key() {
        let data = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let race = || {
            start.wait();
            command_key(data.path()).unwrap().signing().to_bytes()
        };
        let keys: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_key_that_others_can_reach_is_refused() {
        let data = tempfile::tempdir().unwrap();
        token_key(data.path()).unwrap();
        let path = data.path().join(TOKEN_KEY_FILE);
        for mode in [0o644, 0o640, 0o602, 0o606, 0o610] {
            chmod(&path, mode);
            let error = token_key(data.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:o}")) && error.contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400] {
            chmod(&path, mode);
            assert!(token_key(data.path()).is_ok());
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(TOKEN_KEY_FILE);
        let good = "ab".repeat(32);
        for bad in
            ["", "\n", &good[..63], &format!("{good}00"), &good.replace('a', "g"), &"\u{e4}".repeat(32)]
        {
            fs::write(&path, bad).unwrap();
            chmod(&path, 0o600);
            let error = token_key(data.path()).unwrap_err();
            assert!(matches!(error, KeyError::Malformed(_)), "{bad:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
        fs::write(&path, "AB".repeat(32)).unwrap();
        assert!(token_key(data.path()).is_ok(), "an editor's missing line feed and upper case are fine");
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        fs::write(&data, "").unwrap();
        let error = token_key(&data).unwrap_err().to_string();
        assert!(error.starts_with(&data.display().to_string()), "{error}");
    }

    #[test]
    fn an_identity_providers_key_takes_the_local_ones_place() {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config { data: data.path().join("data"), ..Config::default() };
        assert_eq!(format!("{:?}", trusted_keys(&config).unwrap()), "[TrustedKey(HS256)]");
        let pem = data.path().join("idp.pem");
        config.auth.public_key_file = Some(pem.clone());
        assert!(trusted_keys(&config).unwrap_err().to_string().contains("idp.pem"));
        fs::write(&pem, "-----BEGIN PRIVATE KEY-----").unwrap();
        assert!(trusted_keys(&config).unwrap_err().to_string().contains("private key"));
        let ed = "MCowBQYDK2VwAyEAZhtXeQ0E0db3/fLYjfMlvtvSf8JMaVZei0WXzgpxTGM=";
        fs::write(&pem, format!("-----BEGIN PUBLIC KEY-----\n{ed}\n-----END PUBLIC KEY-----\n")).unwrap();
        assert_eq!(format!("{:?}", trusted_keys(&config).unwrap()), "[TrustedKey(EdDSA)]");
    }
}
