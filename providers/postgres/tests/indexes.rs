use crate::rights::limited;
use crate::world::{World, place, recorded};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::{Attempt, ErrorKind, Found, LostCall, Path, Planned, Private, Value};

const INDEX: &str = r#"{"database": "$db", "schema": "s", "name": "i", "table": "t", "columns": ["b", "a"], "where": "a > 0 AND b IN ('x', 'y')"}"#;

async fn with_table() -> World {
    let world = World::new().await;
    world.execute("CREATE TABLE s.t (a int, b text)").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_reads_back_as_it_was_planned_and_any_change_replaces_it() {
    let world = with_table().await;
    let index = world.settled("postgres_index", INDEX).await;
    assert_eq!(index.attributes.get("valid"), Some(&Value::Bool(true)));
    assert!(matches!(world.find("postgres_index", INDEX, Some("step-1")).await, Found::Ours(_)));
    assert!(matches!(world.find("postgres_index", INDEX, Some("step-9")).await, Found::Strangers(_)));
    for (change, at) in [
        (INDEX.replace("\"table\"", "\"unique\": true, \"table\""), "unique"),
        (INDEX.replace("a > 0", "a > 1"), "where"),
        (INDEX.replace("\"table\"", "\"method\": \"hash\", \"table\""), "method"),
        (INDEX.replace("[\"b\", \"a\"]", "[\"b\"]"), "columns"),
    ] {
        let plan = world.plan("postgres_index", Some(&index), &change).await.unwrap();
        assert_eq!(plan.replace_paths, [Path::attribute(at)]);
    }
    // How the next one is made is no property of this one.
    let changed = INDEX.replace("\"table\"", "\"concurrently\": true, \"table\"");
    let index = world.resettled("postgres_index", &index, &changed).await;
    world.delete("postgres_index", &index).await.unwrap();
    assert_eq!(world.read("postgres_index", &index).await, None);
    world.delete("postgres_index", &index).await.unwrap();
    world.settled("postgres_index", &changed).await;
    assert!(matches!(world.find("postgres_index", &changed, Some("step-1")).await, Found::Ours(_)));
    let world = world.anew().await;
    assert!(
        matches!(world.find("postgres_index", &changed, Some("step-1")).await, Found::Strangers(_)),
        "nobody can tell"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_says_why() {
    let world = with_table().await;
    let error = world.create("postgres_index", &INDEX.replace("\"a\"]", "\"aa\"]")).await.unwrap_err();
    assert_eq!((error.message.as_str(), place(&error).as_str()), ("`t` has no column `aa`", "columns[1]"));
    let error = world.create("postgres_index", &INDEX.replace("\"t\"", "\"tt\"")).await.unwrap_err();
    assert_eq!(place(&error), "table");
    let error = world
        .create("postgres_index", &INDEX.replace("\"table\"", "\"method\": \"bee\", \"table\""))
        .await
        .unwrap_err();
    assert_eq!(place(&error), "method", "{error:?}");
    let error =
        world.plan("postgres_index", None, &INDEX.replace("a > 0", "a > 0); DROP TABLE t; --")).await.unwrap_err();
    assert_eq!(place(&error), "where");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_creation_that_fails_leaves_an_index_that_is_replaced() {
    let world = with_table().await;
    world.execute("INSERT INTO s.t VALUES (1, 'x'), (1, 'x')").await;
    let config = INDEX.replace("\"table\"", "\"unique\": true, \"concurrently\": true, \"table\"");
    let ty = world.ty("postgres_index");
    let plan = world.plan("postgres_index", None, &config).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let error = world.session.create(ty, &world.call("step-1"), &planned).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
    let left = *error.object.expect("what is there is told, so that it is recorded");
    assert_eq!(left.attributes.get("valid"), Some(&Value::Bool(false)));
    let read = world.session.read(ty, &recorded(&left)).await.unwrap().unwrap();
    assert_eq!(read.attributes.get("valid"), Some(&Value::Bool(false)), "a read shows it");
    let plan = world.plan("postgres_index", Some(&read), &config).await.unwrap();
    assert_eq!(plan.replace_paths, [Path::attribute("valid")]);
    world.delete("postgres_index", &left).await.unwrap();
    world.execute("DELETE FROM s.t").await;
    world.settled("postgres_index", &config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_looked_at_after_it_was_made_is_in_doubt_and_then_ours() {
    let world = with_table().await;
    let session = limited(&world).await;
    world
        .execute(
            "GRANT CONNECT ON DATABASE \"$db\" TO \"$db_limited\"; GRANT USAGE, CREATE ON SCHEMA s TO \"$db_limited\";
             ALTER TABLE s.t OWNER TO \"$db_limited\"",
        )
        .await;
    let config = INDEX.replace("\"table\"", "\"concurrently\": true, \"table\"");
    let plan = world.plan("postgres_index", None, &config).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let attempt = Attempt {
        address: "a".to_owned(),
        identity: world.ty("postgres_index").identity_of(&planned.attributes).unwrap(),
        planned: planned.attributes.clone(),
        private: Private::default(),
        prior: None,
        lost_call: Some(LostCall {
            operation: world.database.clone(),
            step: "step-1".to_owned(),
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        }),
    };
    // It waits for whoever writes; meanwhile its user loses the right to log in.
    let other = world.cluster.connect(&world.database).await;
    other.batch_execute("BEGIN; INSERT INTO s.t VALUES (1, 'x')").await.unwrap();
    let (ty, call, making) = (world.ty("postgres_index").clone(), world.call("step-1"), Arc::clone(&session));
    let running = tokio::spawn(async move { making.create(&ty, &call, &planned).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = '$db_limited' AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.query(waits).await != ["1"] {
        assert!(Instant::now() < deadline, "it never waits");
    }
    world.execute("ALTER ROLE \"$db_limited\" NOLOGIN").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error:?}");
    assert!(error.message.starts_with("what became of the index `s.i` is not known: "), "{error:?}");
    world.execute("ALTER ROLE \"$db_limited\" LOGIN").await;
    let found = session.find(world.ty("postgres_index"), &attempt).await.unwrap();
    assert!(matches!(found, Found::Ours(_)), "{found:?}");
}
