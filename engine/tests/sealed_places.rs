//! Sealed values open only at their own place, and are sealed again when their row moves.

use crate::support::Story;
use crate::support::story::stack;
use terrace_engine::address::{Address, StackId};
use terrace_engine::plan::failure::PlanFailure;
use terrace_engine::record;
use terrace_engine::seal::Seal;
use terrace_engine::store::{Record, Row, Sealed, Selection, Write};
use terrace_provider::value::wire::WireError;
use uuid::Uuid;

const SECRETS: &str = "- {type: world_thing, name: a, config: {key: a, secret: hunter2}}
  - {type: world_thing, name: b, config: {key: b, secret: swordfish}}";

fn demo() -> StackId {
    StackId::new("demo", "test")
}

async fn row(story: &Story, address: &str) -> Row {
    let address: Address = address.parse().unwrap();
    story.store.rows(&demo(), &Selection::Addresses([address].into())).await.unwrap().remove(0)
}

/// Replaces texts of a row outside terrace.
async fn forge(story: &Story, row: Row) {
    let write = Write::Reseal { row: Box::new(row) };
    story.store.commit(&[], vec![Record::Write { operation: Uuid::now_v7(), write }]).await.unwrap();
}

/// The reason why the stack cannot be planned.
async fn refusal(story: &Story, text: &str) -> String {
    match story.failing_plan(text).await {
        PlanFailure::Sealed { address, error } => format!("{address}: {error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn value_of_another_row_does_not_open() {
    let story = Story::new();
    story.apply(&stack(SECRETS)).await;
    let (a, b) = (row(&story, "world_thing.a").await, row(&story, "world_thing.b").await);
    forge(&story, Row { attributes: a.attributes.clone(), ..b }).await;
    let output = refusal(&story, &stack(SECRETS)).await;
    assert!(output.contains("`/secret` of the attributes of demo@test:world_thing.b"), "{output}");
}

#[tokio::test]
async fn value_of_another_store_does_not_open() {
    let (story, other) = (Story::new(), Story::new());
    story.apply(&stack(SECRETS)).await;
    other.apply(&stack(SECRETS)).await;
    let theirs = row(&other, "world_thing.a").await.attributes;
    forge(&story, Row { attributes: theirs, ..row(&story, "world_thing.a").await }).await;
    assert!(refusal(&story, &stack(SECRETS)).await.contains("world_thing.a"));
}

#[tokio::test]
async fn value_in_the_clear_is_refused_under_a_key() {
    let story = Story::new();
    story.apply(&stack(SECRETS)).await;
    let a = row(&story, "world_thing.a").await;
    let mut json: serde_json::Value = serde_json::from_str(a.attributes.as_str()).unwrap();
    json["secret"] = "forged".into();
    forge(&story, Row { attributes: Sealed::from_stored(json.to_string()), ..a }).await;
    let output = refusal(&story, &stack(SECRETS)).await;
    assert!(output.contains("in clear text although there is a state key"), "{output}");
}

#[tokio::test]
async fn moved_row_is_sealed_for_its_new_address() {
    let story = Story::new();
    story.apply(&stack(SECRETS)).await;
    let moved = SECRETS.replace("name: a", "name: c");
    let text = format!("{}moved: [{{from: world_thing.a, to: world_thing.c}}]\n", stack(&moved));
    story.apply(&text).await;
    let c = row(&story, "world_thing.c").await;
    let strict = Seal::with_key(crate::support::story::KEY, &[]).unwrap().requiring_bound(true);
    strict.bind_to(story.store.as_ref()).await.unwrap();
    assert_eq!(record::open_attributes(&c, &strict).unwrap()["secret"].revealed().to_json_text(), "\"hunter2\"");
    let elsewhere = Row { address: "world_thing.a".parse().unwrap(), ..c };
    assert!(matches!(record::open_attributes(&elsewhere, &strict), Err(WireError::CannotOpen(_))));
}
