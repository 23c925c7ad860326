//! A server whose pipelines run in a cluster: its list of pods, and the usage log. The API server is a stand-in.

use super::cluster_runs::{World, line};
use serde_json::{Value, json};
use terrace_tests::served::Served;
use terrace_tests::until;

fn serve(world: &World) -> Served {
    let project = &world.pipelines.project;
    let caches = world.pipelines.caches.path().display().to_string();
    let kubeconfig = project.path("kubeconfig").display().to_string();
    Served::start_with(project, &[], &[("XDG_CACHE_HOME", &caches), ("KUBECONFIG", &kubeconfig)])
}

#[test]
fn server_lists_the_pods_of_the_cluster() {
    let world = World::new();
    let run = world.interrupted(line("500 rows"));
    let server = serve(&world);
    let listed = || {
        let answer = server.call("GET", "/api/v1/pipelines/pods", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let without_age = |mut pods: Value| {
        pods.as_array_mut().unwrap().iter_mut().for_each(|pod| drop(pod.as_object_mut().unwrap().remove("age")));
        pods
    };
    let pods = without_age(listed());
    let expected = json!([{
        "name": format!("terrace-{run}-x"), "status": "assigned", "role": "worker", "pool": null, "namespace": "p",
        "run": run, "pipeline": "./quick", "expires_at": null, "node": "node",
    }]);
    assert_eq!(pods, expected);
    // The command prints the same, here and for a server.
    for words in [&["pipelines", "pods", "--json"][..], &["pipelines", "pods", "--json", "--server", server.url()]] {
        let printed = world.run(words).done().json();
        crate::cli::schemas::assert_is("pods", &printed);
        assert_eq!(without_age(printed), expected);
    }
    world.cluster.lock().unwrap().refuses = true;
    assert_eq!(listed(), json!([]));
    until("the log has the reason", || server.stderr().contains("pods of the cluster are not listed"));
}

#[test]
fn database_without_an_active_cluster_is_listed_with_its_expiry() {
    let world = World::new();
    let image = format!("databaseImage: 'r.example.com/postgres@sha256:{}', image: ", "0b".repeat(32));
    world.pipelines.project.edit("terrace.yaml", "image: ", &image);
    world.cluster.lock().unwrap().has_database = true;
    let server = serve(&world);
    for words in [&["pipelines", "pods", "--json"][..], &["pipelines", "pods", "--json", "--server", server.url()]] {
        let pods = world.run(words).done().json();
        assert_eq!(pods[0]["name"], "terrace-db-orders-0");
        assert_eq!(pods[0]["expires_at"], "2126-01-01T00:00:00Z");
    }
}

/// The event of the end of a run with one step.
fn end(how: &str, exit_code: i32, failure: Value) -> Value {
    let step =
        json!({"rows": 500, "bytes": 9, "exit_code": exit_code, "signal": null, "cpu_ms": 1500, "memory_peak": 4096});
    let outcome = json!({"end": how, "stats": {}, "rows": 500, "steps": [step], "failure": failure});
    json!({"end": {"outcome": outcome, "results": {"files": 0, "bytes": 0, "digest": ""}}})
}

#[test]
fn runs_of_a_stack_in_a_cluster_are_in_the_usage_log_with_their_facts() {
    let world = World::new();
    let project = &world.pipelines.project;
    project.write("terrace.yaml", project.read("terrace.yaml") + "server: {stacks: true}\n");
    let server = serve(&world);
    let apply = |trigger: &str, log: Vec<Value>| {
        world.cluster.lock().unwrap().log = log;
        let stack = format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: data}}\nresources:\n\
             - {{type: pipelines_run, name: run, config: {{name: ./quick, triggers: {{change: {trigger}}}}}}}\n"
        );
        let plan = server.call("POST", "/api/v1/plans", &json!({"descriptor": stack}).to_string());
        assert_eq!(plan.status, 200, "{plan:?}");
        let id = plan.json()["id"].as_str().unwrap().to_owned();
        let applied = server.call("POST", &format!("/api/v1/plans/{id}/apply"), "");
        assert_eq!(applied.status, 202, "{applied:?}");
        let operation = format!("/api/v1/operations/{}", applied.json()["operation"].as_str().unwrap());
        until("the operation ends", || server.call("GET", &operation, "").json()["ended_at"].is_string());
        let printed = world.run(&["audit", "usage", "--verify"]).done().stdout;
        let mut all = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.rfind(|record| record["action"] == "run").unwrap_or_else(|| panic!("{server:?}"))
    };
    let done = apply("a", vec![line("500 rows"), end("succeeded", 0, Value::Null)]);
    let failure = json!({"step": 0, "what": "bad rows", "said": []});
    let failed = apply("b", vec![line("0 rows"), end("failed", 3, failure)]);
    for (record, outcome, exit_code) in [(&done, "done", Value::Null), (&failed, "failed", json!(3))] {
        assert_eq!((&record["outcome"], &record["exit_code"]), (&json!(outcome), &exit_code), "{record}");
        assert_eq!((&record["cluster"], &record["namespace"]), (&json!(world.server.url), &json!("p")), "{record}");
        let image = record["image"].as_str().unwrap_or_default();
        assert!(image.starts_with("r.example.com/x@sha256:0a0a"), "{record}");
        assert_eq!((&record["pipeline_id"], &record["mem_peak_bytes"]), (&json!("./quick"), &json!(4096)), "{record}");
        assert_eq!((record["cpu_seconds"].as_f64(), &record["rows"]), (Some(1.5), &json!(500)), "{record}");
        assert!(record["finished_at"].is_string(), "{record}");
    }
    assert_ne!(done["run_id"], failed["run_id"]);
    assert!(failed["error"].as_str().unwrap().contains("bad rows"), "{failed}");
}
