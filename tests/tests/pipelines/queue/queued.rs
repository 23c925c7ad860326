//! A project with pipelines. Its workers and their files are removed when the test ends.

use crate::pipelines::runs::Pipelines;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use terrace_tests::Ran;

const SPEC: &str = "\
quick: {pipeline: [{run: noise}]}
after: {dependencies: [{pipeline: ./quick}], pipeline: [{run: noise}]}
slow: {pipeline: [{run: noise}, {run: slow}, {run: dump_to_path, parameters: {out-path: data}}]}
";

/// A project whose workers end with the test.
pub(in crate::pipelines) struct Queued(Pipelines);

impl Deref for Queued {
    type Target = Pipelines;

    fn deref(&self) -> &Pipelines {
        &self.0
    }
}

impl Queued {
    pub(in crate::pipelines) fn new() -> Self {
        let queued = Self(Pipelines::new(SPEC));
        // If root runs the tests, another user runs the databases and needs access to the folder.
        fs::set_permissions(queued.project.path("."), fs::Permissions::from_mode(0o755)).unwrap();
        queued
    }

    pub(in crate::pipelines) fn with_cluster(workers: &str) -> Self {
        let queued = Self::new();
        queued.run(&["pipelines", "init", "local", "--workers", workers, "--databases", "0"]).done();
        queued
    }

    /// Runs terrace under the name `dppctl`.
    pub(in crate::pipelines) fn dppctl(&self, arguments: &[&str]) -> Ran {
        self.project.start(self.dppctl_command(arguments)).finish()
    }

    /// A command of terrace under the name `dppctl`.
    pub(in crate::pipelines) fn dppctl_command(&self, arguments: &[&str]) -> Command {
        let link = self.caches.path().join("dppctl");
        if !link.exists() {
            std::os::unix::fs::symlink(terrace_tests::binary(), &link).unwrap();
        }
        let mut command = Command::new(link);
        command.args(arguments).current_dir(self.project.path(".")).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.caches.path()).env("NO_COLOR", "1");
        command
    }

    pub(in crate::pipelines) fn pods(&self) -> Vec<Value> {
        self.run(&["pipelines", "pods", "--json"]).done().json().as_array().unwrap().clone()
    }

    pub(in crate::pipelines) fn names(&self) -> BTreeSet<String> {
        self.pods().iter().map(|pod| pod["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Stops the workers, and overwrites the queue file.
    pub(in crate::pipelines) fn damage_queue(&self) -> PathBuf {
        let queue = self.project.path(".terrace/pipelines/queue.db");
        while !self.workers().is_empty() {
            self.kill(|_| true);
        }
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(queue.with_file_name(format!("queue.db{end}")));
        }
        fs::write(&queue, "no database ".repeat(1000)).unwrap();
        queue
    }

    /// Returns the worker processes of this project.
    pub(in crate::pipelines) fn workers(&self) -> Vec<(String, String)> {
        let folder = self.project.path(".terrace/pipelines").canonicalize().unwrap_or_default().display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<String> =
                words.split(|byte| *byte == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
            if words.len() > 4 && words[1..3] == ["pipelines", "worker"] && words[3] == folder {
                found.push((entry.file_name().into_string().unwrap(), words[4].clone()));
            }
        }
        found
    }

    /// Returns the database processes of this project: servers and their keepers.
    pub(in crate::pipelines) fn of_databases(&self) -> Vec<String> {
        let folder = self.project.path(".terrace/pipelines/databases").display().to_string();
        let is_own = |process: &std::path::Path| {
            fs::read(process.join("cmdline")).is_ok_and(|words| String::from_utf8_lossy(&words).contains(&folder))
        };
        let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let own = all.filter(|process| is_own(process));
        own.filter_map(|process| Some(process.file_name()?.to_str()?.to_owned())).collect()
    }

    /// Kills the workers whose name matches.
    pub(in crate::pipelines) fn kill(&self, matches: impl Fn(&str) -> bool) {
        for (pid, name) in self.workers() {
            if matches(&name) {
                assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            }
        }
    }

    /// Returns the recorded states of a run.
    pub(in crate::pipelines) fn states(&self, run: &str) -> Vec<String> {
        let queue = rusqlite::Connection::open(self.project.path(".terrace/pipelines/queue.db")).unwrap();
        let mut statement = queue.prepare("SELECT state FROM transition WHERE run = ?1 ORDER BY number").unwrap();
        let states = statement.query_map([run], |row| row.get(0)).unwrap();
        states.collect::<Result<_, _>>().unwrap()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        // Workers restart each other, so the loop continues until all are gone.
        while !self.workers().is_empty() {
            for (pid, _) in self.workers() {
                let _ = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status();
            }
        }
        for pid in self.of_databases() {
            let _ = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status();
        }
    }
}
