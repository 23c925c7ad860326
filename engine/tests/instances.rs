//! Provider instances of resources.

use crate::support::Story;
use crate::support::story::stack;
use crate::support::world::Fault;
use std::collections::BTreeMap;
use terrace_engine::address::StackId;
use terrace_engine::compile::Given;
use terrace_engine::store::Selection;
use terrace_provider::ErrorKind;

fn in_region() -> String {
    "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\nvariables: {region: {type: string, default: eu}}\nresources:\n  \
     - {type: world_thing, name: a, provider: '${{ \"world.\" + vars.region }}', config: {key: a}}\n".to_owned()
}

#[tokio::test]
async fn expression_selects_the_instance_and_the_row_records_it() {
    let story = Story::new();
    story.apply(&in_region()).await;
    let rows = story.store.rows(&StackId::new("demo", "test"), &Selection::All).await.unwrap();
    assert_eq!(rows[0].provider, "world.eu");
    // Without a descriptor, the resource is deleted in the recorded instance.
    story.destroy().await;
    assert_eq!(story.log(), ["create a", "delete a"]);
}

#[tokio::test]
async fn name_without_its_provider_gets_a_hint_that_works() {
    let story = Story::new();
    let named = |name: &str| in_region().replace("'${{ \"world.\" + vars.region }}'", name);
    assert!(story.errors(&named("eu")).await.contains("did you mean `world.eu`?"));
    assert!(story.errors(&named("wrld")).await.contains("did you mean `world`?"));
    let errors = story.errors(&named("[world]")).await;
    assert!(errors.contains("`provider` has to be text, and is a list"), "{errors}");
    assert!(errors.contains("write one text here"), "{errors}");
    let errors = story.errors(&named("us")).await;
    assert!(errors.contains("add the key `world.us` with its settings"), "{errors}");
    assert!(errors.contains("and name it `world.us` here"), "{errors}");
}

#[tokio::test]
async fn unknown_instance_is_reported_with_the_configured_ones() {
    let mut story = Story::new();
    story.variables = BTreeMap::from([("region".to_owned(), Given::text("us", "a test"))]);
    insta::assert_snapshot!(story.errors(&in_region()).await, @"
    stack.yaml:6:44: there is no `world` instance `world.us`
      hint: in the environment `test` there are: `world`, `world.eu`; to configure another, add the key `world.us` with its settings under `providers:` of that environment in terrace.yaml
    ");
}

#[tokio::test]
async fn instance_that_is_known_only_after_apply_is_an_error() {
    let story = Story::new();
    let text = stack(
        "- {type: world_thing, name: first, config: {key: first}}\n\
         - {type: world_thing, name: a, provider: '${{ resources.first.id }}', config: {key: a}}",
    );
    insta::assert_snapshot!(story.errors(&text).await, @"
    stack.yaml:6:44: `provider` has to be text, and is known only after apply
      hint: use values that are known while planning: the component, variables (`--var NAME=VALUE`), settings; or defer it to another apply: `terrace apply stack.yaml --env test --allow-deferral`
    ");
}

#[tokio::test]
async fn check_of_settings_tries_to_connect_an_instance_once() {
    let mut story = Story::new();
    let thing = |name: &str| format!("- {{type: world_thing, name: {name}, config: {{key: {name}}}}}\n");
    story.apply(&stack(&(thing("a") + &thing("b") + &thing("c")))).await;
    story.options.refresh = false;
    story.fault("connect world", Fault::Always(ErrorKind::PermissionDenied));
    story.remote().connects = 0;
    assert_eq!(story.plan_destroy().await.counts().destroy, 3);
    assert_eq!(story.remote().connects, 1);
}

#[tokio::test]
async fn object_does_not_move_between_instances() {
    let story = Story::new();
    story.apply(&in_region()).await;
    insta::assert_snapshot!(story.errors(&in_region().replace("\"world.\" + vars.region", "\"world\"")).await, @"
    stack.yaml:6:31: demo@test:world_thing.a exists in provider instance `world.eu`, but is declared in `world`
      hint: an object cannot move between instances: give the new one another name, and remove this one
    ");
}

#[tokio::test]
async fn owners_of_a_shared_resource_need_the_same_instance() {
    let story = Story::new();
    let shared = |name: &str, provider: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\nresources:\n  \
             - {{type: world_thing, name: base, shared: common, provider: {provider}, config: {{key: base}}}}\n"
        )
    };
    story.apply(&shared("one", "world.eu")).await;
    let errors = story.errors(&shared("two", "world")).await;
    assert!(errors.contains("with a different `provider` than one@test"), "{errors}");
}
