//! Types whose objects are read by a list: one call reads them all.

use crate::support::Story;
use crate::support::story::{stack, summary};

#[tokio::test]
async fn list_is_read_once_for_all_objects() {
    let story = Story::new();
    let text = stack(
        "- {type: world_listed, name: a, forEach: '${{ range(600) }}', config: {key: 'k${{ string(each.value) }}'}}",
    );
    story.apply(&text).await;
    story.remote().reads.clear();
    assert_eq!(summary(&story.plan(&text).await), "");
    assert_eq!(story.remote().reads, ["list 600 objects"]);
}
