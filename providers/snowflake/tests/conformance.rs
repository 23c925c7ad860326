use crate::harness::{attributes, provider, settings};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_test_snowflake::{Fault, StandIn};

/// A fixture whose hooks are statements of an administrator.
fn fixture(
    stand_in: &Arc<StandIn>,
    ty: &'static str,
    config: Json,
    update: Option<Json>,
    replace: Json,
    tamper: Option<&'static str>,
    remove: &'static str,
) -> Fixture {
    let mut fixture = Fixture::new(ty, "made", attributes(config)).replace(attributes(replace));
    if let Some(update) = update {
        fixture = fixture.update(attributes(update));
    }
    if let Some(sql) = tamper {
        let stand_in = Arc::clone(stand_in);
        fixture = fixture.tamper(move |_| {
            stand_in.sql(sql);
            async {}
        });
    }
    let stand_in = Arc::clone(stand_in);
    fixture.remove(move |_| {
        // Another object or none may have the name.
        let _ = stand_in.sql_as("ACCOUNTADMIN", remove);
        async {}
    })
}

fn table(columns: Json) -> Json {
    json!({"database": "D", "schema": "S", "name": "THINGS", "columns": columns, "primaryKey": ["ID"], "comment": "things"})
}

fn fixtures(stand_in: &Arc<StandIn>) -> Vec<Fixture> {
    let id = json!({"name": "ID", "type": "INT", "nullable": false});
    let name = json!({"name": "NAME", "type": "VARCHAR(10)", "comment": "the name"});
    let wide = json!({"name": "NAME", "type": "VARCHAR(20)", "comment": "its name"});
    let view = |columns: Json, name: &str| json!({"database": "D", "schema": "S", "name": name, "source": {"database": "D", "schema": "S", "name": "BASE"}, "columns": columns, "comment": "shown"});
    let make =
        |ty, config, update, replace, tamper, remove| fixture(stand_in, ty, config, update, replace, tamper, remove);
    let table_fixture = make(
        "snowflake_table",
        table(json!([id, name])),
        Some(table(json!([id, wide, {"name": "At", "type": "timestamp"}]))),
        {
            let mut other = table(json!([id, name]));
            other["name"] = "OTHER".into();
            other
        },
        Some("ALTER TABLE D.S.THINGS ADD COLUMN EXTRA TEXT"),
        "DROP TABLE D.S.THINGS",
    );
    let filler = Arc::clone(stand_in);
    let table_fixture = table_fixture
        .spelled("/columns/0/type", ["INT", "integer", "NUMBER(38, 0)", "decimal(38,0)"])
        .spelled("/columns/1/type", ["VARCHAR(10)", "string(10)", "text ( 10 )"])
        .spelled("/columns", [json!([id, name]), json!([name, id])])
        .spelled("/columns/1/comment", [json!(""), json!(null)])
        .spelled("/comment", [json!(""), json!(null)])
        .spelled("/unique", [json!([["NAME"], ["ID", "NAME"]]), json!([["ID", "NAME"], ["NAME"]])]);
    let table_fixture = table_fixture.fill(move |_| {
        filler.sql("INSERT INTO D.S.THINGS VALUES (1, 'a')");
        async {}
    });
    vec![
        make(
            "snowflake_database",
            json!({"name": "a database", "comment": "x", "retentionDays": 2}),
            Some(json!({"name": "a database", "comment": "y", "retentionDays": 3})),
            json!({"name": "a database", "transient": true}),
            Some("COMMENT ON DATABASE \"a database\" IS 'tampered'"),
            "DROP DATABASE \"a database\"",
        ),
        make(
            "snowflake_schema",
            json!({"database": "D", "name": "s_2"}),
            Some(json!({"database": "D", "name": "s_2", "comment": "it's new"})),
            json!({"database": "D", "name": "s_3"}),
            None,
            "DROP SCHEMA D.\"s_2\"",
        ),
        table_fixture,
        make(
            "snowflake_view",
            view(json!([{"name": "ID"}, {"name": "NAME", "comment": "called"}]), "V"),
            Some(view(json!([{"name": "ID"}]), "V")),
            view(json!([{"name": "ID"}]), "V2"),
            Some("CREATE OR REPLACE VIEW D.S.V AS SELECT NAME FROM D.S.BASE"),
            "DROP VIEW D.S.V",
        ),
        make(
            "snowflake_role",
            json!({"name": "READERS", "comment": "x"}),
            Some(json!({"name": "READERS"})),
            json!({"name": "others"}),
            Some("COMMENT ON ROLE READERS IS 'tampered'"),
            "DROP ROLE READERS",
        )
        .spelled("/comment", [json!(""), json!(null)]),
        make(
            "snowflake_role_grant",
            json!({"role": "BASE_ROLE", "granteeType": "user", "grantee": "JANE"}),
            None,
            json!({"role": "BASE_ROLE", "granteeType": "role", "grantee": "OTHER_ROLE"}),
            None,
            "REVOKE ROLE BASE_ROLE FROM USER JANE",
        ),
        make(
            "snowflake_grant",
            json!({"role": "BASE_ROLE", "objectType": "table", "object": "D.S.BASE", "privileges": ["SELECT"]}),
            Some(
                json!({"role": "BASE_ROLE", "objectType": "table", "object": "D.S.BASE", "privileges": ["INSERT", "SELECT"], "grantOption": true}),
            ),
            json!({"role": "BASE_ROLE", "objectType": "schema", "object": "D.S", "privileges": ["USAGE"]}),
            Some("GRANT UPDATE ON TABLE D.S.BASE TO ROLE BASE_ROLE"),
            "REVOKE SELECT, INSERT, UPDATE ON TABLE D.S.BASE FROM ROLE BASE_ROLE",
        )
        .spelled("/privileges", [json!(["SELECT", "INSERT"]), json!(["INSERT", "SELECT", "INSERT"])]),
        make(
            "snowflake_tag",
            json!({"database": "D", "schema": "S", "name": "PII", "allowedValues": ["a", "b"]}),
            Some(json!({"database": "D", "schema": "S", "name": "PII", "allowedValues": ["b", "c"], "comment": "x"})),
            json!({"database": "D", "schema": "S", "name": "Network Status"}),
            Some("ALTER TAG D.S.PII ADD ALLOWED_VALUES 'z'"),
            "DROP TAG D.S.PII",
        )
        .spelled("/allowedValues", [json!(["a", "b"]), json!(["b", "a"])]),
        make(
            "snowflake_tag_assignment",
            json!({"objectType": "table", "object": "D.S.BASE", "column": "ID", "tag": "D.S.KEPT", "value": "x"}),
            Some(
                json!({"objectType": "table", "object": "D.S.BASE", "column": "ID", "tag": "D.S.KEPT", "value": "it's y"}),
            ),
            json!({"objectType": "table", "object": "D.S.BASE", "column": "", "tag": "D.S.KEPT", "value": "x"}),
            Some("ALTER TABLE D.S.BASE MODIFY COLUMN ID SET TAG D.S.KEPT = 'tampered'"),
            "ALTER TABLE D.S.BASE MODIFY COLUMN ID UNSET TAG D.S.KEPT",
        ),
    ]
}

fn prepared() -> Arc<StandIn> {
    let stand_in = StandIn::start();
    stand_in.add_user("JANE");
    for sql in [
        "CREATE DATABASE D",
        "CREATE SCHEMA D.S",
        "CREATE TABLE D.S.BASE (ID INT, NAME TEXT)",
        "CREATE ROLE BASE_ROLE",
        "CREATE ROLE OTHER_ROLE",
        "CREATE TAG D.S.KEPT",
    ] {
        stand_in.sql_as("TERRACE_ROLE", sql).unwrap();
    }
    Arc::new(stand_in)
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let stand_in = prepared();
    let before = stand_in.inventory();
    let provider = provider();
    let mut suite = Suite::new(&provider, settings(&stand_in, json!({})));
    for fixture in fixtures(&stand_in) {
        suite = suite.fixture(fixture);
    }
    let report = suite.run().await;
    assert!(report.is_clean(), "{report}");
    assert!(report.shown() > 100, "{report}");
    assert_eq!(stand_in.inventory(), before, "nothing is left");
}

/// Answers may be late, in partitions, or after a retry.
#[tokio::test]
async fn kind_of_answer_makes_no_difference() {
    let stand_in = prepared();
    stand_in.faults().rows_of_partition = Some(1);
    for number in 1..2000 {
        let fault = match number % 7 {
            0 => Fault::Later(2),
            3 => Fault::LostAfter,
            5 => Fault::LostBefore,
            _ => continue,
        };
        stand_in.faults().by_number.insert(number, fault);
    }
    let provider = provider();
    let mut suite = Suite::new(&provider, settings(&stand_in, json!({})));
    for fixture in fixtures(&stand_in).into_iter().skip(2).take(3) {
        suite = suite.fixture(fixture);
    }
    let report = suite.all_types_at_once().run().await;
    // The other types have no fixtures here.
    let failed: Vec<String> =
        report.failures().into_iter().filter(|line| !line.contains("every type has a fixture")).collect();
    assert!(report.shown() > 30 && failed.is_empty(), "{report}");
}
