//! Full disks during runs, with a mounted file system of 8 MiB where that is possible.

use crate::harness::Project;
use std::fs;
use std::io::Write;
use std::process::Command;
use terrace_pipelines::database::cluster::for_active_cluster;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::queue::{Queue, lock};
use terrace_pipelines::run::{RunRequest, State};
use tokio_util::sync::CancellationToken;

/// A file system of this size, unmounted on drop.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path());
        let is_mounted = command.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn full_disk_is_named_and_partial_output_is_discarded() {
    let Some(disk) = Disk::mounted() else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let spec = "noise:\n  pipeline:\n  - run: noise\n    cache: true\n    parameters: {rows: ROWS}\n  - run: dump_to_path\n    parameters: {out-path: data}\n";
    let project = Project::within(disk.0.path(), &spec.replace("ROWS", "10"));
    let good = project.run("./noise").await;
    assert_eq!(good.state, State::Succeeded, "{good:?}");
    let before = fs::read(project.path("data/datapackage.json")).unwrap();
    project.write("pipeline-spec.yaml", &spec.replace("ROWS", "2000000"));
    let record = project.run("./noise").await;
    assert_eq!(record.state, State::Failed);
    let failure = record.failure.clone().unwrap();
    assert!(failure.message.contains("the disk of `"), "{failure:?}");
    assert!(failure.message.contains(&disk.0.path().display().to_string()), "{failure:?}");
    // The last good result remains, and nothing of this run.
    assert_eq!(fs::read(project.path("data/datapackage.json")).unwrap(), before);
    let left: Vec<_> = fs::read_dir(project.path(".")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("terrace-")), "{left:?}");
    assert_eq!(project.runner.store.succeeded(".", "./noise").unwrap().unwrap().run, good.run);
    assert_eq!(project.runner.store.last(".", "./noise").unwrap().unwrap().state, State::Failed);
    // With free space, it runs again.
    project.write("pipeline-spec.yaml", &spec.replace("ROWS", "20"));
    for entry in fs::read_dir(project.path(".cache")).into_iter().flatten().flatten() {
        assert!(entry.file_name().to_string_lossy().ends_with(".ongoing") || entry.metadata().unwrap().len() < 100_000);
        fs::remove_file(entry.path()).unwrap();
    }
    assert_eq!(project.run("./noise").await.rows, 20);
}

#[tokio::test]
async fn run_that_cannot_be_recorded_does_not_start() {
    let Some(disk) = Disk::mounted() else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let project = Project::within(
        disk.0.path(),
        "noise:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data}\n",
    );
    let mut filling = fs::File::create(disk.0.path().join("filling")).unwrap();
    let full = loop {
        if let Err(error) = filling.write_all(&[1; 4096]) {
            break error.kind();
        }
    };
    assert_eq!(full, std::io::ErrorKind::StorageFull);
    let specs = project.specs();
    let pipeline = specs.pipeline("./noise").unwrap();
    let recorder = crate::harness::Recorder::default();
    let ran = project.runner.run(&specs, pipeline, RunRequest::default(), &recorder, &CancellationToken::new()).await;
    let words = match ran {
        Err(error) => format!("{error:?}"),
        // Records are small: if they just fit, the run itself fails.
        Ok(record) => record.failure.unwrap().message,
    };
    assert!(words.contains("o space") && !project.path("data").exists(), "{words}");
}

#[test]
fn active_cluster_is_readable_on_full_disk() {
    let Some(disk) = Disk::mounted() else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let folder = disk.0.path();
    let (kind, ttl) = ("local".to_owned(), None);
    let cluster = Cluster { kind, workers: 1, databases: 1, ttl, is_ready: false };
    Queue::open(folder).unwrap().begin_cluster(&cluster).unwrap();
    let full = fs::write(folder.join("full"), vec![1; 16 << 20]);
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(for_active_cluster(folder, ".").unwrap(), Some((cluster, "dppctl-db-local-1".to_owned())));
}

#[test]
fn heartbeat_works_on_full_disk() {
    let Some(disk) = Disk::mounted() else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let folder = disk.0.path();
    fs::create_dir(folder.join("workers")).unwrap();
    let lock::LockState::Free(_lock) = lock::check(folder, "one").unwrap() else { panic!("the lock is held") };
    lock::write_heartbeat(folder, "one", 1).unwrap();
    let full = fs::write(folder.join("full"), vec![1; 16 << 20]);
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let before = lock::last_heartbeat(folder, "one");
    lock::write_heartbeat(folder, "one", 2).unwrap();
    assert_ne!(lock::last_heartbeat(folder, "one"), before);
}
