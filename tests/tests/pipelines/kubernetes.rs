//! `terrace pipelines init` for Kubernetes: a prepared namespace, and stand-ins of the vendors' programs. The API server is a
//! stand-in, too; `tests/real/kubernetes-init` uses a real one.

use crate::pipelines::queue::queued::Queued;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use terrace_tests::served::Served;
use terrace_tests::{Peer, Project, Ran, until};

struct World {
    pipelines: Queued,
    /// The API server.
    server: Peer,
    /// Reviews of rights allow everything, except for kinds of objects of the denied group.
    is_allowed: Arc<AtomicBool>,
    denied_group: Arc<Mutex<Option<&'static str>>>,
    /// The namespace is being deleted.
    is_going: Arc<AtomicBool>,
    /// The places of created objects.
    created: Arc<Mutex<BTreeSet<String>>>,
}

impl World {
    /// A project and a cluster with this context.
    fn new(context: &str) -> Self {
        let (created, is_allowed) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(true)));
        let (denied_group, is_going) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let going = Arc::clone(&is_going);
        let (allowed, denied, objects) = (Arc::clone(&is_allowed), Arc::clone(&denied_group), Arc::clone(&created));
        let answer = move |path: &str| {
            let status = |code: u16, reason: &str| {
                let body = format!(
                    r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"{reason}","code":{code},"message":"{reason}"}}"#
                );
                (code, body)
            };
            let object = || (200, r#"{"metadata":{"name":"x"}}"#.to_owned());
            let (place, query) = path.split_once('?').unwrap_or((path, ""));
            let mut created = objects.lock().unwrap();
            match query.is_empty() {
                // Reading the namespace.
                true if going.load(Ordering::SeqCst) => {
                    let body = r#"{"metadata":{"name":"x","deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Terminating"}}"#;
                    (200, body.to_owned())
                }
                true if created.contains("/api/v1/namespaces") => object(),
                true => status(404, "NotFound"),
                // Changing the role.
                false if place.ends_with("/terrace-pipelines") => object(),
                false if created.insert(place.to_owned()) => (201, object().1),
                false => status(409, "AlreadyExists"),
            }
        };
        let secret = Mutex::new(None);
        let server = Peer::start_with(move |call, _| {
            let (place, sent) = (call.path.split('?').next().unwrap(), String::from_utf8_lossy(&call.body));
            if place.ends_with("selfsubjectaccessreviews") {
                let is_denied =
                    denied.lock().unwrap().is_some_and(|group| sent.contains(&format!(r#""group":"{group}""#)));
                let allowed = allowed.load(Ordering::SeqCst) && !is_denied;
                return (201, "application/json", format!(r#"{{"status":{{"allowed":{allowed}}}}}"#));
            }
            if place == "/api/v1" {
                let kinds =
                    r#"{"resources":[{"name":"namespaces","kind":"Namespace","namespaced":false,"verbs":["get"]}]}"#;
                return (200, "application/json", kinds.to_owned());
            }
            if place.ends_with("selfsubjectreviews") {
                return (201, "application/json", r#"{"status":{"userInfo":{"username":"alice"}}}"#.to_owned());
            }
            let (code, body) = match call.path.contains("/secrets") {
                true if call.body.is_empty() => match secret.lock().unwrap().clone() {
                    Some(secret) => (200, secret),
                    None => (404, r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#.to_owned()),
                },
                true => {
                    let body = sent.into_owned();
                    *secret.lock().unwrap() = Some(body.clone());
                    (200, body)
                }
                false => answer(&call.path),
            };
            (code, "application/json", body)
        });
        let pipelines = Queued::new();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: '{}'}}}}]\nusers: [{{name: a, user: {{}}}}]\n\
             contexts: [{{name: {context}, context: {{cluster: a, user: a}}}}]\ncurrent-context: {context}\n",
            server.url
        );
        pipelines.project.write("kubeconfig", kubeconfig);
        fs::create_dir(pipelines.project.path("bin")).unwrap();
        Self { pipelines, server, is_allowed, denied_group, is_going, created }
    }

    /// Writes complete settings, and more of them.
    fn write_settings(&self, more: &str) {
        let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
        let settings = format!(
            "environments: {{local: {{providers: {{pipelines: {{executor: kubernetes, namespace: pipelines, image: '{image}'{more}}}}}}}}}\n"
        );
        self.pipelines.project.write("terrace.yaml", settings);
    }

    fn create_namespace(&self) {
        self.created.lock().unwrap().insert("/api/v1/namespaces".to_owned());
    }

    /// Removes the namespace with its objects.
    fn delete_namespace(&self) {
        self.created.lock().unwrap().clear();
    }

    fn record(&self) -> String {
        self.pipelines.project.read(".terrace/pipelines/kubernetes.json")
    }

    /// Writes a vendor's program that records its arguments.
    fn program(&self, name: &str, script: &str) {
        let path = self.pipelines.project.path("bin").join(name);
        let calls = self.pipelines.project.path("calls");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", calls.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> String {
        let calls = self.pipelines.project.path("calls");
        let text = fs::read_to_string(&calls).unwrap_or_default();
        let _ = fs::remove_file(calls);
        text
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.pipelines.command(arguments);
        let bin = self.pipelines.project.path("bin");
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command
            .env("KUBECONFIG", self.pipelines.project.path("kubeconfig"))
            .env("WORLD", self.pipelines.project.path("."));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.pipelines.project.start(self.command(arguments)).finish()
    }

    fn init(&self, arguments: &[&str]) -> Ran {
        let words: Vec<&str> = ["pipelines", "init"].into_iter().chain(arguments.iter().copied()).collect();
        self.run(&words)
    }
}

#[test]
fn namespace_is_prepared_once_and_settings_are_printed() {
    let world = World::new("mine");
    let ran = world.init(&["kubernetes", "--workers", "4"]).done();
    assert_eq!(
        ran.stdout,
        "namespace pipelines: created\nservice account terrace-pipelines: created\nrole terrace-pipelines: created\n\
         role binding terrace-pipelines: created\n\
         environments:\n  local:\n    providers:\n      pipelines:\n        executor: kubernetes\n        namespace: pipelines\n        \
         image: REGISTRY/NAME@sha256:DIGEST\n"
    );
    assert!(ran.stderr.contains("then continue with `terrace pipelines init`"), "{ran}");
    let bodies: Vec<String> =
        world.server.calls().iter().map(|call| String::from_utf8_lossy(&call.body).into_owned()).collect();
    assert!(
        bodies.iter().any(|body| body.contains(r#""pod-security.kubernetes.io/enforce":"restricted""#)),
        "{bodies:?}"
    );
    // Without a kind, the same namespace is reported.
    let again = world.init(&[]).done();
    again.prints("namespace pipelines: exists").prints("image: REGISTRY");
    world.write_settings("");
    let complete = world.init(&[]).done();
    assert_eq!(complete.stdout.lines().filter(|line| line.starts_with("Worker pod: dppctl-worker-")).count(), 4);
    assert_eq!(
        complete.stderr,
        "Waiting for kubernetes cluster initialization\n\
         Cluster is ready, starting 4 persistent worker pods\nterrace initialization completed successfully\n"
    );
    let ready = world.init(&[]).done();
    assert_eq!(ready.stderr, "kubernetes private cluster is ready; queued runs: 0\n");
    assert_eq!(ready.stdout.lines().filter(|line| line.ends_with(" available")).count(), 4, "{ready}");
    let wrong = world.init(&["kubernetes", "--databases", "1"]).with_code(1);
    wrong.prints("a database of the cluster needs the setting `databaseImage`");
    let wrong = world.run(&["pipelines", "run", "./quick", "--new-database"]).with_code(1);
    wrong.prints("a database of the cluster needs the setting `databaseImage`").prints("write `databaseImage: ");
    // Its workers end, and the namespace stays.
    world.init(&["kubernetes", "--workers", "0"]).done().prints("Ending all worker pods");
    world.init(&[]).done().prints("kubernetes private cluster is ready, without workers");
    world.init(&["local", "--databases", "0"]).done();
    assert_eq!(world.init(&[]).done().stdout.matches("Worker pod: ").count(), 2);
    // A folder that requires the cluster does not run elsewhere.
    world.pipelines.project.write(".dppctl.yaml", "clusterProvider: kubernetes\n");
    let elsewhere = world.run(&["pipelines", "run", "./quick"]).with_code(1);
    elsewhere.prints("requires the cluster `kubernetes`, and the active cluster is `local`");
    elsewhere.prints("switch to it with `terrace pipelines init kubernetes`");
}

#[test]
fn settings_precede_the_record_of_an_earlier_call() {
    let world = World::new("mine");
    let project = &world.pipelines.project;
    world.init(&["kubernetes", "--namespace", "first", "--workers", "0"]).done().prints("namespace: first");
    world.write_settings("");
    world.init(&[]).done().prints("namespace pipelines: ");
    project.edit("terrace.yaml", "namespace: pipelines", "namespace: second");
    // Another namespace gets all parts.
    world.init(&[]).done().prints("namespace second: ").prints("Ending all worker pods");
    world.init(&[]).done().prints("namespace second: ").prints("is ready, without workers");
    // Without a setting, the record decides.
    project.write("terrace.yaml", "{}");
    world.init(&[]).done().prints("namespace second: ").prints("namespace: second");
}

#[test]
fn options_without_a_kind_change_the_known_cluster() {
    let world = World::new("mine");
    let unknown = world.init(&["--workers", "3"]).with_code(1);
    unknown.prints("`--workers` needs the kind of a cluster").prints("`terrace pipelines init local --workers 3`");
    let unknown = world.init(&["--databases", "0", "--namespace", "etl"]).with_code(1);
    unknown.prints("name the kind: `terrace pipelines init kubernetes --databases 0 --namespace etl`");
    assert!(!world.pipelines.project.has(".terrace"), "nothing was changed");
    world.write_settings("");
    world.init(&["--workers", "0"]).done().prints("namespace pipelines: created").prints("Ending all worker pods");
    assert_eq!(world.init(&["--workers", "1"]).done().stdout.matches("Worker pod: ").count(), 1);
    world.init(&["--workers", "0"]).done();
    // Other options start no workers.
    assert!(!world.init(&["--databases", "0"]).done().stdout.contains("Worker pod: "));
    world.init(&[]).done().prints("is ready, without workers");
}

#[test]
fn workers_that_a_call_ended_start_only_with_a_kind() {
    let world = World::new("mine");
    world.write_settings("");
    world.init(&["kubernetes", "--workers", "0"]).done();
    world.init(&["local", "--workers", "0", "--databases", "0"]).done();
    world.init(&[]).done().prints("local private cluster is ready");
    world.pipelines.project.write(".dppctl.yaml", "clusterProvider: kubernetes\n");
    let ran = world.init(&[]).done();
    assert!(!ran.stdout.contains("Worker pod: "), "{ran}");
    world.init(&[]).done().prints("kubernetes private cluster is ready, without workers");
    assert_eq!(world.init(&["kubernetes"]).done().stdout.matches("Worker pod: ").count(), 2);
}

#[test]
fn gone_namespace_is_reported_until_a_call_with_a_kind() {
    let world = World::new("mine");
    world.write_settings("");
    world.init(&["kubernetes", "--workers", "0"]).done();
    let record = world.record();
    world.delete_namespace();
    for options in [&[][..], &["--workers", "1"]] {
        let gone = world.init(options).with_code(1);
        gone.prints("the namespace `pipelines` of the cluster `kubernetes` is gone");
    }
    assert!(world.created.lock().unwrap().is_empty() && world.record() == record, "nothing was changed");
    let gone = world.init(&[]).with_code(1);
    gone.prints("create it again with `terrace pipelines init kubernetes --namespace pipelines --workers 0`");
    gone.prints("or forget it with `terrace pipelines init local --workers 0 --databases 0`");
    // Either hint works.
    world.init(&["kubernetes", "--namespace", "pipelines", "--workers", "0"]).done().prints("pipelines: created");
    world.init(&[]).done().prints("is ready, without workers");
    world.delete_namespace();
    world.init(&["local", "--workers", "0", "--databases", "0"]).done();
    world.init(&[]).done().prints("local private cluster is ready");
    assert!(world.created.lock().unwrap().is_empty(), "it is not created again");
}

#[test]
fn namespace_that_is_being_deleted_is_not_ready() {
    let world = World::new("mine");
    world.write_settings("");
    world.init(&["kubernetes", "--workers", "0"]).done();
    let record = world.record();
    world.is_going.store(true, Ordering::SeqCst);
    let command = ["kubernetes", "--namespace", "pipelines", "--workers", "0"];
    let refused = world.init(&[]).with_code(1);
    refused.prints("the namespace `pipelines` of the cluster `kubernetes` is being deleted");
    refused.prints(&format!(
        "wait until it is gone, then create it again with `terrace pipelines init {}`",
        command.join(" ")
    ));
    assert_eq!(world.record(), record, "nothing was changed");
    world.init(&command).with_code(1).prints("is being deleted");
    // The hint works.
    world.is_going.store(false, Ordering::SeqCst);
    world.delete_namespace();
    world.init(&command).done().prints("namespace pipelines: created");
}

#[test]
fn doctor_checks_no_rights_of_a_provider_that_is_not_configured() {
    let world = World::new("mine");
    world.is_allowed.store(false, Ordering::SeqCst);
    let doctor = world.run(&["doctor"]).done();
    let line = doctor.stdout.lines().find(|line| line.contains("provider kubernetes of local")).unwrap();
    assert!(line.starts_with("ok    ") && line.ends_with("its rights were not checked"), "{line}");
    // The rights of a configured one count.
    world.pipelines.project.write("terrace.yaml", "environments: {local: {providers: {kubernetes: {}}}}\n");
    world.run(&["doctor"]).prints("warn  provider kubernetes of local: it answers, but may not ");
}

#[test]
fn workers_of_a_former_cluster_end() {
    let world = World::new("mine");
    world.write_settings("");
    world.init(&["kubernetes", "--workers", "1"]).done();
    let queued = &world.pipelines;
    assert_eq!(queued.workers().len(), 1);
    world.delete_namespace();
    world.init(&[]).with_code(1).prints("forget it with `terrace pipelines init local --workers 0 --databases 0`");
    world.init(&["local", "--workers", "0", "--databases", "0"]).done();
    until("the workers of the former cluster end", || queued.workers().is_empty() && queued.pods().is_empty());
    // A switch back starts them again.
    assert_eq!(world.init(&["kubernetes"]).done().stdout.matches("Worker pod: ").count(), 1);
}

#[test]
fn options_of_kubernetes_are_refused_for_this_machine() {
    let world = World::new("mine");
    let url = "https://terrace.terrace:8091";
    for (kind, option) in [
        ("local", &["--namespace", "etl"][..]),
        ("public", &["--namespace", "etl"]),
        ("local", &["--operator", url]),
        ("local", &["--no-operator"]),
    ] {
        let refused = world.init(&[&[kind, "--workers", "1"], option].concat()).with_code(1);
        refused.prints(&format!(
            "`{}` is an option of clusters of Kubernetes, and `{kind}` is a cluster of this machine",
            option[0]
        ));
        refused.prints(&format!("`terrace pipelines init kubernetes --workers 1 {}`", option.join(" ")));
    }
    assert!(!world.pipelines.project.has(".terrace"), "nothing was changed");
}

#[test]
fn numbers_of_a_call_without_complete_settings_are_kept() {
    let world = World::new("mine");
    world.write_settings("");
    world.init(&["kubernetes", "--workers", "0"]).done();
    world.pipelines.project.write("terrace.yaml", "{}");
    world.init(&["kubernetes", "--workers", "1"]).done().prints("image: REGISTRY");
    world.write_settings("");
    assert_eq!(world.init(&[]).done().stdout.matches("Worker pod: ").count(), 1);
    // So is a number of databases.
    for call in [&["kubernetes", "--databases", "1"][..], &[]] {
        let refused = world.init(call).with_code(1);
        refused.prints("a database of the cluster needs the setting `databaseImage`");
        refused.prints("or go on without databases: `terrace pipelines init --databases 0`");
    }
    world.init(&["--databases", "0"]).done();
    world.init(&[]).done().prints("kubernetes private cluster is ready");
    // The remedy starts no workers.
    world.init(&["kubernetes", "--workers", "0", "--databases", "1"]).with_code(1).prints("init --databases 0`");
    world.init(&["--databases", "0"]).done().prints("Ending all worker pods");
}

#[test]
fn printed_settings_have_the_image_of_needed_databases() {
    let world = World::new("mine");
    let placeholder = "        databaseImage: docker.io/library/postgres@sha256:DIGEST\n";
    assert!(!world.init(&["kubernetes"]).done().stdout.contains("databaseImage"));
    let ran = world.init(&["kubernetes", "--databases", "1"]).done();
    assert!(ran.stdout.ends_with(placeholder) && ran.stderr.contains("skopeo inspect"), "{ran}");
    assert!(!world.init(&["kubernetes", "--databases", "0"]).done().stdout.contains("databaseImage"));
    let world = World::new("mine");
    let project = &world.pipelines.project;
    project.write(
        "pipeline-spec.yaml",
        "load: {pipeline: [{run: dump_to_sql, parameters: {engine: 'env://DPP_DB_ENGINE', tables: {a: {resource-name: a}}}}]}\n",
    );
    assert!(world.init(&["kubernetes"]).done().stdout.ends_with(placeholder), "the pipeline writes into a database");
    let image = format!("r.example.com/postgres@sha256:{}", "0c".repeat(32));
    let settings = format!("environments: {{local: {{providers: {{pipelines: {{databaseImage: '{image}'}}}}}}}}\n");
    project.write("terrace.yaml", &settings);
    assert!(world.init(&["kubernetes"]).done().stdout.ends_with(&format!("        databaseImage: {image}\n")));
}

#[test]
fn missing_rights_of_an_installation_of_the_operator_are_named() {
    let world = World::new("mine");
    world.write_settings("");
    let init = |arguments: &[&str]| {
        let words: Vec<&str> = ["pipelines", "init"].into_iter().chain(arguments.iter().copied()).collect();
        let mut command = world.command(&words);
        command.env("HTTPS_PROXY", "http://127.0.0.1:1").env("NO_PROXY", "127.0.0.1");
        command.env("TERRACE_OPERATOR_TOKEN", "t0ken");
        world.pipelines.project.start(command).finish()
    };
    let forbidden =
        "echo 'Error: roles.rbac.authorization.k8s.io is forbidden: User \"alice\" cannot create' >&2; exit 1";
    world.program("helm", forbidden);
    *world.denied_group.lock().unwrap() = Some("rbac.authorization.k8s.io");
    let refused = init(&["kubernetes", "--workers", "0", "--operator", "https://terrace.terrace:8091"]).with_code(1);
    refused.prints("lacks rights that the installation of the operator needs in the namespace `pipelines`: ");
    refused.prints("roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io");
    refused.prints("kubectl create rolebinding ").prints("--user=alice").prints("is forbidden: User \"alice\"");
    assert!(!refused.stderr.contains("--resource=secrets"), "{refused}");
    // Other refusals are shown as they are.
    *world.denied_group.lock().unwrap() = None;
    let refused = init(&[]).with_code(1);
    assert!(refused.stderr.contains("is forbidden: ") && !refused.stderr.contains("lacks rights"), "{refused}");
    world.program("helm", "exit 0");
    init(&[]).done().prints("operator terrace-operator: installed");
    // The token of the operator is gone with its namespace.
    world.delete_namespace();
    init(&[])
        .with_code(1)
        .prints("--namespace pipelines --workers 0 --no-operator`")
        .prints("its token in TERRACE_OPERATOR");
    init(&["kubernetes", "--namespace", "pipelines", "--workers", "0", "--no-operator"]).done();
    // The remedy starts no workers.
    world.program("helm", forbidden);
    *world.denied_group.lock().unwrap() = Some("rbac.authorization.k8s.io");
    let refused = init(&["--operator", "https://terrace.terrace:8091"]).with_code(1);
    refused.prints("without an operator: `terrace pipelines init --no-operator`");
    init(&["--no-operator"]).done().prints("Ending all worker pods");
}

#[test]
fn run_does_not_leave_kubernetes_for_the_public_cluster() {
    let world = World::new("mine");
    world.write_settings("");
    let mut command = world.pipelines.dppctl_command(&["run", "./quick"]);
    command.env("KUBECONFIG", world.pipelines.project.path("kubeconfig"));
    let ran = world.pipelines.project.start(command).finish();
    assert!(ran.code != 0 && !ran.stderr.contains("public"), "{ran}");
    assert!(!world.pipelines.project.has(".terrace/pipelines/queue.db"), "it starts no workers");
}

#[test]
fn dppctl_does_not_replace_a_cluster_whose_start_is_not_complete() {
    let world = World::new("mine");
    assert!(world.init(&["kubernetes"]).done().stdout.contains("image: REGISTRY"), "settings are missing");
    let run = || {
        let mut command = world.pipelines.dppctl_command(&["run", "./quick"]);
        command.env("KUBECONFIG", world.pipelines.project.path("kubeconfig"));
        world.pipelines.project.start(command).finish()
    };
    let refused = run().with_code(1);
    refused.prints("the start of the cluster `kubernetes` is not complete");
    refused.prints("continue with `dppctl init`, or choose another cluster with `dppctl init KIND`");
    assert!(!world.pipelines.project.has(".terrace/pipelines/queue.db"), "nothing was changed");
    // Either hint works.
    world.init(&["local", "--workers", "1", "--databases", "0"]).done();
    run().done().prints("Using local private cluster");
}

#[test]
fn detached_run_is_refused_if_workers_run_outside_the_required_cluster() {
    let with_pool = |settings: fn(&World)| {
        let world = World::new("mine");
        let project = &world.pipelines.project;
        settings(&world);
        project.write_stack("resources:\n  - {type: pipelines_worker_pool, name: etl, config: {name: etl, size: 1}}\n");
        world.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
        world.write_settings("");
        project.write(".dppctl.yaml", "clusterProvider: kubernetes\n");
        world
    };
    let detached = |world: &World| world.run(&["pipelines", "run", "./quick", "--detach"]);
    let world = with_pool(|_| {});
    let refused = detached(&world).with_code(1);
    refused.prints("the workers of the pool `etl` have other settings: `executor`, `image`, `namespace`");
    refused.prints("repeat `terrace pipelines init`");
    assert_eq!(world.run(&["pipelines", "runs", "--format", "json"]).done().json()["runs"], serde_json::json!([]));
    // The workers of the cluster have the settings of the cluster, and so has a pool that is made with them.
    world.init(&[]).done();
    assert!(detached(&world).done().stdout.starts_with("./quick "));
    let world = with_pool(|world| world.write_settings(""));
    assert!(detached(&world).done().stdout.starts_with("./quick "));
}

#[test]
fn image_of_the_dockerfile_is_built_by_a_command_and_used_by_its_digest() {
    let world = World::new("mine");
    world.create_namespace();
    let project = &world.pipelines.project;
    let write = |repository: &str| {
        project.write(
            "terrace.yaml",
            format!("environments: {{local: {{providers: {{pipelines: {{executor: kubernetes, imageRepository: '{repository}'}}}}}}}}\n"),
        );
    };
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\nresources:\n\
         - {type: pipelines_run, name: quick, config: {name: ./quick}}\n",
    );
    let plan = || world.run(&["plan", "stack.yaml"]);
    write("Orders:1");
    world.run(&["pipelines", "image"]).with_code(1).prints("`imageRepository` is `Orders:1`: expected a repository");
    write("r.example.com/orders");
    plan().with_code(1).prints("has no `Dockerfile`");
    world.program("buildah", "exit 0");
    let refused = |message: &str| {
        let ran = world.run(&["pipelines", "image"]).with_code(1);
        assert!(!ran.stderr.contains("building"), "nothing is built: {ran}");
        ran.prints(message);
    };
    refused("has no `Dockerfile`");
    assert_eq!(world.calls(), "");
    project.write("Dockerfile", "FROM r.example.com/pipelines:1\n");
    refused("`.dockerignore` does not leave out `.terrace`");
    project.write(".dockerignore", ".terrace\n");
    plan().with_code(1).prints("the image of the `Dockerfile` is not built").prints("`terrace pipelines image`");
    world.program("buildah", "echo 'no space' >&2; exit 125");
    world.run(&["pipelines", "image"]).with_code(1).prints("cannot be built").prints("no space");
    plan().with_code(1).prints("is not built");
    let digest = format!("sha256:{}", "0b".repeat(32));
    world.program("buildah", &format!("[ \"$1\" != push ] || echo {digest} > \"$3\""));
    world.calls();
    let built = world.run(&["pipelines", "image"]).done();
    assert_eq!(built.stdout, format!("r.example.com/orders@{digest}\n"));
    let calls = world.calls();
    assert!(
        calls.contains("buildah build --tag localhost/") && calls.contains(" docker://r.example.com/orders:"),
        "{calls}"
    );
    let planned = plan().done();
    // A plan shows the beginning of a long text.
    assert!(planned.stdout.contains("r.example.com/orders@sha256:0b0b0b"), "{planned}");
    // A change needs another build, and an image in the settings precedes it.
    project.write("Dockerfile", "FROM r.example.com/pipelines:2\n");
    plan().with_code(1).prints("the `Dockerfile` changed since its image was built");
    world.run(&["pipelines", "runs"]).done();
    world.write_settings(", imageRepository: r.example.com/orders");
    plan().done();
    fs::remove_file(project.path("bin/buildah")).unwrap();
    let mut command = world.command(&["pipelines", "image"]);
    command.env("PATH", project.path("bin"));
    let ran = project.start(command).finish().with_code(1);
    ran.prints("neither `buildah` nor `docker` is in PATH");
}

#[test]
fn operator_is_installed_by_its_chart() {
    let world = World::new("mine");
    let with = |arguments: &[&str], token: Option<&str>| {
        let words: Vec<&str> = ["pipelines", "init"].into_iter().chain(arguments.iter().copied()).collect();
        let mut command = world.command(&words);
        // The names of services of the cluster are not known here.
        command.env("HTTPS_PROXY", "http://127.0.0.1:1").env("NO_PROXY", "127.0.0.1");
        token.map(|token| command.env("TERRACE_OPERATOR_TOKEN", token));
        world.pipelines.project.start(command).finish()
    };
    let url = "https://terrace.terrace:8091";
    let wanted = ["kubernetes", "--workers", "0", "--operator", url];
    for (wrong, message) in [
        ("http://127.0.0.1:8091", "`127.0.0.1:8091` leads each pod to itself"),
        ("http://terrace.terrace:8091", "would be sent to `terrace.terrace:8091` without encryption"),
    ] {
        with(&["kubernetes", "--operator", wrong], None).with_code(1).prints(message);
        assert!(!world.pipelines.project.has(".terrace"), "nothing was changed");
    }
    // The settings come first.
    assert!(with(&wanted, None).done().stdout.contains("image: REGISTRY"));
    world.write_settings("");
    with(&[], None).with_code(1).prints("the operator has no token").prints("TERRACE_OPERATOR_TOKEN");
    let missing = with(&[], Some("t0ken")).with_code(1);
    missing.prints("this command installs the operator:").prints("helm upgrade --install terrace-operator ");
    missing.prints("`helm` is not installed").prints("continue with `terrace pipelines init`");
    world.program("helm", "exit 0");
    with(&[], Some("no token")).with_code(1).prints("TERRACE_OPERATOR_TOKEN is not a token");
    assert_eq!(world.calls(), "");
    world.program("helm", "echo 'Error: quota' >&2; exit 1");
    with(&[], Some("t0ken")).with_code(1).prints("` failed, exit status: 1").prints("Error: quota");
    assert!(world.server.calls().iter().any(|call| String::from_utf8_lossy(&call.body).contains("dDBrZW4=")));
    world.calls();
    let copy =
        "mkdir -p $WORLD/seen; cp -r $4 $WORLD/seen/chart; cp $8 $WORLD/seen/values.json; env > $WORLD/seen/variables";
    world.program("helm", copy);
    let installed = with(&[], Some("t0ken")).done();
    installed.prints("operator terrace-operator: installed").prints("the token is not checked: ");
    let folder = world.pipelines.project.path(".terrace/pipelines").canonicalize().unwrap();
    let (chart, values) = (folder.join("operator-chart"), folder.join("operator-values.json"));
    assert_eq!(
        world.calls(),
        format!(
            "helm upgrade --install terrace-operator {} --namespace pipelines --values {} --wait --timeout 5m\n",
            chart.display(),
            values.display()
        )
    );
    let seen = |file: &str| fs::read_to_string(world.pipelines.project.path("seen").join(file)).unwrap();
    assert!(!seen("variables").contains("t0ken") && !seen("values.json").contains("t0ken"));
    let values: serde_json::Value = serde_json::from_str(&seen("values.json")).unwrap();
    assert_eq!(values["image"]["repository"], "r.example.com/x");
    assert_eq!((&values["server"]["url"], &values["watchNamespace"]), (&url.into(), &"pipelines".into()));
    // An operator that was removed by hand, and its Secret, are forgotten.
    world.calls();
    with(&["kubernetes", "--workers", "0", "--no-operator"], None).done();
    with(&[], None).done();
    assert_eq!(world.calls(), "", "nothing is installed");
    assert_eq!(seen("chart/Chart.yaml"), include_str!("../../../deploy/helm/operator/Chart.yaml"));
}

#[test]
fn operator_without_token_is_reported_before_a_change() {
    let world = World::new("mine");
    world.write_settings("");
    let refused =
        world.init(&["kubernetes", "--workers", "0", "--operator", "https://terrace.terrace:8091"]).with_code(1);
    refused.prints("the Secret `terrace-operator` of the namespace `pipelines` does not exist");
    refused.prints("TERRACE_OPERATOR_TOKEN").prints("`terrace pipelines init --no-operator`");
    assert!(world.server.calls().iter().all(|call| call.method == "GET"), "{:?}", world.server.calls());
}

/// A proxy that leads each name to this address: the names of services of the cluster are not known here.
fn proxy_to(address: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut head = BufReader::new(client.try_clone().unwrap());
            let mut line = String::new();
            while head.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let server = TcpStream::connect(&address).unwrap();
            (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    url
}

#[test]
fn token_and_authority_of_the_operator_are_checked_before_its_installation() {
    let served = Project::new();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["terrace.terrace".to_owned()]).unwrap();
    served.write("server.key", signing_key.serialize_pem());
    served.write("server.pem", cert.pem());
    let digest = "b6cf95f710904bf513efd1f9166b0e06921ce5d699a216baf81a64ec982baed2";
    served.write(
        "terrace.yaml",
        format!(
            "server: {{tls: {{cert: server.pem, key: server.key}}, auth: {{mode: token, tokens: \
             [{{name: operator, sha256: '{digest}', scopes: [apply]}}]}}}}\n"
        ),
    );
    let server = Served::start(&served, &[]);
    let proxy = proxy_to(server.url().trim_start_matches("https://").to_owned());
    let world = World::new("mine");
    let project = &world.pipelines.project;
    world.program("helm", "cp $8 $WORLD/values.json");
    let init = |proxy: &str, arguments: &[&str], token: &str| {
        let words: Vec<&str> = ["pipelines", "init"].into_iter().chain(arguments.iter().copied()).collect();
        let mut command = world.command(&words);
        command.env("HTTPS_PROXY", proxy).env("NO_PROXY", "127.0.0.1").env("TERRACE_OPERATOR_TOKEN", token);
        project.start(command).finish()
    };
    let token = "t0ken-of-the-operator";
    let values = || -> serde_json::Value { serde_json::from_str(&project.read("values.json")).unwrap() };
    // The authority of a server's certificate.
    let url = ["kubernetes", "--workers", "0", "--operator", "https://terrace.terrace:8091"];
    let encrypted: Vec<&str> = url.iter().copied().chain(["--operator-ca", "ca.pem"]).collect();
    let wrong = |message: &str| {
        init(&proxy, &encrypted, token).with_code(1).prints(message);
    };
    wrong("`--operator-ca`: `ca.pem` cannot be read");
    project.write("ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    wrong("`ca.pem` has no usable certificate");
    project.write("ca.pem", signing_key.serialize_pem() + &cert.pem());
    wrong("`ca.pem` has a private key");
    assert!(!project.has(".terrace"), "nothing was changed");
    project.write("ca.pem", cert.pem());
    // The settings come first, and the next call goes on with the same authority.
    assert!(init(&proxy, &encrypted, token).done().stdout.contains("image: REGISTRY"));
    fs::remove_file(project.path("ca.pem")).unwrap();
    world.write_settings("");
    init(&proxy, &[], "wrong")
        .with_code(1)
        .prints("the server of the operator refuses the token")
        .prints("the scope `apply`");
    assert_eq!(world.calls(), "", "nothing is installed");
    assert!(!init(&proxy, &[], token).done().stderr.contains("is not checked"));
    assert_eq!(values()["server"]["ca"], cert.pem().as_str());
    // Another server has no authority of the former one.
    let unreached =
        init("http://127.0.0.1:1", &["kubernetes", "--operator", "https://other.terrace:8091"], token).done();
    unreached.prints("the token is not checked: the server cannot be reached at `other.terrace:8091`");
    assert_eq!(values()["server"]["ca"], "");
    // No token leaves the machine without encryption.
    let plain = ["kubernetes", "--operator", "http://terrace.terrace:8091", "--allow-plain-http"];
    init(&proxy, &plain, "wrong")
        .done()
        .prints("the token is not checked: it would leave this machine without encryption");
}

#[test]
fn wrong_settings_are_reported_at_their_place() {
    let world = World::new("mine");
    let project = &world.pipelines.project;
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\nresources:\n\
         - {type: pipelines_run, name: load, config: {name: ./load}}\n",
    );
    project.write("terrace.yaml", "environments:\n  local: {providers: {pipelines: {executor: kubernets}}}\n");
    let ran = world.pipelines.run(&["validate", "stack.yaml"]).with_code(1);
    ran.prints("the settings of `pipelines` cannot be used: `executor` is `kubernets`").prints("terrace.yaml:2:");
    ran.prints("did you mean `kubernetes`?");
    for (setting, message, hint) in [
        ("memory: 2 GB", "`memory` is `2 GB`: expected a number of bytes with a unit", "write `2Gi` or `2G`"),
        ("cpu: two", "`cpu` is `two`: expected a number of cores", "as in `500m`"),
        ("namespace: My_Shop", "`My_Shop` cannot be the name of a namespace", "use at most 63 small letters"),
    ] {
        project.write("terrace.yaml", format!("environments:\n  local: {{providers: {{pipelines: {{{setting}}}}}}}\n"));
        let ran = world.pipelines.run(&["validate", "stack.yaml"]).with_code(1);
        ran.prints("invalid_input").prints(message).prints(hint).prints("terrace.yaml:2:");
        // Programs get the place of the setting, too.
        for (command, file) in [("validate", "/diagnostics/0/file"), ("plan", "/terrace/diagnostics/0/place/file")] {
            let json = world.pipelines.run(&[command, "stack.yaml", "--json"]).with_code(1).json();
            assert_eq!(json.pointer(file), Some(&"terrace.yaml".into()), "{json}");
        }
        let doctor = world.pipelines.run(&["doctor"]).with_code(1);
        doctor.prints("fail  provider pipelines of local: terrace.yaml:2:");
        doctor.prints(&format!("its settings cannot be used: {message}"));
    }
    // The hint works at the first try.
    project.write("terrace.yaml", "environments:\n  local: {providers: {pipelines: {memory: 512}}}\n");
    let ran = world.pipelines.run(&["validate", "stack.yaml"]).with_code(1);
    ran.prints("`memory` of `providers.pipelines` has to be text").prints("hint: write it as in `memory: 512Mi`");
}

#[test]
fn wrong_image_of_databases_is_reported_before_workers_end() {
    let world = World::new("mine");
    world.write_settings("");
    world.init(&["kubernetes", "--workers", "1"]).done();
    let workers = world.pipelines.workers();
    assert_eq!(workers.len(), 1);
    for (image, hint) in [
        ("postgres:17", "write `databaseImage: REGISTRY/NAME@sha256:DIGEST`"),
        ("docker.io/library/postgres@sha256:DIGEST", "replace the placeholder"),
    ] {
        world.write_settings(&format!(", databaseImage: '{image}'"));
        for command in [&["init"][..], &["init", "kubernetes", "--databases", "1"], &["run", "./quick"]] {
            let words: Vec<&str> = ["pipelines"].into_iter().chain(command.iter().copied()).collect();
            let ran = world.run(&words).with_code(1);
            ran.prints("terrace.yaml:1:").prints(&format!("`databaseImage` is `{image}`")).prints(hint);
            assert!(!ran.stderr.contains("is ready"), "{ran}");
        }
    }
    assert_eq!(world.pipelines.workers(), workers);
}

#[test]
fn parts_of_a_namespace_exist_or_are_not_checked_without_rights() {
    for (has_them, is_readable, state) in [
        (true, true, "exists"),
        (false, true, "not created, and not needed"),
        (true, false, "not checked, and not needed"),
    ] {
        let server = Peer::start_with(move |call, _| {
            let place = call.path.split('?').next().unwrap();
            let refused = || (403, r#"{"kind":"Status","reason":"Forbidden","code":403}"#.to_owned());
            let (code, body) = match place {
                "/api/v1/namespaces/pipelines" => (200, r#"{"metadata":{"name":"pipelines"}}"#.to_owned()),
                _ if place.ends_with("selfsubjectaccessreviews") => (201, r#"{"status":{"allowed":true}}"#.to_owned()),
                _ if place.ends_with("/terrace-pipelines") && call.body.is_empty() && is_readable => match has_them {
                    true => (200, r#"{"metadata":{"name":"terrace-pipelines"}}"#.to_owned()),
                    false => (404, r#"{"kind":"Status","reason":"NotFound","code":404}"#.to_owned()),
                },
                _ => refused(),
            };
            (code, "application/json", body)
        });
        let project = Project::new();
        project.write(
            "kubeconfig",
            format!(
                "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: '{}'}}}}]\nusers: [{{name: a, user: {{}}}}]\n\
                 contexts: [{{name: mine, context: {{cluster: a, user: a}}}}]\ncurrent-context: mine\n",
                server.url
            ),
        );
        let mut command = project.command(["pipelines", "init", "kubernetes", "--workers", "0"]);
        command.env("KUBECONFIG", project.path("kubeconfig"));
        let ran = project.start(command).finish().done();
        for part in ["service account", "role", "role binding"] {
            ran.prints(&format!("{part} terrace-pipelines: {state}"));
        }
    }
}

#[test]
fn commands_name_the_setting_that_chose_an_unusable_cluster() {
    const COMMANDS: [&[&str]; 6] = [
        &["doctor"],
        &["plan", "stack.yaml"],
        &["pipelines", "databases", "list"],
        &["pipelines", "run", "./quick", "--dirty"],
        &["pipelines", "run", "./quick", "--format", "json"],
        &["pipelines", "init", "kubernetes", "--workers", "0"],
    ];
    // A run waits for a server that may answer later.
    const WITHOUT_RUNS: [&[&str]; 2] = [COMMANDS[2], COMMANDS[5]];
    let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
    let settings = format!(
        "environments:\n  local:\n    providers:\n      pipelines:\n        executor: kubernetes\n        namespace: pipelines\n        \
         image: {image}\n        databaseImage: {image}\n"
    );
    let refusing =
        Peer::start_with(|_, _| (401, "application/json", r#"{"kind":"Status","reason":"Unauthorized"}"#.to_owned()));
    let login = Peer::start_with(|_, _| (200, "text/html", "<html></html>".to_owned()));
    let kubeconfig = |server: &str| {
        let user =
            "users: [{name: bob, user: {token: hunter2}}]\ncontexts: [{name: mine, context: {cluster: a, user: bob}}]";
        Some(format!("clusters: [{{name: a, cluster: {{server: '{server}'}}}}]\n{user}\ncurrent-context: mine\n"))
    };
    let place = "`kubeconfig` at terrace.yaml:9:9";
    let chosen = format!("(context `mine`, chosen by {place})");
    for (setting, file, commands, expected) in [
        ("kubeconfig: config", None, &COMMANDS[..], vec![format!("correct {place}: name a file that exists")]),
        (
            "kubeconfig: config",
            Some("a: [hunter2".to_owned()),
            &COMMANDS,
            vec![format!("or name another file: {place}")],
        ),
        (
            "kubeconfig: config\n        context: other",
            kubeconfig(&login.url),
            &COMMANDS,
            vec![
                "correct `context` at terrace.yaml:10:9; the contexts of".to_owned(),
                format!("(chosen by {place}) are: `mine`"),
            ],
        ),
        ("", None, &COMMANDS, vec!["correct the variable KUBECONFIG: name a file that exists".to_owned()]),
        (
            "kubeconfig: config",
            kubeconfig("https://"),
            &COMMANDS,
            vec!["the kubeconfig's cluster has no host".to_owned(), chosen.clone()],
        ),
        (
            "kubeconfig: config",
            kubeconfig(&refusing.url),
            &COMMANDS,
            vec![
                format!("the cluster at `{}` does not accept the credentials", refusing.url),
                "renew the credentials of the user `bob` in the kubeconfig file `".to_owned(),
                format!("/config` {chosen}; `KUBECONFIG="),
                "/config kubectl --context mine get --raw /version` checks them".to_owned(),
            ],
        ),
        (
            "kubeconfig: config",
            kubeconfig("http://127.0.0.1:1"),
            &WITHOUT_RUNS,
            vec!["cannot be reached at `http://127.0.0.1:1`".to_owned(), format!("/config` {chosen}, and the network")],
        ),
        (
            "kubeconfig: config",
            kubeconfig(&login.url),
            &WITHOUT_RUNS,
            vec![format!("/config` {chosen}: another server answers there, such as a proxy or a login page")],
        ),
    ] {
        let pipelines = Queued::new();
        let project = &pipelines.project;
        project.write("terrace.yaml", format!("{settings}        {setting}\n"));
        project.write_stack("resources:\n  - {type: pipelines_run, name: quick, config: {name: ./quick}}\n");
        file.iter().for_each(|text| project.write("config", text));
        for arguments in commands {
            let mut command = pipelines.command(arguments);
            command.env("KUBECONFIG", project.path("missing"));
            let ran = project.start(command).finish().with_code(1);
            // Without frames and ends of lines.
            let words = format!("{} {}", ran.stdout, ran.stderr).replace('│', " ");
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            for expected in &expected {
                assert!(words.contains(expected), "{arguments:?} does not print {expected:?}: {ran}");
            }
            assert!(!words.contains("hunter2"), "{arguments:?}: {ran}");
        }
    }
}

#[test]
fn list_of_databases_says_that_the_cluster_was_not_asked() {
    let world = World::new("mine");
    world.write_settings("");
    let ran = world.run(&["pipelines", "databases", "list"]).done();
    ran.prints("the databases of the cluster are not listed: write `databaseImage`");
    assert!(world.server.calls().is_empty(), "{ran}");
}

#[test]
fn missing_rights_stop_the_start_until_they_are_granted() {
    let world = World::new("mine");
    world.is_allowed.store(false, Ordering::SeqCst);
    let ran = world.init(&["helm"]).with_code(1);
    ran.prints("lacks rights in the namespace `pipelines` that runs need: create, get, list, patch, delete jobs.batch");
    ran.prints("`terrace pipelines init kubernetes --namespace pipelines --workers 0 --databases 0; kubectl create rolebinding");
    ran.prints(
        "terrace-pipelines-alice -n pipelines --role=terrace-pipelines --user=alice` in an empty folder outside of",
    );
    world.is_allowed.store(true, Ordering::SeqCst);
    world.init(&[]).done().prints("namespace pipelines: exists").prints("role terrace-pipelines: created");
    world.pipelines.project.write("kubeconfig", "apiVersion: v1\nkind: Config\n");
    world.init(&["helm"]).with_code(1);
}

#[test]
fn role_of_the_hint_is_created_from_an_empty_folder() {
    let (world, empty) = (World::new("mine"), Project::new());
    let command = "pipelines init kubernetes --namespace shop --workers 0 --databases 0";
    let words: Vec<&str> = command.split(' ').collect();
    for state in ["created", "exists"] {
        let mut command = world.command(&words);
        command.current_dir(empty.path("."));
        let ran = empty.start(command).finish().done();
        ran.prints(&format!("role terrace-pipelines: {state}"))
            .prints("in the folder of the pipelines, write these settings");
    }
    assert!(!empty.has(".terrace/pipelines/queue.db"), "it has no workers");
    assert!(!world.pipelines.project.has(".terrace"), "nothing was changed");
}

#[test]
fn minikube_is_started_and_its_failures_are_shown() {
    let world = World::new("minikube");
    world.program(
        "minikube",
        "[ \"$1\" = status ] && exit 85; [ \"$1\" = start ] && { echo 'no driver' >&2; exit 69; }; exit 0",
    );
    world.init(&["minikube"]).with_code(1).prints("`minikube start --profile minikube` failed").prints("no driver");
    assert_eq!(world.calls(), "minikube status --profile minikube\nminikube start --profile minikube\n");
    world.program("minikube", "[ \"$1\" = start ] && kill -9 $$; [ \"$1\" != status ]");
    world.init(&[]).with_code(1).prints("signal: 9");
    world.calls();
    world.program(
        "minikube",
        "[ \"$1\" != status ] || [ -e \"$WORLD/started\" ] && { [ \"$1\" != start ] || touch \"$WORLD/started\"; }",
    );
    let ran = world.init(&[]).done();
    ran.prints("namespace pipelines: created").prints("context: minikube");
    assert_eq!(
        world.calls(),
        "minikube status --profile minikube\nminikube start --profile minikube\nminikube update-context --profile minikube\n"
    );
    world.init(&["minikube"]).done();
    assert_eq!(world.calls(), "minikube status --profile minikube\nminikube update-context --profile minikube\n");
    world.program("minikube", "[ \"$1\" != update-context ]");
    world.init(&["minikube"]).with_code(1).prints("`minikube update-context --profile minikube` failed");
}

#[test]
fn databases_of_this_machine_are_listed_although_the_cluster_does_not_answer() {
    let world = World::new("mine");
    let project = &world.pipelines.project;
    project.write_stack(
        "resources:\n  - {type: pipelines_database, name: base, config: {name: orders, engine: sqlite}}\n",
    );
    world.run(&["apply", "stack.yaml", "--auto-approve", "--plaintext-secrets"]).done();
    world.write_settings(&format!(", databaseImage: 'r.example.com/x@sha256:{}'", "0a".repeat(32)));
    project.write(
        "kubeconfig",
        fs::read_to_string(project.path("kubeconfig")).unwrap().replace(&world.server.url, "http://127.0.0.1:1"),
    );
    let ran = world.run(&["pipelines", "databases", "list"]).with_code(1);
    assert!(ran.stdout.starts_with("orders  SQLite  "), "{ran}");
    ran.prints("cannot be reached at `http://127.0.0.1:1`");
}

#[test]
fn run_of_minikube_public_publishes_its_results() {
    let world = World::new("minikube");
    let project = &world.pipelines.project;
    project.write(
        "pipeline-spec.yaml",
        "open: {pipeline: [{run: noise}, {run: dump_to_path, parameters: {out-path: data}}]}\n",
    );
    // No pod runs here, so the results of this machine are those of an unchanged pipeline in the cluster.
    world.run(&["pipelines", "run", "./open"]).done();
    world.program("minikube", "exit 0");
    world.write_settings(", context: minikube");
    world.init(&["minikube-public", "--workers", "1"]).done();
    let ran = world.run(&["pipelines", "run", "./open", "--dirty"]).done();
    let folder = project.path(".").canonicalize().unwrap().display().to_string();
    let said = ran.stderr.replace(&folder, "[folder]");
    assert!(
        said.contains("Using local minikube cluster with public publishing\ndo not use for private data!\n"),
        "{ran}"
    );
    assert!(
        said.contains("Syncing Data Packages to Public Storage\ndata > [folder]/.terrace/public/open/data/\n"),
        "{ran}"
    );
    assert!(project.has(".terrace/public/open/data/datapackage.json"));
    // Pods do not reach a folder of this machine.
    project.edit("pipeline-spec.yaml", "{pipeline:", "{claim: results, pipeline:");
    let refused = world.run(&["pipelines", "run", "./open", "--dirty"]).with_code(1);
    refused.prints("is a folder of this machine, and the source is on the claim `results` of a cluster");
    refused.prints("set the destination as `sync` of the provider `pipelines`");
}

#[test]
fn minikube_public_is_refused_if_results_stay_on_a_claim() {
    let world = World::new("minikube");
    world.program("minikube", "exit 0");
    world.write_settings(", context: minikube, claim: results");
    let refused = world.init(&["minikube-public"]).with_code(1);
    refused.prints("pods cannot copy results from the claim `results`");
    refused.prints("`.terrace/public`, a folder of this machine").prints("write `sync: s3://BUCKET/PREFIX`");
    assert!(world.calls().is_empty() && !world.pipelines.project.has(".terrace"), "nothing was changed");
    // Either hint works.
    world.init(&["minikube", "--workers", "0"]).done();
    world.write_settings(", context: minikube, claim: results, sync: 's3://open-data'");
    world.init(&["minikube-public", "--workers", "0"]).done();
}

#[test]
fn interrupted_start_of_minikube_continues() {
    let world = World::new("minikube");
    let project = &world.pipelines.project;
    project.make_gate("gate");
    world.program("minikube", "[ \"$1\" = status ] && exit 85; [ \"$1\" = start ] && { touch \"$WORLD/began\"; read -r line < \"$WORLD/gate\"; }; exit 0");
    let running = project.start(world.command(&["pipelines", "init", "minikube"]));
    until("minikube starts", || project.has("began"));
    running.interrupt();
    let ran = running.finish().with_code(130);
    ran.prints("`terrace pipelines init` continues");
    world.program("minikube", "exit 0");
    world.init(&[]).done().prints("namespace pipelines: created");
}

#[test]
fn cluster_of_kamatera_is_created_and_its_context_is_chosen_by_the_user() {
    let world = World::new("kamatera");
    let project = &world.pipelines.project;
    // The words of the program for a cluster that does not exist.
    let absent = "[ \"$1\" != server ] || { echo \"info command failed: No servers found (name='$4')\"; exit 5; }";
    world.program("cloudcli", absent);
    world.init(&["kamatera"]).with_code(1).prints("write the configuration of the cluster to `kamatera.yaml`");
    project.write("kamatera.yaml", "cluster: {name: 'etl|.*'}\n");
    world.init(&["kamatera"]).with_code(1).prints("set `cluster.name` in `kamatera.yaml`");
    assert_eq!(world.calls(), "");
    project.write("kamatera.yaml", "cluster: {name: etl}\n");
    world.program("cloudcli", &format!("{absent}; echo 'no credit' >&2; exit 2"));
    world.init(&["kamatera"]).with_code(1).prints("create_cluster --kconfig kamatera.yaml` failed").prints("no credit");
    world.calls();
    world.program("cloudcli", absent);
    // The current context may be that of another cluster.
    world.init(&[]).with_code(1).prints("the context of the cluster `kamatera` is not known");
    assert_eq!(
        world.calls(),
        "cloudcli server info --name etl-controlplane-1-.*\ncloudcli k8s create_cluster --kconfig kamatera.yaml\n"
    );
    project.write("terrace.yaml", "environments: {local: {providers: {pipelines: {context: kamatera}}}}\n");
    world.program("cloudcli", "exit 0");
    world.init(&[]).done().prints("namespace pipelines: created").prints("context: kamatera");
    assert_eq!(world.calls(), "cloudcli server info --name etl-controlplane-1-.*\n");
}

#[test]
fn cluster_of_kamatera_is_not_created_after_a_failure_that_proves_nothing() {
    let world = World::new("kamatera");
    world.pipelines.project.write("kamatera.yaml", "cluster: {name: etl}\n");
    for failure in ["info command failed: Unauthorized", "Failed to send POST request", ""] {
        world.program("cloudcli", &format!("[ \"$1\" != server ] || {{ echo '{failure}'; exit 1; }}"));
        let ran = world.init(&["kamatera"]).with_code(1);
        ran.prints("`cloudcli server info --name etl-controlplane-1-.*` failed").prints(failure);
        ran.prints(
            "if the cluster does not exist, create it with `cloudcli k8s create_cluster --kconfig kamatera.yaml`",
        );
        assert_eq!(world.calls(), "cloudcli server info --name etl-controlplane-1-.*\n", "{failure}");
    }
}

#[test]
fn described_cluster_of_google_cloud_is_created_or_its_commands_are_printed() {
    let world = World::new("gke_my-project_europe-west1-b_main");
    let project = &world.pipelines.project;
    project.write(".dppctl.yaml", "clusterProvider: gcloud\ngcloudProjectId: my-project\ngcloudZone: europe-west1-b\n");
    world.program("gcloud", "exit 1");
    world.init(&[]).with_code(1).prints("write `gcloudProjectId`, `gcloudZone` and `gcloudClusterName`");
    assert_eq!(world.calls(), "");
    project.write(
        ".dppctl.yaml",
        "clusterProvider: gcloud\ngcloudProjectId: my-project\ngcloudZone: europe-west1-b\ngcloudClusterName: main\n\
         gcloudClusterNamespace: etl\n",
    );
    // A failure that proves nothing creates nothing.
    world.init(&[]).with_code(1).prints("`gcloud container clusters describe main");
    assert!(!world.calls().contains("create"));
    let absent = "[ \"$3\" != describe ] || { echo 'ResponseError: code=404, message=Not found: main.' >&2; exit 1; }";
    world.program("gcloud", &format!("{absent}; [ \"$3\" != create ]"));
    world.init(&[]).with_code(1).prints("`gcloud container clusters create main");
    world.program(
        "gcloud",
        &format!("{absent}; [ \"$3\" = get-credentials ] && {{ echo 'no plugin' >&2; exit 1; }}; exit 0"),
    );
    let refused = world.init(&[]).with_code(1);
    refused.prints("`gcloud container clusters get-credentials main").prints("no plugin");
    world.program("gcloud", "[ \"$3\" = get-credentials ] && kill -9 $$; exit 0");
    world.init(&[]).with_code(1).prints("signal: 9");
    assert!(!world.server.calls().iter().any(|call| call.method != "GET"), "nothing was created in the cluster");
    world.calls();
    world.program("gcloud", absent);
    let ran = world.init(&[]).done();
    ran.prints("namespace etl: created").prints("context: gke_my-project_europe-west1-b_main");
    let place = "main --project my-project --zone europe-west1-b --quiet";
    assert_eq!(
        world.calls(),
        format!(
            "gcloud container clusters describe {place}\ngcloud container clusters create {place}\n\
             gcloud container clusters get-credentials {place}\n"
        )
    );
    fs::remove_file(project.path("bin/gcloud")).unwrap();
    let mut command = world.command(&["pipelines", "init"]);
    command.env("PATH", project.path("bin"));
    let ran = project.start(command).finish().with_code(1);
    ran.prints(&format!("gcloud container clusters create {place}")).prints("`gcloud` is not installed");
}
