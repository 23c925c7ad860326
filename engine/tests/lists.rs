//! Types whose objects are read by a list: one call reads them all.

use crate::support::Story;
use crate::support::story::{stack, summary};
use crate::support::world::Fault;
use terrace_provider::ErrorKind;

fn many() -> String {
    stack("- {type: world_listed, name: a, forEach: '${{ range(600) }}', config: {key: 'k${{ string(each.value) }}'}}")
}

#[tokio::test]
async fn list_is_read_once_for_all_objects() {
    let story = Story::new();
    let text = many();
    story.apply(&text).await;
    story.remote().reads.clear();
    assert_eq!(summary(&story.plan(&text).await), "");
    assert_eq!(story.remote().reads, ["list 600 objects"]);
}

#[tokio::test]
async fn list_that_a_lost_connection_ends_is_repeated() {
    let story = Story::new();
    let text = many();
    story.apply(&text).await;
    story.remote().reads.clear();
    story.fault("list", Fault::Before(ErrorKind::Transient));
    assert_eq!(summary(&story.plan(&text).await), "");
    assert_eq!(story.remote().reads, ["list 600 objects", "list 600 objects"]);
}
