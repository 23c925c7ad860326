//! `terrace operator` without a cluster, or with an API server that refuses it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use terrace_tests::{Peer, Project, repository};

/// A kubeconfig for an API server at this URL.
fn kubeconfig(project: &Project, url: &str) -> String {
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}], \
         clusters: [{{name: a, cluster: {{server: \"{url}\"}}}}], users: [{{name: a, user: {{}}}}]}}"
    );
    project.write("kubeconfig", text);
    project.path("kubeconfig").to_str().unwrap().to_owned()
}

const EMPTY_LIST: &str = r#"{"apiVersion": "terrace.dev/v1alpha1", "kind": "List", "metadata": {}, "items": []}"#;

/// A refusal of an API server.
fn status(code: u16, reason: &str, message: &str) -> String {
    format!(
        r#"{{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "{reason}", "message": "{message}", "code": {code}}}"#
    )
}

#[test]
fn crds_are_those_of_the_chart() {
    let folder = repository().join("deploy/helm/operator/crds");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut chart: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let ran = Project::new().run(["operator", "crds"]).done();
    let mut printed: Vec<_> = ran.stdout.split("---\n").map(str::to_owned).collect();
    printed.sort();
    chart.sort();
    assert_eq!(printed, chart);
    for plural in ["stacks", "pipelines", "pipelineruns", "databases", "workers"] {
        assert!(ran.stdout.contains(&format!("name: {plural}.terrace.dev")), "{plural}");
    }
}

#[test]
fn operator_without_a_cluster_names_the_remedy() {
    let project = Project::new();
    let file = project.path("none").to_str().unwrap().to_owned();
    let ran = project.run_with(&[("KUBECONFIG", &file)], ["operator"]).with_code(1);
    ran.prints("no cluster: ").prints("set KUBECONFIG to a kubeconfig with a current context, or run in a pod");
}

#[test]
fn wrong_kubeconfig_of_an_operator_is_not_quoted() {
    let project = Project::new();
    let file = kubeconfig(&project, "127.0.0.1:1");
    let run = || project.run_with(&[("KUBECONFIG", &file)], ["operator"]).with_code(1);
    run().prints("no cluster: the `server` of the kubeconfig's cluster does not begin with `https://`");
    std::fs::write(&file, "apiVersion: v1\nusers: [{name: a, user: {token: hunter2: x}}]\n").unwrap();
    let ran = run();
    assert!(!ran.stderr.contains("hunter2"), "{ran}");
    ran.prints("no cluster: the kubeconfig is not valid");
}

#[test]
fn operator_without_definitions_or_rights_does_not_start() {
    for (code, reason, message) in [
        (404, "NotFound", "the server could not find the requested resource"),
        (403, "Forbidden", "stacks.terrace.dev is forbidden"),
    ] {
        let status = status(code, reason, message);
        let peer = Peer::start(move |_, _| (code, status.clone()));
        let project = Project::new();
        let file = kubeconfig(&project, &peer.url);
        let ran = project.run_with(&[("KUBECONFIG", &file)], ["operator"]).with_code(1);
        ran.prints(message).prints("terrace operator crds | kubectl apply --server-side --force-conflicts -f -");
        assert!(peer.calls().iter().all(|call| call.path.starts_with("/apis/terrace.dev/v1alpha1/stacks")));
    }
}

#[test]
fn operator_with_older_definitions_does_not_start() {
    let published = r#"{"components": {"schemas": {"a": {
        "properties": {"spec": {"properties": {"environment": {"type": "string"}}}},
        "x-kubernetes-group-version-kind": [{"group": "terrace.dev", "kind": "Worker", "version": "v1alpha1"}]}}}}"#;
    // A failed list does not end the check.
    let failing = status(500, "InternalError", "etcd is slow");
    let peer = Peer::start(move |path, _| match path {
        _ if path.starts_with("/openapi/") => (200, published.to_owned()),
        _ if path.starts_with("/apis/terrace.dev/v1alpha1/stacks") => (500, failing.clone()),
        _ => (200, EMPTY_LIST.to_owned()),
    });
    let project = Project::new();
    let file = kubeconfig(&project, &peer.url);
    let ran = project.run_with(&[("KUBECONFIG", &file)], ["operator"]).with_code(1);
    ran.prints("the definitions in the cluster are of another version: they lack Worker: spec.")
        .prints("terrace operator crds | kubectl apply --server-side --force-conflicts -f -")
        .prints("the custom resources cannot be listed now");
    assert!(ran.stderr.contains("etcd is slow") && !ran.stderr.contains("cannot be reached"), "{ran}");
}

#[test]
fn operator_without_a_comparison_of_definitions_names_the_reason() {
    let (unpublished, forbidden) =
        (status(403, "Forbidden", "openapi is forbidden"), status(403, "Forbidden", "leases is forbidden"));
    let peer = Peer::start(move |path, _| match path {
        _ if path.starts_with("/openapi/") => (403, unpublished.clone()),
        _ if path.contains("/leases") => (403, forbidden.clone()),
        _ => (200, EMPTY_LIST.to_owned()),
    });
    let project = Project::new();
    let file = kubeconfig(&project, &peer.url);
    let ran = project.run_with(&[("KUBECONFIG", &file)], ["operator"]).with_code(1);
    let compared = ran.stderr.lines().find(|line| line.contains("cannot be compared with those of this operator"));
    assert!(compared.is_some_and(|line| line.contains("openapi is forbidden")), "{ran}");
}

/// An API server that closes its first connections, and then has only the Lease of another operator.
fn api_server_after_an_outage(closed: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lease = r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "terrace-operator",
        "resourceVersion": "1"}, "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{lease}",
        lease.len()
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().skip(closed).map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).find(String::is_empty);
            // The operator may have ended.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn outage_of_the_api_server_is_one_warning_with_its_address() {
    let project = Project::new();
    // The start has a list of each of five kinds and a comparison of definitions, then attempts at the Lease.
    let url = api_server_after_an_outage(8);
    let mut command = project.command(["operator"]);
    command.env("KUBECONFIG", kubeconfig(&project, &url));
    let operator = project.start(command);
    operator.wait_for_stderr("another operator leads");
    operator.interrupt();
    let ran = operator.finish();
    let lines: Vec<&str> =
        ran.stderr.lines().filter(|line| line.contains(" terrace_") || line.contains("kube")).collect();
    let [begin, end, waiting] = lines[..] else { panic!("{ran}") };
    assert!(begin.contains(" WARN ") && begin.contains(&format!("cannot be reached at `{url}`: ")), "{begin}");
    assert!(begin.contains("tries again error="), "{begin}");
    assert!(end.contains(" INFO ") && end.contains("the API server of the cluster answers again"), "{end}");
    assert!(waiting.contains("another operator leads: waiting"), "{waiting}");
}

#[test]
fn taken_address_of_the_probes_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let project = Project::new();
    let file = kubeconfig(&project, "http://127.0.0.1:1");
    let ran = project.run_with(&[("KUBECONFIG", &file)], ["operator", "--bind", &address]).with_code(1);
    ran.prints(&format!("probes and metrics cannot be served: {address}: ")).prints("another address with `--bind`");
}

#[test]
fn token_is_not_sent_without_encryption() {
    let peer = Peer::start(|_, _| (404, String::new()));
    let project = Project::new();
    let file = kubeconfig(&project, &peer.url);
    let variables = [("KUBECONFIG", file.as_str()), ("TERRACE_OPERATOR_TOKEN", "0123456789abcdef0123")];
    let exposed = ["operator", "--server", "http://terrace.example.com:8091"];
    let ran = project.run_with(&variables, exposed).with_code(1);
    ran.prints("the token would be sent to `terrace.example.com:8091` without encryption").prints("--allow-plain-http");
    assert!(peer.calls().is_empty());
    let ran = project.run_with(&variables, exposed.into_iter().chain(["--allow-plain-http"])).with_code(1);
    ran.prints("terrace operator crds");
}

#[test]
fn token_that_no_header_can_carry_is_refused_without_its_value() {
    let project = Project::new();
    let ran = project.run_with(&[("TERRACE_OPERATOR_TOKEN", "hunter2 hunter3")], ["operator"]).with_code(1);
    ran.prints("TERRACE_OPERATOR_TOKEN is not a token");
    assert!(!ran.to_string().contains("hunter"), "{ran}");
    let ran = project.run(["operator", "--server", "https://user:hunter2@terrace"]).with_code(1);
    assert!(!ran.to_string().contains("hunter"), "{ran}");
}

#[test]
fn operator_that_may_not_end_databases_logs_the_reason_and_goes_on() {
    let forbidden = status(403, "Forbidden", "statefulsets.apps is forbidden");
    let lease = r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "terrace-operator",
        "resourceVersion": "1"}, "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600}}"#;
    let peer = Peer::start(move |path, _| match path {
        _ if path.contains("/statefulsets") => (403, forbidden.clone()),
        _ if path.contains("/leases") => (200, lease.to_owned()),
        _ => (200, EMPTY_LIST.to_owned()),
    });
    let project = Project::new();
    let mut command = project.command(["operator", "--expire-databases", "shop", "--expire-databases", "finance"]);
    command.env("KUBECONFIG", kubeconfig(&project, &peer.url));
    let operator = project.start(command);
    operator.wait_for_stderr("another operator leads");
    for namespace in ["shop", "finance"] {
        operator.wait_for_stderr(&format!("expired databases cannot be ended now namespace=\"{namespace}\""));
    }
    operator.interrupt();
    let ran = operator.finish();
    ran.prints("statefulsets.apps is forbidden");
    let calls = peer.calls();
    let lists: Vec<_> = calls.iter().filter(|call| call.path.contains("/statefulsets")).collect();
    assert!(lists.iter().all(|call| call.path.contains("labelSelector=")), "{ran}");
}

#[test]
fn wrong_namespace_of_databases_is_refused() {
    let ran = Project::new().run(["operator", "--expire-databases", "My Shop"]).with_code(1);
    ran.prints("`--expire-databases`: `My Shop` cannot be the name of a namespace").prints("small letters, digits");
}
