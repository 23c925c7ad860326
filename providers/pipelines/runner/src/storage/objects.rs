//! A bucket of S3 or Google Cloud Storage as a destination, by the crate `object_store`, which signs and retries
//! requests. Large files are uploaded in parts, and a later sync continues an upload.

use super::entry::RemoteFile;
use super::journal::{Journal, Upload};
use super::manifest::LONGEST;
use super::source::SourceFile;
use super::target::{Target, changed};
use super::uploads::Uploads;
use super::{StorageError, StorageErrorKind, content_type};
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::TryStreamExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::Redaction;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// Size of a part, which is in memory for each parallel upload. The vendors require at least 5 MiB.
const PART: u64 = 8 << 20;
/// Maximum number of parts; the vendors allow 10,000.
const MOST_PARTS: u64 = 9_000;
/// First pause before a repeated abort of an upload.
const ABORT_PAUSE: Duration = Duration::from_millis(200);
/// Maximum length of an error's text.
const LONGEST_ERROR: usize = 600;

/// Operations of both vendors' clients.
pub(super) trait Bucket: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Bucket for T {}

/// Objects of a bucket with a common prefix.
pub(super) struct Objects {
    /// Client for reads and for parts.
    pub(super) plain: Arc<dyn Bucket>,
    /// Client that creates objects, with the header for their permissions.
    pub(super) creator: Arc<dyn Bucket>,
    /// Unfinished uploads in parts.
    pub(super) uploads: Uploads,
    /// Prefix of names, without a slash at the end.
    pub(super) prefix: String,
    /// The place, for messages.
    pub(super) shown: String,
    /// Secrets that messages must not contain.
    pub(super) redaction: Redaction,
}

/// Kind of an error by its code, if the status is not specific. Amazon responds with 400 to an expired token
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>), and similar services report a full quota as
/// `QuotaExceeded`.
fn kind_of_code(response: &str) -> StorageErrorKind {
    let has = |codes: &[&str]| codes.iter().any(|code| response.contains(code));
    if has(&["ExpiredToken", "TokenRefreshRequired", "InvalidToken"]) {
        StorageErrorKind::Denied
    } else if has(&["QuotaExceeded"]) {
        StorageErrorKind::Quota
    } else {
        StorageErrorKind::Temporary
    }
}

impl Objects {
    fn key(&self, key: &str) -> Result<Key, StorageError> {
        let whole = if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Key::parse(whole)
            .map_err(|error| StorageError::failed(format!("`{key}` is not a valid name of an object: {error}")))
    }

    fn error(&self, action: &str, key: &str, error: &Error) -> StorageError {
        let text: String = self.redaction.text(&error.to_string()).split_whitespace().collect::<Vec<_>>().join(" ");
        let kind = match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StorageErrorKind::Denied,
            Error::Generic { .. } => kind_of_code(&text),
            _ => StorageErrorKind::Failed,
        };
        let text: String = text.chars().take(LONGEST_ERROR).collect();
        let mapped = StorageError::new(kind, format!("cannot {action} `{key}` of {}: {text}", self.shown));
        match (error, kind) {
            (Error::NotFound { .. }, _) => mapped.hint("check that the bucket exists: terrace does not create it"),
            (_, StorageErrorKind::Denied) => {
                mapped.hint("check the keys of the provider `pipelines`, and their permissions in the bucket")
            }
            (_, StorageErrorKind::Quota) => mapped.hint("free space there, or raise the quota: nothing was removed"),
            _ => mapped,
        }
    }

    fn attributes(key: &str) -> Attributes {
        Attributes::from_iter([(Attribute::ContentType, content_type(key))])
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<String, StorageError> {
        let options = PutOptions { attributes: Self::attributes(key), ..PutOptions::default() };
        let put = self.creator.put_opts(&self.key(key)?, PutPayload::from(bytes), options).await;
        let put = put.map_err(|error| self.error("send", key, &error))?;
        match put.e_tag {
            Some(tag) => Ok(tag),
            None => self.tag(key).await,
        }
    }

    async fn tag(&self, key: &str) -> Result<String, StorageError> {
        let head = self.plain.head(&self.key(key)?).await.map_err(|error| self.error("check", key, &error))?;
        Ok(head.e_tag.unwrap_or_default())
    }

    /// Uploads a large file in parts; parts that were sent before are only read.
    async fn put_parts(
        &self,
        file: &SourceFile,
        upload: &Upload,
        journal: &Journal,
        cancel: &CancellationToken,
    ) -> Result<Result<String, Error>, StorageError> {
        let key = self.key(&file.key)?;
        let mut source = open(file).await?;
        let mut digest = Sha256::new();
        let mut parts: Vec<PartId> = Vec::new();
        loop {
            let bytes = next_part(file, &mut source, upload.part_size).await?;
            if bytes.is_empty() {
                break;
            }
            digest.update(&bytes);
            let number = parts.len();
            if let Some(id) = upload.parts.get(number) {
                parts.push(PartId { content_id: id.clone() });
                continue;
            }
            if cancel.is_cancelled() {
                return Err(stopped(file));
            }
            // A slow part would last beyond the grace period of a pod.
            let part = tokio::select! {
                part = self.plain.put_part(&key, &upload.id, number, PutPayload::from(bytes)) => part,
                () = cancel.cancelled() => return Err(stopped(file)),
            };
            let part = match part {
                Ok(part) => part,
                Err(error) => return Ok(Err(error)),
            };
            journal.record_part(&file.key, &upload.id, &part.content_id)?;
            parts.push(part);
        }
        if base16ct::lower::encode_string(&digest.finalize()) != file.sha256 {
            self.abandon(&file.key, &upload.id).await?;
            return Err(changed(file));
        }
        match self.plain.complete_multipart(&key, &upload.id, parts).await {
            Ok(put) => match put.e_tag {
                Some(tag) => Ok(Ok(tag)),
                None => self.tag(&file.key).await.map(Ok),
            },
            Err(error) => Ok(Err(error)),
        }
    }

    async fn begin(&self, file: &SourceFile, journal: &Journal) -> Result<Upload, StorageError> {
        let options = PutMultipartOptions { attributes: Self::attributes(&file.key), ..PutMultipartOptions::default() };
        let started = self.creator.create_multipart_opts(&self.key(&file.key)?, options).await;
        let id = started.map_err(|error| self.error("send", &file.key, &error))?;
        let part_size = PART.max(file.size.div_ceil(MOST_PARTS));
        let upload = Upload { sha256: file.sha256.clone(), part_size, id, parts: Vec::new() };
        journal.record_start(&file.key, &upload)?;
        Ok(upload)
    }
}

fn stopped(file: &SourceFile) -> StorageError {
    StorageError::new(StorageErrorKind::Stopped, format!("cancelled while sending `{}`", file.key))
}

async fn open(file: &SourceFile) -> Result<File, StorageError> {
    File::open(&file.path).await.map_err(|error| StorageError::io("read", &file.path, &error))
}

async fn next_part(file: &SourceFile, source: &mut File, size: u64) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    let read = source.take(size).read_to_end(&mut bytes).await;
    read.map_err(|error| StorageError::io("read", &file.path, &error))?;
    Ok(bytes)
}

#[async_trait]
impl Target for Objects {
    async fn metadata(&self, keys: &[String]) -> Result<BTreeMap<String, RemoteFile>, StorageError> {
        let wanted: HashSet<&str> = keys.iter().map(String::as_str).collect();
        let prefix = Key::parse(&self.prefix)
            .map_err(|error| StorageError::failed(format!("`{}` is not a valid prefix: {error}", self.prefix)))?;
        let mut remote = BTreeMap::new();
        let mut listed = self.plain.list(Some(&prefix));
        while let Some(object) = listed.try_next().await.map_err(|error| self.error("list", "objects", &error))? {
            let name = object.location.as_ref();
            let key = if self.prefix.is_empty() { Some(name) } else { name.strip_prefix(&self.prefix) };
            let key = key.map(|key| key.trim_start_matches('/')).filter(|key| wanted.contains(key));
            if let Some(key) = key {
                remote.insert(key.to_owned(), RemoteFile { size: object.size, tag: object.e_tag.unwrap_or_default() });
            }
        }
        Ok(remote)
    }

    async fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let got = match self.plain.get(&self.key(key)?).await {
            Ok(got) if got.meta.size <= LONGEST => got,
            Ok(_) => return Err(StorageError::failed(format!("`{key}` of {} is too long", self.shown))),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.error("read", key, &error)),
        };
        let bytes = got.bytes().await.map_err(|error| self.error("read", key, &error))?;
        Ok(Some(bytes.to_vec()))
    }

    async fn digest(&self, key: &str) -> Result<Option<String>, StorageError> {
        let got = match self.plain.get(&self.key(key)?).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.error("read", key, &error)),
        };
        let mut digest = Sha256::new();
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(|error| self.error("read", key, &error))? {
            digest.update(&chunk);
        }
        Ok(Some(base16ct::lower::encode_string(&digest.finalize())))
    }

    async fn send(
        &self,
        file: &SourceFile,
        journal: &Journal,
        cancel: &CancellationToken,
    ) -> Result<String, StorageError> {
        let started = journal.upload(&file.key);
        if let Some(other) = started.as_ref().filter(|started| started.sha256 != file.sha256) {
            self.abandon(&file.key, &other.id).await?;
        }
        if file.size <= PART {
            let bytes = next_part(file, &mut open(file).await?, PART.saturating_add(1)).await?;
            if base16ct::lower::encode_string(&Sha256::digest(&bytes)) != file.sha256 {
                return Err(changed(file));
            }
            return self.put(&file.key, bytes).await;
        }
        let started = started.filter(|started| started.sha256 == file.sha256 && started.part_size > 0);
        if let Some(upload) = started {
            // If the vendor has discarded the upload, start a new one.
            match self.put_parts(file, &upload, journal, cancel).await? {
                Err(Error::NotFound { .. }) => {}
                sent => return sent.map_err(|error| self.error("send", &file.key, &error)),
            }
        }
        let upload = self.begin(file, journal).await?;
        let sent = self.put_parts(file, &upload, journal, cancel).await?;
        sent.map_err(|error| self.error("send", &file.key, &error))
    }

    async fn write(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.put(key, bytes).await.map(|_| ())
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        match self.plain.delete(&self.key(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("remove", key, &error)),
        }
    }

    async fn abandon(&self, key: &str, upload: &str) -> Result<(), StorageError> {
        let (name, id) = (self.key(key)?, upload.to_owned());
        let mut pauses = ExponentialBuilder::default().with_min_delay(ABORT_PAUSE).build();
        loop {
            match (self.plain.abort_multipart(&name, &id).await, pauses.next()) {
                (Ok(()) | Err(Error::NotFound { .. }), _) => return Ok(()),
                // The crate does not repeat it. Servers close the connection when they refuse a part.
                (Err(Error::Generic { .. }), Some(pause)) => tokio::time::sleep(pause).await,
                (Err(error), _) => return Err(self.error("abort the upload of", key, &error)),
            }
        }
    }

    async fn abandon_all(&self, keys: &BTreeSet<&str>) -> Result<(), StorageError> {
        let below = format!("{}/", self.prefix);
        let failed = |why: String| {
            StorageError::failed(format!("cannot list the uploads of {}: {}", self.shown, self.redaction.text(&why)))
        };
        for upload in self.uploads.list(&below).await.map_err(failed)? {
            if let Some(key) = upload.name.strip_prefix(&below).filter(|key| keys.contains(key)) {
                self.abandon(key, &upload.id).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{StorageErrorKind, kind_of_code};

    #[test]
    fn error_code_distinguishes_expired_token_and_quota() {
        let kind = |code: &str| {
            kind_of_code(&format!("Server returned non-2xx status code: 400: <Error><Code>{code}</Code></Error>"))
        };
        assert_eq!(kind("ExpiredToken"), StorageErrorKind::Denied);
        assert_eq!(kind("XMinioBucketQuotaExceeded"), StorageErrorKind::Quota);
        assert_eq!(kind("SlowDown"), StorageErrorKind::Temporary);
    }
}
