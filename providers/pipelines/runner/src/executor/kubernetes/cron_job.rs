//! CronJobs of schedules: their manifest, and their state in the cluster. The Job of each time is that of a run, with two
//! differences: its Secrets belong to the CronJob, and the pod gets the id of its run from its labels.

use super::super::pod::{RUN_ID, TERMINATED};
use super::super::timed::{HISTORY, StartedRun, TimedJob, TimedState};
use super::super::{Elsewhere, Job};
use super::crontab::crontab;
use super::manifest::{self, CONTAINER, HOME, label};
use super::status::{end_time, has_ended};
use crate::execution_options::ExecutionOptions;
use crate::hash::{hash_of, hash_of_bytes};
use crate::schedule::{CatchUp, Overlap, Schedule};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// Label with the name of the CronJob, on its Jobs, too.
pub(super) const CRON_JOB: &str = "terrace.dev/cron-job";
/// Annotation with the digest of the inputs.
const INPUTS: &str = "terrace.dev/inputs";
/// Annotation of a CronJob whose Secrets exist.
const READY: &str = "terrace.dev/ready";
/// Annotation with the call that created the CronJob.
const MARK: &str = "terrace.dev/mark";
/// Annotation with the names of former Secrets, which Jobs of a former template may need.
const FORMER: &str = "terrace.dev/former-secrets";
/// Annotation of a Job with its due time. <https://kubernetes.io/docs/reference/labels-annotations-taints/>
const DUE: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Label of a pod with the uid of its Job.
pub(super) const JOB_UID: &str = "batch.kubernetes.io/controller-uid";
/// Time after which a start is missed if missed times are skipped, in seconds: the same as that of a server.
const ON_TIME: u64 = 120;
/// Exit code of a pod whose steps failed.
const FAILED: i64 = 3;
/// Digits of a digest in the names of Secrets.
const DIGITS: usize = 8;

/// Name of the Secret with this job and this archive. Another content has another name, so that a present run keeps that of its
/// start. Without the salt, a reader of the name could try passwords.
pub(super) fn secret_name(object: &str, salt: &SecretString, job: &[u8], archive: &[u8]) -> String {
    let digest = hash_of(&format!("{} {} {}", salt.expose_secret(), hash_of_bytes(job), hash_of_bytes(archive)));
    format!("{object}-{}", digest.get(..DIGITS).unwrap_or_default())
}

/// The CronJob, with this name of the Secret with its job.
pub(super) fn manifest(object: &str, secret: &str, timed: &TimedJob) -> Json {
    let (schedule, job) = (&timed.schedule, &timed.job);
    let labels = json!({
        "app.kubernetes.io/managed-by": "terrace",
        "terrace.dev/pipeline": label(&job.elsewhere.pipeline),
        HOME: label(job.elsewhere.home.as_deref().unwrap_or_default()),
        CRON_JOB: object,
        "terrace.dev/role": "worker",
    });
    let annotations = json!({"terrace.dev/pipeline-id": job.elsewhere.pipeline, INPUTS: timed.inputs});
    let mut own_annotations = annotations.clone();
    if let Some(annotations) = own_annotations.as_object_mut() {
        annotations.insert(MARK.to_owned(), schedule.mark.as_str().into());
        annotations.insert(READY.to_owned(), "true".into());
    }
    let mut pod = manifest::pod(job, secret, &timed.options);
    add_run_id(&mut pod);
    let mut rules = vec![
        json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
        json!({"action": "Ignore", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": TERMINATED}}),
    ];
    if !timed.retries_failed_steps {
        rules.push(json!({
            "action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [FAILED]},
        }));
    }
    let mut spec = json!({
        // A crontab that a CronJob cannot express is refused before.
        "schedule": crontab(&schedule.cron).unwrap_or_else(|_| schedule.cron.clone()),
        "timeZone": schedule.time_zone,
        "suspend": !schedule.enabled,
        "concurrencyPolicy": match schedule.overlap {
            Overlap::Forbid => "Forbid",
            Overlap::Replace => "Replace",
            Overlap::Allow => "Allow",
        },
        "successfulJobsHistoryLimit": HISTORY,
        "failedJobsHistoryLimit": HISTORY,
        "jobTemplate": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {
                "backoffLimit": timed.retries,
                "podFailurePolicy": {"rules": rules},
                "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
            },
        },
    });
    if let (CatchUp::None, Some(spec)) = (schedule.catch_up, spec.as_object_mut()) {
        spec.insert("startingDeadlineSeconds".to_owned(), ON_TIME.into());
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": object, "labels": labels, "annotations": own_annotations},
        "spec": spec,
    })
}

/// The CronJob before its Secrets exist: it starts nothing. It has only fields that each CronJob of a schedule has: its creation
/// owns them, too, so a later apply cannot remove one.
pub(super) fn unready(manifest: &Json) -> Json {
    let at = |path: &str| manifest.pointer(path).cloned().unwrap_or_default();
    let pod = "/spec/jobTemplate/spec/template/spec";
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": at("/metadata/name"),
            "labels": at("/metadata/labels"),
            "annotations": {MARK: annotation(manifest, MARK)},
        },
        "spec": {
            "schedule": at("/spec/schedule"),
            "timeZone": at("/spec/timeZone"),
            "suspend": true,
            "concurrencyPolicy": at("/spec/concurrencyPolicy"),
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": at(&format!("{pod}/restartPolicy")),
                "containers": [{"name": CONTAINER, "image": at(&format!("{pod}/containers/0/image"))}],
            }}}},
        },
    })
}

/// Returns true if the Secrets of a CronJob exist.
pub(super) fn is_ready(object: &Json) -> bool {
    !annotation(object, READY).is_empty()
}

/// A CronJob as schedules have it, for a check by the server.
pub(super) fn example(object: &str, schedule: &Schedule, options: &ExecutionOptions) -> Json {
    let job = Job {
        run: "check".to_owned(),
        folder: "/project".into(),
        environment: Default::default(),
        steps: Vec::new(),
        dependencies: Default::default(),
        timeout: None,
        grace: Duration::ZERO,
        elsewhere: Elsewhere {
            pipeline: schedule.pipeline.clone(),
            folders: vec!["/project".into()],
            ..Elsewhere::default()
        },
    };
    let (schedule, options, inputs) = (schedule.clone(), options.clone(), "check".to_owned());
    let salt = SecretString::default();
    let timed = TimedJob { schedule, job, options, inputs, salt, retries: 0, retries_failed_steps: false };
    manifest(object, object, &timed)
}

/// Gives the pod the uid of its Job as a file.
fn add_run_id(pod: &mut Json) {
    let volume = json!({"name": "run", "downwardAPI": {"items": [
        {"path": RUN_ID.1, "fieldRef": {"apiVersion": "v1", "fieldPath": format!("metadata.labels['{JOB_UID}']")}},
    ]}});
    let mount = json!({"name": "run", "mountPath": RUN_ID.0, "readOnly": true});
    for (at, item) in [("/volumes", volume), ("/containers/0/volumeMounts", mount)] {
        if let Some(items) = pod.pointer_mut(at).and_then(Json::as_array_mut) {
            items.push(item);
        }
    }
}

fn text<'a>(object: &'a Json, at: &str) -> &'a str {
    object.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

fn annotation<'a>(object: &'a Json, name: &str) -> &'a str {
    object.pointer("/metadata/annotations").and_then(|all| all.get(name)).and_then(Json::as_str).unwrap_or_default()
}

/// State of a CronJob.
pub(super) fn state(object: &Json) -> TimedState {
    let deadline = object.pointer("/spec/startingDeadlineSeconds").and_then(Json::as_u64);
    let is_attribute = |field: &str| match field {
        "schedule" | "timeZone" | "suspend" | "concurrencyPolicy" => true,
        field => field == "startingDeadlineSeconds" && deadline == Some(ON_TIME),
    };
    let fields = object.get("spec").and_then(Json::as_object).into_iter().flatten();
    // Sorted: a removed field must not change the order of the others.
    let rest: BTreeMap<&String, &Json> = fields.filter(|(field, _)| !is_attribute(field)).collect();
    TimedState {
        cron: text(object, "/spec/schedule").to_owned(),
        time_zone: text(object, "/spec/timeZone").to_owned(),
        enabled: object.pointer("/spec/suspend") != Some(&Json::Bool(true)),
        overlap: match text(object, "/spec/concurrencyPolicy") {
            "Forbid" => Overlap::Forbid,
            "Replace" => Overlap::Replace,
            _ => Overlap::Allow,
        },
        catch_up: if deadline == Some(ON_TIME) { CatchUp::None } else { CatchUp::Last },
        inputs: annotation(object, INPUTS).to_owned(),
        uid: text(object, "/metadata/uid").to_owned(),
        mark: annotation(object, MARK).to_owned(),
        stored: hash_of(&json!(rest).to_string()),
    }
}

/// Names of the Secrets of a CronJob's Jobs.
pub(super) fn secrets(object: &Json) -> Vec<String> {
    secrets_of_pod(object, "/spec/jobTemplate/spec/template")
}

/// Names of the Secrets of the pod template at this place.
fn secrets_of_pod(object: &Json, template: &str) -> Vec<String> {
    let volumes = object.pointer(&format!("{template}/spec/volumes")).and_then(Json::as_array);
    let names = volumes.into_iter().flatten().filter_map(|volume| volume.pointer("/secret/secretName")?.as_str());
    names.map(str::to_owned).collect()
}

/// Names of the Secrets that Jobs which have not ended need.
pub(super) fn secrets_in_use(jobs: &[Json]) -> Vec<String> {
    jobs.iter().filter(|job| !has_ended(job)).flat_map(|job| secrets_of_pod(job, "/spec/template")).collect()
}

/// Names of the Secrets of a CronJob's present and former Jobs. Other Secrets of its template belong to others.
pub(super) fn present_and_former_secrets(name: &str, object: &Json) -> Vec<String> {
    let is_own = |secret: &String| {
        let digest = secret.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let digest = digest.map(|digest| digest.strip_suffix("-files").unwrap_or(digest));
        digest.is_some_and(|digest| digest.len() == DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let former = annotation(object, FORMER).split_whitespace().map(str::to_owned);
    let all: BTreeSet<String> = secrets(object).into_iter().chain(former).filter(is_own).collect();
    all.into_iter().collect()
}

/// Records the names of former Secrets in the manifest of a CronJob: terrace may not list Secrets.
pub(super) fn set_former_secrets(manifest: &mut Json, former: &[String]) {
    let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Json::as_object_mut) else { return };
    match former {
        [] => drop(annotations.remove(FORMER)),
        former => drop(annotations.insert(FORMER.to_owned(), former.join(" ").into())),
    }
}

/// The run of a Job; nothing for a Job that has not started.
pub(super) fn started(job: &Json) -> Option<StartedRun> {
    let created: Timestamp = text(job, "/metadata/creationTimestamp").parse().ok()?;
    let started_at = text(job, "/status/startTime").parse().unwrap_or(created);
    Some(StartedRun {
        run: run_id(created, text(job, "/metadata/uid"))?,
        object: text(job, "/metadata/name").to_owned(),
        uid: text(job, "/metadata/uid").to_owned(),
        due: annotation(job, DUE).parse().unwrap_or(created),
        inputs: annotation(job, INPUTS).to_owned(),
        started_at,
        ended_at: has_ended(job).then(|| end_time(job).unwrap_or(started_at)),
    })
}

/// Id of a Job's run: it sorts by time, and is always the same.
fn run_id(created: Timestamp, uid: &str) -> Option<String> {
    let uid = Uuid::parse_str(uid).ok()?;
    let [_, _, _, _, _, _, random @ ..] = uid.into_bytes();
    let millis = u64::try_from(created.as_millisecond()).ok()?;
    Some(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution_options::ExecutionOption;
    use crate::schedule::tests::schedule;

    fn timed() -> TimedJob {
        let mut options = ExecutionOptions::default();
        options.set(ExecutionOption::Image, "registry.example.com/pipelines@sha256:00");
        options.set(ExecutionOption::Claim, "results/shop");
        TimedJob {
            schedule: Schedule { mark: "operation/step".to_owned(), ..schedule("30 2 * * 7", "Europe/Rome") },
            job: Job {
                run: "cron-0123".to_owned(),
                folder: "/home/ada/project".into(),
                environment: [("PASSWORD".to_owned(), "hunter2".to_owned())].into(),
                steps: Vec::new(),
                dependencies: Default::default(),
                timeout: None,
                grace: Duration::from_secs(5),
                elsewhere: Elsewhere {
                    pipeline: "./noise".to_owned(),
                    home: Some("1234-5678".to_owned()),
                    folders: vec!["/home/ada/project".into()],
                    ..Elsewhere::default()
                },
            },
            options,
            inputs: "0123456789abcdef".to_owned(),
            salt: SecretString::default(),
            retries: 2,
            retries_failed_steps: false,
        }
    }

    #[test]
    fn manifest_of_a_schedule() {
        let manifest = manifest("terrace-nightly", "terrace-nightly-01234567", &timed());
        assert!(!manifest.to_string().contains("hunter2"), "{manifest}");
        insta::assert_snapshot!(serde_json::to_string_pretty(&manifest).unwrap());
    }

    #[test]
    fn state_of_a_manifest_is_its_schedule() {
        let timed = timed();
        let read = state(&manifest("terrace-nightly", "terrace-nightly-01234567", &timed));
        assert_eq!((read.cron.as_str(), read.time_zone.as_str(), read.enabled), ("30 2 * * 0", "Europe/Rome", true));
        assert_eq!((read.overlap, read.catch_up), (Overlap::Forbid, CatchUp::Last));
        assert_eq!((read.inputs.as_str(), read.mark.as_str()), ("0123456789abcdef", "operation/step"));
        let changed = |change: &dyn Fn(&mut TimedJob)| {
            let mut other = timed.clone();
            change(&mut other);
            state(&manifest("terrace-nightly", "terrace-nightly-01234567", &other))
        };
        let skipping = changed(&|timed| timed.schedule.catch_up = CatchUp::None);
        assert_eq!((skipping.catch_up, &skipping.stored), (CatchUp::None, &read.stored));
        let paused = changed(&|timed| (timed.schedule.enabled, timed.schedule.overlap) = (false, Overlap::Replace));
        assert_eq!((paused.enabled, paused.overlap, &paused.stored), (false, Overlap::Replace, &read.stored));
        assert_ne!(changed(&|timed| timed.retries = 0).stored, read.stored);
    }

    #[test]
    fn secrets_of_another_content_have_another_name() {
        let salted =
            |salt: &str, job: &[u8], archive: &[u8]| secret_name("terrace-nightly", &salt.into(), job, archive);
        let name = |job: &[u8], archive: &[u8]| salted("a", job, archive);
        assert_ne!(name(b"a", b"b"), salted("b", b"a", b"b"));
        assert_eq!(name(b"a", b"b"), name(b"a", b"b"));
        assert_ne!(name(b"a", b"b"), name(b"ab", b""));
        assert_eq!(name(b"a", b"b").len(), "terrace-nightly-01234567".len());
        assert_eq!(
            secrets(&manifest("terrace-nightly", "terrace-nightly-01234567", &timed())),
            ["terrace-nightly-01234567", "terrace-nightly-01234567-files"]
        );
    }

    #[test]
    fn run_of_a_job_has_a_constant_id_that_sorts_by_time() {
        let job = |uid: &str, created: &str| {
            json!({
                "metadata": {"uid": uid, "name": "terrace-nightly-29", "creationTimestamp": created, "annotations": {
                    DUE: "2026-11-28T03:30:00+01:00", INPUTS: "0123"}},
                "status": {"startTime": created, "conditions": [
                    {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-28T02:31:00Z"}]},
            })
        };
        let uid = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";
        let run = started(&job(uid, "2026-11-28T02:30:01Z")).unwrap();
        assert_eq!(run.due, "2026-11-28T02:30:00Z".parse().unwrap());
        assert_eq!(run.ended_at, Some("2026-11-28T02:31:00Z".parse().unwrap()));
        assert_eq!(started(&job(uid, "2026-11-28T02:30:01Z")).unwrap().run, run.run);
        assert!(started(&job("00000000-0000-4000-8000-000000000000", "2026-11-28T02:30:02Z")).unwrap().run > run.run);
        assert_eq!(started(&job("none", "2026-11-28T02:30:02Z")), None);
    }
}
