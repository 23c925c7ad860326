//! A running `terrace serve`, called like a coordinator would.

use crate::running::{TIME_LIMIT, pause};
use crate::{Project, Ran, Running};
use serde_json::{Value as Json, json};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A running server with its address.
#[derive(Debug)]
pub struct Served {
    running: Running,
    url: String,
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
    headers: ureq::http::HeaderMap,
}

impl Answer {
    /// The value of a header; empty without the header.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// Makes one HTTP call with a JSON body.
///
/// # Errors
/// When the server does not answer within a minute, or closes the connection before the end of its answer.
///
/// # Panics
/// When the URL or a header is malformed.
pub fn answer(url: &str, method: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let request = ureq::http::Request::builder().method(method).uri(url).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut response = agent.run(request.body(body.to_owned()).expect("a request"))?;
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    Ok(Answer {
        content_type: content_type.unwrap_or_default().to_owned(),
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string()?,
    })
}

impl Served {
    /// Serves a project on a free port.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(project: &Project, more: &[&str]) -> Self {
        Self::start_with(project, more, &[])
    }

    /// Like [`Served::start`], with environment variables.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(project: &Project, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_command(project, "serve", more, variables)
    }

    /// Starts a command that serves: `serve` or `role-mapper`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_command(project: &Project, name: &str, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let words = [name, "--bind", "127.0.0.1:0"].into_iter().chain(more.iter().copied());
        let mut command = project.command(words);
        command.envs(variables.iter().copied());
        Self::start_as(project, command)
    }

    /// Serves a project in a process with a limit of open files.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with_files(project: &Project, files: u32) -> Self {
        let serve = project.command(["serve", "--bind", "127.0.0.1:0"]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]);
        command.arg(serve.get_program()).args(serve.get_args()).current_dir(project.path("."));
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::start_as(project, command)
    }

    /// Starts a server that survives its terminal.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_by_nohup(project: &Project) -> Self {
        let serve = project.command(["serve", "--bind", "127.0.0.1:0"]);
        let mut command = Command::new("nohup");
        command.arg(serve.get_program()).args(serve.get_args()).current_dir(project.path(".")).stdin(Stdio::null());
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::start_as(project, command)
    }

    fn start_as(project: &Project, command: Command) -> Self {
        let running = project.start(command);
        running.wait_for_stderr("serving on ");
        let output = running.stderr();
        let (_, rest) = output.split_once("serving on ").expect("the address is printed");
        let url = rest.split(',').next().expect("a line").to_owned();
        Self { running, url }
    }

    /// Its address: `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.running.stderr()
    }

    /// Makes the server reload its configuration (SIGHUP).
    pub fn hang_up(&self) {
        self.running.hang_up();
    }

    /// Makes a call.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call_with(method, path, body, &[])
    }

    /// Makes a call with further headers.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn call_with(&self, method: &str, path: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> Answer {
        answer(&format!("{}{path}", self.url), method, body.as_ref(), headers)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The entity tag of a resource (`ETag`).
    ///
    /// # Panics
    /// When the answer has none.
    #[must_use]
    pub fn etag(&self, path: &str) -> String {
        let answer = self.call("GET", path, "");
        assert!(!answer.header("etag").is_empty(), "{answer:?}");
        answer.header("etag").to_owned()
    }

    /// Connects to the server, and sends the beginning of a call.
    ///
    /// # Panics
    /// When it accepts no connections.
    #[must_use]
    pub fn begin(&self, text: &str) -> TcpStream {
        let (_, address) = self.url.split_once("://").expect("a URL");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(text.as_bytes()).expect("it reads");
        stream
    }

    /// Sends a descriptor.
    #[must_use]
    pub fn send(&self, path: &str, kind: &str, descriptor: &str) -> Answer {
        self.call("POST", path, &request(kind, descriptor, false))
    }

    /// Sends a descriptor and returns the token.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn submit(&self, path: &str, descriptor: &str) -> String {
        let answer = self.send(path, "DATAPRODUCT_DESCRIPTOR", descriptor);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body
    }

    /// The final status of a token.
    ///
    /// # Panics
    /// When the operation does not end.
    #[must_use]
    pub fn wait_for_end(&self, token: &str) -> Json {
        self.wait_for_end_at(&format!("/v1/provision/{token}/status"))
    }

    /// The final status at a path.
    ///
    /// # Panics
    /// When the operation does not end.
    #[must_use]
    pub fn wait_for_end_at(&self, path: &str) -> Json {
        let begun = Instant::now();
        loop {
            let last = self.call("GET", path, "").json();
            let status = last.get("status").and_then(Json::as_str).unwrap_or_default();
            if !["RUNNING", "TERMINATING"].contains(&status) {
                return last;
            }
            assert!(begun.elapsed() < TIME_LIMIT, "the operation does not end: {last}\n{}", self.running.stderr());
            pause(begun);
        }
    }

    /// The status of a token.
    #[must_use]
    pub fn status(&self, token: &str) -> Json {
        self.call("GET", &format!("/v1/provision/{token}/status"), "").json()
    }

    /// Kills the server.
    pub fn kill(&self) {
        self.running.kill();
    }

    /// Suspends the server.
    pub fn suspend(&self) {
        self.running.suspend();
    }

    /// Resumes the server.
    pub fn resume(&self) {
        self.running.resume();
    }

    /// Sends SIGTERM and waits for the confirmation: the server starts nothing new.
    pub fn terminate(&self) {
        self.running.terminate();
        self.running.wait_for_stderr("stopped by SIGTERM");
    }

    /// Waits for the end of a server after [`Served::terminate`].
    #[must_use]
    pub fn finish(self) -> Ran {
        self.running.finish()
    }

    /// Stops the server and waits for its end.
    #[must_use]
    pub fn stop(self) -> Ran {
        self.running.terminate();
        self.running.finish()
    }
}

/// The body of a provisioning request.
#[must_use]
pub fn request(kind: &str, descriptor: &str, removes_data: bool) -> String {
    json!({"descriptorKind": kind, "descriptor": descriptor, "removeData": removes_data}).to_string()
}
