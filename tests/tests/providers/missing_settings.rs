//! Plans with changes for instances that lack the address or the credentials of their system: refused before any call.

use terrace_tests::Project;

/// Resources with the settings of their instance, and what a refused plan prints.
const RESOURCES: [(&str, &str, &str, &str, &str); 9] = [
    ("snowflake_role", "{name: R}", "{}", "no Snowflake account is set for the instance `snowflake`", "`account`"),
    (
        "airbyte_source",
        "{workspaceId: w, name: s, definitionId: d, configuration: {}}",
        "{}",
        "no `url` of Airbyte",
        "`url`",
    ),
    (
        "databricks_schema",
        "{workspaceUrl: 'https://adb-1.7.azuredatabricks.net', metastoreId: m, catalog: c, name: s}",
        "{host: 'https://adb-1.7.azuredatabricks.net'}",
        "no credentials for Databricks are set",
        "`token`",
    ),
    (
        "databricks_metastore_assignment",
        "{workspaceId: '1', metastoreId: m}",
        "{}",
        "has no Databricks account",
        "`accountId`",
    ),
    (
        "hasura_source",
        "{name: s, kind: postgres, configuration: {connection_info: {database_url: 'postgres://h/d'}}}",
        "{}",
        "no `url` is set for the Hasura",
        "`url`",
    ),
    ("hasura_role", "{roleId: r, componentId: c, rootFields: [a]}", "{}", "no `url` is set for the", "`url`"),
    (
        "kubernetes_object",
        "{manifest: {apiVersion: v1, kind: Namespace, metadata: {name: n}}}",
        "{}",
        "no cluster is set for the instance `kubernetes`",
        "write `kubeconfig: ~/.kube/config` under `environments.local.providers.kubernetes` of terrace.yaml",
    ),
    ("kafka_topic", "{name: t, partitions: 1}", "{}", "`bootstrapServers`", "`bootstrapServers`"),
    (
        "kafka_subject",
        "{subject: s, schema: '{\"type\": \"string\"}'}",
        "{bootstrapServers: 'localhost:1'}",
        "none is configured",
        "schemaRegistry",
    ),
];

#[test]
fn plan_is_refused_without_the_settings_of_its_instance() {
    for (ty, config, settings, message, setting) in RESOURCES {
        let project = Project::with_stack(&format!("resources:\n  - {{type: {ty}, name: a, config: {config}}}\n"));
        let provider = ty.split('_').next().unwrap();
        project.write("terrace.yaml", format!("environments:\n  local: {{providers: {{{provider}: {settings}}}}}\n"));
        for words in [&["plan", "stack.yaml"] as &[&str], &["apply", "stack.yaml", "--auto-approve"]] {
            let ran = project.run(words.iter().copied().chain(["-q"])).with_code(1);
            let output = ran.stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(output.contains(message) && output.contains(setting), "{ty}: {ran}");
            assert!(output.contains("terrace.yaml:2") || output.contains("stack.yaml:5"), "{ty}: no place: {ran}");
        }
        let recorded = project.run(["state", "list"]).done();
        assert_eq!(recorded.stdout, "", "{ty}");
    }
}

#[test]
fn missing_setting_is_reported_once_with_its_places() {
    let project = Project::with_stack(
        "resources:\n  - {type: snowflake_role, name: a, config: {name: A}}\n  - {type: snowflake_role, name: b, config: {name: B}}\n",
    );
    project.write("terrace.yaml", "environments:\n  local: {providers: {snowflake: {role: R}}}\n");
    terrace_tests::snapshot!(project.run(["plan", "stack.yaml", "-q"]), @r#"
    exit: 1
    --- stdout
    stack demo@local

      + snowflake_role.a
          + name = "A"
          + id   = "A"
      + snowflake_role.b
          + name = "B"
          + id   = "B"

    Plan: 2 to add, 0 to change, 0 to destroy.
    This plan has errors and cannot be applied.
    --- stderr
    not_configured

      × demo@local:snowflake_role.a: the environment `local` lacks a setting: no Snowflake account is set for the instance
      │ `snowflake`
      │ at stack.yaml:5:34
      │ at terrace.yaml:2:23
      hint: write `account`, `user`, `role` and `privateKeyFile` (or `token`) under `providers.snowflake` of the
            environment, or set SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER, SNOWFLAKE_ROLE and SNOWFLAKE_TOKEN
    "#);
    // `validate` calls no system.
    project.run(["validate", "stack.yaml"]).done();
}
