use crate::harness::{Harness, place};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;
use terrace_provider::{Attempt, Found, LostCall, Observed, Path, Private, Value};

/// A table `t` with columns of type `int`.
fn table(columns: &[(&str, Option<&str>)], rest: &str) -> String {
    let column = |(name, previous): &(&str, Option<&str>)| {
        let previous = previous.map(|name| format!(r#", "previousName": "{name}""#)).unwrap_or_default();
        format!(r#"{{"name": "{name}", "type": "int"{previous}}}"#)
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    format!(r#"{{"database": "$db", "schema": "s", "name": "t", "columns": [{}]{rest}}}"#, columns.join(", "))
}

async fn rows(harness: &Harness, columns: &str) -> Vec<String> {
    harness.query(&format!("SELECT concat_ws(' ', {columns}) FROM s.t")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_move_along_a_chain_of_renames() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(&[("a", None), ("b", None)], "")).await;
    harness.execute("INSERT INTO s.t VALUES (1, 2)").await;
    let chain = table(&[("b", Some("a")), ("c", Some("b"))], "");
    assert_eq!(harness.plan("postgres_table", Some(&made), &chain).await.unwrap().data_loss, None);
    let made = harness.update_settled("postgres_table", &made, &chain).await;
    assert_eq!(rows(&harness, "b, c").await, ["1 2"]);
    // The previous names may stay in later changes.
    let more = table(&[("b", Some("a")), ("c", Some("b")), ("d", None)], r#", "comment": "c""#);
    harness.update_settled("postgres_table", &made, &more).await;
    assert_eq!(rows(&harness, "b, c").await, ["1 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_exchange_their_names_once() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(&[("a", None), ("b", None), ("c", None)], "")).await;
    harness.execute("INSERT INTO s.t VALUES (1, 2, 3)").await;
    let swap = [("b", Some("a")), ("c", Some("b")), ("a", Some("c"))];
    assert_eq!(harness.plan("postgres_table", Some(&made), &table(&swap, "")).await.unwrap().data_loss, None);
    let made = harness.update_settled("postgres_table", &made, &table(&swap, "")).await;
    assert_eq!(rows(&harness, "a, b, c").await, ["3 1 2"]);
    let commented = table(&swap, r#", "comment": "later""#);
    let made = harness.update_settled("postgres_table", &made, &commented).await;
    assert_eq!(rows(&harness, "a, b, c").await, ["3 1 2"], "a recorded exchange is not repeated");
    // Without the previous names, and in a new process.
    let harness = harness.with_new_session().await;
    harness.update_settled("postgres_table", &made, &table(&[("b", None), ("c", None), ("a", None)], "")).await;
    assert_eq!(rows(&harness, "a, b, c").await, ["3 1 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_exchange_is_found_by_its_transaction() {
    let harness = Harness::new().await;
    let made = harness.create_settled("postgres_table", &table(&[("a", None), ("b", None)], "")).await;
    let swap = harness.attributes(&table(&[("b", Some("a")), ("a", Some("b"))], ""));
    let reports = Arc::new(terrace_provider::conformance::Reports::default());
    let call = terrace_provider::Call { progress: reports.clone(), ..harness.call("step-2") };
    let plan = harness.plan_of("postgres_table", Some(&made), &swap).await.unwrap();
    let planned = terrace_provider::Planned { attributes: plan.planned.clone(), private: plan.private };
    let prior = crate::harness::recorded(&made);
    harness.session.update(harness.ty("postgres_table"), &call, &prior, &planned).await.unwrap();
    let private = reports.partials().into_iter().find_map(|partial| partial.private).unwrap();
    let find = async |harness: &Harness, private: Private| {
        let lost_call = LostCall {
            operation: harness.database.clone(),
            step: "step-2".to_owned(),
            timeout: std::time::Duration::from_secs(1),
            age: std::time::Duration::from_secs(2),
        };
        let attempt = Attempt {
            address: "a".to_owned(),
            identity: made.identity.clone(),
            planned: plan.planned.clone(),
            private,
            prior: Some(crate::harness::recorded(&made)),
            lost_call: Some(lost_call),
        };
        harness.session.find(harness.ty("postgres_table"), &attempt).await.unwrap()
    };
    let harness = harness.with_new_session().await;
    assert!(matches!(find(&harness, private.clone()).await, Found::Own(_)));
    // The same call with a rolled-back transaction: the server's next one.
    harness.execute("BEGIN; CREATE TABLE s.x (); ROLLBACK").await;
    let text = String::from_utf8(private.0).unwrap();
    let transaction: u64 = harness.query("BEGIN; SELECT pg_current_xact_id(); ROLLBACK").await[0].parse().unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut json = json;
    json["begun"]["transaction"] = transaction.to_string().into();
    let found = find(&harness, Private(serde_json::to_vec(&json).unwrap())).await;
    assert_eq!(found, Found::NoEffect);
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_key_follows_its_column() {
    let harness = Harness::new().await;
    let of = |column: &str, key: &str| {
        format!(
            r#"{{"database": "$db", "schema": "s", "name": "t", "columns": [{{"name": "n", "type": "int"}}, {column}],
               "partitionBy": {{"strategy": "range", "columns": ["{key}"]}},
               "partitions": [{{"name": "p", "bounds": "FROM ('2024-01-01') TO ('2025-01-01')"}}]}}"#
        )
    };
    let made =
        harness.create_settled("postgres_table", &of(r#"{"name": "d", "type": "date", "nullable": false}"#, "d")).await;
    harness.execute("INSERT INTO s.t VALUES (1, '2024-05-05')").await;
    let renamed = of(r#"{"name": "day", "type": "date", "nullable": false, "previousName": "d"}"#, "day");
    let made = harness.update_settled("postgres_table", &made, &renamed).await;
    assert_eq!(rows(&harness, "n, day").await, ["1 2024-05-05"]);
    // Another key replaces the table; another type of its column is refused.
    let other = of(r#"{"name": "day", "type": "date", "nullable": false}"#, "n");
    let plan = harness.plan("postgres_table", Some(&made), &other).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("partitionBy")]);
    let timestamp = of(r#"{"name": "day", "type": "timestamp", "nullable": false}"#, "day");
    let error = harness.plan("postgres_table", Some(&made), &timestamp).await.unwrap_err();
    assert_eq!(place(&error), "columns[1].type");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_exchange_their_names() {
    let harness = Harness::new().await;
    let of = |names: [&str; 3]| {
        let [a, b, c] = names;
        table(
            &[("a", None)],
            &format!(
                r#", "checks": [{{"name": "{a}", "expression": "a > 0"}}, {{"name": "{b}", "expression": "a < 10"}},
                   {{"name": "{c}", "expression": "a <> 5"}}], "unique": [{{"name": "{a}u", "columns": ["a"]}}]"#
            ),
        )
    };
    let mut now = harness.create_settled("postgres_table", &of(["c1", "c2", "c3"])).await;
    for names in [["c2", "c1", "c3"], ["c3", "c2", "c1"], ["c1", "c3", "c4"], ["c4", "c1", "c3"]] {
        now = harness.update_settled("postgres_table", &now, &of(names)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn table_is_renamed_with_its_rows() {
    let harness = Harness::new().await;
    let of =
        |name: &str, rest: &str| table(&[("a", None)], rest).replace(r#""name": "t""#, &format!(r#""name": "{name}""#));
    let made = harness.create_settled("postgres_table", &of("old", "")).await;
    harness.execute("INSERT INTO s.old VALUES (1)").await;
    let renamed = of("t", r#", "previousName": "old""#);
    let plan = harness.plan("postgres_table", Some(&made), &renamed).await.unwrap();
    assert_eq!((plan.replace_paths, plan.data_loss), (Vec::new(), None));
    assert_eq!(plan.planned["fullName"], "s.t".into());
    assert_eq!(plan.planned["oid"], made.attributes["oid"]);
    let now = harness.update_settled("postgres_table", &made, &renamed).await;
    assert_eq!(now.identity["name"], "t".into());
    assert_eq!(rows(&harness, "a").await, ["1"]);
    // The call may be lost: the table is found under its new name.
    let harness = harness.with_new_session().await;
    let attempt = Attempt {
        address: "a".to_owned(),
        identity: made.identity.clone(),
        planned: plan.planned.clone(),
        private: Private::default(),
        prior: Some(crate::harness::recorded(&made)),
        lost_call: Some(LostCall {
            operation: harness.database.clone(),
            step: "step-2".to_owned(),
            timeout: std::time::Duration::from_secs(1),
            age: std::time::Duration::from_secs(2),
        }),
    };
    let Found::Own(found) = harness.session.find(harness.ty("postgres_table"), &attempt).await.unwrap() else {
        panic!()
    };
    assert_eq!(found.identity["name"], "t".into());
    // Without its previous name it stays, and another name replaces it.
    let now = harness.update_settled("postgres_table", &now, &of("t", "")).await;
    let other = harness.plan("postgres_table", Some(&now), &of("other", r#", "previousName": "none""#)).await.unwrap();
    assert_eq!(other.replace_paths, [Path::attribute("name")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn grant_on_columns_follows_a_rename_and_a_drop() {
    let harness = Harness::new().await;
    let role = format!("{}_r", harness.database);
    harness.execute(&format!("CREATE ROLE {role}")).await;
    let grant = |columns: &str| {
        format!(
            r#"{{"database": "$db", "objectType": "table", "object": "s.t", "role": "{role}", "privileges": ["SELECT"], "columns": [{columns}]}}"#
        )
    };
    let made = harness.create_settled("postgres_table", &table(&[("a", None), ("b", None)], "")).await;
    let given = harness.create_settled("postgres_grant", &grant(r#""a", "b""#)).await;
    let made = harness.update_settled("postgres_table", &made, &table(&[("c", Some("a")), ("b", None)], "")).await;
    // As the plan saw it before the rename.
    let given = harness.update_settled("postgres_grant", &given, &grant(r#""c", "b""#)).await;
    harness.update_settled("postgres_table", &made, &table(&[("c", None)], "")).await;
    harness.update_settled("postgres_grant", &given, &grant(r#""c""#)).await;
    harness.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_renames_keep_the_values_of_columns() {
    let harness = Harness::new().await;
    let names = ["a", "b", "c", "d", "e"];
    let strategy = (
        Just((0..4_usize).collect::<Vec<_>>()).prop_shuffle(),
        1..=4_usize,
        proptest::sample::subsequence((0..5_usize).collect::<Vec<_>>(), 4).prop_shuffle(),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let (order, kept, targets) = strategy.new_tree(&mut runner).unwrap().current();
        harness.execute("DROP TABLE IF EXISTS s.t").await;
        let old: Vec<(&str, Option<&str>)> = names[..4].iter().map(|name| (*name, None)).collect();
        let made: Observed = harness.create_settled("postgres_table", &table(&old, "")).await;
        harness.execute("INSERT INTO s.t VALUES (0, 1, 2, 3)").await;
        // Keeps the first columns of an order under other names, and drops the others.
        let pairs: Vec<(usize, &str)> =
            order.iter().zip(&targets).take(kept).map(|(was, name)| (*was, names[*name])).collect();
        let gone: Vec<&str> = order[kept..].iter().map(|was| names[*was]).collect();
        if pairs.iter().any(|(_, name)| gone.contains(name)) {
            continue;
        }
        let new: Vec<(&str, Option<&str>)> =
            pairs.iter().map(|(was, name)| (*name, (names[*was] != *name).then_some(names[*was]))).collect();
        harness.update_settled("postgres_table", &made, &table(&new, "")).await;
        for (was, name) in pairs {
            assert_eq!(harness.query(&format!("SELECT {name} FROM s.t")).await, [was.to_string()], "{new:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_previous_names_are_refused() {
    let harness = Harness::new().await;
    for (columns, at) in [
        (vec![("a", None), ("b", Some("a"))], "columns[1].previousName"),
        (vec![("a", Some("a"))], "columns[0].previousName"),
        (vec![("b", Some("a")), ("c", Some("a"))], "columns[1].previousName"),
    ] {
        let error = harness.plan("postgres_table", None, &table(&columns, "")).await.unwrap_err();
        assert_eq!(place(&error), at);
    }
    let made = harness.create_settled("postgres_table", &table(&[("b", Some("a"))], "")).await;
    assert_eq!(made.attributes["columns"].as_list().map(<[Value]>::len), Some(1));
}
