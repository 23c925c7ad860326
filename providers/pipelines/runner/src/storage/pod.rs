//! The part of a copy that runs in a pod of a cluster: it reads a claim, copies files from it as a sync on one machine does,
//! and prints events.

use super::access::{Access, Keys};
use super::place::Endpoints;
use super::source::Filter;
use super::{Storage, StorageError, StorageErrorKind, SyncEvent, SyncRequest};
use crate::executor::MOUNT;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use terrace_provider::sandbox::ProtectedFiles;
use terrace_provider::{Attributes, Object, Redaction, Value};
use tokio_util::sync::CancellationToken;

/// Words of the subcommand that copies files in a pod.
pub const COMMAND: [&str; 3] = ["pipelines", "pod", "sync"];
/// Folder into which the Secret with the request is mounted, and its files: the request and certificate authorities.
pub(super) const MOUNTED: (&str, &str, &str) = ("/terrace/sync", "sync.json", "authorities.pem");
/// Folder for temporary files.
pub(super) const TEMPORARY: &str = "/tmp";

/// A copy of files on a claim. It holds credentials, so it has no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodCopy {
    /// Folder in the claim that stands for the project folder.
    pub(super) project: PathBuf,
    /// Folders to copy, relative to it.
    pub(super) folders: Vec<PathBuf>,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) destination: String,
    pub(super) name: String,
    pub(super) removes: bool,
    pub(super) public: bool,
    pub(super) checksum: bool,
    pub(super) public_url: Option<String>,
    pub(super) mark: String,
    access: PodAccess,
}

/// Addresses and credentials of destinations, as text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodAccess {
    s3_endpoint: Option<String>,
    region: String,
    gcs_endpoint: Option<String>,
    /// Id, secret and session token.
    s3: Option<(String, String, Option<String>)>,
    gcs: Option<String>,
    web: Option<String>,
    has_authorities: bool,
}

impl PodAccess {
    fn of(access: &Access) -> Self {
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        let keys = |keys: &Keys| (exposed(&keys.id), exposed(&keys.secret), keys.session.as_ref().map(exposed));
        Self {
            s3_endpoint: access.endpoints.s3.clone(),
            region: access.endpoints.region.clone(),
            gcs_endpoint: access.endpoints.gcs.clone(),
            s3: access.s3.as_ref().map(keys),
            gcs: access.gcs.as_ref().map(exposed),
            web: access.web.as_ref().map(exposed),
            has_authorities: access.authorities.is_some(),
        }
    }

    fn open(self, mounted: &Path) -> Access {
        let secrets = self.s3.iter().flat_map(|(id, secret, session)| [Some(id), Some(secret), session.as_ref()]);
        let secrets = secrets.flatten().chain(&self.gcs).chain(&self.web).enumerate();
        let secrets: Attributes =
            secrets.map(|(at, secret)| (at.to_string(), Value::sensitive(secret.as_str().into()))).collect();
        let keys = |(id, secret, session): (String, String, Option<String>)| Keys {
            id: id.into(),
            secret: secret.into(),
            session: session.map(SecretString::from),
        };
        Access {
            redaction: Redaction::of(&Object::default(), [&secrets]),
            endpoints: Endpoints { s3: self.s3_endpoint, region: self.region, gcs: self.gcs_endpoint },
            s3: self.s3.map(keys),
            gcs: self.gcs.map(SecretString::from),
            web: self.web.map(SecretString::from),
            authorities: self.has_authorities.then(|| mounted.join(MOUNTED.2)),
            protected: ProtectedFiles::default(),
        }
    }
}

impl PodCopy {
    /// The copy of a request whose folders are below the project folder of a storage.
    ///
    /// # Errors
    /// When a folder is elsewhere.
    pub(super) fn of(storage: &Storage, project: &str, request: &SyncRequest) -> Result<Self, StorageError> {
        let within = |folder: &PathBuf| match folder.strip_prefix(&storage.project) {
            Ok(within) => Ok(within.to_owned()),
            Err(_) => {
                let message = format!("`{}` is not on the claim: it is outside of the project", folder.display());
                Err(StorageError::failed(message))
            }
        };
        let (include, exclude) = request.filter.patterns().clone();
        Ok(Self {
            project: project.into(),
            folders: request.folders.iter().map(within).collect::<Result<_, _>>()?,
            include,
            exclude,
            destination: request.destination.clone(),
            name: request.name.clone(),
            removes: request.removes,
            public: request.public,
            checksum: request.checksum,
            public_url: request.public_url.clone(),
            mark: request.mark.clone(),
            access: PodAccess::of(&storage.access),
        })
    }

    /// The copy without its call and without credentials.
    pub(super) fn content(&self) -> Json {
        let Self { project, folders, include, exclude, destination, name, removes, public, checksum, .. } = self;
        let PodAccess { s3_endpoint, region, gcs_endpoint, .. } = &self.access;
        json!([
            project,
            folders,
            include,
            exclude,
            destination,
            name,
            removes,
            public,
            checksum,
            self.public_url,
            s3_endpoint,
            region,
            gcs_endpoint,
        ])
    }

    /// The values of the Secret for the pod, by key.
    ///
    /// # Errors
    /// When the file of certificate authorities cannot be read.
    pub(super) fn secret(&self, authorities: Option<&Path>) -> Result<Vec<(&'static str, Vec<u8>)>, StorageError> {
        let text = serde_json::to_vec(self)
            .map_err(|error| StorageError::failed(format!("the copy cannot be described: {error}")))?;
        let mut values = vec![(MOUNTED.1, text)];
        if let Some(file) = authorities {
            values.push((MOUNTED.2, fs::read(file).map_err(|error| StorageError::io("read", file, &error))?));
        }
        Ok(values)
    }
}

/// A line that the pod prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopyLine {
    /// Number of the line, from 1.
    pub(super) n: u64,
    pub(super) event: CopyEvent,
}

/// The event of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum CopyEvent {
    Started {
        public: bool,
    },
    Copying {
        from: String,
        to: String,
    },
    Warned {
        message: String,
    },
    /// The end of a copy that succeeded.
    Copied {
        sent: usize,
        bytes: u64,
        changes: Vec<String>,
    },
    /// The end of a copy that failed.
    Failed {
        kind: FailureKind,
        message: String,
        hint: Option<String>,
    },
}

/// Kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum FailureKind {
    Denied,
    Quota,
    Temporary,
    Other,
}

impl FailureKind {
    pub(super) const fn of(kind: StorageErrorKind) -> Self {
        match kind {
            StorageErrorKind::Denied => Self::Denied,
            StorageErrorKind::Quota => Self::Quota,
            StorageErrorKind::Temporary => Self::Temporary,
            StorageErrorKind::Invalid(_) | StorageErrorKind::Stopped | StorageErrorKind::Failed => Self::Other,
        }
    }

    pub(super) const fn kind(self) -> StorageErrorKind {
        match self {
            Self::Denied => StorageErrorKind::Denied,
            Self::Quota => StorageErrorKind::Quota,
            Self::Temporary => StorageErrorKind::Temporary,
            Self::Other => StorageErrorKind::Failed,
        }
    }
}

/// Paths in a pod.
#[derive(Debug, Clone)]
pub struct PodCopyPaths {
    /// Folder with the request.
    pub mounted: PathBuf,
    /// Folder for temporary files.
    pub temporary: PathBuf,
    /// Folder into which the claim is mounted.
    pub claim: PathBuf,
}

impl Default for PodCopyPaths {
    fn default() -> Self {
        Self { mounted: MOUNTED.0.into(), temporary: TEMPORARY.into(), claim: MOUNT.into() }
    }
}

/// How the work of the pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodCopyExit {
    /// All files are at the destination.
    Copied,
    /// The pod reports the failure.
    Failed,
    /// The pod was asked to end: another pod copies again.
    Terminated,
}

/// Copies the files of the pod's request, and prints events.
///
/// # Errors
/// When the request cannot be read.
pub async fn run(paths: &PodCopyPaths, out: impl Write + Send, cancel: &CancellationToken) -> io::Result<PodCopyExit> {
    let copy: PodCopy = serde_json::from_slice(&fs::read(paths.mounted.join(MOUNTED.1))?).map_err(io::Error::other)?;
    let out = Mutex::new((0, out));
    let print = |event: CopyEvent| {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        out.0 += 1;
        let mut line = serde_json::to_vec(&CopyLine { n: out.0, event }).unwrap_or_default();
        line.push(b'\n');
        // Without a reader the copy goes on.
        let _ = out.1.write_all(&line).and_then(|()| out.1.flush());
    };
    let report = |event: SyncEvent<'_>| match event {
        SyncEvent::Started { public } => print(CopyEvent::Started { public }),
        SyncEvent::Copying { from, to } => {
            print(CopyEvent::Copying { from: from.to_owned(), to: to.to_owned() });
        }
        SyncEvent::Warned { message } => print(CopyEvent::Warned { message: message.to_owned() }),
    };
    match copy.run(paths, &report, cancel).await {
        Ok(copied) => {
            print(copied);
            Ok(PodCopyExit::Copied)
        }
        Err(_) if cancel.is_cancelled() => Ok(PodCopyExit::Terminated),
        Err(error) => {
            print(CopyEvent::Failed {
                kind: FailureKind::of(error.kind),
                message: error.message().to_owned(),
                hint: error.advice().map(str::to_owned),
            });
            Ok(PodCopyExit::Failed)
        }
    }
}

impl PodCopy {
    async fn run(
        self,
        paths: &PodCopyPaths,
        report: &(dyn Fn(SyncEvent<'_>) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<CopyEvent, StorageError> {
        let project = within(&paths.claim, &paths.claim.join(&self.project))?;
        for folder in &self.folders {
            within(&paths.claim, &project.join(folder))?;
        }
        let folders = self.folders.iter().map(|folder| project.join(folder)).collect();
        let filter = Filter::new(&self.include, &self.exclude)?;
        let request = SyncRequest {
            removes: self.removes,
            public: self.public,
            checksum: self.checksum,
            public_url: self.public_url,
            mark: self.mark,
            ..SyncRequest::new(self.destination, self.name, folders, filter)
        };
        let access = self.access.open(&paths.mounted);
        let storage = Storage::new(access, project, paths.temporary.join("records")).without_journals();
        let tree = storage.tree(request.folders.clone(), request.filter.clone()).await?;
        let tree = tree.ok_or_else(|| StorageError::failed("a folder to copy is gone from the claim"))?;
        let changes = storage.changes(&request, &tree).await?;
        let synced = storage.sync(&request, &tree, report, cancel).await?;
        Ok(CopyEvent::Copied { sent: synced.sent, bytes: synced.bytes, changes })
    }
}

/// A folder of the claim without links, which must exist. Links of steps cannot lead out of the claim.
fn within(claim: &Path, folder: &Path) -> Result<PathBuf, StorageError> {
    let shown = folder.strip_prefix(claim).unwrap_or(folder).display();
    let real = match (claim.canonicalize(), folder.canonicalize()) {
        (Ok(claim), Ok(folder)) if folder.starts_with(&claim) => folder,
        (_, Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::io("read", folder, &error));
        }
        (_, Err(_)) => {
            return Err(StorageError::failed(format!("the claim has no folder `{shown}` to copy"))
                .hint("run the pipeline that writes it, or correct `source`"));
        }
        _ => return Err(StorageError::failed(format!("`{shown}` leads out of the claim"))),
    };
    Ok(real)
}

/// The mount of the Secret and of the claim, for manifests.
pub(super) fn mounts() -> Json {
    json!([
        {"name": "sync", "mountPath": MOUNTED.0, "readOnly": true},
        {"name": "temporary", "mountPath": TEMPORARY},
        {"name": "results", "mountPath": MOUNT, "readOnly": true},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pod {
        folder: tempfile::TempDir,
        paths: PodCopyPaths,
    }

    impl Pod {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            for name in ["mounted", "claim/shop/data/orders", "there"] {
                fs::create_dir_all(at(name)).unwrap();
            }
            fs::write(at("claim/shop/data/orders/a.csv"), "1").unwrap();
            fs::write(at("claim/shop/data/orders/datapackage.json"), "{}").unwrap();
            let paths = PodCopyPaths { mounted: at("mounted"), temporary: at("tmp"), claim: at("claim") };
            Self { folder, paths }
        }

        /// Copies this folder of the project, and returns the events.
        async fn copy(&self, from: &str) -> (PodCopyExit, Vec<CopyEvent>) {
            let access = PodAccess {
                s3_endpoint: None,
                region: String::new(),
                gcs_endpoint: None,
                s3: Some(("id".to_owned(), "hunter2-secret".to_owned(), None)),
                gcs: None,
                web: None,
                has_authorities: false,
            };
            let copy = PodCopy {
                project: "shop".into(),
                folders: vec![from.into()],
                include: Vec::new(),
                exclude: Vec::new(),
                destination: self.folder.path().join("there").display().to_string(),
                name: "weekly".to_owned(),
                removes: true,
                public: false,
                checksum: false,
                public_url: None,
                mark: "o/s".to_owned(),
                access,
            };
            for (key, value) in copy.secret(None).unwrap() {
                fs::write(self.paths.mounted.join(key), value).unwrap();
            }
            let mut out = Vec::new();
            let exit = run(&self.paths, &mut out, &CancellationToken::new()).await.unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(!text.contains("hunter2"), "{text}");
            (exit, text.lines().map(|line| serde_json::from_str::<CopyLine>(line).unwrap().event).collect())
        }
    }

    #[tokio::test]
    async fn pod_copies_a_folder_of_the_claim() {
        let pod = Pod::new();
        let (exit, events) = pod.copy("data/orders").await;
        assert_eq!((exit, &events[0]), (PodCopyExit::Copied, &CopyEvent::Started { public: false }));
        assert!(matches!(&events[1], CopyEvent::Copying { from, .. } if from == "data/orders"), "{events:?}");
        assert!(matches!(&events[2], CopyEvent::Copied { sent: 2, changes, .. } if !changes.is_empty()), "{events:?}");
        assert_eq!(fs::read_to_string(pod.folder.path().join("there/weekly/orders/a.csv")).unwrap(), "1");
        let (_, events) = pod.copy("data/orders").await;
        assert!(matches!(&events[2], CopyEvent::Copied { sent: 0, .. }), "nothing changed: {events:?}");
    }

    #[tokio::test]
    async fn folder_that_is_missing_or_leads_out_of_the_claim_is_refused() {
        let pod = Pod::new();
        std::os::unix::fs::symlink(pod.folder.path(), pod.folder.path().join("claim/shop/out")).unwrap();
        for (from, expected) in [("data/none", "the claim has no folder"), ("out", "leads out of the claim")] {
            let (exit, events) = pod.copy(from).await;
            assert_eq!(exit, PodCopyExit::Failed);
            assert!(
                matches!(&events[0], CopyEvent::Failed { message, .. } if message.contains(expected)),
                "{events:?}"
            );
        }
    }
}
