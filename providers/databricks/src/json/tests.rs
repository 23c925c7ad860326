use super::*;
use serde_json::json;

#[test]
fn projection_has_only_configured_fields() {
    let wanted = json!({"name": "a", "tasks": [{"task_key": "x", "timeout_seconds": 5}], "tags": {}});
    let remote = json!({
        "format": "MULTI_TASK", "name": "b", "tasks": [{"task_key": "x", "run_if": "ALL_SUCCESS", "timeout_seconds": 5.0}],
    });
    assert_eq!(
        projected(&wanted, &remote),
        json!({"name": "b", "tasks": [{"task_key": "x", "timeout_seconds": 5}], "tags": {}})
    );
}

#[test]
fn added_and_removed_tasks_are_drift() {
    let wanted = json!({"tasks": [{"task_key": "b"}, {"task_key": "a"}]});
    let remote = json!({"tasks": [{"task_key": "a", "x": 1}, {"task_key": "c", "x": 1}]});
    assert_eq!(projected(&wanted, &remote), json!({"tasks": [{"task_key": "a"}, {"task_key": "c", "x": 1}]}));
}

#[test]
fn unmanaged_fields_survive_and_removed_fields_go() {
    let remote = json!({"name": "a", "timeout_seconds": 9, "tags": {"theirs": "1", "ours": "2"}, "description": "old"});
    let last = json!({"name": "a", "tags": {"ours": "2"}, "description": "old"});
    let given = json!({"name": "b", "tags": {"new": "3"}});
    assert_eq!(
        aligned(&remote, &last, &given),
        json!({"name": "b", "timeout_seconds": 9, "tags": {"theirs": "1", "new": "3"}})
    );
}

#[test]
fn configured_field_replaces_exclusive_fields() {
    let remote =
        json!({"tasks": [{"task_key": "x", "new_cluster": {"autoscale": {"min_workers": 1}, "spark_version": "1"}}]});
    let given = json!({"tasks": [{"task_key": "x", "new_cluster": {"num_workers": 2}}]});
    let written = aligned(&remote, &given, &given);
    assert_eq!(written, json!({"tasks": [{"task_key": "x", "new_cluster": {"spark_version": "1", "num_workers": 2}}]}));
}

#[test]
fn server_defaults_are_removed() {
    let wanted = json!({"name": "a", "tasks": [{"task_key": "x", "notebook_task": {"notebook_path": "/a"}}]});
    let remote = json!({
        "format": "MULTI_TASK", "max_concurrent_runs": 1, "timeout_seconds": 0, "email_notifications": {}, "name": "a",
        "tasks": [{"task_key": "x", "run_if": "ALL_SUCCESS", "notebook_task": {"notebook_path": "/a", "source": "WORKSPACE"}}],
    });
    assert_eq!(without_defaults(&wanted, &remote), wanted);
    let mut changed = remote.clone();
    changed["max_concurrent_runs"] = json!(4);
    assert_eq!(without_defaults(&wanted, &changed)["max_concurrent_runs"], 4);
}

#[test]
fn secrets_are_merged_and_removed_by_path() {
    let settings = json!({"tasks": [{"task_key": "x", "a": 1}]});
    let secrets = json!({"tasks": [{"task_key": "x", "new_cluster": {"spark_env_vars": {"KEY": "s3cret"}}}]});
    let mut sent = LISTS.merged(&settings, &secrets);
    assert_eq!(sent["tasks"][0]["new_cluster"]["spark_env_vars"]["KEY"], "s3cret");
    let paths = LISTS.leaves(&secrets);
    assert_eq!(paths, [["tasks", "x", "new_cluster", "spark_env_vars", "KEY"].map(str::to_owned).to_vec()]);
    LISTS.remove(&mut sent, &paths[0]);
    assert_eq!(sent["tasks"][0]["new_cluster"]["spark_env_vars"], json!({}));
}

#[test]
fn observed_settings_are_split_into_layers() {
    let layers = [
        json!({"name": "a", "run_as": {"user_name": "x"}, "tasks": [{"task_key": "t", "pipeline_task": {"pipeline_id": "old"}}]}),
        json!({"run_as": null, "tasks": [{"task_key": "t", "pipeline_task": {"pipeline_id": "new"}}]}),
    ];
    let values: Vec<Value> = layers.iter().cloned().map(Value::from).collect();
    let merged = merged_layers(&values).to_json();
    assert_eq!(merged["tasks"], json!([{"task_key": "t", "pipeline_task": {"pipeline_id": "new"}}]));
    let split = |remote: Json| {
        let observed = projected(&merged, &remote);
        let shown = layers.iter().enumerate().map(|(at, own)| layer(own, &merged, &observed, at == 0));
        shown.collect::<Vec<_>>()
    };
    let sent = without_nulls(&merged);
    assert_eq!(split(sent.clone()), layers);
    let mut changed = sent;
    changed["tasks"][0]["pipeline_task"]["pipeline_id"] = json!("theirs");
    let observed = split(changed);
    assert_eq!(observed[0], layers[0]);
    assert_eq!(observed[1]["tasks"][0]["pipeline_task"]["pipeline_id"], "theirs");
}

#[test]
fn cluster_without_label_is_the_default_cluster() {
    let wanted = json!({"clusters": [{"num_workers": 2}]});
    let remote = json!({"clusters": [{"label": "default", "num_workers": 2}]});
    assert_eq!(projected(&wanted, &remote), wanted);
}
