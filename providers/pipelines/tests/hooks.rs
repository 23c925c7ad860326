//! Notifications of a run's progress to the addresses in a spec, against a small server.

use crate::harness::{Project, Recorder};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use terrace_pipelines::run::{RunRequest, State};
use tokio_util::sync::CancellationToken;

/// A server that records bodies, and responds with a constant status.
struct Listener {
    address: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    fn new(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/services/s3cret-word", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, received) = (stream.unwrap(), Arc::clone(&received));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(body) = request(&mut reader) {
                        received.lock().unwrap().push(body);
                        let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                        if stream.write_all(head.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, bodies }
    }

    fn received(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<String> {
        self.received().iter().map(|body| body["event"].as_str().unwrap().to_owned()).collect()
    }
}

/// Body of a request.
fn request(reader: &mut BufReader<std::net::TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

fn project(hooks: &str, noise: &str) -> Project {
    let project = Project::new(&format!(
        "noise:\n  hooks: [{hooks}]\n  environment: {{API_TOKEN: verysecret}}\n  pipeline:\n  - run: noise\n  - run: \
         dump_to_path\n    parameters: {{out-path: data}}\n"
    ));
    if !noise.is_empty() {
        project.write("noise.py", noise);
    }
    project
}

#[tokio::test]
async fn success_is_reported_in_format_of_dpp() {
    let listener = Listener::new("200 OK");
    let loud = crate::harness::NOISE
        .replace("stats = {", "import sys\nprint('saw verysecret', file=sys.stderr)\nstats = {'said': 'verysecret', ");
    let project = project(&listener.address, &loud);
    let (record, warnings) = run_observed(&project).await;
    assert_eq!((record.state, warnings), (State::Succeeded, Vec::<String>::new()));
    assert_eq!(listener.events(), ["queue", "start", "progress", "finish"]);
    let events = listener.received();
    assert_eq!(events[0], json!({"pipeline_id": "./noise", "event": "queue"}));
    assert_eq!(events[2]["log"], json!(["noise: saw ***"]));
    let finish = &events[3];
    assert_eq!((&finish["success"], &finish["stats"]["noise"]), (&json!(true), &json!(500)));
    assert_eq!(
        (&finish["stats"]["said"], finish.get("errors"), finish["stats"].get(".dpp")),
        (&json!("***"), None, None)
    );
}

#[tokio::test]
async fn failure_is_reported_with_processor_and_its_log() {
    let listener = Listener::new("204 No Content");
    let project =
        project(&listener.address, "import sys\nprint('ERROR no verysecret', file=sys.stderr)\nsys.exit(3)\n");
    let (record, warnings) = run_observed(&project).await;
    assert_eq!((record.state, warnings), (State::Failed, Vec::<String>::new()));
    let events = listener.received();
    let finish = events.last().unwrap();
    let errors = json!(["noise", "ERROR no ***", "it ended with exit code 3"]);
    assert_eq!(finish, &json!({"pipeline_id": "./noise", "event": "finish", "success": false, "errors": errors}));
}

#[tokio::test]
async fn failing_hook_does_not_fail_run_and_warning_has_no_secrets() {
    // A port without a listener.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refusing = Listener::new("500 Internal Server Error");
    let project = project(&format!("'http://user:s3cret-word@{gone}/x', '{}'", refusing.address), "");
    let (record, warnings) = run_observed(&project).await;
    assert_eq!(record.state, State::Succeeded);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains(&format!("the hook at http://{gone} missed events")), "{warnings:?}");
    assert!(warnings[1].contains("it responded with 500"), "{warnings:?}");
    assert!(!warnings.join("").contains("s3cret"), "{warnings:?}");
    // A hook that responds gets the last event nevertheless.
    assert_eq!(refusing.events().last().unwrap(), "finish");
    let log = std::fs::read_to_string(project.runner.store.run_folder(&record.run).join("log.jsonl")).unwrap();
    assert!(log.contains("it responded with 500") && !log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn silent_hook_is_waited_for_only_briefly() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let project = project(&format!("'http://{}'", silent.local_addr().unwrap()), "");
    let started = Instant::now();
    let (record, warnings) = run_observed(&project).await;
    assert_eq!(record.state, State::Succeeded);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // The run itself had ended long before.
    let took = record.finished_at.unwrap().duration_since(record.started_at);
    assert!(took.as_secs() < 5, "{took:?}");
}

async fn run_observed(project: &Project) -> (terrace_pipelines::run::Record, Vec<String>) {
    let (specs, recorder) = (project.specs(), Recorder::default());
    let pipeline = specs.pipeline("./noise").unwrap();
    let record =
        project.runner.run(&specs, pipeline, RunRequest::default(), &recorder, &CancellationToken::new()).await;
    let warnings = recorder.warnings.lock().unwrap().clone();
    (record.unwrap(), warnings)
}
