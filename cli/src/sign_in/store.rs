//! The private file with the sign-ins of a user, by server.

use crate::files::{OtherAccess, access_of_others, describe_io_error, make_private};
use crate::variables::Variables;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use terrace_server::auth::SignInToken;

/// The file in the user's configuration folder.
const FILE: &str = "terrace/sign-ins.json";
/// The file whose lock a process holds while it changes the sign-ins.
const LOCK: &str = "sign-ins.lock";

/// A sign-in to a server.
#[derive(Clone)]
pub(crate) struct SignIn {
    /// The address of tokens of the issuer.
    pub(crate) token_url: String,
    /// The address that revokes tokens, if the issuer has one.
    pub(crate) revocation_url: Option<String>,
    /// The client of the issuer.
    pub(crate) client_id: String,
    /// The secret of the client, which is public.
    pub(crate) client_secret: Option<SecretString>,
    /// The kind of token that the server accepts.
    pub(crate) kind: SignInToken,
    /// The token for the server.
    pub(crate) token: SecretString,
    /// The token for new tokens.
    pub(crate) refresh_token: Option<SecretString>,
    /// The end of the token; `None` if it has none.
    pub(crate) expires_at: Option<Timestamp>,
}

/// A sign-in in the file. It has secrets, so it cannot be printed.
#[derive(Serialize, Deserialize)]
struct Stored {
    token_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_url: Option<String>,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    kind: SignInToken,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    servers: BTreeMap<String, Stored>,
}

impl From<Stored> for SignIn {
    fn from(stored: Stored) -> Self {
        Self {
            token_url: stored.token_url,
            revocation_url: stored.revocation_url,
            client_id: stored.client_id,
            client_secret: stored.client_secret.map(SecretString::from),
            kind: stored.kind,
            token: stored.token.into(),
            refresh_token: stored.refresh_token.map(SecretString::from),
            expires_at: stored.expires_at,
        }
    }
}

impl From<&SignIn> for Stored {
    fn from(sign_in: &SignIn) -> Self {
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        Self {
            token_url: sign_in.token_url.clone(),
            revocation_url: sign_in.revocation_url.clone(),
            client_id: sign_in.client_id.clone(),
            client_secret: sign_in.client_secret.as_ref().map(exposed),
            kind: sign_in.kind,
            token: exposed(&sign_in.token),
            refresh_token: sign_in.refresh_token.as_ref().map(exposed),
            expires_at: sign_in.expires_at,
        }
    }
}

/// The file with sign-ins.
#[derive(Debug, Clone)]
pub(crate) struct SignInFile {
    path: PathBuf,
}

/// The right to change the file. Other processes wait for it.
pub(crate) struct LockedFile {
    file: SignInFile,
    _lock: File,
}

impl SignInFile {
    /// The file of the user; `None` without a configuration folder.
    pub(crate) fn of_user(variables: &Variables) -> Option<Self> {
        let folder = match variables.get("XDG_CONFIG_HOME").map(Path::new).filter(|folder| folder.is_absolute()) {
            Some(folder) => folder.to_owned(),
            None => Path::new(variables.get("HOME")?).join(".config"),
        };
        Some(Self { path: folder.join(FILE) })
    }

    /// The sign-in to a server.
    ///
    /// # Errors
    /// When the file cannot be read, or other users can read it; in words.
    pub(crate) fn find(&self, server: &str) -> Result<Option<SignIn>, String> {
        Ok(self.read()?.servers.remove(server).map(SignIn::from))
    }

    fn read(&self) -> Result<Content, String> {
        let shown = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Content::default()),
            Err(error) => {
                return Err(format!("the sign-ins in `{shown}` cannot be read: {}", describe_io_error(&error)));
            }
            Ok(text) => text,
        };
        if access_of_others(&self.path) != OtherAccess::None {
            let remedy = make_private(&self.path);
            return Err(format!("the sign-ins in `{shown}` are open to other users of this machine: {remedy}"));
        }
        serde_json::from_str(&text)
            .map_err(|_| format!("the sign-ins in `{shown}` are damaged: remove the file, and sign in again"))
    }

    /// Waits for the right to change the file. Creates its folder, which only the user may read.
    ///
    /// # Errors
    /// When a file cannot be created; in words.
    pub(crate) fn lock(&self) -> Result<LockedFile, String> {
        let failed = |error: std::io::Error| {
            format!("the sign-ins in `{}` cannot be changed: {}", self.path.display(), describe_io_error(&error))
        };
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        if let Some(above) = folder.parent() {
            std::fs::create_dir_all(above).map_err(failed)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => created.map_err(failed)?,
        }
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(LockedFile { file: self.clone(), _lock: lock })
    }
}

impl LockedFile {
    /// Replaces the sign-in to a server, or removes it. Returns the one before. A crash leaves the old file or the new one.
    ///
    /// # Errors
    /// When the file cannot be read or written; in words.
    pub(crate) fn replace(&self, server: &str, sign_in: Option<&SignIn>) -> Result<Option<SignIn>, String> {
        let mut content = self.file.read()?;
        let before = content.servers.remove(server);
        if let Some(sign_in) = sign_in {
            content.servers.insert(server.to_owned(), Stored::from(sign_in));
        }
        let path = &self.file.path;
        let write = || -> std::io::Result<()> {
            // Created with the mode 0600.
            let mut file = NamedTempFile::new_in(path.parent().unwrap_or_else(|| Path::new(".")))?;
            serde_json::to_writer(&mut file, &content)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|error| {
            format!("the sign-ins in `{}` cannot be written: {}", path.display(), describe_io_error(&error))
        })?;
        Ok(before.map(SignIn::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn sign_in(token: &str) -> SignIn {
        SignIn {
            token_url: "https://login.example.com/token".to_owned(),
            revocation_url: None,
            client_id: "terrace".to_owned(),
            client_secret: None,
            kind: SignInToken::Access,
            token: token.into(),
            refresh_token: Some("refresh".into()),
            expires_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    fn file() -> (tempfile::TempDir, SignInFile) {
        let folder = tempfile::tempdir().unwrap();
        let variables: Variables = [("XDG_CONFIG_HOME", folder.path().to_str().unwrap())].into_iter().collect();
        (folder, SignInFile::of_user(&variables).unwrap())
    }

    fn token(file: &SignInFile, server: &str) -> Option<String> {
        file.find(server).unwrap().map(|found| found.token.expose_secret().to_owned())
    }

    #[test]
    fn sign_ins_are_kept_by_server_in_a_private_file() {
        let (_folder, file) = file();
        assert_eq!(token(&file, "https://a"), None);
        file.lock().unwrap().replace("https://a", Some(&sign_in("one"))).unwrap();
        file.lock().unwrap().replace("https://b", Some(&sign_in("two"))).unwrap();
        assert_eq!(token(&file, "https://a").as_deref(), Some("one"));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.path), mode(file.path.parent().unwrap())), (0o600, 0o700));
        assert!(file.lock().unwrap().replace("https://a", None).unwrap().is_some());
        assert_eq!((token(&file, "https://a"), token(&file, "https://b").as_deref()), (None, Some("two")));
        assert!(file.lock().unwrap().replace("https://a", None).unwrap().is_none());
    }

    #[test]
    fn open_or_damaged_file_is_refused_without_its_content() {
        let (_folder, file) = file();
        file.lock().unwrap().replace("https://a", Some(&sign_in("hunter2"))).unwrap();
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let why = file.find("https://a").err().unwrap();
        assert!(why.contains("are open to other users") && why.contains("chmod"), "{why}");
        std::fs::write(&file.path, "{\"servers\": {\"https://a\": {\"token\": \"hunter2\"}}}").unwrap();
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let why = file.find("https://a").err().unwrap();
        assert!(why.contains("are damaged") && !why.contains("hunter2"), "{why}");
    }
}
