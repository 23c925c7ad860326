//! Content of the Secret of a site: the record for the pod, and an archive of the files of this machine.

use super::super::Page;
use super::super::pod::PodSite;
use super::{Contents, SiteSpec};
use crate::executor::kubernetes::secret_size::{LARGEST, NAMED, in_bytes};
use crate::hash::hash_of_bytes;
use crate::storage::source::Tree;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use terrace_provider::{ErrorKind, ProviderError};

/// Files with fewer bytes in all fit without a look at their archive.
const SURELY_FITS: u64 = 256 << 10;
/// Number of files that surely fit.
const FEW_FILES: usize = 500;
/// Maximum size of files that are packed, in bytes before compression.
const MOST_BYTES: u64 = 256 << 20;
/// Digits of a digest in the name of a Secret.
const DIGITS: usize = 16;

/// Files of a site on this machine.
#[derive(Debug, Clone, Default)]
pub struct SiteFiles {
    /// The files.
    pub tree: Tree,
    /// Folder in the claim with the outputs of pipelines; nothing if they are among the files.
    pub claim_folder: Option<PathBuf>,
}

impl SiteFiles {
    /// The digest, number and size of the files; nothing for a site whose files are all on a claim.
    #[must_use]
    pub fn contents(&self) -> Option<Contents> {
        let is_empty = self.claim_folder.is_some() && self.tree.files.is_empty();
        let (files, bytes) = (self.tree.files.len() as u64, self.tree.bytes());
        (!is_empty).then(|| Contents { hash: self.tree.hash(), files, bytes })
    }

    /// Checks that a Secret can hold the files. Reads them only if they may be too large.
    ///
    /// # Errors
    /// When it cannot; the error names the largest files.
    pub fn check_size(&self, spec: &SiteSpec) -> Result<(), ProviderError> {
        match self.tree.bytes() <= SURELY_FITS && self.tree.files.len() <= FEW_FILES {
            true => Ok(()),
            false => Packed::of(spec, self).map(drop),
        }
    }
}

/// The values of a Secret.
pub(super) struct Packed {
    pub(super) record: Vec<u8>,
    pub(super) archive: Vec<u8>,
}

impl Packed {
    /// Packs the files of a site. The same files yield the same bytes.
    pub(super) fn of(spec: &SiteSpec, files: &SiteFiles) -> Result<Self, ProviderError> {
        let pages = files.tree.files.iter();
        let pages =
            pages.map(|file| (file.key.clone(), Page { size: file.size, sha256: file.sha256.clone() })).collect();
        let record = PodSite {
            error_document: spec.plan.error_document.clone(),
            cache_control: spec.plan.cache_control.clone(),
            files: pages,
            claim_folder: files.claim_folder.clone(),
        };
        let record =
            serde_json::to_vec(&record).map_err(|error| failed(format!("the site cannot be described: {error}")))?;
        if files.tree.bytes() > MOST_BYTES {
            return Err(too_large(files, &in_bytes(files.tree.bytes())));
        }
        let archive = archive(&files.tree)?;
        let size = record.len().saturating_add(archive.len());
        match size <= LARGEST {
            true => Ok(Self { record, archive }),
            false => Err(too_large(files, &format!("{} compressed", in_bytes(size as u64)))),
        }
    }

    /// Digits that differ for other values.
    pub(super) fn digest(&self) -> String {
        digest(&self.record, &self.archive)
    }
}

/// Digits that differ for other values of a Secret.
pub(super) fn digest(record: &[u8], archive: &[u8]) -> String {
    let all = format!("{} {}", hash_of_bytes(record), hash_of_bytes(archive));
    hash_of_bytes(all.as_bytes()).chars().take(DIGITS).collect()
}

fn failed(message: String) -> ProviderError {
    ProviderError::new(ErrorKind::Failed, message)
}

fn archive(tree: &Tree) -> Result<Vec<u8>, ProviderError> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for file in &tree.files {
        let unreadable = |error: io::Error| failed(format!("cannot read `{}`: {error}", file.path.display()));
        let mut header = tar::Header::new_gnu();
        header.set_size(file.size);
        header.set_mode(0o644);
        let opened = File::open(&file.path).map_err(unreadable)?;
        let mut content = Vec::new();
        opened.take(file.size.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
        if content.len() as u64 != file.size || hash_of_bytes(&content) != file.sha256 {
            return Err(failed(format!("`{}` changed while it was read", file.path.display())).solution("plan again"));
        }
        archive.append_data(&mut header, Path::new(&file.key), content.as_slice()).map_err(unreadable)?;
    }
    let packed = archive.into_inner().and_then(GzEncoder::finish);
    packed.map_err(|error| failed(format!("the files cannot be packed: {error}")))
}

fn too_large(files: &SiteFiles, size: &str) -> ProviderError {
    let mut largest: Vec<_> = files.tree.files.iter().collect();
    largest.sort_by_key(|file| std::cmp::Reverse(file.size));
    let named: Vec<String> =
        largest.iter().take(NAMED).map(|file| format!("`{}` with {}", file.key, in_bytes(file.size))).collect();
    let message = format!(
        "the files of the site are too large for a Secret: {size}, at most {} fit; the largest are {}",
        in_bytes(LARGEST as u64),
        named.join(", ")
    );
    failed(message).solution(match files.claim_folder {
        None => "keep the results of its pipelines on a `claim`, from which the site shows them",
        Some(_) => "have a pipeline write large static files into `contentDir`, which is on the claim",
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::pod::{MOUNTED, PodSitePaths};
    use super::*;
    use crate::storage::source::Filter;
    use std::fs;

    fn files(folder: &Path) -> SiteFiles {
        let tree = Tree::of_folder(folder, folder, &Filter::new(&[], &[]).unwrap()).unwrap();
        SiteFiles { tree, claim_folder: None }
    }

    #[test]
    fn pod_unpacks_the_files_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{}/page.html", "deep/".repeat(30).trim_end_matches('/'));
        for (path, text) in [("index.html", "hello"), ("empty.txt", ""), (long.as_str(), "far down")] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (spec, files) = (SiteSpec::default(), files(folder.path()));
        let packed = Packed::of(&spec, &files).unwrap();
        assert_eq!(packed.digest(), Packed::of(&spec, &files).unwrap().digest());
        let pod = tempfile::tempdir().unwrap();
        fs::write(pod.path().join(MOUNTED.1), &packed.record).unwrap();
        fs::write(pod.path().join(MOUNTED.2), &packed.archive).unwrap();
        let paths = PodSitePaths {
            mounted: pod.path().to_owned(),
            temporary: pod.path().join("tmp"),
            claim: pod.path().join("claim"),
        };
        // A restarted container finds the files of the one before.
        for _ in 0..2 {
            let (site, unpacked) = PodSite::open(&paths).unwrap();
            assert_eq!(site.files.len(), 3);
            assert_eq!(fs::read_to_string(unpacked.join(&long)).unwrap(), "far down");
            assert_eq!(fs::read_to_string(unpacked.join("empty.txt")).unwrap(), "");
        }
    }

    #[test]
    fn large_files_are_named_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut state: u64 = 1;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(2 << 20)
        .collect();
        fs::write(folder.path().join("big.bin"), noise).unwrap();
        fs::write(folder.path().join("zeros.bin"), vec![0; 3 << 20]).unwrap();
        let error = files(folder.path()).check_size(&SiteSpec::default()).unwrap_err();
        let message = &error.message;
        assert!(message.contains("too large for a Secret: 2.0 MiB compressed, at most 1.0 MiB fit"), "{message}");
        assert!(message.contains("`zeros.bin` with 3.0 MiB, `big.bin` with 2.0 MiB"), "{message}");
        assert!(error.hint().unwrap().contains("`claim`"), "{error:?}");
        fs::remove_file(folder.path().join("big.bin")).unwrap();
        files(folder.path()).check_size(&SiteSpec::default()).unwrap();
    }
}
