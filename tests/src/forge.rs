//! A stand-in for the GitHub and GitLab APIs that pipelines call: comments, and artifacts with plans.
//!
//! It is strict: it refuses a token, path, query or body outside of the vendor's documentation and records a fault.
//! Queries do not filter, so that a pipeline has to check each answer.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The vendor of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GitHub's.
    GitHub,
    /// GitLab's.
    GitLab,
}

/// A running stand-in with pull request number 1.
#[derive(Debug)]
pub struct Forge {
    kind: Kind,
    address: String,
    content: Arc<Mutex<Content>>,
}

/// Content of the stand-in, and its calls.
#[derive(Debug, Default)]
struct Content {
    comments: Vec<Comment>,
    /// Bodies of answers by path and query.
    answers: BTreeMap<String, Value>,
    /// Texts of job files by path.
    files: BTreeMap<String, String>,
    requests: Vec<String>,
    faults: Vec<String>,
}

#[derive(Debug)]
struct Comment {
    id: u64,
    author: u64,
    text: String,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// The accepted token.
const TOKEN: &str = "a-token-of-the-test";
/// The accounts of the token and of another user.
const OWN: u64 = 7;
const OTHER: u64 = 8;
/// Limit of a comment, in characters.
const LONGEST: usize = 65_536;

impl Forge {
    /// Starts a stand-in.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the address of a listener").to_string();
        let content = Arc::new(Mutex::new(Content::default()));
        let shared = Arc::clone(&content);
        // The thread ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(kind, stream, &shared);
            }
        });
        Self { kind, address, content }
    }

    /// The environment variables of a pipeline run.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self.kind {
            Kind::GitHub => vec![
                ("GITHUB_API_URL", format!("http://{}", self.address)),
                ("GITHUB_REPOSITORY", "acme/products".to_owned()),
                ("GITHUB_TOKEN", TOKEN.to_owned()),
                ("PULL_REQUEST", "1".to_owned()),
            ],
            Kind::GitLab => vec![
                ("GITLAB_CI", "true".to_owned()),
                ("CI_API_V4_URL", format!("http://{}", self.address)),
                ("CI_PROJECT_ID", "42".to_owned()),
                ("TERRACE_TOKEN", TOKEN.to_owned()),
            ],
        }
    }

    /// Adds a comment of another account.
    pub fn add_comment(&self, text: &str) {
        let mut content = self.content();
        let id = content.next_id();
        content.comments.push(Comment { id, author: OTHER, text: text.to_owned() });
    }

    /// Sets the answer to a GET by its path and query, relative to the repository.
    pub fn answer(&self, path: &str, body: Value) {
        self.content().answers.insert(path.to_owned(), body);
    }

    /// Adds a file of a job by its path, relative to the repository.
    pub fn add_file(&self, path: &str, content: &str) {
        self.content().files.insert(path.to_owned(), content.to_owned());
    }

    /// All comments of the pull request.
    #[must_use]
    pub fn comments(&self) -> Vec<String> {
        self.content().comments.iter().map(|comment| comment.text.clone()).collect()
    }

    /// The comments of the token's account.
    #[must_use]
    pub fn own_comments(&self) -> Vec<String> {
        let content = self.content();
        content.comments.iter().filter(|comment| comment.author == OWN).map(|comment| comment.text.clone()).collect()
    }

    /// The calls since the last call of this function: `POST /issues/1/comments`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.content().requests)
    }

    /// The invalid calls since the last call of this function.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        std::mem::take(&mut self.content().faults)
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().expect("no thread of the stand-in panics")
    }
}

impl Content {
    fn next_id(&self) -> u64 {
        self.comments.iter().map(|comment| comment.id).max().unwrap_or(100) + 1
    }
}

impl Comment {
    /// The comment in the vendor's form.
    fn to_json(&self, kind: Kind) -> Value {
        let Self { id, author, text } = self;
        match kind {
            Kind::GitHub => {
                let login = if *author == OWN { "github-actions[bot]" } else { "mallory" };
                json!({"id": id, "user": {"id": author, "login": login}, "body": text})
            }
            Kind::GitLab => json!({"id": id, "author": {"id": author, "username": format!("u{author}")}, "body": text}),
        }
    }
}

fn answer(kind: Kind, stream: TcpStream, content: &Mutex<Content>) {
    let Some(request) = read(&stream) else { return };
    let mut content = content.lock().expect("no thread of the stand-in panics");
    let base = match kind {
        Kind::GitHub => "/repos/acme/products",
        Kind::GitLab => "/projects/42",
    };
    let path = match (kind, request.path.as_str()) {
        (Kind::GitLab, "/user") => "/user",
        (_, path) => path.strip_prefix(base).unwrap_or("?"),
    };
    let path = path.to_owned();
    content.requests.push(format!("{} {path}", request.method));
    let (status, body) = match checked(kind, &request).and_then(|()| carry_out(kind, &request, &path, &mut content)) {
        Ok(body) => (200, body),
        Err((status, fault)) => {
            content.faults.push(format!("{} {}: {fault}", request.method, request.path));
            (status, json!({"message": fault}).to_string())
        }
    };
    drop(content);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Ignores an error: the caller may have closed the connection.
    let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body.as_bytes()));
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    Some(Request { method, path, query, headers, body: String::from_utf8(body).ok()? })
}

/// Checks the token and the content type.
fn checked(kind: Kind, request: &Request) -> Result<(), (u16, String)> {
    let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
    let is_known = match kind {
        Kind::GitHub => header("authorization") == format!("Bearer {TOKEN}"),
        Kind::GitLab => header("private-token") == TOKEN,
    };
    if !is_known {
        return Err((401, "another token".to_owned()));
    }
    if !request.body.is_empty() && header("content-type") != "application/json" {
        return Err((415, format!("a body of the type `{}`", header("content-type"))));
    }
    Ok(())
}

fn carry_out(kind: Kind, request: &Request, path: &str, content: &mut Content) -> Result<String, (u16, String)> {
    let (all, one, change) = match kind {
        Kind::GitHub => ("/issues/1/comments", "/issues/comments/", "PATCH"),
        Kind::GitLab => ("/merge_requests/1/notes", "/merge_requests/1/notes/", "PUT"),
    };
    match request.method.as_str() {
        "GET" if kind == Kind::GitLab && path == "/user" => Ok(json!({"id": OWN, "username": "bot"}).to_string()),
        "GET" if path == all => {
            let page = page(&request.query)?;
            let shown = content.comments.iter().skip((page - 1) * 100).take(100);
            Ok(shown.map(|comment| comment.to_json(kind)).collect::<Value>().to_string())
        }
        "POST" if path == all => {
            let (id, text) = (content.next_id(), text(&request.body)?);
            content.comments.push(Comment { id, author: OWN, text });
            Ok(json!({"id": id}).to_string())
        }
        method if method == change && path.starts_with(one) => {
            let id = path.strip_prefix(one).and_then(|id| id.parse::<u64>().ok());
            let found = content.comments.iter_mut().find(|comment| Some(comment.id) == id);
            let comment = found.ok_or((404, "there is no such comment".to_owned()))?;
            // A project token may change comments of other accounts, but the pipeline must not.
            if comment.author != OWN {
                return Err((403, "the comment of another account".to_owned()));
            }
            comment.text = text(&request.body)?;
            Ok(json!({"id": id}).to_string())
        }
        "GET" => plan(request, path, content),
        _ => Err((404, "there is no such path".to_owned())),
    }
}

/// The artifacts with the plan of a merged pull request.
fn plan(request: &Request, path: &str, content: &Content) -> Result<String, (u16, String)> {
    if let Some(file) = content.files.get(path).filter(|_| request.query.is_empty()) {
        return Ok(file.clone());
    }
    let target = if request.query.is_empty() { path.to_owned() } else { format!("{path}?{}", request.query) };
    let found = content.answers.get(&target);
    found.map(Value::to_string).ok_or((404, format!("there is no such path: {target}")))
}

fn page(query: &str) -> Result<usize, (u16, String)> {
    let page = query.strip_prefix("per_page=100&page=").and_then(|page| page.parse().ok());
    page.filter(|page| *page > 0).ok_or((422, format!("the query `{query}`")))
}

/// The text of a comment. The body must have no other field.
fn text(body: &str) -> Result<String, (u16, String)> {
    let json: Value = serde_json::from_str(body).map_err(|error| (400, error.to_string()))?;
    let fields = json.as_object().ok_or((422, "the body is not an object".to_owned()))?;
    match (fields.len(), fields.get("body").and_then(Value::as_str)) {
        (1, Some(text)) if !text.trim().is_empty() && text.chars().count() <= LONGEST => Ok(text.to_owned()),
        _ => Err((422, "the body is not `{body}` with a text of at most 65536 characters".to_owned())),
    }
}
