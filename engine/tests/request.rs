//! Data sent along with a descriptor, and info of siblings: what blueprints read of both.

use crate::support::Story;

fn blueprint(val: &str) -> &'static str {
    let text = format!(
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {{name: port, version: 1.0.0}}\nmatch: {{kind: \
         outputport}}\nspecific: {{type: object}}\nresources:\n  - {{type: world_thing, name: view, config: {{key: view, \
         val: '${{{{ {val} }}}}'}}}}\n"
    );
    text.leak()
}

fn story(val: &str, latest: Option<&'static str>) -> Story {
    choosing("port", Story { blueprints: vec![blueprint(val)], latest, ..Story::new() })
}

fn choosing(component: &str, mut story: Story) -> Story {
    story.options.components = [component.into()].into();
    story
}

/// A product with a port that depends on a storage with public info.
const PRODUCT: &str = "dataProduct:
  id: urn:dmb:dp:finance:cash:0
  name: Cash
  kind: dataproduct
  environment: test
  components:
    - {id: 'urn:dmb:cmp:finance:cash:0:port', name: Port, kind: outputport, specific: {},
       dependsOn: ['urn:dmb:cmp:finance:cash:0:store', 'urn:dmb:cmp:elsewhere:x:0:y']}
    - {id: 'urn:dmb:cmp:finance:cash:0:store', name: Store, kind: storage, specific: {},
       info: {publicInfo: {host: {type: string, label: Host, value: db-1}}}}
    - {id: 'urn:dmb:cmp:finance:cash:0:other', name: Other, kind: storage, specific: {}}
componentIdToProvision: urn:dmb:cmp:finance:cash:0:port
";

const LATEST: &str = "id: urn:dmb:dp:finance:cash:0
info: {latestProvisioningOperation: {operation: Deploy, status: Failed}}
components:
  - id: urn:dmb:cmp:finance:cash:0:port
    info: {publicInfo: {view: {value: v1}}}
";

/// The value of an expression.
async fn read(val: &str, latest: Option<&'static str>) -> String {
    let story = story(val, latest);
    story.apply_plan(&story.plan(PRODUCT).await).await.unwrap();
    story.remote_value("view", "val").to_json_text()
}

#[tokio::test]
async fn latest_provisioned_product_is_read() {
    let status = "request.latestEnriched.info.latestProvisioningOperation.status";
    assert_eq!(read(status, Some(LATEST)).await, "\"Failed\"");
    let own = "request.latestEnriched.components.filter(it, it.id == component.id)[0].info.publicInfo.view.value";
    assert_eq!(read(own, Some(LATEST)).await, "\"v1\"");
    // Wrapped like a descriptor, too.
    let wrapped = "dataProduct: {id: x, info: {publicInfo: {a: 1}}}\ncomponentIdToProvision: y\n";
    assert_eq!(read("request.latestEnriched.info.publicInfo.a", Some(wrapped)).await, "1");
}

#[tokio::test]
async fn latest_product_is_null_if_none_was_sent() {
    let val = "request.latestEnriched == null ? \"first\" : \"again\"";
    for nothing in [None, Some("null\n")] {
        assert_eq!(read(val, nothing).await, "\"first\"", "{nothing:?}");
    }
    assert_eq!(read(val, Some(LATEST)).await, "\"again\"");
}

#[tokio::test]
async fn invalid_latest_product_is_reported_only_if_it_is_read() {
    let read = "json(request.latestEnriched)";
    for (wrong, expected) in [
        ("- 1\n", "latest.yaml:1:1"),
        ("dataProduct: 7\n", "latest.yaml:1:14"),
        ("a: [1\n", "latest.yaml:"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\na: 1\n", "latest.yaml:2:1"),
    ] {
        let messages = story(read, Some(wrong)).errors(PRODUCT).await;
        assert!(messages.contains(expected), "{messages}");
    }
    // This blueprint does not read it.
    assert_eq!(self::read("component.name", Some("- 1\n")).await, "\"Port\"");
}

#[tokio::test]
async fn request_is_known_only_in_blueprints_and_their_checks() {
    let checked = blueprint("component.name").replace(
        "resources:",
        "checks:\n  - {assert: '${{ request.latestEnriched != null }}', error: it was never provisioned}\nresources:",
    );
    let story = |latest| choosing("port", Story { blueprints: vec![checked.clone().leak()], latest, ..Story::new() });
    assert!(story(None).errors(PRODUCT).await.contains("it was never provisioned"));
    story(Some(LATEST)).plan(PRODUCT).await;
    let stack = |val: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n  - {{type: world_thing, \
             name: a, config: {{key: a, val: '${{{{ {val} }}}}'}}}}\n"
        )
    };
    let errors = Story::new().errors(&stack("request.latestEnriched")).await;
    assert!(errors.contains("`request` is available only in blueprints"), "{errors}");
    let errors = Story::new().errors(&stack("reqest")).await;
    assert!(!errors.contains("request"), "{errors}");
    let errors = self::story("reqest.latestEnriched", None).errors(PRODUCT).await;
    assert!(errors.contains("did you mean `request`?"), "{errors}");
    let errors = self::story("request.latestEnrichd", None).errors(PRODUCT).await;
    assert!(errors.contains("`request` has no") && errors.contains("latestEnriched"), "{errors}");
}

#[tokio::test]
async fn public_info_of_siblings_is_read() {
    let host =
        "component.descriptor.dataProduct.components.filter(it, it.name == \"Store\")[0].info.publicInfo.host.value";
    assert_eq!(read(host, None).await, "\"db-1\"");
    let host = "component.dependencies[component.dependsOn[0]].info.publicInfo.host.value";
    assert_eq!(read(host, None).await, "\"db-1\"");
    // The dependencies that exist; none in a stack.
    assert_eq!(
        read("json(component.dependencies.map(id, id))", None).await,
        r#""[\"urn:dmb:cmp:finance:cash:0:store\"]""#
    );
    let story = choosing("a", story("size(component.dependencies)", None));
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  \
                 a: {blueprint: port, specific: {}, dependsOn: [b]}\n  b: {resources: []}\n";
    story.apply_plan(&story.plan(stack).await).await.unwrap();
    assert_eq!(story.remote_value("view", "val").to_json_text(), "0");
}

#[tokio::test]
async fn siblings_are_read_with_the_names_of_their_blueprints() {
    assert_eq!(read("component.siblings[\"other\"].name", None).await, "\"Other\"");
    let names = "json(component.siblings.map(key, key + \" \" + string(component.siblings[key].blueprint != null)))";
    assert_eq!(read(names, None).await, r#""[\"other false\",\"port true\",\"store false\"]""#);
    // A component cannot claim another blueprint.
    let lying = PRODUCT.replace("name: Other,", "name: Other, blueprint: port,");
    let story = story("json(component.siblings[\"other\"].blueprint)", None);
    story.apply_plan(&story.plan(&lying).await).await.unwrap();
    assert_eq!(story.remote_value("view", "val").to_json_text(), "\"null\"");
    let story = choosing("a", self::story("size(component.siblings)", None));
    let stack = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\ncomponents:\n  \
                 a: {blueprint: port, specific: {}, dependsOn: [b]}\n  b: {resources: []}\n";
    story.apply_plan(&story.plan(stack).await).await.unwrap();
    assert_eq!(story.remote_value("view", "val").to_json_text(), "0");
}
