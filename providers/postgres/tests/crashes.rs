//! What became of calls that were lost: told from the server, not guessed.

use crate::world::{World, recorded};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use terrace_provider::{Attempt, Call, ErrorKind, Found, LostCall, Partial, Planned, Private, Progress, ProviderError};

/// Keeps what a call journals; refuses it when it is told to.
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
async fn a_lost_create_is_known_by_its_transaction() {
    let mut world = with_objects().await;
    for (ty, config) in OBJECTS {
        let journal = Arc::new(Journal::default());
        let call = Call { progress: Arc::clone(&journal) as Arc<dyn Progress>, ..world.call("step-1") };
        let made = world.create_by(ty, &world.attributes(config), &call).await.unwrap();
        let private = journal.private.lock().unwrap().clone().expect("what can take effect is journalled first");
        // Another process knows the journal only.
        world = world.anew().await;
        let found = world.find_with(ty, config, Some("step-1"), private.clone()).await;
        assert!(matches!(found, Found::Ours(_)), "{ty}: {found:?}");
        let found = world.find_with(ty, config, Some("step-2"), private.clone()).await;
        assert!(matches!(found, Found::Strangers(_)), "another call's journal says nothing of this one: {found:?}");
        let found = world.find(ty, config, Some("step-1")).await;
        assert!(matches!(found, Found::Strangers(_)), "what was never journalled never took effect: {found:?}");
        world.delete(ty, &made).await.unwrap();
        let found = world.find_with(ty, config, Some("step-1"), private).await;
        assert_eq!(found, Found::Absent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_grant_still_knows_what_was_there_before_it() {
    let config = r#"{"database": "$db", "objectType": "table", "object": "s.t", "role": "$db_one", "privileges": ["SELECT", "INSERT"]}"#;
    for is_another_process in [false, true] {
        let mut world = with_objects().await;
        world.execute("GRANT SELECT ON s.t TO \"$db_one\"").await;
        let journal = Arc::new(Journal::default());
        let call = Call { progress: Arc::clone(&journal) as Arc<dyn Progress>, ..world.call("step-1") };
        world.create_by("postgres_grant", &world.attributes(config), &call).await.unwrap();
        // The same process looks with what it planned, another one with what was journalled.
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
async fn what_cannot_be_journalled_is_not_done() {
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
async fn a_call_that_still_runs_is_waited_for() {
    let world = World::new().await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = world.settled("postgres_table", config).await;
    let wider = config.replace("\"int\"", "\"bigint\"");
    let plan = world.plan("postgres_table", Some(&made), &wider).await.unwrap();
    // Somebody has the table open, so that the change has to wait.
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
            other => assert!(Instant::now() < deadline, "it was never seen at work: {other:?}"),
        }
    }
    // Whoever waits for it goes away; the server has not noticed yet, or is rid of it.
    running.abort();
    other.batch_execute("ROLLBACK").await.unwrap();
    let ended = loop {
        match world.session.find(ty, &attempt).await.unwrap() {
            Found::Pending(_) => assert!(Instant::now() < deadline, "it never ends"),
            ended => break ended,
        }
    };
    // Without its commit it had no effect.
    assert!(matches!(ended, Found::Ours(_)), "{ended:?}");
    world.is_settled("postgres_table", &made, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_is_tried_again() {
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
