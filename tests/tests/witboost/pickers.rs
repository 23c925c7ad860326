//! The pickers of `terrace serve`: lists of remote objects for forms.

use serde_json::{Value as Json, json};
use terrace_tests::served::{Answer, Served};
use terrace_tests::{Project, until};

/// A project with a database of twelve tables, and pickers of it.
fn project(pickers: &str) -> Project {
    let project = Project::new();
    let tables: String = (0..12)
        .map(|number| {
            format!(
                "- {{type: sqlite_table, name: t{number}, config: {{path: '${{{{ resources.file.path }}}}', name: T_{number:02}, \
                 columns: [{{name: ID, type: INTEGER}}]}}}}\n"
            )
        })
        .collect();
    project.write_stack(&format!(
        "resources:\n- {{type: sqlite_database, name: file, config: {{path: shop.db}}}}\n{tables}"
    ));
    project.apply().done();
    project.write(
        "terrace.yaml",
        format!("environments: {{local: {{overlay: embedded}}}}\nserver:\n  pickers:\n{pickers}"),
    );
    project
}

const TABLES: &str = "    tables: {lookup: sqlite_tables, arguments: {path: shop.db}}\n";

fn post(server: &Served, path: &str, body: &Json) -> Answer {
    server.call("POST", path, &body.to_string())
}

/// The ids of a page.
#[track_caller]
fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn tables(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("shop.db/T_{number:02}")).collect()
}

#[test]
fn list_is_filtered_and_paged() {
    let project = project(TABLES);
    let server = Served::start(&project, &[]);
    let first = post(&server, "/v1/resources?offset=0&limit=5", &json!({"other": "field"}));
    assert_eq!(ids(&first), tables(0..5));
    assert_eq!(first.json()[0], json!({"id": "shop.db/T_00", "value": "T_00", "name": "T_00"}));
    assert_eq!(ids(&post(&server, "/v1/resources?offset=10&limit=5", &json!({}))), tables(10..12));
    assert_eq!(ids(&post(&server, "/v1/resources?offset=99&limit=5", &json!({}))), tables(0..0));
    assert_eq!(ids(&post(&server, "/v1/resources?offset=0&limit=5&filter=t_1", &json!({}))), tables(10..12));
    assert_eq!(ids(&post(&server, "/v1/resources?offset=1&limit=5&filter=T_1", &json!({}))), tables(11..12));
    // The body and the page are optional.
    assert_eq!(ids(&server.call("POST", "/v1/resources", "")), tables(0..12));
    assert_eq!(ids(&post(&server, "/pickers/tables/v1/resources?limit=5", &json!({}))), tables(0..5));
    assert_eq!(ids(&post(&server, "/pickers/tables/v1/resources/?limit=5", &json!({}))), tables(0..5));
}

#[test]
fn chosen_objects_are_validated() {
    let project = project(TABLES);
    let server = Served::start(&project, &[]);
    let validate = |objects: Json| post(&server, "/v1/resources/validate", &json!({"selectedObjects": objects}));
    let answer = validate(json!([{"id": "shop.db/T_00", "value": "any"}, {"id": "shop.db/T_11"}]));
    assert_eq!((answer.status, answer.json()), (200, json!("valid")));
    assert_eq!(validate(json!([])).status, 200);
    let answer = validate(json!([{"id": "shop.db/T_00"}, {"id": "shp.db/T_00"}, {"id": "nothing"}]));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({"errors": [
            {"error": "`shp.db/T_00` does not exist, or no longer", "suggestion": "did you mean `shop.db/T_00`?"},
            {"error": "`nothing` does not exist, or no longer", "suggestion": "choose another object"},
        ]})
    );
    let answer = post(&server, "/pickers/tables/v1/resources/validate", &json!({"selectedObjects": [{"id": "x"}]}));
    assert_eq!(answer.status, 400);
    for body in ["", "{}", "[]", "{\"selectedObjects\": [{}]}", "{\"selectedObjects\": 1}", "{"] {
        let answer = server.call("POST", "/v1/resources/validate", body);
        assert!(answer.status == 400 && answer.json()["errors"][0]["error"].is_string(), "{body}: {answer:?}");
    }
}

#[test]
fn picker_is_chosen_by_path_query_or_body() {
    let project = project(&format!("{TABLES}    other: {{lookup: sqlite_tables, parameters: [path], id: name}}\n"));
    let server = Served::start(&project, &[]);
    let selected = json!([{"id": "T_03"}]);
    for (path, body) in [
        ("/pickers/other/v1/resources", json!({"path": "shop.db"})),
        ("/v1/resources?picker=other", json!({"path": {"id": "shop.db"}})),
        ("/v1/resources", json!({"picker": "other", "path": ["shop.db"]})),
        // The path has priority.
        ("/pickers/other/v1/resources?picker=tables", json!({"path": "shop.db"})),
    ] {
        assert_eq!(ids(&post(&server, path, &body))[3], "T_03", "{path} {body}");
        let (before, query) = path.split_once('?').unwrap_or((path, ""));
        let body = json!({"selectedObjects": selected, "queryParameters": body});
        let answer = post(&server, &format!("{before}/validate?{query}"), &body);
        assert_eq!(answer.status, 200, "{path} {answer:?}");
    }
    for (path, body, error) in [
        ("/v1/resources", json!({}), "choose a picker with `picker`: `other`, `tables`"),
        ("/v1/resources?picker=none", json!({}), "the picker `none` is unknown: choose one of `other`, `tables`"),
        ("/pickers/none/v1/resources", json!({}), "the picker `none` is unknown: choose one of `other`, `tables`"),
        ("/pickers/other/v1/resources", json!({}), "`path` is missing: choose it first"),
        ("/pickers/other/v1/resources", json!({"path": "none.db"}), "there is no database `none.db`"),
        ("/pickers/tables/v1/resources?limit=4", json!({}), "`limit` has to be from 5 to 1000"),
        ("/pickers/tables/v1/resources?limit=x", json!({}), "`limit` has to be a whole number that is not negative"),
        ("/pickers/tables/v1/resources?offset=-1", json!({}), "`offset` has to be a whole number that is not negative"),
        ("/pickers/tables/v1/resources", json!([]), "the body is a list, and has to be a JSON object"),
    ] {
        let answer = post(&server, path, &body);
        assert_eq!((answer.status, answer.json()), (400, json!({"errors": [error]})), "{path} {body}");
    }
    // Parameters do not lead out of the provider's folder.
    let answer = post(&server, "/pickers/other/v1/resources", &json!({"path": "../../etc/passwd"}));
    assert!(answer.status == 400 && answer.body.contains("leads out of the project folder"), "{answer:?}");
}

#[test]
fn list_is_kept_for_its_time() {
    let project = project("    kept: {lookup: sqlite_tables, arguments: {path: shop.db}, cache: 1h}\n");
    let server = Served::start(&project, &[]);
    assert_eq!(ids(&post(&server, "/v1/resources", &json!({}))).len(), 12);
    // Another process removes a table; this server still has its list.
    project.edit("stack.yaml", "name: T_00", "name: T_99");
    project.run(["apply", "stack.yaml", "--auto-approve", "--allow-data-loss", "-q"]).done();
    assert_eq!(ids(&post(&server, "/v1/resources", &json!({}))), tables(0..12));
    // An object counts as missing by a list of the last seconds only.
    let validate = |id: &str| post(&server, "/v1/resources/validate", &json!({"selectedObjects": [{"id": id}]}));
    until("the list is older than a few seconds", || validate("shop.db/T_99").status == 200);
    assert_eq!(validate("shop.db/T_00").status, 400);
    drop(server);
    let server = Served::start(&project, &[]);
    assert!(ids(&post(&server, "/v1/resources", &json!({}))).contains(&"shop.db/T_99".to_owned()));
}

#[test]
fn failure_of_a_provider_shows_no_details() {
    let missing = "    missing: {lookup: sqlite_tables, arguments: {path: nothing.db}}\n";
    let tables = "    tables: {lookup: postgres_tables, arguments: {database: shop, schema: s}}\n";
    let project = project(&format!("{missing}{tables}"));
    project.edit(
        "terrace.yaml",
        "{local: {overlay: embedded}}",
        "{local: {overlay: embedded, providers: {postgres: {host: 127.0.0.1, port: 9, user: me, password: hunter2}}}}",
    );
    let server = Served::start(&project, &[]);
    // The operator writes fixed arguments, so only the log has the reason.
    let answer = post(&server, "/pickers/missing/v1/resources", &json!({}));
    assert!(answer.status == 500 && !answer.body.contains("nothing"), "{answer:?}");
    drop(server);
    project.edit("terrace.yaml", missing, "");
    let server = Served::start(&project, &[]);
    for path in ["/v1/resources", "/v1/resources/validate"] {
        let answer = post(&server, path, &json!({"selectedObjects": []}));
        assert_eq!(answer.status, 500, "{answer:?}");
        let error = answer.json()["errors"][0].as_str().unwrap().to_owned();
        assert!(error.starts_with("the server cannot do that now: incident "), "{error}");
        let (_, incident) = error.rsplit_once(' ').unwrap();
        until("the log has the incident", || server.stderr().contains(incident));
        assert!(!server.stderr().contains("hunter2"), "{}", server.stderr());
    }
}

#[test]
fn invalid_pickers_are_refused_at_the_start() {
    for (pickers, message) in [
        ("{a: {lookup: sqlite_tabels}}", "the picker `a`: there is no lookup `sqlite_tabels`"),
        ("{a: {lookup: sqlite_tables}}", "the picker `a`: `sqlite_tables` needs `path`"),
        ("{a: {lookup: sqlite_tables, arguments: {path: 1}}}", "has to be text"),
        ("{a: {lookup: sqlite_tables, arguments: {path: x, nothing: y}}}", "has no attribute `nothing`"),
        ("{a: {lookup: sqlite_tables, parameters: [paths]}}", "has no text argument `paths`"),
        (
            "{a: {lookup: sqlite_tables, arguments: {path: x}, parameters: [path]}}",
            "`path` is in `arguments` and in `parameters`",
        ),
        ("{a: {lookup: sqlite_table, arguments: {path: x, name: y}}}", "has several lists"),
        ("{a: {lookup: sqlite_tables, arguments: {path: x}, list: none}}", "has no list `none`"),
        ("{a: {lookup: local_file, arguments: {path: x}}}", "returns no list"),
        ("{a: {lookup: sqlite_tables, arguments: {path: x}, provider: sqlite.eu}}", "`sqlite.eu` is not an instance"),
        ("{a: {lookup: sqlite_tables, arguments: {path: x}, environment: none}}", "`none` is not configured"),
        ("{a: {lookup: sqlite_tables, arguments: {path: x}, cache: 0s}}", "`cache`"),
        ("{a: {lookup: sqlite_tables, argumets: {path: x}}}", "did you mean `arguments`?"),
        ("{a/b: {lookup: sqlite_tables}}", "cannot be the name of a picker"),
        ("{a: {}}", "a picker needs `lookup`"),
    ] {
        let project = Project::new();
        project.write("terrace.yaml", format!("server: {{pickers: {pickers}}}\n"));
        let ran = project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1);
        ran.prints(message);
    }
    let project = Project::new();
    let environments = "environments: {a: {overlay: embedded}, b: {overlay: embedded}}\n";
    project.write(
        "terrace.yaml",
        format!("{environments}server: {{pickers: {{p: {{lookup: sqlite_tables, arguments: {{path: x}}}}}}}}\n"),
    );
    project.run(["serve", "--bind", "127.0.0.1:0"]).with_code(1).prints("the picker `p` needs `environment`");
}

#[test]
fn server_without_pickers_refuses_their_calls() {
    let project = Project::new();
    let server = Served::start(&project, &[]);
    let answer = post(&server, "/v1/resources", &json!({}));
    let error = "this server has no pickers: configure `server.pickers`";
    assert_eq!((answer.status, answer.json()), (400, json!({"errors": [error]})));
    assert_eq!(server.call("GET", "/v1/resources", "").status, 405);
}
