//! Syncs: the order of files, interrupted syncs, and refused requests.

use crate::harness::Project;
use crate::put_server::{Fault, PutServer, TOKEN};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;
use terrace_pipelines::storage::outputs::{self, SyncTarget};
use terrace_pipelines::storage::source::Filter;
use terrace_pipelines::storage::{Storage, StorageError, StorageErrorKind, SyncEvent, SyncRequest, Synced};
use terrace_provider::{Settings, Value, conformance};
use terrace_provider_pipelines::settings::{copier, storage};
use tokio_util::sync::CancellationToken;

/// A folder `data/out` with a data package of two tables.
struct Source {
    folder: TempDir,
    storage: Storage,
}

fn settings(folder: &Path) -> Settings {
    let mut settings = conformance::settings(folder);
    let Value::Map(values) = Value::from(json!({"webToken": TOKEN})) else { panic!("settings are a map") };
    settings.values = values;
    settings
}

impl Source {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = storage(&settings(folder.path())).unwrap();
        let source = Self { folder, storage };
        source.write("a.csv", "id\n1\n");
        source.write("deep/b.csv", "id\n2\n");
        source.write("datapackage.json", r#"{"resources": [{"path": "a.csv"}, {"path": "deep/b.csv"}]}"#);
        source
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path("data/out").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn request(&self, destination: &str) -> SyncRequest {
        let out = self.storage.project.join("data/out");
        let filter = Filter::new(&[], &[]).unwrap();
        SyncRequest::new(destination.to_owned(), "weekly".to_owned(), vec![out], filter)
    }

    async fn sync(&self, destination: &str) -> Result<Synced, StorageError> {
        self.sync_as(&self.request(destination)).await
    }

    async fn sync_as(&self, request: &SyncRequest) -> Result<Synced, StorageError> {
        let tree = self.storage.tree(request.folders.clone(), request.filter.clone()).await?.unwrap();
        self.storage.sync(request, &tree, &|_| {}, &CancellationToken::new()).await
    }
}

const AT: &str = "/store/weekly/out";

#[tokio::test]
async fn data_is_sent_before_descriptor_and_manifest() {
    let (source, server) = (Source::new(), PutServer::start());
    let reports = Mutex::new(Vec::new());
    let request = source.request(&format!("{}/store", server.url));
    let tree = source.storage.tree(request.folders.clone(), request.filter.clone()).await.unwrap().unwrap();
    let report =
        |line: SyncEvent<'_>| reports.lock().unwrap().push(line.to_string().replace(&server.url, "http://there"));
    let synced = source.storage.sync(&request, &tree, &report, &CancellationToken::new()).await.unwrap();
    assert_eq!((synced.sent, synced.bytes), (3, tree.bytes()));
    assert_eq!(synced.addresses, [format!("{}{AT}/datapackage.json", server.url)]);
    let put = server.put();
    assert_eq!(put.len(), 4, "{put:?}");
    assert_eq!(put[2..], [format!("{AT}/datapackage.json"), "/store/weekly/.terrace-sync.json".to_owned()]);
    assert_eq!(server.files()[&format!("{AT}/deep/b.csv")], "id\n2\n");
    assert_eq!(
        *reports.lock().unwrap(),
        ["Syncing Data Packages to Storage", "data/out > http://there/store/weekly/out/"]
    );
    server.assert_well_used();
}

#[tokio::test]
async fn unchanged_files_are_not_sent_again() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    source.sync(&destination).await.unwrap();
    server.forget();
    assert_eq!(source.sync(&destination).await.unwrap().sent, 0);
    assert_eq!(server.put(), Vec::<String>::new());
    source.write("a.csv", "id\n9\n");
    server.tamper(&format!("{AT}/deep/b.csv"), Some("id\n3\n"));
    server.tamper(&format!("{AT}/datapackage.json"), None);
    assert_eq!(source.sync(&destination).await.unwrap().sent, 3);
    assert_eq!(server.files()[&format!("{AT}/a.csv")], "id\n9\n");
    assert_eq!(server.files()[&format!("{AT}/deep/b.csv")], "id\n2\n");
    server.assert_well_used();
}

#[tokio::test]
async fn denied_access_and_full_quota_are_not_retried() {
    for (fault, kind) in [(Fault::Expired, StorageErrorKind::Denied), (Fault::Full, StorageErrorKind::Quota)] {
        let (source, server) = (Source::new(), PutServer::start());
        let destination = format!("{}/store", server.url);
        source.write("c.csv", "id\n3\n");
        server.fails("c.csv", fault);
        let error = source.sync(&destination).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(server.count_requests("PUT", "c.csv"), 1, "{error}");
        source.sync(&destination).await.unwrap();
    }
}

#[tokio::test]
async fn interrupted_sync_is_continued() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    source.write("c.csv", "id\n3\n");
    server.fails("c.csv", Fault::Refused);
    let error = source.sync(&destination).await.unwrap_err();
    assert!(error.to_string().contains("it responded with 413"), "{error}");
    assert_eq!(server.count_requests("PUT", "datapackage.json"), 0, "it could name a missing file");
    assert!(source.storage.manifest(&destination, "weekly").await.unwrap().is_none());
    assert_eq!(server.files().len(), 2, "independent files were sent");
    // The next sync reads the journal, and skips sent files.
    server.forget();
    assert_eq!(source.sync(&destination).await.unwrap().sent, 2);
    let again = server.put();
    assert_eq!(again[..2], [format!("{AT}/c.csv"), format!("{AT}/datapackage.json")]);
    server.assert_well_used();
}

#[tokio::test]
async fn lost_response_and_busy_server_are_retried() {
    let (source, server) = (Source::new(), PutServer::start());
    for (path, fault) in [("a.csv", Fault::Unanswered), ("b.csv", Fault::Busy), ("datapackage.json", Fault::Cut)] {
        server.fails(path, fault);
    }
    let synced = source.sync(&format!("{}/store", server.url)).await.unwrap();
    assert_eq!(synced.sent, 3);
    for path in ["a.csv", "b.csv", "datapackage.json"] {
        assert_eq!(server.count_requests("PUT", path), 2, "{path}");
    }
    server.assert_well_used();
}

#[tokio::test]
async fn removed_source_file_stays_until_removal_is_requested() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    source.sync(&destination).await.unwrap();
    server.tamper(&format!("{AT}/strangers.csv"), Some("theirs"));
    source.write("datapackage.json", r#"{"resources": [{"path": "a.csv"}]}"#);
    fs::remove_dir_all(source.path("data/out/deep")).unwrap();
    source.sync(&destination).await.unwrap();
    assert!(server.files().contains_key(&format!("{AT}/deep/b.csv")));
    let synced = source.sync_as(&SyncRequest { removes: true, ..source.request(&destination) }).await.unwrap();
    assert!(!server.files().contains_key(&format!("{AT}/deep/b.csv")), "{:?}", synced.manifest);
    assert_eq!(server.files()[&format!("{AT}/strangers.csv")], "theirs", "files of other programs stay");
    server.assert_well_used();
}

#[tokio::test]
async fn descriptor_is_removed_before_its_data() {
    let source = Source::new();
    let destination = source.path("there").display().to_string();
    source.write("kept.csv", "id\n");
    source.sync(&destination).await.unwrap();
    for gone in ["data/out/a.csv", "data/out/deep/b.csv", "data/out/datapackage.json"] {
        fs::remove_file(source.path(gone)).unwrap();
    }
    // A failed removal stops the sync.
    let descriptor = source.path("there/weekly/out/datapackage.json");
    fs::remove_file(&descriptor).unwrap();
    fs::create_dir_all(descriptor.join("in-the-way")).unwrap();
    source.sync_as(&SyncRequest { removes: true, ..source.request(&destination) }).await.unwrap_err();
    assert!(source.path("there/weekly/out/a.csv").exists() && source.path("there/weekly/out/deep/b.csv").exists());
}

#[tokio::test]
async fn altered_manifest_removes_nothing_outside() {
    let source = Source::new();
    let destination = source.path("there").display().to_string();
    source.sync(&destination).await.unwrap();
    fs::write(source.path("mine.txt"), "mine").unwrap();
    let manifest = source.path("there/weekly/.terrace-sync.json");
    let text = fs::read_to_string(&manifest).unwrap().replace("out/a.csv", "../../mine.txt");
    fs::write(&manifest, text).unwrap();
    let error = source.storage.remove(&destination, "weekly", true).await.unwrap_err();
    assert!(error.to_string().contains("names `../../mine.txt`, which is outside of it"), "{error}");
    source.sync_as(&SyncRequest { removes: true, ..source.request(&destination) }).await.unwrap_err();
    assert!(source.path("mine.txt").exists() && source.path("there/weekly/out/deep/b.csv").exists());
}

#[tokio::test]
async fn file_that_changes_during_transfer_is_refused() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    let request = source.request(&destination);
    let tree = source.storage.tree(request.folders.clone(), request.filter.clone()).await.unwrap().unwrap();
    source.write("a.csv", "id\n7\n");
    let error = source.storage.sync(&request, &tree, &|_| {}, &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("changed while it was being sent"), "{error}");
    assert!(
        !server.files().contains_key(&format!("{AT}/a.csv")) && server.count_requests("PUT", "datapackage.json") == 0
    );
    let folder = source.path("there").display().to_string();
    let request = source.request(&folder);
    let error = source.storage.sync(&request, &tree, &|_| {}, &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("changed while it was being sent"), "{error}");
    assert!(!source.path("there/weekly/out/a.csv").exists());
}

#[tokio::test]
async fn cancellation_starts_no_file_and_next_sync_continues() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    let request = source.request(&destination);
    let tree = source.storage.tree(request.folders.clone(), request.filter.clone()).await.unwrap().unwrap();
    for path in ["a.csv", "b.csv"] {
        server.fails(path, Fault::Wait);
    }
    let cancel = CancellationToken::new();
    let stopping = async {
        while server.count_requests("PUT", "a.csv") + server.count_requests("PUT", "b.csv") < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        server.release();
    };
    let (stopped, ()) = tokio::join!(source.storage.sync(&request, &tree, &|_| {}, &cancel), stopping);
    assert_eq!(stopped.unwrap_err().kind, StorageErrorKind::Stopped);
    assert_eq!(server.files().len(), 2, "started transfers are finished");
    assert_eq!(source.sync(&destination).await.unwrap().sent, 1);
}

#[tokio::test]
async fn folder_gets_the_same_files_and_only_changes() {
    let source = Source::new();
    let target = source.path("there");
    let destination = target.display().to_string();
    let synced = source.sync(&destination).await.unwrap();
    assert_eq!(synced.addresses, [target.join("weekly/out/datapackage.json").display().to_string()]);
    assert_eq!(fs::read_to_string(target.join("weekly/out/deep/b.csv")).unwrap(), "id\n2\n");
    let names: Vec<_> = fs::read_dir(target.join("weekly/out")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert_eq!(names.len(), 3, "no temporary file remains: {names:?}");
    let before = fs::metadata(target.join("weekly/out/a.csv")).unwrap().modified().unwrap();
    source.write("deep/b.csv", "id\n5\n");
    assert_eq!(source.sync(&destination).await.unwrap().sent, 1);
    assert_eq!(fs::metadata(target.join("weekly/out/a.csv")).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn public_files_have_public_modes() {
    use std::os::unix::fs::PermissionsExt;
    let source = Source::new();
    let target = source.path("there");
    let request = SyncRequest { public: true, ..source.request(&target.display().to_string()) };
    source.sync_as(&request).await.unwrap();
    let mode = |path: &str| fs::metadata(target.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("weekly/out/a.csv"), mode("weekly/out"), mode("")), (0o644, 0o755, 0o755));
}

#[tokio::test]
async fn only_checksum_finds_change_with_same_size_and_time() {
    let source = Source::new();
    let target = source.path("there");
    let destination = target.display().to_string();
    source.sync(&destination).await.unwrap();
    let path = target.join("weekly/out/a.csv");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "id\n8\n").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let damaged = async |checksum| source.storage.inspect(&destination, "weekly", checksum).await.unwrap().unwrap().1;
    assert_eq!(damaged(false).await, Vec::<String>::new());
    assert_eq!(damaged(true).await, ["out/a.csv"]);
    let request = SyncRequest { checksum: true, ..source.request(&destination) };
    assert_eq!(source.sync_as(&request).await.unwrap().sent, 1);
}

#[tokio::test]
async fn removal_starts_with_descriptors() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    source.sync(&destination).await.unwrap();
    source.storage.remove(&destination, "weekly", false).await.unwrap();
    assert_eq!(server.files().len(), 3, "the files stay");
    source.sync(&destination).await.unwrap();
    server.tamper(&format!("{AT}/strangers.csv"), Some("theirs"));
    source.storage.remove(&destination, "weekly", true).await.unwrap();
    assert_eq!(server.files().into_keys().collect::<Vec<_>>(), [format!("{AT}/strangers.csv")]);
    source.storage.remove(&destination, "weekly", true).await.unwrap();
}

#[tokio::test]
async fn token_is_never_sent_unencrypted_or_logged() {
    let source = Source::new();
    let error = source.storage.check("http://store.example.com/x", "weekly", false).unwrap_err();
    assert!(error.to_string().contains("could be intercepted"), "{error}");
    let server = PutServer::start();
    let mut wrong = settings(source.folder.path());
    wrong.values.insert("webToken".to_owned(), "not-the-token-1234".into());
    let storage = storage(&wrong).unwrap();
    assert!(!format!("{storage:?}").contains("not-the-token"), "{storage:?}");
    let error = storage.manifest(&server.url, "weekly").await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Denied);
    assert!(error.to_string().contains("401") && !error.to_string().contains("not-the-token"), "{error}");
}

#[tokio::test]
async fn missing_setting_for_bucket_is_reported_before_transfer() {
    let source = Source::new();
    for (destination, setting) in [("s3://bucket/x", "s3AccessKeyId"), ("gs://bucket/x", "gcsServiceAccount")] {
        let error = source.storage.check(destination, "weekly", false).unwrap_err();
        assert!(
            error.to_string().contains(setting) && error.kind == StorageErrorKind::Invalid("destination"),
            "{error}"
        );
    }
    let mut key = settings(source.folder.path());
    key.values.insert("gcsServiceAccount".to_owned(), r#"{"private_key": "hunter2"}"#.into());
    let error = storage(&key).unwrap().check("gs://bucket/x", "weekly", false).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = source.storage.check("https://there.example.com", "weekly", true).unwrap_err();
    assert!(error.to_string().contains("`public`"), "{error}");
    for target in ["data", "data/out", "data/out/deep"] {
        let folders = source.request("x").folders;
        let name = if target == "data" { "out" } else { "weekly" };
        let apart = source.storage.check_disjoint(target, name, &folders);
        assert!(apart.unwrap_err().to_string().contains("contain each other"), "{target}");
        assert!(source.storage.check_disjoint("data", "weekly", &folders).is_ok());
    }
    for name in ["", "..", "a/../b", "/a", "a b"] {
        assert_eq!(
            source.storage.check("out", name, false).unwrap_err().kind,
            StorageErrorKind::Invalid("name"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn outputs_of_a_run_are_synced_unless_it_failed() {
    let spec = "a:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/a}\n";
    let project = Project::new(spec);
    let copier = copier(&project.settings()).unwrap();
    let target = project.path("there");
    let to = SyncTarget { destination: target.display().to_string(), name: "w-1".to_owned(), public: false };
    let record = project.run("./a").await;
    let reports = Mutex::new(Vec::new());
    let report = |line: SyncEvent<'_>| reports.lock().unwrap().push(line.to_string());
    let cancel = CancellationToken::new();
    let specs = project.specs();
    outputs::sync(&copier, &project.runner, &specs, &record, &to, &report, &cancel).await.unwrap();
    assert!(target.join("w-1/a/datapackage.json").exists());
    let at = target.join("w-1/a/").display().to_string();
    assert_eq!(*reports.lock().unwrap(), ["Syncing Data Packages to Storage".to_owned(), format!("data/a > {at}")]);
    project.write("noise.py", "raise SystemExit(1)");
    let failed = project.run("./a").await;
    let error = outputs::sync(&copier, &project.runner, &specs, &failed, &to, &report, &cancel).await.unwrap_err();
    assert!(error.to_string().contains("nothing is synced"), "{error}");
}
