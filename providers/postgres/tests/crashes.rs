//! Outcomes of lost calls, as the server knows them.

use crate::world::{World, recorded};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use terrace_provider::{Attempt, Call, ErrorKind, Found, LostCall, Partial, Planned, Private, Progress, ProviderError};

/// Keeps the journal of a call, or refuses it.
#[derive(Default)]
struct Journal {
    private: Mutex<Option<Private>>,
    refuses: bool,
}

#[async_trait::async_trait]
impl Progress for Journal {
    fn message(&self, _text: &str) {}

    async fn partial(&self, partial: Partial) -> Result<(), ProviderError> {
        if self.refuses {
            return Err(ProviderError::new(ErrorKind::Failed, "the journal is full"));
        }
        *self.private.lock().unwrap() = partial.private;
        Ok(())
    }
}

const OBJECTS: [(&str, &str); 5] = [
    ("postgres_schema", r#"{"database": "$db", "name": "made"}"#),
    ("postgres_role", r#"{"name": "$db_made"}"#),
    ("postgres_membership", r#"{"role": "$db_team", "member": "$db_one"}"#),
    (
        "postgres_grant",
        r#"{"database": "$db", "objectType": "schema", "object": "s", "role": "$db_one", "privileges": ["USAGE"]}"#,
    ),
    ("postgres_index", r#"{"database": "$db", "schema": "s", "name": "i", "table": "t", "columns": ["a"]}"#),
];

async fn with_objects() -> World {
    let world = World::new().await;
    world.execute("CREATE TABLE s.t (a int); CREATE ROLE \"$db_team\"; CREATE ROLE \"$db_one\"").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_create_is_found_by_its_transaction() {
    let mut world = with_objects().await;
    for (ty, config) in OBJECTS {
        let journal = Arc::new(Journal::default());
        let call = Call { progress: Arc::clone(&journal) as Arc<dyn Progress>, ..world.call("step-1") };
        let made = world.create_by(ty, &world.attributes(config), &call).await.unwrap();
        let private = journal.private.lock().unwrap().clone().expect("a call journals before it takes effect");
        // Another process knows only the journal.
        world = world.anew().await;
        let found = world.find_with(ty, config, Some("step-1"), private.clone()).await;
        assert!(matches!(found, Found::Ours(_)), "{ty}: {found:?}");
        let found = world.find_with(ty, config, Some("step-2"), private.clone()).await;
        assert!(matches!(found, Found::Strangers(_)), "the journal of another call does not count: {found:?}");
        let found = world.find(ty, config, Some("step-1")).await;
        assert!(matches!(found, Found::Strangers(_)), "a call without a journal had no effect: {found:?}");
        world.delete(ty, &made).await.unwrap();
        let found = world.find_with(ty, config, Some("step-1"), private).await;
        assert_eq!(found, Found::Absent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_grant_keeps_earlier_privileges() {
    let config = r#"{"database": "$db", "objectType": "table", "object": "s.t", "role": "$db_one", "privileges": ["SELECT", "INSERT"]}"#;
    for is_another_process in [false, true] {
        let mut world = with_objects().await;
        world.execute("GRANT SELECT ON s.t TO \"$db_one\"").await;
        let journal = Arc::new(Journal::default());
        let call = Call { progress: Arc::clone(&journal) as Arc<dyn Progress>, ..world.call("step-1") };
        world.create_by("postgres_grant", &world.attributes(config), &call).await.unwrap();
        // The same process searches with its plan, another process with the journal.
        let mut private = Private::default();
        if is_another_process {
            private = journal.private.lock().unwrap().clone().unwrap();
            world = world.anew().await;
        }
        let found = world.find_with("postgres_grant", config, Some("step-1"), private).await;
        let Found::Ours(found) = found else { panic!("{found:?}") };
        world.is_settled("postgres_grant", &found, config).await;
        world.delete("postgres_grant", &found).await.unwrap();
        let left = "SELECT privilege_type FROM pg_class c, aclexplode(c.relacl) x
                    WHERE c.oid = 's.t'::regclass AND pg_get_userbyid(x.grantee) = '$db_one'";
        assert_eq!(world.query(left).await, ["SELECT"], "in another process: {is_another_process}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_without_a_journal_has_no_effect() {
    let world = with_objects().await;
    for (ty, config) in OBJECTS {
        let journal = Arc::new(Journal { refuses: true, ..Journal::default() });
        let call = Call { progress: journal, ..world.call("step-1") };
        let error = world.create_by(ty, &world.attributes(config), &call).await.unwrap_err();
        assert_eq!(error.message, "the journal is full");
        assert_eq!(world.find(ty, config, Some("step-1")).await, Found::Absent, "{ty}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_call_is_pending() {
    let world = World::new().await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = world.settled("postgres_table", config).await;
    let wider = config.replace("\"int\"", "\"bigint\"");
    let plan = world.plan("postgres_table", Some(&made), &wider).await.unwrap();
    // Another connection has the table open, so that the change must wait.
    let other = world.cluster.connect(&world.database).await;
    other.batch_execute("BEGIN; LOCK TABLE s.t").await.unwrap();
    let prior = recorded(&made);
    let attempt = Attempt {
        address: "a".to_owned(),
        identity: made.identity.clone(),
        planned: plan.planned.clone(),
        private: Private::default(),
        prior: Some(prior.clone()),
        lost_call: Some(LostCall {
            operation: world.database.clone(),
            step: "step-2".to_owned(),
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        }),
    };
    let (session, ty) = (Arc::clone(&world.session), world.ty("postgres_table").clone());
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let call = world.call("step-2");
    let running = tokio::spawn(async move { session.update(&ty, &call, &prior, &planned).await });
    let ty = world.ty("postgres_table");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match world.session.find(ty, &attempt).await.unwrap() {
            Found::Pending(_) => break,
            other => assert!(Instant::now() < deadline, "it never ran: {other:?}"),
        }
    }
    // The caller ends; the server may not have noticed yet.
    running.abort();
    other.batch_execute("ROLLBACK").await.unwrap();
    let ended = loop {
        match world.session.find(ty, &attempt).await.unwrap() {
            Found::Pending(_) => assert!(Instant::now() < deadline, "it never ends"),
            ended => break ended,
        }
    };
    // Without its commit the call had no effect.
    assert!(matches!(ended, Found::Ours(_)), "{ended:?}");
    world.is_settled("postgres_table", &made, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_lock_is_retried() {
    let world = World::new().await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = world.settled("postgres_table", config).await;
    let other = world.cluster.connect(&world.database).await;
    other.batch_execute("BEGIN; LOCK TABLE s.t").await.unwrap();
    let begun = Instant::now();
    let error = world.update("postgres_table", &made, &config.replace("\"int\"", "\"bigint\"")).await.unwrap_err();
    assert!(error.kind.is_temporary(), "{error:?}");
    assert_eq!(error.vendor_code.as_deref(), Some("55P03"));
    assert!(begun.elapsed() >= Duration::from_secs(4), "it waited {:?}", begun.elapsed());
}
