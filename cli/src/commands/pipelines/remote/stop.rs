//! `terrace pipelines cancel --server`: stops a run of a server.

use super::super::project::is_run;
use super::client::{Server, is_unfinished};
use super::events::{Followed, follow};
use crate::args::CancelArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use std::time::Duration;
use terrace_server::pipelines::Run;
use tokio::time::{sleep, timeout};

/// Interval of reads of a run that goes on without its worker.
const PERIOD: Duration = Duration::from_millis(500);

/// Stops a run, or the unfinished runs of a pipeline, and waits until they have ended.
///
/// # Errors
/// When the run does not exist, has ended or does not end in time, the server refuses the call, or it is not reached.
pub(in crate::commands::pipelines) async fn cancel(
    context: &Context<'_>,
    arguments: &CancelArguments,
    server: &Server,
) -> Result<Exit, Failure> {
    let word = arguments.run.as_str();
    let mut runs = if is_run(word) { Vec::new() } else { server.unfinished(word).await? };
    if runs.is_empty() {
        runs.push(server.find(word).await?);
    }
    for run in &runs {
        server.cancel(&run.run_id).await?;
    }
    let report = |followed: Followed<'_>| {
        if let Followed::Outage(text) = followed {
            context.ui.print_message(text);
        }
    };
    for run in &runs {
        let ended = timeout(context.global.lock_timeout(), follow_to_end(server, &run.run_id, report)).await;
        let ended = ended.map_err(|_| {
            Failure::refused(format!("run {} of {} is still running", run.run_id, run.pipeline_id))
                .hint(format!("`terrace pipelines runs --server {}` shows its end", server.url()))
                .hint("if its cluster does not answer, repeat the command once it does")
        })??;
        let state = ended.state.to_uppercase();
        context.ui.print(&harmless(&format!("{}: {state}, run {}\n", ended.pipeline_id, ended.run_id)))?;
    }
    Ok(Exit::Done)
}

/// Follows a run to its end, also if it goes on without its worker: its events end then, and the server stops it in its cluster.
/// The caller limits the wait, which may have no end.
async fn follow_to_end(server: &Server, run: &str, report: impl Fn(Followed<'_>)) -> Result<Run, Failure> {
    let mut ended = follow(server, run, report).await?;
    while is_unfinished(&ended) {
        sleep(PERIOD).await;
        ended = server.run(run).await?;
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::super::client::TokenSource;
    use super::*;
    use serde_json::json;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use terrace_provider::http::{Auth, Base};

    /// A server whose run goes on when its events end, and is cancelled at the second read. Returns its URL.
    fn server_with_a_run() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut reads = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let is_stream = head.starts_with("GET /api/v1/pipelines/runs/r/events ");
                reads += usize::from(!is_stream);
                let run = json!({
                    "run_id": "r", "pipeline_id": "./load", "folder": ".", "reasons": [], "rows": 0, "stats": {}, "errors": [],
                    "steps": [], "attempts": [], "state": if reads < 2 { "running" } else { "cancelled" },
                });
                let (kind, body) = match is_stream {
                    true => ("text/event-stream", format!("event: end\ndata: {run}\n\n")),
                    false => ("application/json", run.to_string()),
                };
                let head = format!("content-type: {kind}\r\ncontent-length: {}\r\nconnection: close", body.len());
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn cancel_waits_for_a_run_that_goes_on_without_its_worker() {
        let base = Base::parse(&server_with_a_run()).unwrap();
        let server = Server::new(base, Auth::None, TokenSource::None).unwrap();
        assert_eq!(follow(&server, "r", |_| ()).await.unwrap().state, "running");
        assert_eq!(follow_to_end(&server, "r", |_| ()).await.unwrap().state, "cancelled");
    }
}
