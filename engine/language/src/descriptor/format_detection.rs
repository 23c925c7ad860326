//! Detection of a descriptor's format by its content instead of its file name.

use super::stack;
use super::witboost::read_witboost;
use super::{Descriptor, other_files, secrets};
use crate::decode::kind_in_words;
use crate::diagnostic::{Diagnostic, Severity, did_you_mean};
use crate::source::{SourceId, Sources, Span};
use crate::yaml::{Budget, DuplicateKeys, EMPTY_FILE, Node, ParseOptions, Parsed, parse_with};

/// The hint for a file that is neither a stack nor a data product.
const EXPECTED: &str = "a stack begins with `apiVersion: terrace.dev/v1` and `kind: Stack`, a data product with \
                        `kind: dataproduct` or `dataProduct:`; `terrace init` writes a first stack into a new folder";

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stack,
    Witboost,
}

/// Reads descriptors: one for each data product, and one for each stack after merging its files.
///
/// Returns descriptors even if there are errors; check for errors before using them.
#[must_use]
pub fn read(sources: &mut Sources, ids: &[SourceId], budget: &Budget) -> (Vec<Descriptor>, Vec<Diagnostic>) {
    let (mut descriptors, mut files, mut diagnostics) = (Vec::new(), Vec::new(), Vec::new());
    let mut places: Vec<(String, Span)> = Vec::new();
    for id in ids {
        let Some((node, kind)) = parse_one(sources, *id, budget, &mut diagnostics) else { continue };
        match kind {
            Kind::Stack => {
                secrets::hide(&node, sources);
                let file = stack::read_stack(&node, sources, &mut diagnostics);
                places.extend(file.iter().map(|file| (file.name.value.clone(), file.name.span)));
                files.extend(file);
            }
            Kind::Witboost => {
                let heading = heading(&node);
                let (descriptor, found) = read_witboost(node);
                diagnostics.extend(found);
                places.extend(descriptor.iter().map(|descriptor| (descriptor.stack.clone(), heading)));
                descriptors.extend(descriptor);
            }
        }
    }
    descriptors.extend(stack::merge(files, &mut diagnostics));
    check_described_once(&descriptors, &places, &mut diagnostics);
    (descriptors, diagnostics)
}

/// Reads the descriptors in a parsed tree.
#[must_use]
pub fn read_tree(node: &Node, sources: &Sources) -> (Vec<Descriptor>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let descriptors = match detect(node, "") {
        Ok(Kind::Stack) => {
            let file = stack::read_stack(node, sources, &mut diagnostics);
            stack::merge(file.into_iter().collect(), &mut diagnostics)
        }
        Ok(Kind::Witboost) => {
            let (descriptor, found) = read_witboost(node.clone());
            diagnostics.extend(found);
            descriptor.into_iter().collect()
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            Vec::new()
        }
    };
    (descriptors, diagnostics)
}

fn parse_one(
    sources: &Sources,
    id: SourceId,
    budget: &Budget,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Node, Kind)> {
    let source = sources.get(id)?;
    let options =
        ParseOptions { budget: *budget, duplicate_keys: DuplicateKeys::WarnWhenEqual, ..ParseOptions::default() };
    if let Some(skeleton) = other_files::skeleton(id, &source.text) {
        diagnostics.push(skeleton);
        return None;
    }
    let Parsed { node, mut warnings } = match parse_with(id, &source.text, &options) {
        Ok(parsed) => parsed,
        Err(errors) => {
            let hinted = |error: Diagnostic| match error.code {
                EMPTY_FILE => error.hint(EXPECTED),
                _ => error,
            };
            diagnostics.extend(errors.into_iter().map(hinted));
            return None;
        }
    };
    let kind = match detect(&node, &source.name) {
        Ok(kind) => kind,
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            return None;
        }
    };
    if kind == Kind::Stack {
        // Duplicate keys with equal values are allowed for other systems; in terrace's own files they are errors.
        for warning in &mut warnings {
            warning.severity = Severity::Error;
        }
    }
    diagnostics.extend(warnings);
    Some((node, kind))
}

/// Detects the format of a file.
fn detect(node: &Node, file: &str) -> Result<Kind, Box<Diagnostic>> {
    let text = |key| node.get(key).and_then(Node::as_text);
    let has_product = node.as_map().unwrap_or_default().iter().any(|e| e.key.eq_ignore_ascii_case("dataProduct"));
    let is_product = text("kind").is_some_and(|kind| kind.eq_ignore_ascii_case("dataproduct"))
        || text("id").is_some_and(|id| id.starts_with("urn:dmb:dp:"));
    if text("kind") == Some("Stack") {
        return Ok(Kind::Stack);
    }
    if has_product || is_product {
        return Ok(Kind::Witboost);
    }
    if let Some(other) = other_files::recognised(node, file) {
        return Err(Box::new(other));
    }
    let (message, span) = match (node.entry("kind"), text("kind")) {
        _ if node.as_map().is_none() => (format!("expected a map, but this is {}", kind_in_words(node)), node.span),
        (Some(entry), Some(kind)) => {
            (format!("`kind: {kind}` is neither a stack nor a data product"), entry.value.span)
        }
        _ => ("the file is neither a stack nor a data product".to_owned(), heading(node)),
    };
    let hint = match text("kind") {
        Some(kind) => did_you_mean(kind, ["Stack", "dataproduct"]),
        None => None,
    };
    let hint = hint.unwrap_or_else(|| EXPECTED.to_owned());
    Err(Box::new(Diagnostic::error("unknown_descriptor", message).at(span).hint(hint)))
}

/// Reports a stack that several descriptors describe in the same environment.
fn check_described_once(descriptors: &[Descriptor], places: &[(String, Span)], diagnostics: &mut Vec<Diagnostic>) {
    for (position, descriptor) in descriptors.iter().enumerate() {
        let environment = |descriptor: &Descriptor| descriptor.environment.as_ref().map(|name| name.value.clone());
        let is_duplicate = descriptors
            .iter()
            .take(position)
            .any(|earlier| earlier.stack == descriptor.stack && environment(earlier) == environment(descriptor));
        if !is_duplicate {
            continue;
        }
        let found = places.iter().filter(|(stack, _)| *stack == descriptor.stack).rev();
        let diagnostic = found.fold(
            Diagnostic::error("duplicate_stack", format!("the stack `{}` is described twice", descriptor.stack))
                .hint("pass one descriptor for each stack, and select components with `-c`"),
            |diagnostic, (_, span)| diagnostic.at(*span),
        );
        diagnostics.push(diagnostic);
    }
}

fn heading(node: &Node) -> Span {
    node.as_map().and_then(<[_]>::first).map_or(node.span, |entry| entry.key_span)
}
