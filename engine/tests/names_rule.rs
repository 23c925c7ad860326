//! Rules of names: a state keeps the names that an earlier version gave, and takes no names of another stack.

use crate::support::Story;
use crate::support::story::summary;
use terrace_engine::descriptor::FormerNames;
use terrace_engine::descriptor::transitions::Identified;
use terrace_engine::naming::NamesRule;

/// Applies the descriptor as an earlier version did, and goes on as this one.
async fn applied_before(mut story: Story, text: &str) -> Story {
    story.names = NamesRule::Ascii;
    story.apply(text).await;
    story.names = NamesRule::Latin;
    story
}

/// A folder of pipelines, each an object that names its folder in `val`.
fn folder(stack: &str, pipelines: &[&str]) -> String {
    let mut text = format!("apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {stack}}}\ncomponents:\n");
    for name in pipelines {
        text +=
            &format!("  {name}: {{resources: [{{type: world_thing, name: p, config: {{key: {name}, val: a}}}}]}}\n");
    }
    text
}

#[tokio::test]
async fn folder_of_pipelines_takes_its_former_name_from_its_own_pipelines_alone() {
    let former = |folder: &str| FormerNames {
        stack: "former".into(),
        folder: Some(("val", folder.into())),
        ..Default::default()
    };
    let identified = |names: &[&str]| {
        let of = |name: &&str| Identified { component: (*name).into(), attribute: "key", value: (*name).into() };
        names.iter().map(of).collect::<Vec<_>>()
    };
    for (folder_of, names, is_taken) in
        [("a", &["x", "y"][..], true), ("a", &["x"], false), ("a", &["z"], false), ("b", &["x", "y"], false)]
    {
        let mut story = applied_before(Story::new(), &folder("former", &["x", "y"])).await;
        (story.former, story.identified) = (Some(former(folder_of)), identified(names));
        let plan = story.try_plan(&folder("now", names)).await.0.unwrap();
        let stack = plan.stacks.iter().find(|stack| !stack.components.is_empty()).unwrap();
        assert_eq!(stack.stack.name == "former", is_taken, "{folder_of} {names:?}");
        assert!(!summary(&plan).contains("- "), "{}", summary(&plan));
    }
}
