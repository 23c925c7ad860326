//! The queue of data pipelines end to end: clusters, killed workers, pods, and the binary named `dppctl`.

mod cancelled;
mod clusters;
mod cron_jobs; // runs of CronJobs in the usage log
pub(super) mod queued;
mod remote; // the commands of a server
mod served; // the API of the server
mod sign_in;
mod usage; // the usage log of the server

use queued::Queued;
use serde_json::Value;
use std::fs;
use std::process::Command;
use terrace_tests::{Ran, until};

/// Compares the output with a snapshot, without the names of workers.
macro_rules! assert_output {
    ($ran:expr, @$expected:literal) => {{
        let ran = $ran;
        let mut settings = ran.filters();
        settings.add_filter("dppctl-worker-[a-z0-9]{13}", "dppctl-worker-…");
        settings.add_filter(r"(http://127\.0\.0\.1:\d+/\S+)#\S+", "$1#TOKEN");
        settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
        settings.add_filter(r"Password: \S+", "Password: …");
        settings.bind(|| insta::assert_snapshot!(ran.to_string(), @$expected));
    }};
}

/// Returns the run id from the output of `run --detach`.
fn id(ran: &Ran) -> String {
    ran.stdout.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn local_cluster_is_created_and_runs_pipelines_as_documented() {
    let queued = Queued::new();
    assert_output!(queued.run(&["pipelines", "init", "local"]), @r"
    exit: 0
    --- stdout
    DB pod: dppctl-db-local-1
    Worker pod: dppctl-worker-…
    Worker pod: dppctl-worker-…
    --- stderr
    Initializing Cluster, re-run terrace pipelines init to track initialization progress
    Cluster is ready, starting 1 persistent DB pod and 2 persistent worker pods
    DB Web UI is available at http://127.0.0.1:PORT/databases/dppctl-db-local-1#TOKEN
    System: PostgreSQL, Server: 127.0.0.1:PORT, Username: postgres, Password: …
    terrace initialization completed successfully
    ");
    assert!(!queued.project.has("terrace.yaml"), "it starts no project");
    assert_output!(queued.run(&["pipelines", "run", "./quick"]), @r"
    exit: 0
    --- stdout
    ./quick: SUCCESS, processed 500 rows
    --- stderr
    Using local private cluster
    Assigned Worker Pod: dppctl-worker-…
    INFO    :RESULTS:
    INFO    :SUCCESS: ./quick {'noise': 1, 'num rows': 500}
    Unassigned Worker Pod
    ");
    assert_output!(queued.run(&["pipelines", "init"]), @r"
    exit: 0
    --- stdout
    DB pod: dppctl-db-local-1 available
    Worker pod: dppctl-worker-… available
    Worker pod: dppctl-worker-… available
    --- stderr
    local private cluster is ready; queued runs: 0
    ");
    // Another size keeps the existing pods.
    let before = queued.names();
    queued.run(&["pipelines", "init", "local", "--workers", "3"]).done();
    assert!(queued.names().is_superset(&before) && queued.names().len() == 4);
    // `--no-queue` runs in this process nevertheless.
    let here = queued.run(&["pipelines", "run", "./quick", "--no-queue"]).done();
    assert!(!here.stderr.contains("Worker Pod"), "{here}");
}

#[test]
fn worker_is_available_then_assigned_then_available() {
    let queued = Queued::with_cluster("1");
    let pods = queued.pods();
    assert_eq!((pods.len(), &pods[0]["status"], &pods[0]["role"]), (1, &"available".into(), &"worker".into()));
    assert!(pods[0]["run"].is_null() && pods[0]["expires_at"].is_null() && pods[0]["age"].is_u64());
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let busy = queued.pods();
    crate::cli::schemas::assert_is("pods", &Value::Array(busy.clone()));
    assert_eq!((&busy[0]["status"], &busy[0]["pipeline"]), (&"assigned".into(), &"./slow".into()));
    assert_eq!(busy[0]["name"], pods[0]["name"]);
    // The next run waits and reports it.
    let waiting = queued.start(&["pipelines", "run", "./quick"]);
    waiting.wait_for_stderr("Waiting for available worker pods");
    queued.project.write("go", "");
    following.finish().done();
    waiting.finish().done().prints("./quick: SUCCESS");
    assert_eq!(queued.pods()[0]["status"], "available");
    let table = queued.run(&["pipelines", "pods", "--format", "human"]).done();
    assert!(table.stdout.starts_with("NAME") && table.stdout.contains("  available  worker  local  "), "{table}");
}

#[test]
fn status_of_a_cluster_brings_new_settings_to_its_workers() {
    let queued = Queued::with_cluster("1");
    let before = queued.names();
    queued.project.write("terrace.yaml", "environments: {local: {providers: {pipelines: {maxParallel: 7}}}}\n");
    queued.run(&["pipelines", "init"]).done().prints("local private cluster is ready");
    assert!(queued.names().is_disjoint(&before), "workers with the former settings are not listed");
    queued.run(&["pipelines", "run", "./quick"]).done().prints("./quick: SUCCESS");
    until("the former worker ends", || queued.workers().iter().all(|(_, name)| !before.contains(name)));
}

#[test]
fn killed_worker_is_replaced_and_its_run_ends_once() {
    let queued = Queued::with_cluster("2");
    let before = queued.names();
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let busy = queued.pods().into_iter().find(|pod| pod["status"] == "assigned").unwrap();
    let (worker, run) = (busy["name"].as_str().unwrap().to_owned(), busy["run"].as_str().unwrap().to_owned());
    queued.kill(|name| name == worker);
    until("it begins again", || queued.step_starts() == 2);
    queued.project.write("go", "");
    following.finish().done().prints("./slow: SUCCESS");
    assert!(queued.project.has("data/datapackage.json") && !queued.has_processes());
    assert_eq!(queued.states(&run), ["queued", "assigned", "queued", "assigned", "ended"]);
    let after = queued.names();
    assert!(after.len() == 2 && !after.contains(&worker) && after.intersection(&before).count() == 1, "{after:?}");
}

#[test]
fn run_continues_after_its_follower_is_killed() {
    let queued = Queued::with_cluster("1");
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    following.kill();
    assert_eq!(following.finish().code, -1);
    queued.project.write("go", "");
    until("it ends", || queued.project.has("data/datapackage.json"));
    assert_eq!(queued.step_starts(), 1);
    // Ctrl-C is different: it stops the run.
    fs::remove_file(queued.project.path("go")).unwrap();
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 2);
    following.interrupt();
    following.finish().with_code(130).prints("./slow: CANCELLED");
    until("its processes are gone", || !queued.has_processes());
}

#[test]
fn killed_workers_are_restarted_by_the_next_command() {
    let queued = Queued::with_cluster("2");
    let detached = queued.run(&["pipelines", "run", "./slow", "--detach"]).done();
    until("the step begins", || queued.step_starts() == 1);
    // Workers restart each other, so all must be killed.
    while !queued.workers().is_empty() {
        queued.kill(|_| true);
    }
    queued.project.write("go", "");
    assert_eq!(queued.pods().len(), 2);
    let run = id(&detached);
    until("the run ends", || queued.states(&run).last().is_some_and(|state| state == "ended"));
    assert_eq!(queued.states(&run).iter().filter(|state| *state == "ended").count(), 1);
    queued.run(&["pipelines", "logs", &run]).done();
    assert!(queued.project.has("data/datapackage.json") && !queued.has_processes());
}

#[test]
fn workers_that_end_at_their_start_are_reported_with_the_reason() {
    let queued = Queued::with_cluster("1");
    queued.run(&["pipelines", "run", "./slow", "--detach"]).done();
    until("the step begins", || queued.step_starts() == 1);
    let running = queued.start(&["pipelines", "run", "./quick"]);
    running.wait_for_stderr("Waiting for available worker pods");
    let queue = rusqlite::Connection::open(queued.project.path(".terrace/pipelines/queue.db")).unwrap();
    // The busy worker does not notice the wrong setting, but its successors do at their start.
    queue.execute("UPDATE pool SET settings = json_set(settings, '$.retryOn', 'sometimes')", []).unwrap();
    queued.kill(|_| true);
    let reason = "warning: the workers of the pool `local` end at their start: `retryOn` is `sometimes`: expected \
                  `infrastructure` or `all`; their log is `";
    running.wait_for_stderr(reason);
    queued.run(&["pipelines", "pods", "--format", "human"]).done().prints(reason);
    queued.project.write("go", "");
    // `init` replaces the settings, and does not wait for the next attempt.
    queued.run(&["pipelines", "init"]).done().prints("local private cluster is ready");
    let ran = running.finish().done();
    assert_eq!(ran.stderr.matches("end at their start").count(), 1, "{ran}");
}

#[test]
fn server_restarts_workers_if_all_were_killed() {
    let queued = Queued::with_cluster("2");
    let server = queued.start(&["serve", "--bind", "127.0.0.1:0"]);
    server.wait_for_stderr("serving on");
    let before: Vec<String> = queued.workers().into_iter().map(|(_, name)| name).collect();
    queued.kill(|name| before.iter().any(|known| known == name));
    until("others take their places", || {
        let now = queued.workers();
        now.len() == 2 && now.iter().all(|(_, name)| !before.contains(name))
    });
    drop(server);
}

#[test]
fn pipelines_wait_for_their_dependencies() {
    let queued = Queued::with_cluster("2");
    let ran = queued.run(&["pipelines", "run", "./quick,./after"]).done();
    let (quick, after) = (ran.stdout.find("./quick: SUCCESS"), ran.stdout.find("./after: SUCCESS"));
    assert!(quick < after && quick.is_some(), "{ran}");
    queued.project.write("noise.py", "raise SystemExit(3)");
    let failed = queued.run(&["pipelines", "run", "./quick,./after"]).with_code(3);
    failed.prints("./quick: FAILURE").prints("Dependency unsuccessful: Cannot run until dependency \"./quick\"");
}

#[test]
fn results_of_workers_are_synced_before_workers_are_released() {
    let queued = Queued::with_cluster("1");
    queued.project.write("go", "");
    queued.project.write("data/index.html", "<h1>Hello</h1>");
    let ran = queued.run(&["pipelines", "run", "./slow", "--sync", "there", "--public"]).done();
    let folder = queued.project.path(".").canonicalize().unwrap().display().to_string();
    let lines = ran.stderr.lines().filter(|line| !line.starts_with("INFO"));
    let lines: Vec<String> = lines.map(|line| line.replace(&folder, "[folder]")).collect();
    assert_eq!(lines[0], "Using local private cluster");
    assert!(lines[1].starts_with("Assigned Worker Pod: dppctl-worker-"), "{ran}");
    let after = [
        "Syncing Data Packages to Public Storage",
        "data > [folder]/there/slow/data/",
        "Syncing Static Website to Public Storage",
        "data/index.html > [folder]/there/_site/",
        "Unassigned Worker Pod",
    ];
    assert_eq!(lines[2..], after);
}

#[test]
fn worker_pool_is_planned_applied_and_destroyed() {
    let queued = Queued::new();
    let pool = "resources:\n  - {type: pipelines_worker_pool, name: p, config: {name: nightly, size: 2}}\n";
    queued.project.write_stack(pool);
    queued.run(&["pipelines", "run", "--queue"]).with_code(1).prints("the queue has no workers");
    queued.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    queued.run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
    let ran = queued.run(&["pipelines", "run", "./quick", "--pool", "nightly"]).done();
    ran.prints("Assigned Worker Pod: dppctl-worker-").prints("Unassigned Worker Pod");
    assert!(!ran.stderr.contains("Using"), "there is no cluster: {ran}");
    queued
        .run(&["pipelines", "run", "./quick", "--pool", "nigthly"])
        .with_code(1)
        .prints("there is no worker pool `nigthly`")
        .prints("did you mean `nightly`?");
    // Replaced workers change no plan.
    queued.kill(|_| true);
    queued.pods();
    queued.run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
    queued.project.write_stack(&pool.replace("size: 2", "size: 1"));
    queued.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    until("one goes", || queued.pods().len() == 1);
    let settings = "environments: {local: {overlay: embedded, providers: {pipelines: {retries: 0}}}}\n";
    queued.project.write("terrace.yaml", settings);
    let outdated = queued.run(&["pipelines", "run", "./quick", "--pool", "nightly"]).with_code(1);
    outdated
        .prints("the workers of the pool `nightly` have other settings: `retries`")
        .prints("`terrace apply` in the environment (`--env`) of a");
    let changed = queued.run(&["plan", "stack.yaml", "--detailed-exitcode"]).with_code(2);
    changed.prints("its workers have other settings: `retries`").prints("0 to add, 1 to change, 0 to destroy");
    queued.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    queued.run(&["pipelines", "run", "./quick", "--pool", "nightly", "--force"]).done();
    queued.run(&["plan", "stack.yaml", "--detailed-exitcode"]).done();
    // Of several pools, one with the settings of the project takes the runs.
    queued.project.write("terrace.yaml", settings.replace("retries: 0", "retries: 1"));
    let other = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: other}\nresources:\n\
                 - {type: pipelines_worker_pool, name: p, config: {name: other, size: 1}}\n";
    queued.project.write("other.yaml", other);
    queued.run(&["apply", "other.yaml", "--auto-approve"]).done();
    let ran = queued.run(&["pipelines", "run", "./quick", "--queue", "--force"]).done();
    let pods = queued.pods();
    let of_other = pods.iter().find(|pod| pod["pool"] == "other").unwrap();
    ran.prints(&format!("Assigned Worker Pod: {}", of_other["name"].as_str().unwrap()));
    queued.run(&["destroy", "other@local", "--auto-approve"]).done();
    queued.project.write_stack(&pool.replace("size: 2", "size: 0"));
    queued.run(&["plan", "stack.yaml"]).with_code(1).prints("`size` is 0: expected 1 to 256");
    queued.run(&["destroy", "demo@local", "--auto-approve"]).done();
    until("its workers are gone", || queued.workers().is_empty());
    queued
        .run(&["pipelines", "run", "./quick", "--pool", "nightly"])
        .with_code(1)
        .prints("there is no worker pool `nightly`");
}

#[test]
fn expired_pool_takes_no_runs_and_is_planned_again() {
    let queued = Queued::new();
    queued.project.write_stack(
        "resources:\n  - {type: pipelines_worker_pool, name: p, config: {name: brief, size: 1, ttl: 5s}}\n",
    );
    queued.run(&["apply", "stack.yaml", "--auto-approve"]).done();
    until("its workers are gone", || queued.workers().is_empty());
    queued
        .run(&["pipelines", "run", "./quick", "--pool", "brief"])
        .with_code(1)
        .prints("the worker pool `brief` expired");
    let pods = queued.pods();
    assert_eq!(pods[0]["status"], "expired");
    assert!(pods[0]["expires_at"].is_string());
    queued.run(&["pipelines", "ssh", pods[0]["name"].as_str().unwrap()]).with_code(1).prints("has expired");
    queued.run(&["plan", "stack.yaml", "--detailed-exitcode"]).with_code(2).prints("Plan: 1 to add");
}

#[test]
fn shell_has_the_environment_of_the_steps_of_the_run() {
    let queued = Queued::with_cluster("1");
    queued.project.edit("pipeline-spec.yaml", "slow: {pipeline", "slow: {environment: {PLACE: here}, pipeline");
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let pod = queued.names().first().unwrap().clone();
    queued.project.write(
        "asked",
        "echo \"$PLACE $PWD\"; echo \"$DPP_DB_ENGINE\"; command -v python; echo \"mark:$TERRACE_RUN\"\n",
    );
    let mut command = queued.command(&["pipelines", "ssh", &pod]);
    command.env("SHELL", "/bin/sh").env("TERRACE_STATE_KEY", "not for others");
    command.stdin(fs::File::open(queued.project.path("asked")).unwrap());
    let shell = queued.project.start(command).finish().done();
    let lines: Vec<&str> = shell.stdout.lines().collect();
    let folder = queued.project.path(".").canonicalize().unwrap();
    assert_eq!(lines[0], format!("here {}", folder.display()));
    assert!(lines[1].starts_with("sqlite:///"), "{shell}");
    assert!(
        lines[2].ends_with("/bin/python") && lines[2].starts_with(queued.caches.path().to_str().unwrap()),
        "{shell}"
    );
    assert_eq!(lines[3], "mark:", "a shell is no part of the run");
    let listed = queued.run(&["pipelines", "ssh", &pod, "echo", "\"$PLACE\"", "-n;", "exit", "7"]).with_code(7);
    assert_eq!(listed.stdout, "here -n\n", "the words are a line of the shell");
    // The user's startup file cannot put its `PATH` before the environment's.
    queued.project.write("home/.bashrc", "PATH=$PWD/other:$PATH\nPS1='mine '\nMINE=yes$#\nset -- x y\n");
    queued.project.write("home/asked", "echo \"$MINE $(command -v python)\"\nexit 7\n");
    let inner = queued.command(&["pipelines", "ssh", &pod]);
    let mut command = std::process::Command::new("script");
    let program = inner.get_program().to_str().unwrap();
    command
        .args(["-qec", &format!("'{program}' pipelines ssh {pod}"), "/dev/null"])
        .current_dir(inner.get_current_dir().unwrap());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("SHELL", "/bin/bash").env("HOME", queued.project.path("home")).env("TERM", "dumb");
    command.stdin(fs::File::open(queued.project.path("home/asked")).unwrap());
    let shell = queued.project.start(command).finish().with_code(7);
    let expected = format!("yes0 {}", queued.caches.path().display());
    assert!(shell.stdout.lines().any(|line| line.starts_with(&expected) && line.contains("/bin/python")), "{shell}");
    assert!(shell.stdout.contains(&format!("{pod}:")) && !shell.stdout.contains("mine "), "{shell}");
    queued.project.write("go", "");
    following.finish().done();
    let slip = format!("{}x", &pod[..pod.len() - 1]);
    if slip != pod {
        let unknown = queued.run(&["pipelines", "ssh", &slip]).with_code(1);
        unknown.prints(&format!("there is no pod `{slip}`")).prints(&format!("did you mean `{pod}`?"));
    }
}

#[test]
fn dppctl_accepts_the_documented_commands() {
    let queued = Queued::new();
    queued.dppctl(&["init"]).with_code(1).prints("this project has no cluster").prints("`dppctl init local`");
    assert!(!queued.project.has(".terrace"), "a query creates nothing");
    let mut ran = queued.dppctl(&["run", "./quick"]);
    // On a busy machine, the worker starts before terrace looks for one.
    ran.stderr = ran.stderr.replace("Waiting for available worker pods\n", "");
    assert_output!(ran, @r"
    exit: 0
    --- stdout
    ./quick: SUCCESS, processed 500 rows
    --- stderr
    Using the public dppctl cluster
    do not use for private data!
    Run dppctl init --help for cluster initialization and configuration options
    Assigned Worker Pod: dppctl-worker-…
    INFO    :RESULTS:
    INFO    :SUCCESS: ./quick {'noise': 1, 'num rows': 500}
    Unassigned Worker Pod
    ");
    let pods = queued.dppctl(&["list", "pods"]).done().json();
    assert!(pods[0]["expires_at"].is_string(), "{pods}");
    queued.dppctl(&["run", "./none"]).with_code(1).prints("there is no pipeline `./none`");
    queued
        .dppctl(&["run", "--workload", "https://host/a.zip", "./quick"])
        .with_code(1)
        .prints("`--workload https://host/a.zip` cannot be run");
    queued.dppctl(&["providers"]).done().prints("minikube-public: ").prints("local: workers on this machine");
    queued.dppctl(&["ssh", "none"]).with_code(1).prints("there is no pod `none`");
    let switched = queued.dppctl(&["init", "local"]).done();
    switched.prints("starting 1 persistent DB pod and 2 persistent worker pods");
    switched.prints("Initializing Cluster, re-run dppctl init to track initialization progress");
    queued.dppctl(&["run", "./quick"]).done().prints("Using local private cluster");
    assert_output!(queued.dppctl(&["init", "public"]), @r"
    exit: 0
    --- stdout
    DB pod: dppctl-db-public-1
    Worker pod: dppctl-worker-…
    --- stderr
    Switching to the public dppctl cluster
    do not use for private data!
    its pods are processes of this machine, and stop after 1 hour
    Cluster is ready, starting 1 ephemeral DB pod and 1 ephemeral worker pod
    DB Web UI is available at http://127.0.0.1:PORT/databases/dppctl-db-public-1#TOKEN
    System: PostgreSQL, Server: 127.0.0.1:PORT, Username: postgres, Password: …
    dppctl initialization completed successfully
    ");
    queued.dppctl(&["run", "./quick"]).done().prints("Using the public dppctl cluster");
}

#[test]
fn remote_cluster_kinds_report_what_is_missing() {
    let queued = Queued::new();
    let mut command = queued.command(&["pipelines", "init", "gcloud"]);
    command.env("PATH", "/nowhere");
    assert_output!(queued.project.start(command).finish(), @r"
    exit: 1
    --- stdout
    gcloud container clusters create CLUSTER --project PROJECT --zone ZONE --quiet
    gcloud container clusters get-credentials CLUSTER --project PROJECT --zone ZONE --quiet
    --- stderr
    these commands create the cluster:
    error: terrace cannot create a cluster `gcloud` yet

    hint: `gcloud` is not installed: https://cloud.google.com/sdk/docs/install
    hint: write `gcloudProjectId`, `gcloudZone` and `gcloudClusterName` in `.dppctl.yaml`
    ");
    assert!(!queued.project.has(".terrace"), "nothing was changed");
    for (kind, words) in [
        ("minikube", "minikube start --profile minikube"),
        ("minikube-public", "`minikube` is not installed"),
        ("kamatera", "cloudcli k8s create_cluster --kconfig kamatera.yaml"),
    ] {
        let mut command = queued.command(&["pipelines", "init", kind]);
        command.env("PATH", "/nowhere");
        queued.project.start(command).finish().with_code(1).prints(words);
    }
    queued.run(&["pipelines", "init", "locla"]).with_code(1).prints("'local'");
}

#[test]
fn damaged_queue_is_reported_with_a_hint() {
    let queued = Queued::with_cluster("1");
    let queue = queued.damage_queue();
    for words in [
        &["pipelines", "pods"][..],
        &["pipelines", "run", "./quick"],
        &["pipelines", "init"],
        &["pipelines", "cancel", "./quick"],
    ] {
        let ran = queued.run(words).with_code(1);
        ran.prints("is damaged").prints("move `").prints("-wal");
    }
    // A run without queue and without database does not read the file.
    let without = queued.run(&["pipelines", "run", "./quick", "--no-queue"]).done();
    without.prints("./quick: SUCCESS");
    assert!(!without.stderr.contains("is damaged"), "{without}");
    let listed = queued.run(&["pipelines", "runs"]).done();
    listed
        .prints("  succeeded  ")
        .prints("is damaged")
        .prints("runs that wait in the queue, or never started, are not listed");
    fs::remove_file(&queue).unwrap();
    queued.run(&["pipelines", "run", "./quick"]).done();
}

#[test]
fn workers_of_a_deleted_project_exit() {
    let queued = Queued::with_cluster("2");
    assert_eq!(queued.workers().len(), 2);
    let folder = queued.project.path(".terrace/pipelines").canonicalize().unwrap();
    let pids: Vec<String> = queued.workers().into_iter().map(|(pid, _)| pid).collect();
    fs::remove_dir_all(folder).unwrap();
    let is_gone = |pid: &String| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !String::from_utf8_lossy(&words).contains("pipelines\0worker")
    };
    until("they are gone", || pids.iter().all(is_gone));
}

#[test]
fn terminated_worker_returns_its_run_to_the_queue() {
    let queued = Queued::with_cluster("2");
    let following = queued.start(&["pipelines", "run", "./slow"]);
    until("the step begins", || queued.step_starts() == 1);
    let busy = queued.pods().into_iter().find(|pod| pod["status"] == "assigned").unwrap();
    let (pid, _) = queued.workers().into_iter().find(|(_, name)| busy["name"] == name.as_str()).unwrap();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    until("it begins again", || queued.step_starts() == 2);
    queued.project.write("go", "");
    following.finish().done().prints("./slow: SUCCESS");
    let run = busy["run"].as_str().unwrap();
    assert_eq!(queued.states(run), ["queued", "assigned", "queued", "assigned", "ended"]);
}

#[test]
fn workers_do_not_get_variables_of_terrace() {
    let queued = Queued::new();
    let mut command = queued.command(&["pipelines", "init", "local", "--workers", "1", "--databases", "0"]);
    command.env("TERRACE_STATE_KEY", "not for others").env("FOR_STEPS", "1");
    queued.project.start(command).finish().done();
    let (pid, _) = queued.workers().remove(0);
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let own: Vec<&str> = environment.split('\0').filter(|variable| variable.starts_with("TERRACE_")).collect();
    assert!(own.len() == 1 && own[0].starts_with("TERRACE_WORKER="), "{own:?}");
    assert!(environment.contains("FOR_STEPS=1"));
}

#[test]
fn public_run_copies_its_results_to_public_storage() {
    let queued = Queued::new();
    queued.project.write("go", "");
    let ran = queued.dppctl(&["run", "./slow"]).done();
    let folder = queued.project.path(".").canonicalize().unwrap().display().to_string();
    let output = ran.stderr.replace(&folder, "[folder]");
    assert!(
        output.contains("Syncing Data Packages to Public Storage\ndata > [folder]/.terrace/public/slow/data/\n"),
        "{ran}"
    );
    assert!(queued.project.has(".terrace/public/slow/data/datapackage.json"));
}

#[test]
fn folder_with_another_cluster_does_not_fall_back_to_the_public_one() {
    let image = "the `Dockerfile` describes an image";
    let local = "start workers on this machine with `dppctl init local`";
    for (file, text, words, hint, of_init) in [
        (
            ".dppctl.yaml",
            "clusterProvider: gcloud\n",
            "`.dppctl.yaml` requires the cluster `gcloud`",
            "`dppctl init gcloud` prints the settings",
            "write `gcloudProjectId`, `gcloudZone` and `gcloudClusterName`",
        ),
        ("Dockerfile", "FROM python:3.11\n", image, local, image),
    ] {
        let queued = Queued::new();
        queued.project.write(file, text);
        queued.dppctl(&["run", "./quick"]).with_code(1).prints(words).prints(hint);
        queued.dppctl(&["init"]).with_code(1).prints(of_init);
        assert!(!queued.project.has(".terrace"), "it changes nothing");
    }
}

#[test]
fn warning_of_a_worker_is_shown_where_its_run_is_followed() {
    let queued = Queued::with_cluster("1");
    queued.project.write("pipeline-spec.yaml", "quick: {hooks: ['http://127.0.0.1:1/'], pipeline: [{run: noise}]}\n");
    let ran = queued.run(&["pipelines", "run", "./quick"]).done();
    ran.prints("./quick: SUCCESS");
    assert_eq!(ran.stderr.matches("warning: ./quick: the hook at ").count(), 1, "{ran}");
}
