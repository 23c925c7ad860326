use crate::harness::{Harness, recorded};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::time::Duration;
use terrace_provider::{Attempt, Found, LostCall, Observed, Path, Private};

/// A table `T` of `d.db` with columns of type `TEXT`.
fn table(columns: &[(&str, Option<&str>)]) -> String {
    named("T", None, columns)
}

fn named(name: &str, previous: Option<&str>, columns: &[(&str, Option<&str>)]) -> String {
    let entry =
        |previous: &Option<&str>| previous.map(|name| format!(r#", "previousName": "{name}""#)).unwrap_or_default();
    let column =
        |(name, previous): &(&str, Option<&str>)| format!(r#"{{"name": "{name}", "type": "TEXT"{}}}"#, entry(previous));
    let columns: Vec<String> = columns.iter().map(column).collect();
    format!(r#"{{"path": "d.db", "name": "{name}", "columns": [{}]{}}}"#, columns.join(", "), entry(&previous))
}

async fn update_settled(harness: &Harness, prior: &Observed, config: &str) -> Observed {
    assert_eq!(harness.plan("sqlite_table", Some(prior), config).await.unwrap().data_loss, None, "{config}");
    let now = harness.update("sqlite_table", prior, config).await.unwrap_or_else(|error| panic!("{config}: {error:?}"));
    harness.assert_settled("sqlite_table", &now, config).await;
    now
}

fn texts(harness: &Harness, columns: &str) -> Vec<String> {
    harness.query("d.db", &format!("SELECT {columns} FROM T"))
}

#[tokio::test]
async fn columns_move_along_a_chain_and_exchange_their_names() {
    let harness = Harness::new().await;
    let made = harness.create("sqlite_table", &table(&[("A", None), ("B", None)])).await.unwrap();
    harness
        .execute("d.db", "CREATE INDEX I ON T (B); CREATE VIEW V AS SELECT A FROM T; INSERT INTO T VALUES ('1', '2')");
    let made = update_settled(&harness, &made, &table(&[("B", Some("A")), ("C", Some("B"))])).await;
    assert_eq!(texts(&harness, "B, C"), [r#"Text("1") Text("2")"#]);
    let swap = [("C", Some("B")), ("B", Some("C"))];
    let made = update_settled(&harness, &made, &table(&swap)).await;
    assert_eq!(texts(&harness, "B, C"), [r#"Text("2") Text("1")"#]);
    // A recorded exchange is not repeated.
    update_settled(&harness, &made, &table(&[("C", Some("B")), ("B", Some("C")), ("D", None)])).await;
    assert_eq!(texts(&harness, "B, C"), [r#"Text("2") Text("1")"#]);
    assert_eq!(harness.query("d.db", "SELECT * FROM V"), [r#"Text("1")"#], "the view follows its column");
}

#[tokio::test]
async fn table_is_renamed_with_its_rows() {
    let harness = Harness::new().await;
    let columns = [("A", None)];
    let made = harness.create("sqlite_table", &named("OLD", None, &columns)).await.unwrap();
    harness.execute("d.db", "INSERT INTO OLD VALUES ('1')");
    let config = named("T", Some("OLD"), &columns);
    let plan = harness.plan("sqlite_table", Some(&made), &config).await.unwrap();
    assert_eq!((plan.replace_paths, plan.planned["id"].clone()), (Vec::new(), "d.db/T".into()));
    let now = update_settled(&harness, &made, &config).await;
    assert_eq!((now.identity["name"].clone(), texts(&harness, "A")), ("T".into(), vec![r#"Text("1")"#.to_owned()]));
    let found = harness.session.find(harness.ty("sqlite_table"), &lost(&made, plan.planned)).await.unwrap();
    assert_eq!(found, Found::Own(now.clone()), "a lost rename is found under the new name");
    let now = update_settled(&harness, &now, &named("T", None, &columns)).await;
    let other = harness.plan("sqlite_table", Some(&now), &named("X", Some("Y"), &columns)).await.unwrap();
    assert_eq!(other.replace_paths, [Path::attribute("name")]);
}

fn lost(prior: &Observed, planned: terrace_provider::Attributes) -> Attempt {
    Attempt {
        address: "a".to_owned(),
        identity: prior.identity.clone(),
        planned,
        private: Private::default(),
        prior: Some(recorded(prior)),
        lost_call: Some(LostCall {
            operation: "operation".to_owned(),
            step: "step-1".to_owned(),
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        }),
    }
}

#[tokio::test]
async fn lost_exchange_is_found_by_the_order_of_columns() {
    let harness = Harness::new().await;
    let made = harness.create("sqlite_table", &table(&[("A", None), ("B", None)])).await.unwrap();
    let swap = table(&[("B", Some("A")), ("A", Some("B"))]);
    let same_order = table(&[("A", Some("B")), ("B", Some("A"))]);
    let find = async |config: &str| {
        let planned = harness.plan("sqlite_table", Some(&made), config).await.unwrap().planned;
        harness.session.find(harness.ty("sqlite_table"), &lost(&made, planned)).await.unwrap()
    };
    assert_eq!(find(&swap).await, Found::NoEffect);
    assert_eq!(find(&same_order).await, Found::Unknown);
    let now = update_settled(&harness, &made, &swap).await;
    assert_eq!(find(&swap).await, Found::Own(now));
}

#[tokio::test]
async fn any_renames_keep_the_values_of_columns() {
    let names = ["a", "b", "c", "D", "e"];
    let strategy = (
        Just((0..4_usize).collect::<Vec<_>>()).prop_shuffle(),
        1..=4_usize,
        proptest::sample::subsequence((0..5_usize).collect::<Vec<_>>(), 4).prop_shuffle(),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..48 {
        let (order, kept, targets) = strategy.new_tree(&mut runner).unwrap().current();
        let pairs: Vec<(usize, &str)> =
            order.iter().zip(&targets).take(kept).map(|(was, name)| (*was, names[*name])).collect();
        let gone: Vec<&str> = order[kept..].iter().map(|was| names[*was]).collect();
        if pairs.iter().any(|(_, name)| gone.contains(name)) {
            continue;
        }
        let harness = Harness::new().await;
        let old: Vec<(&str, Option<&str>)> = names[..4].iter().map(|name| (*name, None)).collect();
        let made = harness.create("sqlite_table", &table(&old)).await.unwrap();
        harness.execute("d.db", "INSERT INTO T VALUES ('0', '1', '2', '3')");
        let new: Vec<(&str, Option<&str>)> =
            pairs.iter().map(|(was, name)| (*name, (names[*was] != *name).then_some(names[*was]))).collect();
        let config = table(&new);
        let now =
            harness.update("sqlite_table", &made, &config).await.unwrap_or_else(|error| panic!("{new:?}: {error:?}"));
        harness.assert_settled("sqlite_table", &now, &config).await;
        for (was, name) in pairs {
            assert_eq!(texts(&harness, name), [format!("Text(\"{was}\")")], "{new:?}");
        }
    }
}
