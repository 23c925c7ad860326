//! Few queries read many objects.

use crate::harness::{Harness, recorded};

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_tables_are_read_by_one_query_per_batch() {
    let harness = Harness::new().await;
    harness
        .execute(
            "DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE s.t%s (id int PRIMARY KEY, label varchar(20) DEFAULT ''x'')', i);
             END LOOP; END $$",
        )
        .await;
    let first = harness.import("postgres_table", "$db/s/t1").await.unwrap();
    let priors: Vec<_> = (1..=2000)
        .map(|number| {
            let mut prior = recorded(&first);
            prior.identity.insert("name".to_owned(), format!("t{number}").into());
            prior.attributes.insert("name".to_owned(), format!("t{number}").into());
            prior
        })
        .collect();
    // From here on, the server logs statements.
    harness.execute("ALTER DATABASE \"$db\" SET log_statement = 'all'").await;
    let harness = harness.with_new_session().await;
    let mut found = 0;
    // Like the engine: 256 at a time.
    for chunk in priors.chunks(256) {
        let answers = harness.session.read_many(harness.ty("postgres_table"), chunk).await;
        for (answer, prior) in answers.into_iter().zip(chunk) {
            let answer = answer.unwrap().unwrap();
            assert_eq!(answer.attributes.get("name"), prior.attributes.get("name"));
            found += 1;
        }
    }
    assert_eq!(found, 2000);
    let begin = format!("{} LOG:  execute", harness.database);
    let queries = harness.cluster.log().lines().filter(|line| line.starts_with(&begin)).count();
    assert!((1..=20).contains(&queries), "{queries} queries");
}
