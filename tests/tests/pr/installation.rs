//! The installation of a released binary, as `examples/ci` does it: each job runs a downloaded file only if it has the
//! expected digest.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use terrace_tests::{Project, repository};

/// A release: a program that prints its arguments.
const RELEASE: &str = "#!/bin/sh\nprintf 'ran: %s\\n' \"$*\"\n";
/// Serves the files of a folder over TLS and prints its port.
const SERVER: &str = "\
import functools, http.server, ssl
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory='release')
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('server.pem', 'server.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

/// A server with a release, and a folder for the job.
struct Releases {
    project: Project,
    port: u16,
    server: Child,
}

impl Releases {
    fn start() -> Self {
        let project = Project::new();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        project.write("server.key", signing_key.serialize_pem());
        project.write("server.pem", cert.pem());
        project.write("release/terrace", RELEASE);
        let folder = project.path(".");
        let mut command = Command::new("python3");
        command.args(["-c", SERVER]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { project, port: port.trim().parse().unwrap(), server }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.port)
    }

    /// Runs the lines of a job in the shell of the forge.
    fn run(&self, lines: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", lines]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("CURL_CA_BUNDLE", self.project.path("server.pem")).envs(variables.iter().copied());
        command.current_dir(self.project.path(".")).output().unwrap()
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// Runs both steps of the action of GitHub.
fn run_github(releases: &Releases, url: &str, digest: &str) -> Output {
    let action = yaml(&read("examples/ci/action.yml"));
    let steps = action["runs"]["steps"].as_array().unwrap().iter().map(|step| step["run"].as_str().unwrap());
    let temporary = releases.project.path("runner");
    let variables = [
        ("RUNNER_TEMP", temporary.to_str().unwrap()),
        ("URL", url),
        ("SHA256", digest),
        ("COMMAND", "plan products other"),
        ("GITHUB_TOKEN", "token"),
    ];
    // A step that fails ends the job.
    releases.run(&steps.map(|step| format!("(\n{step})\n")).collect::<String>(), &variables)
}

/// Runs the job with plans of the component of GitLab.
fn run_gitlab(releases: &Releases, url: &str, digest: &str) -> Output {
    let text = read("examples/ci/gitlab/templates/terrace.yml");
    let (_, jobs) = text.split_once("\n---\n").unwrap();
    let jobs = yaml(&jobs.replace("$[[ inputs.", "input-").replace(" ]]", ""));
    let parts = [&jobs[".terrace"]["before_script"], &jobs["terrace-plan"]["script"]];
    let lines = parts.into_iter().flat_map(|part| part.as_array().unwrap()).map(|line| line.as_str().unwrap());
    let folder = releases.project.path("job");
    let variables = [
        ("CI_PROJECT_DIR", folder.to_str().unwrap()),
        ("TERRACE_URL", url),
        ("TERRACE_SHA256", digest),
        ("TERRACE_FOLDERS", "products other"),
    ];
    releases.run(&lines.flat_map(|line| [line, "\n"]).collect::<String>(), &variables)
}

/// Runs the jobs of both forges, and returns whether they succeeded, with all that they printed.
fn run_both(releases: &Releases, url: &str, digest: &str) -> [(bool, String); 2] {
    [run_github(releases, url, digest), run_gitlab(releases, url, digest)].map(|output| {
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.success(), text)
    })
}

fn digest() -> String {
    base16ct::lower::encode_string(&Sha256::digest(RELEASE))
}

/// Checks that neither job ran the release, and that both say why.
fn refused(ran: [(bool, String); 2], why: &str) {
    for (is_done, text) in ran {
        assert!(!is_done && !text.contains("ran:") && text.contains(why), "{text}");
    }
}

#[test]
fn release_with_the_expected_digest_runs_with_its_arguments() {
    let releases = Releases::start();
    for (is_done, text) in run_both(&releases, &releases.url("terrace"), &digest()) {
        assert!(is_done && text.contains("ran: pr plan products other --input=false"), "{text}");
    }
}

#[test]
fn changed_release_is_not_run() {
    let releases = Releases::start();
    releases.project.write("release/terrace", format!("{RELEASE}\n"));
    refused(run_both(&releases, &releases.url("terrace"), &digest()), "WARNING: 1 computed checksum did NOT match");
    refused(run_both(&releases, &releases.url("terrace"), "no digest"), "no properly formatted checksum lines found");
}

#[test]
fn release_without_an_encrypted_connection_is_not_downloaded() {
    let releases = Releases::start();
    let url = releases.url("terrace").replace("https:", "http:");
    refused(run_both(&releases, &url, &digest()), "Protocol \"http\"");
    let is_there = |path: &str| Path::new(&releases.project.path(path)).exists();
    assert!(!is_there("runner/terrace/terrace") && !is_there("job.tmp/terrace/terrace"));
}

#[test]
fn missing_release_ends_the_job() {
    let releases = Releases::start();
    refused(run_both(&releases, &releases.url("nothing"), &digest()), "404");
}
