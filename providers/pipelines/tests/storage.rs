//! Files brought elsewhere: what is sent and in which order, what a cut-off sync leaves, what is refused.

use crate::harness::Project;
use crate::put_server::{Fault, PutServer, TOKEN};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;
use terrace_provider::{Settings, Value, conformance};
use terrace_provider_pipelines::settings::storage;
use terrace_provider_pipelines::storage::outputs::{self, To};
use terrace_provider_pipelines::storage::source::Filter;
use terrace_provider_pipelines::storage::{Asked, Storage, StorageError, Synced, Told, Trouble};
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

    fn asked(&self, destination: &str) -> Asked {
        let out = self.storage.project.join("data/out");
        let filter = Filter::new(&[], &[]).unwrap();
        Asked::new(destination.to_owned(), "weekly".to_owned(), vec![out], filter)
    }

    async fn sync(&self, destination: &str) -> Result<Synced, StorageError> {
        self.sync_as(&self.asked(destination)).await
    }

    async fn sync_as(&self, asked: &Asked) -> Result<Synced, StorageError> {
        let tree = self.storage.tree(asked.folders.clone(), asked.filter.clone()).await?.unwrap();
        self.storage.sync(asked, &tree, &|_| {}, &CancellationToken::new()).await
    }
}

const AT: &str = "/store/weekly/out";

#[tokio::test]
async fn data_goes_before_what_names_it_and_the_manifest_last() {
    let (source, server) = (Source::new(), PutServer::start());
    let told = Mutex::new(Vec::new());
    let asked = source.asked(&format!("{}/store", server.url));
    let tree = source.storage.tree(asked.folders.clone(), asked.filter.clone()).await.unwrap().unwrap();
    let tell = |line: Told<'_>| told.lock().unwrap().push(line.to_string().replace(&server.url, "http://there"));
    let synced = source.storage.sync(&asked, &tree, &tell, &CancellationToken::new()).await.unwrap();
    assert_eq!((synced.sent, synced.bytes), (3, tree.bytes()));
    assert_eq!(synced.addresses, [format!("{}{AT}/datapackage.json", server.url)]);
    let put = server.put();
    assert_eq!(put.len(), 4, "{put:?}");
    assert_eq!(put[2..], [format!("{AT}/datapackage.json"), "/store/weekly/.terrace-sync.json".to_owned()]);
    assert_eq!(server.files()[&format!("{AT}/deep/b.csv")], "id\n2\n");
    assert_eq!(
        *told.lock().unwrap(),
        ["Syncing Data Packages to Storage", "data/out > http://there/store/weekly/out/"]
    );
    server.assert_well_used();
}

#[tokio::test]
async fn what_is_there_and_right_is_not_sent_again() {
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
async fn what_is_not_allowed_or_has_no_room_is_told_as_that_and_not_tried_again() {
    for (fault, trouble) in [(Fault::Expired, Trouble::Denied), (Fault::Full, Trouble::Quota)] {
        let (source, server) = (Source::new(), PutServer::start());
        let destination = format!("{}/store", server.url);
        source.write("c.csv", "id\n3\n");
        server.fails("c.csv", fault);
        let error = source.sync(&destination).await.unwrap_err();
        assert_eq!(error.trouble, trouble, "{error}");
        assert_eq!(server.asked("PUT", "c.csv"), 1, "{error}");
        source.sync(&destination).await.unwrap();
    }
}

#[tokio::test]
async fn a_sync_that_broke_off_is_gone_on_with() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    source.write("c.csv", "id\n3\n");
    server.fails("c.csv", Fault::Refused);
    let error = source.sync(&destination).await.unwrap_err();
    assert!(error.to_string().contains("it answers 413"), "{error}");
    assert_eq!(server.asked("PUT", "datapackage.json"), 0, "it could name what is not there");
    assert!(source.storage.manifest(&destination, "weekly").await.unwrap().is_none());
    assert_eq!(server.files().len(), 2, "what does not depend on it is there");
    // The next one knows by what was written down what it need not send.
    server.forget();
    assert_eq!(source.sync(&destination).await.unwrap().sent, 2);
    let again = server.put();
    assert_eq!(again[..2], [format!("{AT}/c.csv"), format!("{AT}/datapackage.json")]);
    server.assert_well_used();
}

#[tokio::test]
async fn a_lost_answer_and_a_busy_server_are_asked_again() {
    let (source, server) = (Source::new(), PutServer::start());
    for (path, fault) in [("a.csv", Fault::Unanswered), ("b.csv", Fault::Busy), ("datapackage.json", Fault::Cut)] {
        server.fails(path, fault);
    }
    let synced = source.sync(&format!("{}/store", server.url)).await.unwrap();
    assert_eq!(synced.sent, 3);
    for path in ["a.csv", "b.csv", "datapackage.json"] {
        assert_eq!(server.asked("PUT", path), 2, "{path}");
    }
    server.assert_well_used();
}

#[tokio::test]
async fn what_the_source_has_no_more_stays_until_somebody_asks_for_its_removal() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    source.sync(&destination).await.unwrap();
    server.tamper(&format!("{AT}/strangers.csv"), Some("theirs"));
    source.write("datapackage.json", r#"{"resources": [{"path": "a.csv"}]}"#);
    fs::remove_dir_all(source.path("data/out/deep")).unwrap();
    source.sync(&destination).await.unwrap();
    assert!(server.files().contains_key(&format!("{AT}/deep/b.csv")));
    let synced = source.sync_as(&Asked { removes: true, ..source.asked(&destination) }).await.unwrap();
    assert!(!server.files().contains_key(&format!("{AT}/deep/b.csv")), "{:?}", synced.manifest);
    assert_eq!(server.files()[&format!("{AT}/strangers.csv")], "theirs", "nobody else's file is touched");
    server.assert_well_used();
}

#[tokio::test]
async fn what_names_data_is_removed_before_the_data() {
    let source = Source::new();
    let destination = source.path("there").display().to_string();
    source.write("kept.csv", "id\n");
    source.sync(&destination).await.unwrap();
    for gone in ["data/out/a.csv", "data/out/deep/b.csv", "data/out/datapackage.json"] {
        fs::remove_file(source.path(gone)).unwrap();
    }
    // What cannot be removed stops it where it is.
    let descriptor = source.path("there/weekly/out/datapackage.json");
    fs::remove_file(&descriptor).unwrap();
    fs::create_dir_all(descriptor.join("in-the-way")).unwrap();
    source.sync_as(&Asked { removes: true, ..source.asked(&destination) }).await.unwrap_err();
    assert!(source.path("there/weekly/out/a.csv").exists() && source.path("there/weekly/out/deep/b.csv").exists());
}

#[tokio::test]
async fn a_manifest_that_somebody_changed_removes_nothing_elsewhere() {
    let source = Source::new();
    let destination = source.path("there").display().to_string();
    source.sync(&destination).await.unwrap();
    fs::write(source.path("mine.txt"), "mine").unwrap();
    let manifest = source.path("there/weekly/.terrace-sync.json");
    let text = fs::read_to_string(&manifest).unwrap().replace("out/a.csv", "../../mine.txt");
    fs::write(&manifest, text).unwrap();
    let error = source.storage.remove(&destination, "weekly", true).await.unwrap_err();
    assert!(error.to_string().contains("names `../../mine.txt`, which lies elsewhere"), "{error}");
    source.sync_as(&Asked { removes: true, ..source.asked(&destination) }).await.unwrap_err();
    assert!(source.path("mine.txt").exists() && source.path("there/weekly/out/deep/b.csv").exists());
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_not_taken() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    let asked = source.asked(&destination);
    let tree = source.storage.tree(asked.folders.clone(), asked.filter.clone()).await.unwrap().unwrap();
    source.write("a.csv", "id\n7\n");
    let error = source.storage.sync(&asked, &tree, &|_| {}, &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("changed while it was being sent"), "{error}");
    assert!(!server.files().contains_key(&format!("{AT}/a.csv")) && server.asked("PUT", "datapackage.json") == 0);
    let folder = source.path("there").display().to_string();
    let asked = source.asked(&folder);
    let error = source.storage.sync(&asked, &tree, &|_| {}, &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("changed while it was being sent"), "{error}");
    assert!(!source.path("there/weekly/out/a.csv").exists());
}

#[tokio::test]
async fn a_wish_to_stop_begins_nothing_new_and_the_next_sync_goes_on() {
    let (source, server) = (Source::new(), PutServer::start());
    let destination = format!("{}/store", server.url);
    let asked = source.asked(&destination);
    let tree = source.storage.tree(asked.folders.clone(), asked.filter.clone()).await.unwrap().unwrap();
    for path in ["a.csv", "b.csv"] {
        server.fails(path, Fault::Wait);
    }
    let cancel = CancellationToken::new();
    let stopping = async {
        while server.asked("PUT", "a.csv") + server.asked("PUT", "b.csv") < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        server.go_on();
    };
    let (stopped, ()) = tokio::join!(source.storage.sync(&asked, &tree, &|_| {}, &cancel), stopping);
    assert_eq!(stopped.unwrap_err().trouble, Trouble::Stopped);
    assert_eq!(server.files().len(), 2, "what was begun is ended");
    assert_eq!(source.sync(&destination).await.unwrap().sent, 1);
}

#[tokio::test]
async fn a_folder_gets_the_same_files_and_only_those_that_differ() {
    let source = Source::new();
    let there = source.path("there");
    let destination = there.display().to_string();
    let synced = source.sync(&destination).await.unwrap();
    assert_eq!(synced.addresses, [there.join("weekly/out/datapackage.json").display().to_string()]);
    assert_eq!(fs::read_to_string(there.join("weekly/out/deep/b.csv")).unwrap(), "id\n2\n");
    let names: Vec<_> = fs::read_dir(there.join("weekly/out")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert_eq!(names.len(), 3, "nothing is left beside: {names:?}");
    let before = fs::metadata(there.join("weekly/out/a.csv")).unwrap().modified().unwrap();
    source.write("deep/b.csv", "id\n5\n");
    assert_eq!(source.sync(&destination).await.unwrap().sent, 1);
    assert_eq!(fs::metadata(there.join("weekly/out/a.csv")).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn what_everybody_may_read_has_the_mode_for_it() {
    use std::os::unix::fs::PermissionsExt;
    let source = Source::new();
    let there = source.path("there");
    let asked = Asked { public: true, ..source.asked(&there.display().to_string()) };
    source.sync_as(&asked).await.unwrap();
    let mode = |path: &str| fs::metadata(there.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("weekly/out/a.csv"), mode("weekly/out"), mode("")), (0o644, 0o755, 0o755));
}

#[tokio::test]
async fn content_that_kept_its_size_and_time_is_found_by_checksum_alone() {
    let source = Source::new();
    let there = source.path("there");
    let destination = there.display().to_string();
    source.sync(&destination).await.unwrap();
    let path = there.join("weekly/out/a.csv");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "id\n8\n").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let damaged = async |checksum| source.storage.look(&destination, "weekly", checksum).await.unwrap().unwrap().1;
    assert_eq!(damaged(false).await, Vec::<String>::new());
    assert_eq!(damaged(true).await, ["out/a.csv"]);
    let asked = Asked { checksum: true, ..source.asked(&destination) };
    assert_eq!(source.sync_as(&asked).await.unwrap().sent, 1);
}

#[tokio::test]
async fn what_was_synced_is_removed_data_packages_first() {
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
async fn a_token_goes_nowhere_unencrypted_and_into_no_message() {
    let source = Source::new();
    let error = source.storage.check("http://store.example.com/x", "weekly", false).unwrap_err();
    assert!(error.to_string().contains("could be read on the way"), "{error}");
    let server = PutServer::start();
    let mut wrong = settings(source.folder.path());
    wrong.values.insert("webToken".to_owned(), "not-the-token-1234".into());
    let storage = storage(&wrong).unwrap();
    assert!(!format!("{storage:?}").contains("not-the-token"), "{storage:?}");
    let error = storage.manifest(&server.url, "weekly").await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Denied);
    assert!(error.to_string().contains("401") && !error.to_string().contains("not-the-token"), "{error}");
}

#[tokio::test]
async fn what_is_missing_to_reach_a_bucket_is_named_before_anything_is_sent() {
    let source = Source::new();
    for (destination, setting) in [("s3://bucket/x", "s3AccessKeyId"), ("gs://bucket/x", "gcsServiceAccount")] {
        let error = source.storage.check(destination, "weekly", false).unwrap_err();
        assert!(error.to_string().contains(setting) && error.trouble == Trouble::Invalid("destination"), "{error}");
    }
    let mut key = settings(source.folder.path());
    key.values.insert("gcsServiceAccount".to_owned(), r#"{"private_key": "hunter2"}"#.into());
    let error = storage(&key).unwrap().check("gs://bucket/x", "weekly", false).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = source.storage.check("https://there.example.com", "weekly", true).unwrap_err();
    assert!(error.to_string().contains("`public`"), "{error}");
    for there in ["data", "data/out", "data/out/deep"] {
        let folders = source.asked("x").folders;
        let name = if there == "data" { "out" } else { "weekly" };
        let apart = source.storage.check_apart(there, name, &folders);
        assert!(apart.unwrap_err().to_string().contains("lie in each other"), "{there}");
        assert!(source.storage.check_apart("data", "weekly", &folders).is_ok());
    }
    for name in ["", "..", "a/../b", "/a", "a b"] {
        assert_eq!(source.storage.check("out", name, false).unwrap_err().trouble, Trouble::Invalid("name"), "{name}");
    }
}

#[tokio::test]
async fn what_a_run_wrote_is_synced_by_itself_unless_it_failed() {
    let spec = "a:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/a}\n";
    let project = Project::new(spec);
    let storage = storage(&project.settings()).unwrap();
    let there = project.path("there");
    let to = To { destination: there.display().to_string(), name: "w-1".to_owned(), public: false };
    let record = project.run("./a").await;
    let told = Mutex::new(Vec::new());
    let tell = |line: Told<'_>| told.lock().unwrap().push(line.to_string());
    let cancel = CancellationToken::new();
    let specs = project.specs();
    outputs::sync(&storage, &project.runner, &specs, &record, &to, &tell, &cancel).await.unwrap();
    assert!(there.join("w-1/a/datapackage.json").exists());
    let at = there.join("w-1/a/").display().to_string();
    assert_eq!(*told.lock().unwrap(), ["Syncing Data Packages to Storage".to_owned(), format!("data/a > {at}")]);
    project.write("noise.py", "raise SystemExit(1)");
    let failed = project.run("./a").await;
    let error = outputs::sync(&storage, &project.runner, &specs, &failed, &to, &tell, &cancel).await.unwrap_err();
    assert!(error.to_string().contains("nothing is synced"), "{error}");
}
