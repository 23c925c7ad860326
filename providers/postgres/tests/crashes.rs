//! Outcomes of lost calls, as the server knows them.

use crate::harness::{Harness, recorded};
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

async fn with_objects() -> Harness {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.t (a int); CREATE ROLE \"$db_team\"; CREATE ROLE \"$db_one\"").await;
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_create_is_found_by_its_transaction() {
    let mut harness = with_objects().await;
    for (ty, config) in OBJECTS {
        let journal = Arc::new(Journal::default());
        let call = Call { progress: Arc::clone(&journal) as Arc<dyn Progress>, ..harness.call("step-1") };
        let made = harness.create_by(ty, &harness.attributes(config), &call).await.unwrap();
        let private = journal.private.lock().unwrap().clone().expect("a call journals before it takes effect");
        // Another process knows only the journal.
        harness = harness.with_new_session().await;
        let found = harness.find_with(ty, config, Some("step-1"), private.clone()).await;
        assert!(matches!(found, Found::Own(_)), "{ty}: {found:?}");
        let found = harness.find_with(ty, config, Some("step-2"), private.clone()).await;
        assert!(matches!(found, Found::Foreign(_)), "the journal of another call does not count: {found:?}");
        let found = harness.find(ty, config, Some("step-1")).await;
        assert!(matches!(found, Found::Foreign(_)), "a call without a journal had no effect: {found:?}");
        harness.delete(ty, &made).await.unwrap();
        let found = harness.find_with(ty, config, Some("step-1"), private).await;
        assert_eq!(found, Found::Absent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_grant_keeps_earlier_privileges() {
    let config = r#"{"database": "$db", "objectType": "table", "object": "s.t", "role": "$db_one", "privileges": ["SELECT", "INSERT"]}"#;
    for is_another_process in [false, true] {
        let mut harness = with_objects().await;
        harness.execute("GRANT SELECT ON s.t TO \"$db_one\"").await;
        let journal = Arc::new(Journal::default());
        let call = Call { progress: Arc::clone(&journal) as Arc<dyn Progress>, ..harness.call("step-1") };
        harness.create_by("postgres_grant", &harness.attributes(config), &call).await.unwrap();
        // The same process searches with its plan, another process with the journal.
        let mut private = Private::default();
        if is_another_process {
            private = journal.private.lock().unwrap().clone().unwrap();
            harness = harness.with_new_session().await;
        }
        let found = harness.find_with("postgres_grant", config, Some("step-1"), private).await;
        let Found::Own(found) = found else { panic!("{found:?}") };
        harness.assert_settled("postgres_grant", &found, config).await;
        harness.delete("postgres_grant", &found).await.unwrap();
        let left = "SELECT privilege_type FROM pg_class c, aclexplode(c.relacl) x
                    WHERE c.oid = 's.t'::regclass AND pg_get_userbyid(x.grantee) = '$db_one'";
        assert_eq!(harness.query(left).await, ["SELECT"], "in another process: {is_another_process}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_without_a_journal_has_no_effect() {
    let harness = with_objects().await;
    for (ty, config) in OBJECTS {
        let journal = Arc::new(Journal { refuses: true, ..Journal::default() });
        let call = Call { progress: journal, ..harness.call("step-1") };
        let error = harness.create_by(ty, &harness.attributes(config), &call).await.unwrap_err();
        assert_eq!(error.message, "the journal is full");
        assert_eq!(harness.find(ty, config, Some("step-1")).await, Found::Absent, "{ty}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_call_is_pending() {
    let harness = Harness::new().await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = harness.create_settled("postgres_table", config).await;
    let wider = config.replace("\"int\"", "\"bigint\"");
    let plan = harness.plan("postgres_table", Some(&made), &wider).await.unwrap();
    // Another connection has the table open, so that the change must wait.
    let other = harness.cluster.connect(&harness.database).await;
    other.batch_execute("BEGIN; LOCK TABLE s.t").await.unwrap();
    let prior = recorded(&made);
    let attempt = Attempt {
        address: "a".to_owned(),
        identity: made.identity.clone(),
        planned: plan.planned.clone(),
        private: Private::default(),
        prior: Some(prior.clone()),
        lost_call: Some(LostCall {
            operation: harness.database.clone(),
            step: "step-2".to_owned(),
            timeout: Duration::from_secs(1),
            age: Duration::from_secs(2),
        }),
    };
    let (session, ty) = (Arc::clone(&harness.session), harness.ty("postgres_table").clone());
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let call = harness.call("step-2");
    let running = tokio::spawn(async move { session.update(&ty, &call, &prior, &planned).await });
    let ty = harness.ty("postgres_table");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match harness.session.find(ty, &attempt).await.unwrap() {
            Found::Pending(_) => break,
            other => assert!(Instant::now() < deadline, "it never ran: {other:?}"),
        }
    }
    // The caller ends; the server may not have noticed yet.
    running.abort();
    other.batch_execute("ROLLBACK").await.unwrap();
    let ended = loop {
        match harness.session.find(ty, &attempt).await.unwrap() {
            Found::Pending(_) => assert!(Instant::now() < deadline, "it never ends"),
            ended => break ended,
        }
    };
    // Without its commit the call had no effect.
    assert!(matches!(ended, Found::Own(_)), "{ended:?}");
    harness.assert_settled("postgres_table", &made, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_lock_is_retried() {
    let harness = Harness::new().await;
    let config = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let made = harness.create_settled("postgres_table", config).await;
    let other = harness.cluster.connect(&harness.database).await;
    other.batch_execute("BEGIN; LOCK TABLE s.t").await.unwrap();
    let begun = Instant::now();
    let error = harness.update("postgres_table", &made, &config.replace("\"int\"", "\"bigint\"")).await.unwrap_err();
    assert!(error.kind.is_temporary(), "{error:?}");
    assert_eq!(error.vendor_code.as_deref(), Some("55P03"));
    assert!(begun.elapsed() >= Duration::from_secs(4), "it waited {:?}", begun.elapsed());
}
