//! `terrace doctor`: checks of the configuration, the state and the servers, with remedies.

use std::os::unix::fs::PermissionsExt;
use terrace_state::contract::cluster::Cluster;
use terrace_tests::{Project, Ran, snapshot};

const KEY: (&str, &str) = ("TERRACE_STATE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");

/// The result without machine-specific values.
fn doctor(project: &Project, arguments: &[&str]) -> Ran {
    let mut ran = project.run_with(&[KEY], ["doctor"].into_iter().chain(arguments.iter().copied()));
    let lines = ran.stdout.lines().map(|line| match line {
        line if line.contains("  terrace: ") => "ok    terrace: […]".to_owned(),
        line if line.contains("MiB are free") => "ok    disk of the state: […]".to_owned(),
        line => match line.split_once(": ") {
            Some((what, rest)) if rest.ends_with(" are valid") => format!("{what}: [n] are valid"),
            _ => line.to_owned(),
        },
    });
    ran.stdout = lines.collect::<Vec<_>>().join("\n");
    ran
}

#[test]
fn empty_folder_is_healthy_and_stays_empty() {
    let project = Project::new();
    let ran = doctor(&project, &[]);
    assert!(project.all_files().is_empty(), "looking left something behind");
    snapshot!(ran, @"
    exit: 0
    --- stdout
    ok    terrace: […]
    ok    configuration: there is no terrace.yaml: the built-in environment `local` needs none
    ok    state: sqlite:[folder]/.terrace/state.db: it does not exist yet, the first apply creates it
    ok    disk of the state: […]
    ok    state key: present
    ok    provider airbyte of local: it is not configured, so it was not called
    ok    provider databricks of local: it is not configured, so it was not called
    ok    provider hasura of local: it is not configured, so it was not called
    ok    provider kafka of local: it is not configured, so it was not called
    ok    provider kubernetes of local: it is not configured, so it was not called
    ok    provider local of local: it connects
    ok    provider pipelines of local: it connects
    ok    provider postgres of local: it is not configured, so it was not called
    ok    provider snowflake of local: it is not configured, so it was not called
    ok    provider sqlite of local: it connects
    ok    provider witboost of local: it connects
    ok    blueprints of local: [n] are valid
    ");
}

#[test]
fn cluster_of_pipelines_that_is_not_reached_is_a_failure() {
    let project = Project::new();
    let image = format!("r/i@sha256:{}", "0".repeat(64));
    project.write(
        "terrace.yaml",
        format!("environments: {{local: {{providers: {{pipelines: {{executor: kubernetes, image: '{image}', kubeconfig: config}}}}}}}}\n"),
    );
    doctor(&project, &[])
        .with_code(1)
        .prints("fail  provider pipelines of local: it does not answer: the kubeconfig file ")
        .prints("correct `kubeconfig` at terrace.yaml:1:");
    project.write("config", "apiVersion: v1\nkind: Config\ncurrent-context: c\n");
    doctor(&project, &[])
        .with_code(1)
        .prints("fail  provider pipelines of local: it does not answer: the kubeconfig file has no context `c`");
}

#[test]
fn state_check_reports_its_content() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    project.apply().done();
    let recorded = project.all_files();
    doctor(&project, &[]).done().prints(", stacks: 1\n");
    assert_eq!(project.all_files(), recorded, "looking changed something");
}

#[test]
fn problems_have_a_remedy_and_do_not_stop_other_checks() {
    let project = Project::new();
    project.write(
        "terrace.yaml",
        "state: sqlite:deep/state.db\nenvironments:\n  local: {overlay: embedded}\n  \
         production: {settings: {password: '${{ env.NOWHERE }}'}}\n  \
         outside: {overlay: embedded, providers: {sqlite: {folder: /etc}}}\n",
    );
    let page =
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: NAME, version: 1.0.0}\nmatch: {kind: page}\n";
    project.write("blueprints/one.yaml", page.replace("NAME", "one"));
    project.write("blueprints/two.yaml", page.replace("NAME", "two"));
    snapshot!(doctor(&project, &[]), @r#"
    exit: 1
    --- stdout
    ok    terrace: […]
    ok    configuration: [folder]/terrace.yaml, with local, production, outside
    fail  state: sqlite:[folder]/deep/state.db: there is no folder `[folder]/deep`
          create it with `mkdir -p [folder]/deep`, or name another state
    ok    disk of the state: […]
    ok    state key: present
    ok    provider airbyte of local: it is not configured, so it was not called
    ok    provider databricks of local: it is not configured, so it was not called
    ok    provider hasura of local: it is not configured, so it was not called
    ok    provider kafka of local: it is not configured, so it was not called
    ok    provider kubernetes of local: it is not configured, so it was not called
    ok    provider local of local: it connects
    ok    provider pipelines of local: it connects
    ok    provider postgres of local: it is not configured, so it was not called
    ok    provider snowflake of local: it is not configured, so it was not called
    ok    provider sqlite of local: it connects
    ok    provider witboost of local: it connects
    ok    blueprints of local: [n] are valid
    warn  blueprints of local: `one` (blueprints/one.yaml) and `two` (blueprints/two.yaml) match some components equally well
          make one `match` more specific, or name the blueprint under `templates` of the environment
    fail  environment production: see the errors above
          correct it, then run `terrace doctor` again
    ok    provider airbyte of outside: it is not configured, so it was not called
    ok    provider databricks of outside: it is not configured, so it was not called
    ok    provider hasura of outside: it is not configured, so it was not called
    ok    provider kafka of outside: it is not configured, so it was not called
    ok    provider kubernetes of outside: it is not configured, so it was not called
    ok    provider local of outside: it connects
    ok    provider pipelines of outside: it connects
    ok    provider postgres of outside: it is not configured, so it was not called
    ok    provider snowflake of outside: it is not configured, so it was not called
    fail  provider sqlite of outside: terrace.yaml:5:53: its settings cannot be used: the folder `/etc` is outside the project folder
          set a folder inside the project folder
    ok    provider witboost of outside: it connects
    ok    blueprints of outside: [n] are valid
    warn  blueprints of outside: `one` (blueprints/one.yaml) and `two` (blueprints/two.yaml) match some components equally well
          make one `match` more specific, or name the blueprint under `templates` of the environment
    --- stderr
    expression_failed

      × the environment variable `NOWHERE` is not set
       ╭─[terrace.yaml:4:42]
     4 │   production: {settings: {password: '${{ env.NOWHERE }}'}}
       ·                                          ───────────
       ╰────
      hint: set `NOWHERE`, or give a default: `has(env.NOWHERE) ? env.NOWHERE : "…"`
    "#);
}

#[test]
fn one_environment_can_be_checked() {
    let project = Project::new();
    project.write("terrace.yaml", "environments: {a: {overlay: embedded}, b: {providers: {nothing: {}}}}\n");
    doctor(&project, &["--env", "a"]).done();
    doctor(&project, &["--env", "b"]).with_code(1).prints("there is no provider `nothing`");
    doctor(&project, &[]).with_code(1);
    doctor(&project, &["--env", "c"]).with_code(1).prints("the environment `c` is not configured");
}

#[test]
fn invalid_configuration_stops_the_other_checks() {
    let project = Project::new();
    project.write("terrace.yaml", "environmentz: {}\n");
    doctor(&project, &[]).with_code(1).prints("fail  configuration").prints("did you mean `environments`?");
}

#[test]
fn unset_variable_does_not_stop_checks_of_environments() {
    let project = Project::new();
    project.write("terrace.yaml", "encryption: {key: '${{ env.NOWHERE }}'}\nenvironments: {a: {overlay: embedded}}\n");
    snapshot!(doctor(&project, &[]), @r#"
    exit: 1
    --- stdout
    ok    terrace: […]
    fail  configuration: see the errors above
          correct it, then run `terrace doctor` again
    warn  state and state key: not checked: their part of the configuration may be missing
          correct the configuration, then run `terrace doctor` again
    ok    provider airbyte of a: it is not configured, so it was not called
    ok    provider databricks of a: it is not configured, so it was not called
    ok    provider hasura of a: it is not configured, so it was not called
    ok    provider kafka of a: it is not configured, so it was not called
    ok    provider kubernetes of a: it is not configured, so it was not called
    ok    provider local of a: it connects
    ok    provider pipelines of a: it connects
    ok    provider postgres of a: it is not configured, so it was not called
    ok    provider snowflake of a: it is not configured, so it was not called
    ok    provider sqlite of a: it connects
    ok    provider witboost of a: it connects
    ok    blueprints of a: [n] are valid
    --- stderr
    expression_failed

      × the environment variable `NOWHERE` is not set
       ╭─[terrace.yaml:1:24]
     1 │ encryption: {key: '${{ env.NOWHERE }}'}
       ·                        ───────────
       ╰────
      hint: set `NOWHERE`, or give a default: `has(env.NOWHERE) ? env.NOWHERE : "…"`
    "#);
}

#[test]
fn settings_of_the_server_concern_only_the_server() {
    let project = Project::new();
    let secret = "server: {drift: {webhook: {url: 'https://hooks.example.com', secret: '${{ env.NOWHERE }}'}}}\n";
    project.write("terrace.yaml", format!("{secret}environments: {{a: {{overlay: embedded}}}}\n"));
    project.run(["operations", "list"]).done();
    let missing = "the environment variable `NOWHERE` is not set";
    project.run(["serve"]).with_code(1).prints(missing).prints("terrace.yaml:1:");
    doctor(&project, &[]).with_code(1).prints(missing).prints("fail  server: ").prints("ok    configuration: ");
    project.write("terrace.yaml", format!("state: '${{{{ env.NOWHERE }}}}'\n{secret}"));
    project.run(["operations", "list"]).with_code(1).prints(missing);
}

#[test]
fn state_with_a_damaged_page_is_reported() {
    let project = Project::with_stack(
        "resources: [{type: local_value, name: a, forEach: '${{ range(50) }}', config: {input: '${{ each.key }}'}}]\n",
    );
    project.apply().done();
    let file = project.path(".terrace/state.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'version'";
    let page: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    let size: i64 = database.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(database);
    let (page, size) = (usize::try_from(page).unwrap(), usize::try_from(size).unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[(page - 1) * size..page * size].fill(0xA5);
    std::fs::write(&file, &bytes).unwrap();
    doctor(&project, &[]).with_code(1).prints("its file is damaged").prints("restore it from a backup");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "looking changed something");
}

#[test]
fn invalid_or_world_readable_state_is_reported() {
    let project = Project::with_stack("resources: [{type: local_value, name: a}]\n");
    project.apply().done();
    let state = project.path(".terrace/state.db");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o644)).unwrap();
    doctor(&project, &[]).done().prints("can be read by other users of this machine").prints("chmod 600");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o666)).unwrap();
    doctor(&project, &[]).done().prints("can be changed by other users of this machine").prints("chmod 600");
    let database = rusqlite::Connection::open(&state).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    doctor(&project, &[]).with_code(1).prints("format 99").prints("use a newer terrace");
    for suffix in ["-wal", "-shm"] {
        drop(std::fs::remove_file(project.path(&format!(".terrace/state.db{suffix}"))));
    }
    project.write(".terrace/state.db", "this is no database, however long it may be made to be");
    doctor(&project, &[]).with_code(1).prints("fail  state");
}

#[test]
fn result_can_be_printed_as_json() {
    let project = Project::new();
    let json = project.run(["doctor", "--json"]).done().json();
    assert_eq!(json["healthy"], true);
    let of =
        |what: &str| json["checks"].as_array().unwrap().iter().find(|check| check["what"] == what).unwrap().clone();
    assert_eq!(of("state")["status"], "ok");
    assert_eq!(of("state key")["status"], "warn");
    assert!(of("state key")["mend"].as_str().unwrap().contains("terrace init --state-key"));
    project.write("terrace.yaml", "environments: {local: {overlay: 3}}\n");
    let json = project.run(["doctor", "--json"]).with_code(1).json();
    assert_eq!(json["healthy"], false);
    assert!(!json["diagnostics"].as_array().unwrap().is_empty(), "{json:#}");
}

/// Instances of a number range, of a literal and of a component's value, each read by key.
#[test]
fn instances_in_expressions_exist_when_a_blueprint_is_checked() {
    let project = Project::new();
    let blueprint = r#"apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: pages, version: 1.0.0}
match: {kind: workload, technology: pages}
specific: {type: object, properties: {n: {type: integer}}}
resources:
  - {type: local_value, name: three, forEach: "${{ range(3) }}", config: {input: "${{ each.value + 1 }}"}}
  - {type: local_value, name: some, forEach: "${{ range(component.specific.n - 1) }}", config: {input: "${{ resources.three[each.value].id }} ${{ each.key + 1 }}"}}
  - {type: local_value, name: texts, forEach: [a, b], config: {input: x}}
  - {type: local_value, name: all, config: {input: ["${{ resources.three[2].id }}", "${{ resources.some[7].id }}", "${{ resources.texts['b'].id }}"]}}
"#;
    project.write("blueprints/pages.yaml", blueprint);
    let ran = project.run(["blueprints", "check", "blueprints/pages.yaml"]).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1 blueprint checked\n", ""));
    project.run(["doctor"]).done().prints("ok    blueprints of local");
    // An impossible instance, or an attribute without an instance, is still a warning.
    project.write("blueprints/pages.yaml", blueprint.replace("three[2].id", "three[3].id"));
    project.run(["blueprints", "check", "blueprints/pages.yaml"]).prints("`resources.three` has no instance [3]");
    project.write("blueprints/pages.yaml", blueprint.replace("some[7].id", "some.id"));
    project.run(["blueprints", "check", "blueprints/pages.yaml"]).prints("`resources.some` has no instance [\"id\"]");
}

const LACKS_NOTHING: &str = "it answers, and has all server-wide rights";

/// Configured servers are called: an open session alone does not prove that a server answers.
#[test]
fn configured_servers_are_called() {
    let project = Project::new();
    let stand_in = terrace_test_snowflake::StandIn::start();
    let url = stand_in.url();
    project.write(
        "terrace.yaml",
        format!(
            "environments:\n  there: {{providers: {{snowflake: {{host: '{url}', role: TERRACE_ROLE, token: {{secret: secret}}}}}}}}\n  \
             wrong: {{providers: {{snowflake: {{host: '{url}', role: TERRACE_ROLE, token: {{secret: hunter2}}}}}}}}\n  \
             gone: {{providers: {{snowflake: {{host: 'http://127.0.0.1:1', token: {{secret: hunter2}}}}, \
             postgres: {{host: 127.0.0.1, port: 1, user: ada, password: {{secret: hunter2}}}}, \
             kafka: {{bootstrapServers: '127.0.0.1:1,127.0.0.1:2'}}}}}}\n"
        ),
    );
    let before = stand_in.inventory();
    doctor(&project, &["--env", "there"])
        .done()
        .prints(&format!("ok    provider snowflake of there: {LACKS_NOTHING}\n"));
    let wrong = doctor(&project, &["--env", "wrong"]).with_code(1);
    wrong.prints("fail  provider snowflake of wrong: it does not answer");
    let gone = doctor(&project, &["--env", "gone"]).with_code(1);
    for provider in ["snowflake", "postgres", "kafka"] {
        gone.prints(&format!("fail  provider {provider} of gone: it does not"));
    }
    let kafka = gone.stdout.lines().find(|line| line.contains("provider kafka of gone")).unwrap();
    for address in ["127.0.0.1:1", "127.0.0.1:2"] {
        assert!(kafka.contains(&format!("`{address}` cannot be reached: ")), "{kafka}");
    }
    gone.prints("check `bootstrapServers` and `securityProtocol` of the instance");
    for ran in [&wrong, &gone] {
        assert!(!ran.to_string().contains("hunter2"), "{ran}");
    }
    // Environment variables count as configuration, too.
    let bare = Project::new();
    let there = [("SNOWFLAKE_HOST", url), ("SNOWFLAKE_ROLE", "TERRACE_ROLE"), ("SNOWFLAKE_TOKEN", "secret")];
    bare.run_with(&there, ["doctor"]).done().prints("provider snowflake of local: it answers");
    bare.run_with(&[("PGHOST", "127.0.0.1"), ("PGPORT", "1")], ["doctor"])
        .with_code(1)
        .prints("fail  provider postgres of local: it does not");
    // Pipelines and kubectl use this one, too.
    bare.run_with(&[("KUBECONFIG", "/no/such/file")], ["doctor"])
        .done()
        .prints("warn  provider kubernetes of local: it does not answer: the kubeconfig file /no/such/file");
    assert_eq!(stand_in.inventory(), before, "looking changed something");
}

/// A project with an environment `there` and a PostgreSQL instance, with its own user; the closure runs SQL as the
/// server's user.
fn of_a_user(attributes: &str) -> (Project, String, impl Fn(&str)) {
    let (runtime, cluster) = (tokio::runtime::Runtime::new().unwrap(), Cluster::shared());
    let url = runtime.block_on(cluster.database());
    let database = url.split('/').nth(3).unwrap().split('?').next().unwrap().to_owned();
    let client = runtime.block_on(cluster.connect(&database));
    let execute = move |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    execute(&format!("CREATE ROLE {database}_user LOGIN PASSWORD 'hunter2' {attributes}"));
    let host = url.split("host=").nth(1).unwrap().split('&').next().unwrap();
    let instance = format!(
        "{{host: '{host}', user: {database}_user, password: {{secret: hunter2}}, database: {database}, sslMode: disable}}"
    );
    let project = Project::new();
    project.write("terrace.yaml", format!("environments:\n  there: {{providers: {{postgres: {instance}}}}}\n"));
    (project, database, execute)
}

#[test]
fn missing_rights_are_reported_with_the_statements_that_grant_them() {
    let (project, database, execute) = of_a_user("NOCREATEDB CREATEROLE");
    execute(&format!("GRANT CREATE ON DATABASE {database} TO {database}_user"));
    let statement = format!("ALTER ROLE \"{database}_user\" CREATEDB");
    let ran = doctor(&project, &["--env", "there"]).done();
    ran.prints(&format!(
        "warn  provider postgres of there: it answers, but may not create databases\n      \
         if you need this right, have an administrator run `{statement}`\n"
    ));
    let json = project.run(["doctor", "--env", "there", "--json"]).done().json();
    assert_eq!(json["healthy"], true);
    let checks = json["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["what"] == "provider postgres of there").unwrap();
    assert_eq!(check["status"], "warn");
    assert_eq!(check["message"], "it answers, but may not create databases");
    assert_eq!(check["mend"], format!("if you need this right, have an administrator run `{statement}`"));
    // The statement works, and the next check shows that.
    execute(&statement);
    let healthy = doctor(&project, &["--env", "there"]).done();
    healthy.prints(&format!("ok    provider postgres of there: {LACKS_NOTHING}\n"));
    // All missing rights are reported at once.
    execute(&format!(
        "ALTER ROLE {database}_user NOCREATEDB NOCREATEROLE; REVOKE CREATE ON DATABASE {database} FROM {database}_user"
    ));
    let all = doctor(&project, &["--env", "there"]).done();
    all.prints(&format!("may not create databases, or create roles, or create schemas in the database `{database}`\n"));
    let user = format!("\"{database}_user\"");
    all.prints(&format!(
        "run `ALTER ROLE {user} CREATEDB; ALTER ROLE {user} CREATEROLE; GRANT CREATE ON DATABASE \"{database}\" TO {user}`\n"
    ));
    for ran in [&ran, &healthy, &all] {
        assert!(!ran.to_string().contains("hunter2"), "{ran}");
    }
}

#[test]
fn snowflake_role_without_account_rights_is_reported() {
    let project = Project::new();
    let stand_in = terrace_test_snowflake::StandIn::start();
    stand_in.sql("REVOKE CREATE DATABASE ON ACCOUNT FROM ROLE TERRACE_ROLE");
    stand_in.sql("REVOKE USAGE ON WAREHOUSE WH FROM ROLE TERRACE_ROLE");
    let url = stand_in.url();
    let instance = format!("{{host: '{url}', role: TERRACE_ROLE, warehouse: WH, token: {{secret: secret}}}}");
    project.write("terrace.yaml", format!("environments:\n  there: {{providers: {{snowflake: {instance}}}}}\n"));
    let before = stand_in.inventory();
    doctor(&project, &["--env", "there"])
        .done()
        .prints(
            "warn  provider snowflake of there: it answers, but may not create databases, or use the warehouse `WH`\n",
        )
        .prints(
            "run `GRANT CREATE DATABASE ON ACCOUNT TO ROLE \"TERRACE_ROLE\"; \
             GRANT USAGE ON WAREHOUSE \"WH\" TO ROLE \"TERRACE_ROLE\"`\n",
        );
    assert_eq!(stand_in.inventory(), before, "looking changed something");
    // An error in reading the rights does not mean that the server is unreachable.
    stand_in.faults().by_text.push(("SHOW GRANTS TO ROLE".to_owned(), terrace_test_snowflake::Fault::Fails));
    doctor(&project, &["--env", "there"])
        .done()
        .prints("warn  provider snowflake of there: it answers, but does not report its rights: ")
        .prints("run `terrace doctor` again");
}

#[test]
fn read_only_airbyte_user_is_reported_with_the_required_role() {
    let project = Project::new();
    let stand_in = terrace_test_airbyte::StandIn::start();
    let (url, workspace) = (stand_in.url(), terrace_test_airbyte::WORKSPACE);
    let instance = |token: &str, workspace: &str| {
        format!(
            "{{overlay: embedded, providers: {{airbyte: {{url: '{url}', workspaceId: {workspace}, token: {{secret: {token}}}}}}}}}"
        )
    };
    let none = "00000000-0000-4000-8000-000000000000";
    project.write(
        "terrace.yaml",
        format!(
            "environments:\n  there: {}\n  looks: {}\n  wrong: {}\n  lost: {}\n",
            instance("secret", workspace),
            instance("reader", workspace),
            instance("hunter2", workspace),
            instance("secret", none)
        ),
    );
    let ask = |environment: &str| {
        let ran = doctor(&project, &["--env", environment]);
        assert!(!ran.to_string().contains("hunter2"), "{ran}");
        ran
    };
    ask("there").done().prints(&format!("ok    provider airbyte of there: {LACKS_NOTHING}\n"));
    ask("looks").done().prints(&format!(
        "warn  provider airbyte of looks: it answers, but may not create, change or delete in the workspace `{workspace}`"
    ));
    ask("looks").done().prints("POST /permissions {\"permissionType\":\"workspace_editor\",\"userId\":\"33333333-3333-4333-8333-333333333333\"");
    ask("lost").done().prints(&format!("may not see the workspace `{none}`"));
    ask("wrong").with_code(1).prints("fail  provider airbyte of wrong: it does not answer").prints("check `token`");
    // An installation without organizations has no permissions.
    stand_in.faults().by_call.push(("GET", "/permissions", terrace_test_airbyte::Fault::Status(404)));
    ask("looks").done().prints("ok    provider airbyte of looks: it answers\n");
    assert!(stand_in.take_writes().is_empty(), "looking changed something");
}

#[test]
fn open_hasura_and_a_server_that_is_none_are_reported() {
    let project = Project::new();
    let stand_in = terrace_test_hasura::StandIn::start(terrace_test_hasura::Mapper::Extended);
    let (url, mapper) = (stand_in.url(), stand_in.mapper_url());
    let instance = |url: &str, secret: &str, mapper: &str| {
        format!(
            "{{overlay: embedded, providers: {{hasura: {{url: '{url}', adminSecret: {{secret: {secret}}}, roleMapper: {{url: '{mapper}'}}}}}}}}"
        )
    };
    project.write(
        "terrace.yaml",
        format!(
            "environments:\n  there: {}\n  wrong: {}\n  three: {}\n  alone: {}\n",
            instance(url, "secret", mapper),
            instance(url, "hunter2", mapper),
            instance(&format!("{url}/elsewhere"), "secret", mapper),
            instance(url, "secret", "http://127.0.0.1:1")
        ),
    );
    let ask = |environment: &str| {
        let ran = doctor(&project, &["--env", environment]);
        assert!(!ran.to_string().contains("hunter2"), "{ran}");
        ran
    };
    ask("there").done().prints(&format!("ok    provider hasura of there: {LACKS_NOTHING}\n"));
    ask("wrong")
        .with_code(1)
        .prints("fail  provider hasura of wrong: it does not answer")
        .prints("HASURA_ADMIN_SECRET");
    ask("three").with_code(1).prints("there is no metadata API at `url`").prints("supported: v2.x");
    ask("alone")
        .done()
        .prints("warn  provider hasura of alone: it answers, but does not report its rights: ")
        .prints("roleMapper.url");
    stand_in.allow_all_queries();
    ask("there")
        .done()
        .prints("warn  provider hasura of there: it answers, but may not refuse anonymous requests")
        .prints("HASURA_GRAPHQL_AUTH_HOOK");
    assert!(stand_in.take_writes().is_empty(), "looking changed something");
}

#[test]
fn sealed_values_need_their_key() {
    let project = Project::with_stack(
        "resources:\n  - {type: local_file, name: a, config: {path: a, content: hunter2, sensitive: true}}\n",
    );
    project.run_with(&[KEY], ["apply", "stack.yaml", "--auto-approve"]).done();
    assert!(!doctor(&project, &[]).stdout.contains("cannot be opened"));
    let without_key = project.run(["doctor"]).with_code(1);
    without_key.prints("the recorded values of demo@local:local_file.a cannot be opened: it was sealed with state key");
    without_key.prints("fail  state key: missing: the state has sealed values");
    without_key.prints("set the variable `TERRACE_STATE_KEY` to the key that sealed them");
    let configured = "environments: {prod: {encryption: {key: '${{ env.MY_KEY }}'}}, local: {}}\n";
    project.write("terrace.yaml", configured);
    let unset = project.run(["doctor"]).with_code(1);
    unset.prints("the state key is not available: its expression has no value").prints("set `MY_KEY` to the key");
    std::fs::remove_file(project.path("terrace.yaml")).unwrap();
    let state = project.path(".terrace/state.db");
    std::fs::set_permissions(state, std::fs::Permissions::from_mode(0o644)).unwrap();
    project.run(["doctor"]).with_code(1).prints("cannot be opened").prints("can be read by other users");
}

#[test]
fn permissions_of_files_that_are_not_a_state_are_not_checked() {
    let project = Project::with_stack("resources: []\n");
    for state in ["sqlite:.", "sqlite:stack.yaml"] {
        let ran = doctor(&project, &["--state", state]);
        assert!(ran.code == 1 && !ran.stdout.contains("chmod"), "{state}: {ran}");
    }
}
