//! Runs that a CronJob of a cluster started: in the usage log of `terrace serve`, each once, across an outage of the state,
//! kills, and the removal of the records; and runs of the queue that took their results.

use super::queued::Queued;
use super::served::serve;
use super::usage::usage;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use terrace_pipelines::queue::{Assignment, Ending, Options, PoolSpec, Queue, QueueRequest};
use terrace_pipelines::run::Store;
use terrace_tests::{Peer, until};

/// An API server with the first Jobs of the CronJob `terrace-nightly`. All ended well, with 3 rows.
fn cluster(count: &Arc<AtomicUsize>) -> Peer {
    let count = Arc::clone(count);
    let job = |number: usize| {
        let at = format!("2026-11-{number:02}T01:30:00Z");
        json!({
            "metadata": {
                "name": format!("terrace-nightly-{number}"), "uid": format!("00000000-0000-4000-8000-{number:012}"),
                "creationTimestamp": at,
            },
            "status": {"startTime": at, "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at}]},
        })
    };
    let list = |kind: &str, items: Vec<Value>| {
        let kind = format!("{kind}List");
        json!({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items})
    };
    Peer::start(move |path, _| {
        let place = path.split_once('?').map_or(path, |(place, _)| place);
        let body = if place.ends_with("/log") {
            let outcome =
                json!({"end": "succeeded", "stats": {}, "rows": 3, "steps": [], "failure": null, "in_place": []});
            let end = json!({"outcome": outcome, "results": {"files": 0, "bytes": 0, "digest": ""}});
            json!({"n": 1, "at": "2026-11-29T01:30:00Z", "event": {"end": end}})
        } else if place.ends_with("/jobs") {
            list("Job", (1..=count.load(Ordering::SeqCst)).map(job).collect())
        } else if let Some((_, number)) = place.rsplit_once("/jobs/terrace-nightly-") {
            job(number.parse().unwrap())
        } else if place.ends_with("/pods") {
            let status = json!({"name": "run", "state": {"terminated": {"exitCode": 0}}});
            let metadata = json!({"name": "pod", "creationTimestamp": "2026-11-29T01:30:00Z"});
            list("Pod", vec![json!({"metadata": metadata, "status": {"containerStatuses": [status]}})])
        } else {
            list("Event", Vec::new())
        };
        (200, format!("{body}\n"))
    })
}

/// A project whose schedule `nightly` of `./quick` has a CronJob in this cluster.
fn scheduled(cluster: &Peer) -> Queued {
    let queued = Queued::new();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: '{}'}}}}]\nusers: [{{name: a, user: {{}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\ncurrent-context: a\n",
        cluster.url
    );
    queued.project.write("kubeconfig", kubeconfig);
    let place = json!({
        "cluster": cluster.url, "namespace": "shop", "kubeconfig": queued.project.path("kubeconfig"), "context": "a",
    });
    let schedule = json!({
        "name": "nightly", "folder": ".", "pipeline": "./quick", "cron": "30 1 * * *", "timeZone": "UTC", "enabled": true,
        "overlap": "forbid", "catchUp": "last", "jitterSeconds": 0, "since": "2026-10-31T00:00:00Z",
        "cronJob": {"name": "terrace-nightly", "uid": "u", "stored": "", "place": place},
    });
    queued.project.write(".terrace/pipelines/schedules/nightly/schedule.json", schedule.to_string());
    queued
}

/// Files of ends that are not logged yet, with their content.
fn unlogged(queued: &Queued) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(queued.project.path(".terrace/pipelines/unlogged")).into_iter().flatten();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| !name.ends_with(".partial") && name != "complete");
    // The server may remove a file meanwhile.
    let read = |name: String| {
        let text = fs::read(queued.project.path(&format!(".terrace/pipelines/unlogged/{name}"))).ok()?;
        Some((name, text))
    };
    names.filter_map(read).collect()
}

/// Begins or ends an outage of the audit log.
fn set_outage(queued: &Queued, is_out: bool) {
    let state = rusqlite::Connection::open(queued.project.path(".terrace/state.db")).unwrap();
    state.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    let sql = match is_out {
        true => "CREATE TRIGGER outage BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'as requested'); END",
        false => "DROP TRIGGER outage",
    };
    state.execute_batch(sql).unwrap();
}

/// Copies the runs of the cluster into the records by a command.
fn copy(queued: &Queued, runs: usize) {
    until("the runs are copied", || {
        queued.run(&["pipelines", "runs"]).done();
        unlogged(queued).len() == runs
    });
}

#[test]
fn each_run_of_a_cron_job_is_in_the_usage_log_once() {
    let jobs = Arc::new(AtomicUsize::new(1));
    let cluster = cluster(&jobs);
    let queued = scheduled(&cluster);
    let server = serve(&queued);
    let logged = |count: usize| {
        until("the ends are logged", || usage(&queued, "run").len() >= count && unlogged(&queued).is_empty());
        let found = usage(&queued, "run");
        let ids: std::collections::BTreeSet<&str> = found.iter().map(|it| it["run_id"].as_str().unwrap()).collect();
        assert_eq!((found.len(), ids.len()), (count, count), "each once: {found:?}");
        found
    };
    // No caller lists the runs.
    let found = logged(1);
    let run = &found[0];
    let by = ["user", "outcome", "pipeline_id", "namespace", "finished_at"].map(|name| run[name].as_str().unwrap());
    assert_eq!(by, ["schedule", "done", "./quick", "shop", "2026-11-01T01:30:00Z"], "{run}");
    assert_eq!(run["cluster"], json!(cluster.url), "{run}");
    assert_eq!((&run["rows"], &run["org"]), (&json!(3), &Value::Null), "{run}");
    let metrics = server.call("GET", "/metrics", "").body;
    assert!(metrics.contains("terrace_pipelines_actions_total{action=\"run\",outcome=\"done\"} 1"), "{metrics}");

    set_outage(&queued, true);
    jobs.store(2, Ordering::SeqCst);
    copy(&queued, 1);
    until("the outage is noticed", || server.stderr().contains("the ends of runs cannot be logged now"));
    set_outage(&queued, false);
    logged(2);

    // A kill between the copies and the log, and retention.
    set_outage(&queued, true);
    jobs.store(4, Ordering::SeqCst);
    copy(&queued, 2);
    server.kill();
    drop(server);
    set_outage(&queued, false);
    let copied = unlogged(&queued);
    assert_eq!(copied.len(), 2, "{copied:?}");
    fs::remove_dir_all(queued.project.path(".terrace/pipelines/runs")).unwrap();
    let server = serve(&queued);
    logged(4);

    // As if the server had been killed between the log and the removal of the files.
    server.kill();
    drop(server);
    for (name, text) in copied {
        fs::write(queued.project.path(&format!(".terrace/pipelines/unlogged/{name}")), text).unwrap();
    }
    let _server = serve(&queued);
    logged(4);
}

#[test]
fn id_of_a_queued_run_leads_to_the_run_whose_result_it_took() {
    let cluster = cluster(&Arc::new(AtomicUsize::new(1)));
    let queued = scheduled(&cluster);
    let listed = || {
        let runs = queued.run(&["pipelines", "runs", "--format", "json"]).done().json();
        runs["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["run_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let taken = listed().remove(0);
    let folder = queued.project.path(".terrace/pipelines");
    let (queue, store) = (Queue::open(&folder).unwrap(), Store::new(folder));
    queue.add_pool(&PoolSpec { name: "etl", size: 1, ttl: None, settings: "{}", mark: None }).unwrap();
    assert!(queue.add_worker("etl", "worker").unwrap() && queue.mark_started("worker").unwrap());
    let request = QueueRequest {
        pool: None,
        root: queued.project.path("."),
        folder: ".".to_owned(),
        pipeline: "./quick".to_owned(),
        options: Options::default(),
        after: Vec::new(),
    };
    let run = queue.enqueue(&[request]).unwrap().remove(0);
    let Assignment::Run(entry, _) = queue.assign("worker").unwrap() else { panic!("it is not assigned") };
    queue.end(&entry, &Ending::Ran(Box::new(store.exact_run(&taken).unwrap().unwrap()))).unwrap();
    let note = format!("run {run} took the result of run {taken}, whose log follows");
    queued.run(&["pipelines", "logs", &run]).done().prints(&note);
    queued.run(&["pipelines", "logs", &run, "--follow"]).done().prints(&note);
    assert!(!queued.run(&["pipelines", "logs", &taken]).done().stderr.contains("took the result"));
    queued.run(&["pipelines", "cancel", &run]).with_code(1).prints(&format!("run {taken} of ./quick has ended"));
    assert_eq!(listed(), [taken.as_str()], "it is listed once");
    // Its id is not the name of the pipeline: a run in progress goes on.
    let waits = "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.05)\n";
    queued.project.write("noise.py", format!("{waits}{}", queued.project.read("noise.py")));
    let next = queued.start(&["pipelines", "run", "./quick", "--no-queue", "--force"]);
    until("the next run is recorded", || listed().len() == 2);
    queued.run(&["pipelines", "cancel", &run]).with_code(1).prints(&format!("run {taken} of ./quick has ended"));
    queued.project.write("go", "");
    next.finish().done();
}
