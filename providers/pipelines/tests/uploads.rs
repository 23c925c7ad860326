//! Uploads of large files to a bucket: their ends by signals, failures and kills leave no parts there.

use crate::bucket_stand_in::{BUCKET, BucketStandIn, Part, UploadList};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use terrace_pipelines::storage::access::Keys;
use terrace_pipelines::storage::place::Endpoints;
use terrace_pipelines::storage::pod::{PodCopyExit, PodCopyPaths, run};
use terrace_pipelines::storage::source::Filter;
use terrace_pipelines::storage::{Access, Storage, SyncRequest};
use terrace_provider::Redaction;
use terrace_provider::sandbox::ProtectedFiles;
use tokio_util::sync::CancellationToken;

const LARGE: &str = "store/weekly/load/large.bin";

/// A large file on a claim, and a bucket.
struct Large {
    bucket: BucketStandIn,
    folder: TempDir,
}

impl Large {
    fn new() -> Self {
        let large = Self { bucket: BucketStandIn::start(), folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(large.source()).unwrap();
        large.write(1);
        large
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("claim/shop/data/load")
    }

    /// Writes the file, which is sent in two parts, with other bytes for each number.
    fn write(&self, number: u8) {
        fs::write(self.source().join("large.bin"), Self::content(number)).unwrap();
    }

    fn content(number: u8) -> Vec<u8> {
        vec![number; 9 << 20]
    }

    fn destination() -> String {
        format!("s3://{BUCKET}/store")
    }

    async fn copy(&self, cancel: &CancellationToken) -> PodCopyExit {
        self.copy_with_output(cancel).await.0
    }

    /// Copies as a pod does, and returns its output, too. Each pod has its own temporary folder.
    async fn copy_with_output(&self, cancel: &CancellationToken) -> (PodCopyExit, String) {
        let pod = tempfile::tempdir().unwrap();
        let request = json!({
            "project": "shop", "folders": ["data/load"], "include": [], "exclude": [], "destination": Self::destination(),
            "name": "weekly", "removes": false, "public": false, "checksum": false, "publicUrl": null, "mark": "o/s",
            "access": {
                "s3Endpoint": self.bucket.url, "region": "us-east-1", "gcsEndpoint": null, "s3": ["id", "key", null],
                "gcs": null, "web": null, "hasAuthorities": false,
            },
        });
        fs::write(pod.path().join("sync.json"), request.to_string()).unwrap();
        let paths = PodCopyPaths {
            mounted: pod.path().to_owned(),
            temporary: pod.path().join("tmp"),
            claim: self.folder.path().join("claim"),
        };
        let mut output = Vec::new();
        let exit = run(&paths, &mut output, cancel).await.unwrap();
        (exit, String::from_utf8(output).unwrap())
    }

    /// Drops a copy as soon as its second part arrives.
    async fn kill(&self, copy: impl Future) {
        self.bucket.set_second_part(Part::Waits);
        tokio::select! {
            _ = copy => panic!("the copy has ended"),
            () = self.bucket.second_part() => {}
        }
        self.bucket.set_second_part(Part::Stored);
    }
}

#[tokio::test]
async fn pod_that_ends_within_a_large_file_aborts_its_upload() {
    for (part, expected) in [(Part::Waits, PodCopyExit::Terminated), (Part::Refused, PodCopyExit::Failed)] {
        let (large, cancel) = (Large::new(), CancellationToken::new());
        assert_eq!(large.copy(&cancel).await, PodCopyExit::Copied);
        large.write(2);
        large.bucket.set_second_part(part);
        let terminating = async {
            large.bucket.second_part().await;
            if part == Part::Waits {
                cancel.cancel();
            }
        };
        assert_eq!(tokio::join!(large.copy(&cancel), terminating).0, expected);
        assert!(large.bucket.uploads().is_empty(), "{part:?}: {:?}", large.bucket.uploads());
        assert!(large.bucket.object(LARGE) == Some(Large::content(1)), "{part:?}: the former file is there");
    }
}

#[tokio::test]
async fn next_pod_aborts_the_upload_of_a_killed_one() {
    let (large, cancel) = (Large::new(), CancellationToken::new());
    for other in ["store/weekly/load/theirs.bin", "store/weekly/other/a.bin"] {
        large.bucket.begin_upload(other);
    }
    large.kill(large.copy(&cancel)).await;
    assert_eq!(large.bucket.uploads().len(), 3);
    assert_eq!(large.copy(&cancel).await, PodCopyExit::Copied);
    let left = ["store/weekly/load/theirs.bin", "store/weekly/other/a.bin"];
    assert_eq!(large.bucket.uploads(), left, "other programs send these files");
    assert!(large.bucket.object(LARGE) == Some(Large::content(1)));
}

#[tokio::test]
async fn copy_warns_once_of_uploads_that_it_cannot_list() {
    for (list, why) in [(UploadList::Refused, "403 Forbidden"), (UploadList::Repeated, "the server repeats a page")] {
        let large = Large::new();
        for other in ["a.bin", "b.bin"] {
            large.bucket.begin_upload(&format!("store/weekly/load/{other}"));
        }
        large.bucket.set_upload_list(list);
        let (exit, output) = large.copy_with_output(&CancellationToken::new()).await;
        assert_eq!(exit, PodCopyExit::Copied, "{output}");
        let warnings: Vec<&str> = output.lines().filter(|line| line.contains(r#"{"warned":"#)).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(why), "{list:?}: {output}");
        assert!(warnings[0].contains("may stay in the bucket: cannot list the uploads of "), "{output}");
    }
}

#[tokio::test]
async fn upload_of_a_file_that_became_small_is_aborted() {
    let large = Large::new();
    let access = Access {
        endpoints: Endpoints { s3: Some(large.bucket.url.clone()), region: "us-east-1".to_owned(), gcs: None },
        s3: Some(Keys { id: "id".into(), secret: "key".into(), session: None }),
        gcs: None,
        web: None,
        authorities: None,
        redaction: Redaction::default(),
        protected: ProtectedFiles::default(),
    };
    let project = large.folder.path().canonicalize().unwrap();
    let storage = Storage::new(access, project.clone(), project.join("records"));
    let (folders, filter) = (vec![project.join("claim/shop/data/load")], Filter::new(&[], &[]).unwrap());
    let request = SyncRequest::new(Large::destination(), "weekly".to_owned(), folders.clone(), filter.clone());
    let cancel = CancellationToken::new();
    let tree = storage.tree(folders.clone(), filter.clone()).await.unwrap().unwrap();
    large.kill(storage.sync(&request, &tree, &|_| {}, &cancel)).await;
    assert_eq!(large.bucket.uploads(), [LARGE]);
    fs::write(large.source().join("large.bin"), "small").unwrap();
    let tree = storage.tree(folders, filter).await.unwrap().unwrap();
    storage.sync(&request, &tree, &|_| {}, &cancel).await.unwrap();
    assert_eq!(large.bucket.object(LARGE).unwrap(), b"small");
    assert!(large.bucket.uploads().is_empty());
}
