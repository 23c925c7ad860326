//! Outages within one living process: the state of a server fails repeatedly while the server works on one request.
//! The log of the commands shows every effect, as after a kill.

use crate::stack::Stack;
use crate::terrace::{Terrace, folder, write};
use crate::trial::{APPLY, Counts, check_end};
use fastrand::Rng;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONFIGURATION: &str = "environments:\n  local: {}\nserver: {stacks: true, auth: {mode: none}}\n";

/// The state is reliable after this many commits. An outage costs up to the term of a claim, so endless outages could keep
/// a request from ever ending.
const LAST_OUTAGE: usize = 100;

/// A request that takes longer hangs: [`LAST_OUTAGE`] commits see some ten outages.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Runs a trial.
///
/// # Panics
/// With the seed and the folder, which is kept, if an effect was lost, duplicated or left behind.
pub(crate) fn run(binary: &Path, seed: u64) -> Counts {
    let terrace = Terrace { binary: binary.to_owned(), folder: folder(&format!("server-{seed}")) };
    write(&terrace.folder, "terrace.yaml", CONFIGURATION);
    let mut rng = Rng::with_seed(seed);
    let mut counts = Counts { trials: 1, ..Counts::default() };
    let mut stack = Stack::random(&mut rng);
    for _ in 0..rng.usize(1..=2) {
        write(&terrace.folder, "stack.yaml", &stack.text());
        let moment = if rng.bool() { "before" } else { "after" };
        let length = rng.usize(1..=9);
        // The server must be able to start: an outage begins after some commits.
        let period = length + rng.usize(5..=40);
        let fault = format!("outages-{moment}:{period}/{length}/{LAST_OUTAGE}");
        let mut server = Server::start(&terrace, &fault);
        server.request("provision", &stack.text());
        counts.disturbed += 1;
        counts.interrupted += usize::from(server.log().contains("cannot be"));
        drop(server);
        let ended = terrace.run(&APPLY);
        assert_eq!(ended.code, Some(0), "seed {seed}, folder {}: {ended}", terrace.folder.display());
        check_end(&terrace, seed, &stack.objects());
        stack = stack.edited(&mut rng);
    }
    let ended = terrace.run(&["destroy", "stack.yaml", "--auto-approve", "-q"]);
    assert_eq!(ended.code, Some(0), "seed {seed}, folder {}: {ended}", terrace.folder.display());
    check_end(&terrace, seed, &BTreeMap::new());
    counts.count_effects(&terrace.folder);
    std::fs::remove_dir_all(&terrace.folder).expect("the folder of a trial can be removed");
    counts
}

/// A server that is killed when it is dropped.
struct Server<'a> {
    terrace: &'a Terrace,
    child: Child,
    url: String,
}

impl<'a> Server<'a> {
    fn start(terrace: &'a Terrace, fault: &str) -> Self {
        let log = || File::create(terrace.folder.join("server.log")).expect("a file for the log");
        let child = Command::new(&terrace.binary)
            .args(["serve", "--bind", "127.0.0.1:0"])
            .current_dir(&terrace.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log())
            .env("NO_COLOR", "1")
            .env("TERRACE_FAULT", fault)
            .spawn()
            .expect("terrace can be started");
        let mut server = Self { terrace, child, url: String::new() };
        let begin = Instant::now();
        while server.url.is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{}: no server\n{}", server.place(), server.log());
            std::thread::sleep(Duration::from_millis(20));
            let log = server.log();
            if let Some((_, rest)) = log.split_once("serving on ") {
                server.url = rest.split([',', '\n']).next().unwrap_or_default().to_owned();
            }
        }
        server
    }

    fn place(&self) -> String {
        self.terrace.folder.display().to_string()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.terrace.folder.join("server.log")).unwrap_or_default()
    }

    /// Repeats the request until it is done. Repeats calls during an outage, as coordinators do.
    fn request(&mut self, kind: &str, descriptor: &str) {
        let begin = Instant::now();
        let body = json!({"descriptor": descriptor}).to_string();
        let mut last = String::new();
        while begin.elapsed() < TIME_LIMIT {
            let Some((202, token)) = self.call("POST", &format!("/v1/{kind}"), &body) else { continue };
            let token = token.trim_matches('"').to_owned();
            loop {
                assert!(begin.elapsed() < TIME_LIMIT, "{}: no end: {last}", self.place());
                let Some((200, text)) = self.call("GET", &format!("/v1/provision/{token}/status"), "") else {
                    continue;
                };
                let status: Json = serde_json::from_str(&text).expect("JSON");
                match status.get("status").and_then(Json::as_str) {
                    Some("COMPLETED") => return,
                    Some("FAILED") => {
                        last = text;
                        break;
                    }
                    _ => {}
                }
            }
        }
        panic!("{}: never done: {last}\n{}", self.place(), self.log());
    }

    /// The status and body of an answer; `None` without an answer.
    fn call(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        // Leaves processor time for the server between repeated calls.
        std::thread::sleep(Duration::from_millis(200));
        let url = format!("{}{path}", self.url);
        let answer = terrace_tests::served::answer(&url, method, body.as_bytes(), &[]).ok()?;
        Some((answer.status, answer.body))
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // Ignores an error: the process may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
