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
  - kind: outputport
    id: urn:dmb:cmp:sales:orders:0:view
    description: View
    name: View
    version: 0.1.0
    useCaseTemplateId: urn:dmb:utm:athena-template:0.0.0
    dependsOn: [urn:dmb:cmp:sales:orders:0:raw]
    specific: {database: sales_orders_v0, view: view_v0}
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
        assert_eq!(text, write(&expected).unwrap());
        let again = parse(Default::default(), &text, &Budget::default()).unwrap();
        assert_eq!(again.to_value(), product.to_value());
        let (descriptors, found) = read_tree(product, &built.sources);
        assert!(!has_errors(&found), "{found:?}");
        let keys: Vec<&str> = descriptors[0].components.iter().map(|component| component.key.as_str()).collect();
        assert_eq!((descriptors[0].stack.as_str(), keys), ("sales.orders.0", vec!["raw", "view", "view/view---north"]));
    }
}

/// The files of a data product as Witboost's templates make them, and the descriptor that Witboost makes of them.
#[test]
fn descriptor_is_that_of_witboost() {
    let files = [
        (
            "orders/catalog-info.yaml",
            "apiVersion: backstage.io/v1alpha1
kind: System
metadata: {name: sales.orders.0, description: Orders}
spec:
  type: dataproduct
  owner: user:jane.roe_example.org
  domain: domain:sales
  mesh:
    dataProductOwner: user:jane.roe_example.org
    devGroup: group:sales-dev
    version: 0.1.0
    name: Orders
    specific: {}
",
        ),
        (
            "raw/catalog-info.yaml",
            "kind: Component
metadata: {name: sales.orders.0.raw, description: Raw files}
spec:
  type: storage
  owner: group:sales-dev
  system: system:sales.orders.0
  domain: domain:sales
  mesh: {name: Raw, description: Raw files, kind: storage, version: 0.1.0, infrastructureTemplateId: urn:dmb:itm:terrace:0,
         useCaseTemplateId: urn:dmb:utm:s3-template:0.0.0, dependsOn: [], platform: AWS, technology: S3, storageType: Files,
         tags: [], specific: {region: eu-west-1, versioning: false}}
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
  owner: group:sales-dev
  system: system:sales.orders.0
  domain: domain:sales
  mesh:
    name: ${{ parameters.name | dump }}
    kind: outputport
    infrastructureTemplateId: urn:dmb:itm:terrace:0
    useCaseTemplateId: urn:dmb:utm:athena-template:0.0.0
    dependsOn: ${{ parameters.dependsOn | dump }}
    specific: {database: "${{ env.database }}", view: "${{ parameters.table }}_v${{ major }}"}
"#,
        ),
        (
            "view/parameters.yaml",
            "parameters:
  identifier: sales.orders.0.view
  name: View
  dependsOn: [urn:dmb:cmp:sales:orders:0:raw]
  table: orders
readonly: {__system__: system:sales.orders.0, __version__: '0.1.0'}
environmentParameters:
  dev:  {database: sales_orders_v0_dev}
  prod: {database: sales_orders_v0}
",
        ),
    ];
    let expected = "dataProductOwnerDisplayName: Jane Roe
projectOwner: user:jane.roe_example.org
projectOwnerDisplayName: Jane Roe
environment: prod
domain: sales
projectKind: system
kind: dataproduct
domainId: urn:dmb:dmn:sales
id: urn:dmb:dp:sales:orders:0
description: Orders
devGroup: group:sales-dev
ownerGroup: jane.roe_example.org
dataProductOwner: user:jane.roe_example.org
version: 0.1.0
name: Orders
specific: {}
shoppable: false
components:
  - {kind: storage, id: 'urn:dmb:cmp:sales:orders:0:raw', description: Raw files, name: Raw, version: 0.1.0,
     infrastructureTemplateId: 'urn:dmb:itm:terrace:0', useCaseTemplateId: 'urn:dmb:utm:s3-template:0.0.0', dependsOn: [],
     platform: AWS, technology: S3, storageType: Files, tags: [],
     specific: {region: eu-west-1, versioning: true, bucket: acme-orders-prod}}
  - {kind: outputport, id: 'urn:dmb:cmp:sales:orders:0:view', description: View, name: View, version: 0.1.0,
     infrastructureTemplateId: 'urn:dmb:itm:terrace:0', useCaseTemplateId: 'urn:dmb:utm:athena-template:0.0.0',
     dependsOn: ['urn:dmb:cmp:sales:orders:0:raw'], specific: {database: sales_orders_v0, view: orders_v0}, consumable: true, shoppable: true}
";
    let dev = expected
        .replace("environment: prod", "environment: dev")
        .replace("versioning: true, bucket: acme-orders-prod", "versioning: false, bucket: acme-orders-dev")
        .replace("database: sales_orders_v0,", "database: sales_orders_v0_dev,");
    let users = [("user:jane.roe_example.org".to_owned(), "Jane Roe".to_owned())];
    let platform = Platform { users: users.into(), ..Platform::default() };
    for (environment, expected) in [("prod", expected), ("dev", dev.as_str())] {
        let built = Built::new(&files, environment, &platform);
        assert_eq!(built.shown(), [""; 0]);
        let expected = parse(Default::default(), expected, &Budget::default()).unwrap();
        assert_eq!(write(&built.products[0]).unwrap(), write(&expected).unwrap());
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
values: {useCaseTemplateId: \"urn:dmb:utm:athena-template:0.0.0\"}
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
    let found = Built::changed("view/parameters.yaml", "name: View", "name: \"View");
    assert!(found.len() == 1 && found[0].starts_with("yaml_syntax view/parameters.yaml"), "one error: {found:?}");
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
    assert!(found[0].starts_with("replaced_value raw/environments/prod/configurations.yaml:1:46"), "{found:?}");
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

#[test]
fn typing_errors_in_catalog_files_are_errors() {
    let first = |name: &str, old: &str, new: &str| Built::changed(name, old, new).first().cloned().unwrap_or_default();
    let raw = "raw/catalog-info.yaml";
    for (old, new, expected) in [
        ("kind: Component", "kind: Componet", "wrong_value raw/catalog-info.yaml:1:7"),
        ("kind: Component", "kind: component", "wrong_value raw/catalog-info.yaml:1:7"),
        ("kind: Component", "kind: DataThing", "wrong_value raw/catalog-info.yaml:1:7"),
        ("kind: Component", "kidn: Component", "missing_field raw/catalog-info.yaml:1:1"),
        ("mesh:", "mseh:", "unknown_field raw/catalog-info.yaml:8:3"),
        ("spec:", "sepc:", "unknown_field raw/catalog-info.yaml:3:1"),
        ("system: system", "sytsem: system", "unknown_field raw/catalog-info.yaml:6:3"),
        ("useCaseTemplateId", "useCaseTemplatId", "unknown_field raw/catalog-info.yaml:13:5"),
        ("    useCaseTemplateId: urn:dmb:utm:s3-template:0.0.0\n", "", "missing_field raw/catalog-info.yaml:8:3"),
        ("urn:dmb:utm:s3-template:0.0.0", "", "missing_field raw/catalog-info.yaml:13:5"),
        ("specific:", "specifc:", "unknown_field raw/catalog-info.yaml:15:5"),
        ("dependsOn:", "dependOn:", "unknown_field raw/catalog-info.yaml:14:5"),
        ("    name: Raw", "    - name: Raw", "yaml_syntax raw/catalog-info.yaml"),
        (
            "  domain: domain:sales\n",
            "  domain: domain:sales\n  components: {a: b}\n",
            "wrong_type raw/catalog-info.yaml:8:15",
        ),
        (
            "  domain: domain:sales\n",
            "  domain: domain:sales\n  components: [{kind: x}]\n",
            "missing_field raw/catalog-info.yaml:8:16",
        ),
    ] {
        let found = first(raw, old, new);
        assert!(found.starts_with(expected), "{new}: {found}");
    }
    let agreements = first(raw, "    name: Raw", "    dataSharingAgreements: {}\n    name: Raw");
    assert!(agreements.starts_with("unknown_field raw/catalog-info.yaml:9:5"), "{agreements}");
    let values = "raw/environments/prod/configurations.yaml";
    let found = first(values, "specific:", "specifc:");
    assert!(found.starts_with("unknown_field raw/environments/prod/configurations.yaml:1:1"), "{found}");
    let found = first(values, "versioning: true", "versionig: true");
    assert!(found.starts_with("unknown_key raw/environments/prod/configurations.yaml:1:38"), "{found}");
    let found = first(values, "specific: {bucket: acme-orders-prod, versioning: true}", "- specific");
    assert!(found.starts_with("wrong_type raw/environments/prod/configurations.yaml:1:1"), "{found}");
    let found = first(values, "acme-orders-prod", "'${{ env.bucket }}'");
    assert!(found.starts_with("expression_not_evaluated raw/environments/prod/configurations.yaml:1:20"), "{found}");
}

#[test]
fn entity_without_mesh_is_an_error() {
    for mesh in ["", "  mesh:\n", "  mesh: x\n"] {
        let text =
            format!("kind: Component\nmetadata: {{name: sales.orders.0.raw}}\nspec:\n  system: sales.orders.0\n{mesh}");
        let mut files = ORDERS.to_vec();
        files[2].1 = &text;
        let found = Built::new(&files, "prod", &Platform::default()).shown();
        assert!(found[0].contains("raw/catalog-info.yaml") && found[0].contains("mesh"), "{mesh}: {found:?}");
    }
}

#[test]
fn other_entities_are_skipped() {
    let with = |text: &str| {
        let files: Vec<_> = ORDERS.into_iter().chain([("other/catalog-info.yaml", text)]).collect();
        let built = Built::new(&files, "prod", &Platform::default());
        assert_eq!(built.products.len(), 1, "{text}");
        built.diagnostics.iter().map(|it| (it.code, it.is_error())).collect::<Vec<_>>()
    };
    assert_eq!(with("kind: Template\nspec: {steps: ['${{ parameters.x }}']}\n"), []);
    assert_eq!(with("kind: Pod\nspec: {containers: []}\n"), [("skipped_entity", false)]);
}

#[test]
fn data_product_without_components_is_a_warning() {
    let built = Built::new(&ORDERS[..2], "prod", &Platform::default());
    assert_eq!(
        built.shown(),
        ["empty_product orders/catalog-info.yaml:3:18: the data product `sales.orders.0` has no component"]
    );
}

#[test]
fn undefined_name_is_a_warning() {
    let built = |(parameters, others): (&str, &str), old: &str, new: &str| {
        let mut files = ORDERS.map(|(name, text)| (name, text.to_owned()));
        files[6].1 = files[6].1.replace(parameters, others);
        files[5].1 = files[5].1.replace(old, new);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        Built::new(&files, "prod", &Platform::default()).shown()
    };
    let message = "undefined_name view/catalog-info.yaml:16:21: `env.database` is not defined, so it renders empty";
    assert_eq!(
        built(("  prod: {database: sales_orders_v0}\n", ""), "", ""),
        ["unknown_environment view/catalog-info.yaml:3:1: this entity has no values for the environment `prod`"]
    );
    assert_eq!(built(("database: sales_orders_v0}", "}"), "", ""), [message]);
    let found = built(("", ""), "env.database }}", "env.databse }} ${{ env.databse }}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("undefined_name view/catalog-info.yaml:16:"), "{found:?}");
    let found = Built::changed("view/parameters.yaml", "parameters.name | lower", "parameters.nam | lower");
    assert_eq!(
        found,
        ["undefined_name view/parameters.yaml:5:10: `parameters.nam` is not defined, so it renders empty"]
    );
    let found = Built::changed("view/catalog-info.yaml", "env.database", "evn.database");
    assert!(found[0].starts_with("undefined_name view/catalog-info.yaml:16:"), "{found:?}");
}

#[test]
fn undefined_name_in_a_sum_is_a_warning() {
    let found =
        Built::changed("view/catalog-info.yaml", "${{ env.database }}", "${{ values.owner + '/' + env.database }}");
    let [warning] = found.as_slice() else { panic!("{found:?}") };
    assert!(warning.ends_with("`values.owner` is not defined, so it renders as the text `undefined`"), "{warning}");
}

#[test]
fn hints_name_the_missing_part_of_a_template() {
    let built = |name: &str, old: &str, new: &str| {
        let mut files = ORDERS.map(|(name, text)| (name, text.to_owned()));
        let file = files.iter_mut().find(|file| file.0 == name).unwrap();
        assert!(file.1.contains(old), "{name} has no {old}");
        file.1 = file.1.replace(old, new);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let built = Built::new(&files, "prod", &Platform::default());
        crate::diagnostic::plain_text(&built.diagnostics, &built.sources)
    };
    let check = |text: String, expected: &[&str]| {
        assert_eq!(text.matches("]: ").count(), 1, "one diagnostic: {text}");
        expected.iter().for_each(|expected| assert!(text.contains(expected), "`{expected}` is missing: {text}"));
    };
    let skeleton = "write `%SKELETON` as its first line";
    check(built("view/catalog-info.yaml", "%SKELETON\n", ""), &["error", skeleton]);
    check(built("view/catalog-info.yaml", "%SKELETON\n", "# a comment\n%SKELETON\n"), &["error", skeleton]);
    check(
        built("raw/catalog-info.yaml", "name: Raw", "name: '${{ parameters.name }}'"),
        &["missing_skeleton", skeleton],
    );
    check(
        built("view/catalog-info.yaml", "parameters.dependsOn | dump", "parameters.dependsOn"),
        &["warning[missing_dump]", "${{ parameters.dependsOn | dump }}", "view/parameters.yaml:4:14 the value"],
    );
    let map = built("view/parameters.yaml", "table: ${{ parameters.name | lower }}", "table: {a: b}");
    check(map, &["error[missing_dump]", "view/catalog-info.yaml:", "view/parameters.yaml:5:10 the value"]);
    let broken = built("view/parameters.yaml", "table: ${{ parameters.name | lower }}", "table: '\"x: ['");
    check(
        broken,
        &[
            "error[yaml_syntax]",
            "view/catalog-info.yaml:",
            "view/parameters.yaml:5:10",
            "${{ (\"…\" + parameters.table + \"…\") | dump }}",
        ],
    );
}

#[test]
fn hint_about_quotes_is_right_when_followed() {
    let built = |database: &str| {
        let files = ORDERS.map(|(name, text)| {
            let text = text.replace("prod: {database: sales_orders_v0}", "prod: {database: 'x: y\" z'}");
            (name, text.replace("${{ env.database }}", database))
        });
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let built = Built::new(&files, "prod", &Platform::default());
        crate::diagnostic::plain_text(&built.diagnostics, &built.sources)
    };
    for (broken, hint, followed) in [
        ("${{ env.database }}", "${{ env.database | dump }}", "${{ env.database | dump }}"),
        ("${{ 'x: ' + env.database }}", "${{ ('x: ' + env.database) | dump }}", "${{ ('x: ' + env.database) | dump }}"),
        (
            "db-${{ env.database }}",
            "${{ (\"…\" + env.database + \"…\") | dump }}",
            "${{ ('db-' + env.database) | dump }}",
        ),
        ("\"${{ env.database }}\"", "without quotes around it", "${{ (env.database + '') | dump }}"),
    ] {
        let text = built(broken);
        assert!(text.contains("error[yaml_syntax]") && text.contains(hint), "{broken}: {text}");
        assert_eq!(built(followed), "", "{followed}");
    }
}

#[test]
fn expression_that_reads_a_failed_one_is_not_reported() {
    let (found, _) = with_parameters(
        "parameters:
  a: ${{ parameters.no.split('.') }}
  b: ${{ parameters.a.split('.') }}
  c: ${{ parameters.b.split('.') }}
",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("template_failed view/parameters.yaml:2:6"), "{found:?}");
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

/// The time to evaluate a chain of parameters, each of which reads the next one.
fn time_of_chain(length: usize) -> std::time::Duration {
    let mut text = "parameters:\n".to_owned();
    for position in 0..length {
        text.push_str(&format!("  p{position}: ${{{{ parameters.p{} }}}}\n", position + 1));
    }
    text.push_str(&format!("  p{length}: x\n  identifier: sales.orders.0.view\n  name: ${{{{ parameters.p0 }}}}\n"));
    text.push_str("readonly: {__system__: system:sales.orders.0}\n");
    let (found, time) = with_parameters(&text);
    assert!(found.iter().all(|it| !it.contains("view/parameters.yaml")), "{found:?}");
    time
}

#[test]
fn time_of_a_chain_of_parameters_is_linear() {
    time_of_chain(10);
    let (short, long) = (time_of_chain(500), time_of_chain(4_000));
    // Four times as much as linear: other tests use the processor too.
    assert!(long < short * 32, "8 times the length takes {long:?} instead of {short:?}");
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
