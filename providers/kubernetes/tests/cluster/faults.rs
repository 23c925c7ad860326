use crate::harness::{Namespace, cluster, create_within, deployment, instance, kubectl};
use std::time::Duration;

/// Runs alone: `tests/real/kubernetes` names it after all others.
#[tokio::test(flavor = "multi_thread")]
async fn restart_of_the_api_server_does_not_end_a_wait() {
    let (namespace, instance) = (Namespace::new("restart"), instance().await);
    let mut config = deployment(namespace.0, "web", Some(1), "sleep 1000");
    config["manifest"]["spec"]["minReadySeconds"] = 12.into();
    let restart = std::thread::spawn(|| {
        // The wait has begun once the object exists.
        for _ in 0..200 {
            if cluster(&["kubectl", "get", "deployment", "web", "-n", "restart"], "").0 {
                break;
            }
        }
        assert!(cluster(&["kill", "kube-apiserver"], "").0);
        assert!(cluster(&["start", "kube-apiserver"], "").0);
    });
    create_within(&instance, &config, Duration::from_secs(120)).await.unwrap();
    restart.join().unwrap();
    let messages = instance.reports.messages();
    assert!(messages.iter().any(|it| it.contains("the API server does not answer")), "{messages:?}");
    assert_eq!(kubectl(&format!("get deployments -n {} -o name", namespace.0)), "deployment.apps/web");
}
