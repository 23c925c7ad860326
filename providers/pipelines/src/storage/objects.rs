//! A bucket of S3 or Google Cloud Storage as a destination, by the crate `object_store`, which signs requests and sends them
//! again. Large files go in parts, which a later sync goes on with.

use super::journal::{Journal, Upload};
use super::manifest::LONGEST;
use super::source::SourceFile;
use super::target::{Seen, Target, changed};
use super::{StorageError, Trouble, content_type};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use terrace_provider::Redaction;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// A part of a large file: as much as is in memory of each file that is being sent. The vendors take 5 MiB and more.
const PART: u64 = 8 << 20;
/// The vendors take 10,000.
const MOST_PARTS: u64 = 9_000;
/// So much of an error's text is told.
const LONGEST_TOLD: usize = 600;

/// What both vendors' clients can.
pub(super) trait Bucket: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Bucket for T {}

/// Everything of a bucket whose names begin alike.
pub(super) struct Objects {
    /// Looks, and sends parts.
    pub(super) plain: Arc<dyn Bucket>,
    /// Makes objects: with the header that says who may read them.
    pub(super) making: Arc<dyn Bucket>,
    /// What names begin with, without a slash at the end.
    pub(super) prefix: String,
    /// The place, for messages.
    pub(super) shown: String,
    /// What no message repeats.
    pub(super) redaction: Redaction,
}

/// What kind of trouble an answer tells by its code that its status does not: Amazon answers 400 to a token that has expired
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>), and stores like it limit what they keep by
/// `QuotaExceeded`.
fn of_code(said: &str) -> Trouble {
    let has = |codes: &[&str]| codes.iter().any(|code| said.contains(code));
    if has(&["ExpiredToken", "TokenRefreshRequired", "InvalidToken"]) {
        Trouble::Denied
    } else if has(&["QuotaExceeded"]) {
        Trouble::Quota
    } else {
        Trouble::Temporary
    }
}

impl Objects {
    fn key(&self, key: &str) -> Result<Key, StorageError> {
        let whole = if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Key::parse(whole).map_err(|error| StorageError::failed(format!("`{key}` can be no name of an object: {error}")))
    }

    fn told(&self, action: &str, key: &str, error: &Error) -> StorageError {
        let said: String = self.redaction.text(&error.to_string()).split_whitespace().collect::<Vec<_>>().join(" ");
        let trouble = match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Trouble::Denied,
            Error::Generic { .. } => of_code(&said),
            _ => Trouble::Failed,
        };
        let said: String = said.chars().take(LONGEST_TOLD).collect();
        let told = StorageError::new(trouble, format!("cannot {action} `{key}` of {}: {said}", self.shown));
        match (error, trouble) {
            (Error::NotFound { .. }, _) => told.hint("is there such a bucket? terrace makes none"),
            (_, Trouble::Denied) => {
                told.hint("look at the keys of the provider `pipelines`, and at what they may do in the bucket")
            }
            (_, Trouble::Quota) => told.hint("make room there, or have more kept there: nothing was removed"),
            _ => told,
        }
    }

    fn attributes(key: &str) -> Attributes {
        Attributes::from_iter([(Attribute::ContentType, content_type(key))])
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<String, StorageError> {
        let options = PutOptions { attributes: Self::attributes(key), ..PutOptions::default() };
        let put = self.making.put_opts(&self.key(key)?, PutPayload::from(bytes), options).await;
        let put = put.map_err(|error| self.told("send", key, &error))?;
        match put.e_tag {
            Some(tag) => Ok(tag),
            None => self.tag(key).await,
        }
    }

    async fn tag(&self, key: &str) -> Result<String, StorageError> {
        let head = self.plain.head(&self.key(key)?).await.map_err(|error| self.told("look at", key, &error))?;
        Ok(head.e_tag.unwrap_or_default())
    }

    /// Sends a large file in parts; those that are there already are only read here.
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
                return Err(StorageError::new(Trouble::Stopped, format!("stopped while sending `{}`", file.key)));
            }
            let part = match self.plain.put_part(&key, &upload.id, number, PutPayload::from(bytes)).await {
                Ok(part) => part,
                Err(error) => return Ok(Err(error)),
            };
            journal.has_part(&file.key, &upload.id, &part.content_id)?;
            parts.push(part);
        }
        if base16ct::lower::encode_string(&digest.finalize()) != file.sha256 {
            self.abandon(&file.key, upload).await?;
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
        let begun = self.making.create_multipart_opts(&self.key(&file.key)?, options).await;
        let id = begun.map_err(|error| self.told("send", &file.key, &error))?;
        let part_size = PART.max(file.size.div_ceil(MOST_PARTS));
        let upload = Upload { sha256: file.sha256.clone(), part_size, id, parts: Vec::new() };
        journal.has_begun(&file.key, &upload)?;
        Ok(upload)
    }
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
    async fn look(&self, keys: &[String]) -> Result<BTreeMap<String, Seen>, StorageError> {
        let wanted: HashSet<&str> = keys.iter().map(String::as_str).collect();
        let prefix = Key::parse(&self.prefix)
            .map_err(|error| StorageError::failed(format!("`{}` can be no prefix: {error}", self.prefix)))?;
        let mut seen = BTreeMap::new();
        let mut listed = self.plain.list(Some(&prefix));
        while let Some(object) = listed.try_next().await.map_err(|error| self.told("list", "objects", &error))? {
            let name = object.location.as_ref();
            let key = if self.prefix.is_empty() { Some(name) } else { name.strip_prefix(&self.prefix) };
            let key = key.map(|key| key.trim_start_matches('/')).filter(|key| wanted.contains(key));
            if let Some(key) = key {
                seen.insert(key.to_owned(), Seen { size: object.size, tag: object.e_tag.unwrap_or_default() });
            }
        }
        Ok(seen)
    }

    async fn text(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let got = match self.plain.get(&self.key(key)?).await {
            Ok(got) if got.meta.size <= LONGEST => got,
            Ok(_) => return Err(StorageError::failed(format!("`{key}` of {} is too long", self.shown))),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.told("read", key, &error)),
        };
        let bytes = got.bytes().await.map_err(|error| self.told("read", key, &error))?;
        Ok(Some(bytes.to_vec()))
    }

    async fn digest(&self, key: &str) -> Result<Option<String>, StorageError> {
        let got = match self.plain.get(&self.key(key)?).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.told("read", key, &error)),
        };
        let mut digest = Sha256::new();
        let mut chunks = got.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(|error| self.told("read", key, &error))? {
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
        if file.size <= PART {
            let bytes = next_part(file, &mut open(file).await?, PART.saturating_add(1)).await?;
            if base16ct::lower::encode_string(&Sha256::digest(&bytes)) != file.sha256 {
                return Err(changed(file));
            }
            return self.put(&file.key, bytes).await;
        }
        let begun = journal.upload(&file.key);
        if let Some(other) = begun.as_ref().filter(|begun| begun.sha256 != file.sha256) {
            self.abandon(&file.key, other).await?;
        }
        let begun = begun.filter(|begun| begun.sha256 == file.sha256 && begun.part_size > 0);
        if let Some(upload) = begun {
            // One that the vendor has given up meanwhile is begun anew.
            match self.put_parts(file, &upload, journal, cancel).await? {
                Err(Error::NotFound { .. }) => {}
                sent => return sent.map_err(|error| self.told("send", &file.key, &error)),
            }
        }
        let upload = self.begin(file, journal).await?;
        let sent = self.put_parts(file, &upload, journal, cancel).await?;
        sent.map_err(|error| self.told("send", &file.key, &error))
    }

    async fn write(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.put(key, bytes).await.map(|_| ())
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        match self.plain.delete(&self.key(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.told("remove", key, &error)),
        }
    }

    async fn abandon(&self, key: &str, upload: &Upload) -> Result<(), StorageError> {
        match self.plain.abort_multipart(&self.key(key)?, &upload.id).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.told("give up", key, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Trouble, of_code};

    #[test]
    fn an_expired_token_and_a_full_store_are_told_by_their_codes() {
        let said = |code: &str| {
            of_code(&format!("Server returned non-2xx status code: 400: <Error><Code>{code}</Code></Error>"))
        };
        assert_eq!(said("ExpiredToken"), Trouble::Denied);
        assert_eq!(said("XMinioBucketQuotaExceeded"), Trouble::Quota);
        assert_eq!(said("SlowDown"), Trouble::Temporary);
    }
}
