use super::*;
use crate::descriptor::read_tree;
use crate::diagnostic::Location;
use crate::yaml::{Budget, parse};
use std::collections::BTreeMap;

/// A data product with a legacy component and a skeleton.
const ORDERS: [(&str, &str); 8] = [
    (
        "orders/catalog-info.yaml",
        "apiVersion: backstage.io/v1alpha1
kind: System
metadata: {name: sales.orders.0, description: Orders, tags: [x]}
spec:
  type: dataproduct
  owner: group:default/sales-dev
  domain: domain:sales
  mesh:
    dataProductOwner: user:default/jane.roe_example.org
    version: 0.1.0
    name: Orders
    specific: {}
",
    ),
    ("orders/environments/prod/configurations.yaml", ""),
    (
        "raw/catalog-info.yaml",
        "kind: Component
metadata: {name: sales.orders.0.raw, description: Raw files}
spec:
  type: storage
  owner: group:sales-dev
  system: system:sales.orders.0
  domain: domain:sales
  mesh:
    name: Raw
    description: Raw files
    kind: storage
    version: 0.1.0
    useCaseTemplateId: urn:dmb:utm:s3-template:0.0.0
    dependsOn: []
    specific: {region: eu-west-1, versioning: false}
",
    ),
    ("raw/environments/dev/configurations.yaml", "specific: {bucket: acme-orders-dev}\n"),
    ("raw/environments/prod/configurations.yaml", "specific: {bucket: acme-orders-prod, versioning: true}\n"),
    (
        "view/catalog-info.yaml",
        r#"%SKELETON
{% set major = parameters.identifier.split(".")[2] %}
kind: Component
metadata:
  name: ${{ parameters.identifier }}
  description: ${{ parameters.name | dump }}
spec:
  type: outputport
  domain: domain:sales
  mesh:
    name: ${{ parameters.name | dump }}
    kind: outputport
    useCaseTemplateId: ${{ values.useCaseTemplateId }}
    dependsOn: ${{ parameters.dependsOn | dump }}
    specific:
      database: ${{ env.database }}
      view: ${{ parameters.table }}_v${{ major }}
  components: {% for part in parameters.parts %}
    - name: ${{ parameters.name }} - ${{ part.name }}
      kind: outputport
      specific: {part: ${{ part.name }}}{% endfor %}
"#,
    ),
    (
        "view/parameters.yaml",
        r#"parameters:
  identifier: sales.orders.0.view
  name: View
  dependsOn: [urn:dmb:cmp:sales:orders:0:raw]
  table: ${{ parameters.name | lower }}
  parts: [{name: North}]
values: {useCaseTemplateId: "urn:dmb:utm:athena-template:0.0.0"}
readonly: {__system__: system:sales.orders.0, __version__: '${{ parameters.identifier.split(".")[2] }}.1.0'}
environmentParameters:
  dev: {database: sales_orders_v0_dev}
  prod: {database: sales_orders_v0}
"#,
    ),
    ("orders/environments/dev/configurations.yaml", ""),
];

/// Its descriptor for `prod`.
const DESCRIPTOR: &str = "projectOwner: user:jane.roe_example.org
environment: prod
domain: sales
projectKind: system
kind: dataproduct
domainId: urn:dmb:dmn:sales
id: urn:dmb:dp:sales:orders:0
description: Orders
devGroup: sales-dev
ownerGroup: jane.roe_example.org
dataProductOwner: user:default/jane.roe_example.org
version: 0.1.0
name: Orders
specific: {}
shoppable: false
components:
  - kind: storage
    id: urn:dmb:cmp:sales:orders:0:raw
    description: Raw files
    name: Raw
    version: 0.1.0
    useCaseTemplateId: urn:dmb:utm:s3-template:0.0.0
    dependsOn: []
    specific: {region: eu-west-1, versioning: true, bucket: acme-orders-prod}
    consumable: false
    shoppable: false
  - kind: outputport
    id: urn:dmb:cmp:sales:orders:0:view
    description: View
    name: View
    useCaseTemplateId: urn:dmb:utm:athena-template:0.0.0
    dependsOn: [urn:dmb:cmp:sales:orders:0:raw]
    specific: {database: sales_orders_v0, view: view_v0}
    version: 0.1.0
    consumable: true
    shoppable: true
    components:
      - kind: outputport
        id: urn:dmb:cmp:sales:orders:0:view:view---north
        name: View - North
        specific: {part: North}
        version: 0.1.0
";

struct Built {
    sources: Sources,
    products: Vec<Node>,
    diagnostics: Vec<Diagnostic>,
}

impl Built {
    fn new(files: &[(&str, &str)], environment: &str, platform: &Platform) -> Self {
        let mut sources = Sources::default();
        let mut entities: BTreeMap<String, EntityFiles> = BTreeMap::new();
        for (name, text) in files {
            let (folder, file) = name.split_once('/').unwrap();
            let id = sources.add(*name, *text);
            let entity = entities.entry(folder.to_owned()).or_default();
            entity.is_requested = true;
            match file {
                "catalog-info.yaml" => entity.catalog = id,
                "parameters.yaml" => entity.parameters = Some(id),
                _ => {
                    let name = file.split('/').nth(1).unwrap();
                    entity.environments.push(name.to_owned());
                    entity.configuration = if name == environment { Some(id) } else { entity.configuration };
                }
            }
        }
        let files: Vec<EntityFiles> = entities.into_values().collect();
        let (products, diagnostics) = build(&sources, &files, environment, platform);
        Self { sources, products, diagnostics }
    }

    /// The diagnostics after a change of a file, as `code place: message`.
    fn changed(name: &str, old: &str, new: &str) -> Vec<String> {
        let mut files = ORDERS.map(|(name, text)| (name, text.to_owned()));
        let file = files.iter_mut().find(|file| file.0 == name).unwrap();
        assert!(file.1.contains(old), "{name} has no {old}");
        file.1 = file.1.replace(old, new);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        Self::new(&files, "prod", &Platform::default()).shown()
    }

    fn shown(&self) -> Vec<String> {
        let show = |diagnostic: &Diagnostic| {
            let place = diagnostic.place(&self.sources).map_or_else(String::new, |place| place.to_string());
            format!("{} {place}: {}", diagnostic.code, diagnostic.message)
        };
        self.diagnostics.iter().map(show).collect()
    }

    /// The text of the place of a node.
    fn quoted(&self, path: &str) -> &str {
        let node = self.products[0].find_pointer(path).unwrap();
        let text = &self.sources.get(node.span.source).unwrap().text;
        text.get(node.span.start as usize..node.span.end as usize).unwrap()
    }
}

#[test]
fn descriptor_is_built_from_repositories() {
    let dev = DESCRIPTOR
        .replace("environment: prod", "environment: dev")
        .replace("versioning: true, bucket: acme-orders-prod", "versioning: false, bucket: acme-orders-dev")
        .replace("database: sales_orders_v0", "database: sales_orders_v0_dev");
    for (environment, expected) in [("dev", dev.as_str()), ("prod", DESCRIPTOR)] {
        let built = Built::new(&ORDERS, environment, &Platform::default());
        assert_eq!(built.shown(), [""; 0]);
        let [product] = built.products.as_slice() else { panic!("{:?}", built.products) };
        let text = write(product).unwrap();
        let expected = parse(Default::default(), expected, &Budget::default()).unwrap();
        assert_eq!(format!("{:#}", product.to_json()), format!("{:#}", expected.to_json()));
        let again = parse(Default::default(), &text, &Budget::default()).unwrap();
        assert_eq!(again.to_value(), product.to_value());
        let (descriptors, found) = read_tree(product, &built.sources);
        assert!(!has_errors(&found), "{found:?}");
        let keys: Vec<&str> = descriptors[0].components.iter().map(|component| component.key.as_str()).collect();
        assert_eq!((descriptors[0].stack.as_str(), keys), ("sales.orders.0", vec!["raw", "view", "view/view---north"]));
    }
}

#[test]
fn platform_adds_what_git_does_not_know() {
    let text = "users: {user:jane.roe_example.org: Jane Roe}
taxonomy: acme
types: {storage: {consumable: true}}
versions: {sales.orders.0: 0.1.0-SNAPSHOT-4}
";
    let mut found = Vec::new();
    let platform = Platform::read(&parse(Default::default(), text, &Budget::default()).unwrap(), &mut found);
    assert_eq!(found, []);
    let built = Built::new(&ORDERS, "prod", &platform);
    let product = built.products[0].to_value().to_json();
    let text = |path: &str| product.pointer(path).map(ToString::to_string).unwrap_or_default();
    assert_eq!(text("/projectOwnerDisplayName"), "\"Jane Roe\"");
    assert_eq!(text("/dataProductOwnerDisplayName"), "\"Jane Roe\"");
    assert_eq!(text("/taxonomy/id"), "\"urn:dmb:taxonomy:acme\"");
    assert_eq!(text("/version"), "\"0.1.0-SNAPSHOT-4\"");
    assert_eq!(text("/components/0/consumable"), "true");
}

#[test]
fn nodes_have_places_in_the_edited_files() {
    let built = Built::new(&ORDERS, "prod", &Platform::default());
    assert_eq!(built.quoted("/id"), "sales.orders.0");
    assert_eq!(built.quoted("/components/0/specific/region"), "eu-west-1");
    assert_eq!(built.quoted("/components/0/specific/bucket"), "acme-orders-prod");
    assert_eq!(built.quoted("/components/1/kind"), "outputport");
    assert_eq!(built.quoted("/components/1/name"), "View");
    assert_eq!(built.quoted("/components/1/dependsOn/0"), "urn:dmb:cmp:sales:orders:0:raw");
    assert_eq!(built.quoted("/components/1/specific/database"), "sales_orders_v0");
    assert_eq!(built.quoted("/components/1/specific/view"), "${{ parameters.name | lower }}");
    assert_eq!(built.quoted("/components/1/version"), "'${{ parameters.identifier.split(\".\")[2] }}.1.0'");
    assert_eq!(built.quoted("/components/1/components/0/specific/part"), "[{name: North}]");
}

#[test]
fn value_that_renders_empty_has_the_place_of_its_expression() {
    let mut files = ORDERS;
    files[6].1 = "parameters: {identifier: sales.orders.0.view, name: View, table: }
readonly: {__system__: system:sales.orders.0}
";
    let built = Built::new(&files, "prod", &Platform::default());
    assert_eq!(built.quoted("/components/1/specific/database"), "${{ env.database }}");
    assert_eq!(built.quoted("/components/1/dependsOn"), "${{ parameters.dependsOn | dump }}");
}

#[test]
fn errors_lead_to_the_edited_file() {
    let found = Built::changed("view/parameters.yaml", "parameters.name | lower", "parameters.name | lwoer");
    assert!(
        found[0].starts_with("template_failed view/parameters.yaml:5:10: the expression of `table` fails"),
        "{found:?}"
    );
    let found = Built::changed("view/catalog-info.yaml", "parameters.name | dump", "parameters.name | dmup");
    assert!(found[0].starts_with("template_failed view/catalog-info.yaml:6:"), "{found:?}");
    let found = Built::changed("view/catalog-info.yaml", "parameters.identifier.split", "parameters.no.split");
    assert!(found[0].starts_with("template_failed view/catalog-info.yaml:2:"), "{found:?}");
    let found = Built::changed("view/catalog-info.yaml", "  type: outputport", "\ttype: outputport");
    assert!(found[0].starts_with("yaml_syntax view/catalog-info.yaml:8:1"), "{found:?}");
    let found = Built::changed("view/parameters.yaml", "name: View", "name: 'View: [x'");
    assert!(found[0].starts_with("yaml_syntax view/parameters.yaml:5:10"), "of `table`, which reads it: {found:?}");
    let found = Built::changed("view/parameters.yaml", "name: North", "name: '[x'");
    assert!(found[0].starts_with("yaml_syntax view/"), "{found:?}");
    let found = Built::changed("raw/environments/prod/configurations.yaml", "{bucket", "{{bucket");
    assert!(found[0].starts_with("yaml_syntax raw/environments/prod/configurations.yaml:1:"), "{found:?}");
    let found = Built::changed("raw/catalog-info.yaml", "kind: Component\n", "");
    assert!(found[0].starts_with("missing_field raw/catalog-info.yaml:1:1"), "{found:?}");
    let found = Built::changed("view/parameters.yaml", "name: View", "name: ${{ parameters.table }}");
    assert!(found[0].starts_with("reference_cycle view/parameters.yaml:3:9"), "{found:?}");
}

#[test]
fn incomplete_checkouts_are_errors() {
    let found = Built::changed("view/parameters.yaml", "0:raw", "0:row");
    assert_eq!(
        found,
        [
            "missing_repository view/parameters.yaml:4:15: no checkout has the component `urn:dmb:cmp:sales:orders:0:row`"
        ]
    );
    let found = Built::changed("raw/catalog-info.yaml", "system:sales.orders.0", "system:sales.order.0");
    assert!(found[0].starts_with("missing_repository raw/catalog-info.yaml:6:11"), "{found:?}");
    let found =
        Built::changed("view/parameters.yaml", "urn:dmb:cmp:sales:orders:0:raw", "component:sales.orders.0.raw");
    assert!(found[0].starts_with("wrong_value view/parameters.yaml:4:15"), "{found:?}");
    let twice: Vec<_> = ORDERS.into_iter().chain([("old/catalog-info.yaml", ORDERS[2].1)]).collect();
    let found = Built::new(&twice, "prod", &Platform::default()).shown();
    assert!(found[0].starts_with("duplicate_entity raw/catalog-info.yaml:2:18"), "{found:?}");
}

#[test]
fn doubtful_files_are_warnings() {
    let found = Built::changed("raw/catalog-info.yaml", "name: sales.orders.0.raw", "name: training.orders.0.raw");
    assert!(found.iter().any(|it| it.starts_with("domain_mismatch raw/catalog-info.yaml:2:18")), "{found:?}");
    let found = Built::changed("raw/catalog-info.yaml", "dependsOn: []", "tags: [a]");
    assert_eq!(found, [""; 0]);
    let found = Built::changed("raw/environments/prod/configurations.yaml", "versioning: true", "region: {a: 1}");
    assert_eq!(found, [""; 0]);
    let found = Built::changed("view/parameters.yaml", "[{name: North}]", "[{name: '${{ values.x }}'}]");
    assert!(found[0].starts_with("expression_not_evaluated view/parameters.yaml:6:18"), "{found:?}");
    let found = Built::changed("view/parameters.yaml", "${{ parameters.name | lower }}", "parameters.name | lower");
    assert!(found[0].starts_with("expression_not_evaluated view/parameters.yaml:5:10"), "{found:?}");
    let found = Built::changed("view/parameters.yaml", "values:", "value:");
    assert!(found[0].starts_with("unknown_field view/parameters.yaml:7:1"), "{found:?}");
    let built = Built::new(&ORDERS, "qa", &Platform::default());
    assert_eq!(built.diagnostics.iter().map(|it| it.code).collect::<Vec<_>>(), ["unknown_environment"; 3]);
    assert!(built.diagnostics.iter().all(|it| matches!(it.labels[0].at, Location::Span(_))));
}

/// The diagnostics for other parameters of the skeleton, and the time to find them.
fn with_parameters(parameters: &str) -> (Vec<String>, std::time::Duration) {
    let started = std::time::Instant::now();
    let mut files = ORDERS.to_vec();
    files[6].1 = parameters;
    (Built::new(&files, "prod", &Platform::default()).shown(), started.elapsed())
}

#[test]
fn size_of_files_is_limited() {
    let long = format!("parameters: {{a: {}}}\n", "x".repeat(2 << 20));
    let (found, _) = with_parameters(&long);
    assert!(found[0].contains("view/parameters.yaml"), "{found:?}");
    let many = format!("parameters: {{a: [{}]}}\n", "1,".repeat(100_000));
    let (found, _) = with_parameters(&many);
    assert!(found[0].contains("view/parameters.yaml"), "{found:?}");
}

#[test]
fn chain_of_parameters_is_evaluated_in_order() {
    let mut text = "parameters:\n".to_owned();
    for position in 0..1_000 {
        text.push_str(&format!("  p{position}: ${{{{ parameters.p{} }}}}\n", position + 1));
    }
    text.push_str("  p1000: x\n  identifier: sales.orders.0.view\n  name: ${{ parameters.p0 }}\n");
    text.push_str("readonly: {__system__: system:sales.orders.0}\n");
    let (found, time) = with_parameters(&text);
    assert!(found.iter().all(|it| !it.contains("view/parameters.yaml")), "{found:?}");
    assert!(time.as_secs() < 20, "{time:?}");
}

#[test]
fn evaluation_of_parameters_stops_at_a_limit() {
    let loops = "${{ range(100000) | list | list | list | list | list | list | list }}";
    let (found, _) = with_parameters(&format!("parameters:\n  a: {loops}\n  b: {loops}\n  c: {loops}\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("template_limit view/parameters.yaml:2:6"), "{found:?}");
    let mut nested = "parameters:\n  p0: x\n".to_owned();
    for position in 1..400 {
        nested.push_str(&format!("  p{position}: ${{{{ [parameters.p{}] }}}}\n", position - 1));
    }
    let (found, _) = with_parameters(&nested);
    assert!(found[0].starts_with("template_limit view/parameters.yaml:"), "{found:?}");
    let mut failing = "parameters:\n".to_owned();
    (0..100).for_each(|position| failing.push_str(&format!("  p{position}: ${{{{ parameters.no.split('.') }}}}\n")));
    assert_eq!(with_parameters(&failing).0.len(), 20);
    let mut doubled = "readonly:\n  p0: [x]\n".to_owned();
    for position in 1..60 {
        doubled.push_str(&format!("  p{position}: ${{{{ [readonly.p{0}, readonly.p{0}] }}}}\n", position - 1));
    }
    doubled.push_str("  __version__: ${{ readonly.p59 }}\n");
    let (found, _) = with_parameters(&doubled);
    assert!(found[0].starts_with("template_limit view/parameters.yaml:"), "{found:?}");
}
