//! Detection of files that users pass by mistake instead of a descriptor, with a hint for each kind.

use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};
use crate::yaml::{Entry, Node};

/// The first characters of a skeleton.
const SKELETON: &str = "%SKELETON";
/// The top-level keys of parameters.yaml.
const PARAMETERS: [&str; 4] = ["parameters", "values", "readonly", "environmentParameters"];
/// Wrong and right suffixes of pipeline files.
const PIPELINES: [(&str, &str); 2] =
    [("pipeline-spec.yml", "pipeline-spec.yaml"), (".source-spec.yml", ".source-spec.yaml")];

/// The hint for a file that Witboost generates a descriptor from.
const PASS_DESCRIPTOR: &str =
    "pass the folder of its `catalog-info.yaml` with `--env NAME`, or the descriptor that Witboost generates from it";

/// The error for a skeleton, which is YAML only after rendering.
pub(super) fn skeleton(source: SourceId, text: &str) -> Option<Diagnostic> {
    let start = text.len() - text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
    text.get(start..)?.starts_with(SKELETON).then(|| {
        no_descriptor("this is the skeleton of a catalog entity (`%SKELETON`)", PASS_DESCRIPTOR).at(Span::new(
            source,
            start,
            start + SKELETON.len(),
        ))
    })
}

/// The error for a file of a known kind.
pub(super) fn recognised(node: &Node, file: &str) -> Option<Diagnostic> {
    let entries = node.as_map()?;
    let first = entries.first()?;
    let text = |key| node.get(key).and_then(Node::as_text);
    if let Some((end, needed)) = PIPELINES.iter().find(|(end, _)| file.ends_with(end)) {
        let hint = format!("rename it so that it ends in `{needed}`, and pass its folder");
        return Some(
            no_descriptor(&format!("this is a file of pipelines, whose name ends in `{end}`"), &hint)
                .at(first.key_span),
        );
    }
    let kind = text("kind").unwrap_or_default();
    let place = |key: &str| node.entry(key).map_or(first.key_span, |entry| entry.value.span);
    let (file_kind, hint) = match kind {
        "Blueprint" => ("a blueprint", "put it in a folder that `blueprints:` of terrace.yaml names"),
        "BlueprintTest" => ("a test of a blueprint", "run it: `terrace blueprints test FILE`"),
        _ => match catalog(node) {
            Some(found) => found,
            None => return by_keys(entries, text("id")),
        },
    };
    Some(no_descriptor(&format!("this is {file_kind} (`kind: {kind}`)"), hint).at(place("kind")))
}

/// The kind and the hint of a file of the Witboost catalog, by its `apiVersion`.
fn catalog(node: &Node) -> Option<(&'static str, &'static str)> {
    let text = |key| node.get(key).and_then(Node::as_text);
    let (kind, version) = (text("kind")?, text("apiVersion").unwrap_or_default());
    let is_of_catalog =
        ["backstage.io/", "witboost.com/", "scaffolder.backstage.io/"].iter().any(|prefix| version.starts_with(prefix));
    let has_mesh = node.get("spec").is_some_and(|spec| spec.get("mesh").is_some());
    match kind {
        _ if !is_of_catalog && !has_mesh => None,
        _ if kind.ends_with("Template") => {
            Some(("a template of Witboost", "create a data product from it, and pass its descriptor"))
        }
        _ if kind.to_ascii_lowercase().contains("taxonomy") => Some(TAXONOMY),
        _ => Some(("an entity of the catalog, as in catalog-info.yaml", PASS_DESCRIPTOR)),
    }
}

const TAXONOMY: (&str, &str) = ("a taxonomy", "pass a data product: a taxonomy only classifies data products");

/// The error for a file that only its keys identify.
fn by_keys(entries: &[Entry], id: Option<&str>) -> Option<Diagnostic> {
    let first = entries.first()?;
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    let is_of = |urn: &str| id.is_some_and(|id| id.starts_with(urn));
    let (file_kind, hint) = if is_of("urn:dmb:cmp:") {
        let hint = "pass the data product that lists it under `components`, and name it in `componentIdToProvision`";
        ("a component of a data product", hint)
    } else if is_of("urn:dmb:taxonomy:") || has("taxonomyId") || entries.iter().any(is_taxonomy) {
        TAXONOMY
    } else if is_of("urn:dmb:dmn:") {
        ("a domain", "pass a data product of it")
    } else if entries.iter().all(|entry| PARAMETERS.contains(&entry.key.as_str())) {
        ("parameters.yaml, the values for a skeleton", PASS_DESCRIPTOR)
    } else if has("specific") && !has("kind") && !has("components") {
        ("configurations.yaml, the values of an environment", PASS_DESCRIPTOR)
    } else if has("environments") && !has("kind") {
        ("the configuration of terrace", "name it with `--config`, and pass a descriptor")
    } else {
        return None;
    };
    Some(no_descriptor(&format!("this is {file_kind}"), hint).at(first.key_span))
}

fn is_taxonomy(entry: &Entry) -> bool {
    let is_kind =
        entry.key == "kind" && entry.value.as_text().is_some_and(|kind| kind.eq_ignore_ascii_case("taxonomy"));
    is_kind || entry.key.eq_ignore_ascii_case("taxonomy") && entry.value.as_map().is_some()
}

fn no_descriptor(message: &str, hint: &str) -> Diagnostic {
    Diagnostic::error("unknown_descriptor", format!("{message}, not a descriptor")).hint(hint)
}
