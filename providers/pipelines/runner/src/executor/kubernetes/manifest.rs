//! Manifests of a run: a Job, a Secret with the job, and a Secret with the files, which may hold passwords.

use super::super::claim::MOUNT;
use super::super::pod::{COMMAND, ENVIRONMENTS, FILES, JOB, KEEP, TEMPORARY, TERMINATED};
use super::super::{Elsewhere, Job};
use crate::execution_options::{ExecutionOption, ExecutionOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Name of the container.
pub(crate) const CONTAINER: &str = "run";
/// Path of terrace in the image.
pub(crate) const TERRACE: &str = "/usr/local/bin/terrace";
/// Label with the id of the run.
pub(super) const RUN: &str = "terrace.dev/run";
/// Label with the id of the folder of records that has the run.
pub(super) const HOME: &str = "terrace.dev/home";
/// Label of all objects of terrace, with its value.
pub(crate) const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "terrace");
/// Label with the work of a pod.
pub(crate) const ROLE: &str = "terrace.dev/role";
/// Annotation with the id of the pipeline.
pub(super) const PIPELINE_ID: &str = "terrace.dev/pipeline-id";
/// User and group of the container.
const USER: u32 = 65532;
/// Longest value of a label.
const LONGEST_LABEL: usize = 63;
/// Time for the start of a pod, in addition to the time limit of the run.
const START: Duration = Duration::from_secs(600);
/// Time for which an ended Job stays.
pub(crate) const REST: Duration = Duration::from_secs(3600);

/// Names of the resources in options and in Kubernetes.
const RESOURCES: [(ExecutionOption, &str); 3] =
    [(ExecutionOption::Cpu, "cpu"), (ExecutionOption::Memory, "memory"), (ExecutionOption::Disk, "ephemeral-storage")];

/// Name of the objects of an attempt. It follows from the run, so that nothing is created twice.
pub(super) fn name(run: &str, attempt: usize) -> String {
    match attempt {
        0 => format!("terrace-{run}"),
        more => format!("terrace-{run}-{}", more + 1),
    }
}

/// Name of the Secret with the files.
fn name_of_files(name: &str) -> String {
    format!("{name}-files")
}

/// A text as the value of a label: letters, digits and `-_.`.
pub(crate) fn label(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let text: String = text.chars().map(plain).collect();
    let text: String = text.trim_matches(['-', '_', '.']).chars().take(LONGEST_LABEL).collect();
    text.trim_end_matches(['-', '_', '.']).to_owned()
}

fn metadata(job: &Job, name: &str) -> Json {
    json!({
        "name": name,
        "labels": {
            MANAGED.0: MANAGED.1,
            "terrace.dev/pipeline": label(&job.elsewhere.pipeline),
            RUN: job.run,
            HOME: label(job.elsewhere.home.as_deref().unwrap_or_default()),
            ROLE: if job.elsewhere.is_shell { "shell" } else { "worker" },
        },
        "annotations": {PIPELINE_ID: job.elsewhere.pipeline},
    })
}

/// The owner of the Secrets of a run: its Job of this uid.
pub(crate) fn owner(name: &str, uid: &str) -> Json {
    json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid})
}

/// The Secrets of a run: the job with the variables of its steps, and the files. They go with this owner.
pub(super) fn secrets(job: &Job, name: &str, text: &[u8], archive: &[u8], owner: &Json) -> [Json; 2] {
    let secret = |own: &str, key: &str, content: &[u8]| {
        let mut metadata = metadata(job, own);
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("ownerReferences".to_owned(), json!([owner]));
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "immutable": true,
            "data": {key: STANDARD.encode(content)},
        })
    };
    [secret(name, JOB.1, text), secret(&name_of_files(name), FILES.1, archive)]
}

/// The Job. It is created suspended: its other objects need its uid, and its pod needs them.
pub(super) fn job(job: &Job, name: &str, options: &ExecutionOptions) -> Json {
    let metadata = metadata(job, name);
    let template_metadata = json!({"labels": metadata.get("labels"), "annotations": metadata.get("annotations")});
    let mut spec = json!({
        "suspend": true,
        "backoffLimit": 0,
        // Failures of nodes do not count, and neither does a deleted pod: another pod runs the job.
        "podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "Ignore", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": TERMINATED}},
        ]},
        "ttlSecondsAfterFinished": REST.as_secs(),
        "template": {"metadata": template_metadata, "spec": pod(job, name, options)},
    });
    // terrace in the pod ends the run itself. This is for a pod that cannot start or does not answer.
    if let (Some(timeout), Some(spec)) = (job.timeout, spec.as_object_mut()) {
        let deadline = timeout.saturating_add(job.grace).saturating_add(START).saturating_add(KEEP);
        spec.insert("activeDeadlineSeconds".to_owned(), deadline.as_secs().min(i64::MAX as u64).into());
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}

/// A Job as runs have it, for a check by the server.
pub(super) fn example(options: &ExecutionOptions) -> Json {
    let example = Job {
        run: "check".to_owned(),
        folder: "/project".into(),
        environment: BTreeMap::new(),
        steps: Vec::new(),
        dependencies: BTreeMap::new(),
        timeout: None,
        grace: Duration::ZERO,
        elsewhere: Elsewhere { pipeline: "check".to_owned(), folders: vec!["/project".into()], ..Elsewhere::default() },
    };
    job(&example, "terrace-check", options)
}

/// CPU, memory and disk of a container, as request and limit.
pub(crate) fn limits(options: &ExecutionOptions) -> serde_json::Map<String, Json> {
    let limits = RESOURCES.iter().filter_map(|(option, name)| Some(((*name).to_owned(), options.get(*option)?.into())));
    limits.collect()
}

/// Security settings of a pod for the standard `restricted`.
pub(crate) fn pod_security(options: &ExecutionOptions) -> Json {
    let mut security = json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if let (Some(_), Some(security)) = (options.claim(), security.as_object_mut()) {
        // The files of earlier runs belong to the group already, and may be many.
        security.insert("fsGroupChangePolicy".to_owned(), "OnRootMismatch".into());
    }
    security
}

/// Security settings of a container for the standard `restricted`.
pub(crate) fn container_security() -> Json {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// The pod of a job whose Secrets have this name.
pub(super) fn pod(job: &Job, name: &str, options: &ExecutionOptions) -> Json {
    let command: Vec<&str> = [TERRACE].into_iter().chain(COMMAND).collect();
    let limits = limits(options);
    let mut volumes = vec![
        json!({"name": "job", "secret": {"secretName": name, "defaultMode": 0o440}}),
        json!({"name": "files", "secret": {"secretName": name_of_files(name), "defaultMode": 0o440}}),
    ];
    let mut mounts = vec![
        json!({"name": "job", "mountPath": JOB.0, "readOnly": true}),
        json!({"name": "files", "mountPath": FILES.0, "readOnly": true}),
    ];
    if let Some((claim, _)) = options.claim() {
        volumes.push(json!({"name": "results", "persistentVolumeClaim": {"claimName": claim}}));
        mounts.push(json!({"name": "results", "mountPath": MOUNT}));
    }
    let written = [Path::new(TEMPORARY), Path::new(ENVIRONMENTS)].into_iter();
    let written = written.chain(job.elsewhere.folders.iter().map(AsRef::as_ref));
    for (number, folder) in written.enumerate() {
        let volume = format!("folder-{number}");
        volumes.push(json!({"name": volume, "emptyDir": {}}));
        mounts.push(json!({"name": volume, "mountPath": folder}));
    }
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": job.grace.as_secs().saturating_add(10),
        "securityContext": pod_security(options),
        "containers": [{
            "name": CONTAINER,
            "image": options.get(ExecutionOption::Image),
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "workingDir": TEMPORARY,
            "resources": {"requests": limits, "limits": limits},
            "securityContext": container_security(),
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    })
}

/// Reason why a folder cannot be provided in a pod; nothing if it can. The system of the image is in these folders.
pub(super) fn unusable_folder(elsewhere: &Elsewhere) -> Option<String> {
    const SYSTEM: [&str; 12] = [
        "/bin",
        "/dev",
        "/environments",
        "/etc",
        "/lib",
        "/lib64",
        "/opt",
        "/proc",
        "/sbin",
        "/sys",
        "/terrace",
        "/usr",
    ];
    let is_system = |folder: &Path| {
        folder == Path::new("/")
            || folder == Path::new(TEMPORARY)
            || SYSTEM
                .iter()
                .any(|system| folder.starts_with(system) && *system != "/opt" || folder == Path::new(system))
            || folder.starts_with("/opt/terrace")
    };
    let folder = elsewhere.folders.iter().find(|folder| is_system(folder))?;
    Some(format!("a pod cannot have the folder `{}`: the system of its image needs it", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::super::super::Program;
    use super::*;

    fn example() -> Job {
        Job {
            run: "019af3c2-0000-7000-8000-000000000000".to_owned(),
            folder: "/home/ada/project/shop".into(),
            environment: BTreeMap::from([("DPP_DB_ENGINE".to_owned(), "postgresql://ada:hunter2@db/x".to_owned())]),
            steps: vec![Program { name: "load".to_owned(), program: "python".into(), arguments: Vec::new() }],
            dependencies: BTreeMap::new(),
            timeout: Some(Duration::from_secs(900)),
            grace: Duration::from_secs(5),
            elsewhere: Elsewhere {
                pipeline: "./shop/big orders".to_owned(),
                home: Some("1234-5678".to_owned()),
                folders: vec!["/data/out".into(), "/home/ada/project".into()],
                ..Elsewhere::default()
            },
        }
    }

    fn options() -> ExecutionOptions {
        let mut options = ExecutionOptions::default();
        options.set(ExecutionOption::Image, "registry.example.com/pipelines@sha256:00");
        options.set(ExecutionOption::Cpu, "500m");
        options.set(ExecutionOption::Memory, "1Gi");
        options.set(ExecutionOption::Disk, "2Gi");
        options
    }

    #[test]
    fn manifests_of_a_run() {
        let run = example();
        let name = name(&run.run, run.elsewhere.attempt);
        let [description, files] = secrets(&run, &name, b"{}", b"archive", &owner(&name, "uid-1"));
        let manifests = [job(&run, &name, &options()), description, files];
        insta::assert_snapshot!(serde_json::to_string_pretty(&manifests).unwrap());
    }

    #[test]
    fn claim_is_mounted_for_the_group_of_the_pod() {
        let mut options = options();
        options.set(ExecutionOption::Claim, "results/shop");
        let job = job(&example(), "terrace-r", &options);
        let pod = job.pointer("/spec/template/spec").unwrap();
        let volume = json!({"name": "results", "persistentVolumeClaim": {"claimName": "results"}});
        assert!(pod["volumes"].as_array().unwrap().contains(&volume), "{pod}");
        let mount = json!({"name": "results", "mountPath": "/terrace/results"});
        assert!(pod["containers"][0]["volumeMounts"].as_array().unwrap().contains(&mount), "{pod}");
        let security = &pod["securityContext"];
        assert_eq!((&security["fsGroup"], &security["fsGroupChangePolicy"]), (&json!(USER), &json!("OnRootMismatch")));
    }

    #[test]
    fn name_and_labels_fit_the_rules_of_kubernetes() {
        assert_eq!(name("r", 0), "terrace-r");
        assert_eq!(name("r", 1), "terrace-r-2");
        assert!(name("019af3c2-0000-7000-8000-000000000000", 99).len() <= LONGEST_LABEL);
        assert_eq!(label("./shop/big orders"), "shop-big-orders");
        assert_eq!(label(&format!("./{}", "ü".repeat(100))), "");
        assert_eq!(label(&"a".repeat(100)).len(), LONGEST_LABEL);
    }

    #[test]
    fn run_without_limits_has_none() {
        let run = Job { timeout: None, ..example() };
        let job = job(&run, "terrace-r", &ExecutionOptions::default());
        assert_eq!(job.pointer("/spec/activeDeadlineSeconds"), None);
        assert_eq!(job.pointer("/spec/template/spec/containers/0/resources/limits"), Some(&json!({})));
    }

    #[test]
    fn folders_of_the_system_are_refused() {
        let check = |folder: &str| unusable_folder(&Elsewhere { folders: vec![folder.into()], ..Elsewhere::default() });
        for folder in ["/", "/usr/share/x", "/etc", "/opt", "/opt/terrace/x", "/tmp", "/proc/1"] {
            assert!(check(folder).is_some_and(|message| message.contains(folder)), "{folder}");
        }
        for folder in ["/home/ada/x", "/root/x", "/opt/shop", "/tmp/x", "/usrx"] {
            assert_eq!(check(folder), None, "{folder}");
        }
    }
}
