use crate::harness::{Namespace, cluster, create_within, deployment, instance, kubectl};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs alone: `tests/real/kubernetes` names it after all others.
#[tokio::test(flavor = "multi_thread")]
async fn restart_of_the_api_server_does_not_end_a_wait() {
    let (namespace, instance) = (Namespace::new("restart"), instance().await);
    let mut config = deployment(namespace.0, "web", Some(1), "sleep 1000");
    config["manifest"]["spec"]["minReadySeconds"] = 12.into();
    let reports = Arc::clone(&instance.reports);
    let is_noticed =
        move || reports.messages().iter().any(|message| message.contains("the API server does not answer"));
    let restart = std::thread::spawn(move || {
        // The wait has begun once the object exists.
        for _ in 0..200 {
            if cluster(&["kubectl", "get", "deployment", "web", "-n", "restart"], "").0 {
                break;
            }
        }
        assert!(cluster(&["kill", "kube-apiserver"], "").0);
        let since = Instant::now();
        while !is_noticed() && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let is_noticed = is_noticed();
        assert!(cluster(&["start", "kube-apiserver"], "").0);
        is_noticed
    });
    create_within(&instance, &config, Duration::from_secs(120)).await.unwrap();
    assert!(restart.join().unwrap(), "the wait did not notice the outage: {:?}", instance.reports.messages());
    assert_eq!(kubectl(&format!("get deployments -n {} -o name", namespace.0)), "deployment.apps/web");
}
