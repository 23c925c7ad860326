//! `terrace witboost validate`: sends a descriptor to the platform's validation, and shows its results at the lines that
//! people edit.

use super::client::Client;
use super::verdict::{self, Phase, Problem, State};
use crate::args::WitboostValidateArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::input::{Input, descriptors_here, entities_below, has_no_descriptor};
use crate::report::{harmless_line, remembered, report};
use serde_json::{Value as Json, json};
use std::ops::Range;
use std::path::{Path, PathBuf};
use terrace_engine::descriptor::FrontEnd;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::repository::write;
use terrace_engine::source::{SourceId, Sources, Span};
use terrace_engine::text::shell_word;
use terrace_engine::yaml::{self, Budget, Node, NodeKind};
use terrace_provider::secret_half::{has_password, is_likely};
use terrace_provider::{Attributes, Object, Path as ValuePath, Redaction, Step, Value};

/// The code of a diagnostic about a problem that the platform found.
const CODE: &str = "witboost_validation";
/// The beginning of the id of a data product.
const PRODUCT: &str = "urn:dmb:dp:";
/// The version of a data product without one.
const FIRST_VERSION: &str = "0.0.0";

/// A descriptor to validate.
struct Descriptor {
    /// The tree of the data product, with places in the edited files.
    product: Node,
    /// The id of the data product.
    id: String,
    environment: String,
    /// The text that is sent.
    text: String,
}

/// Validates a descriptor.
///
/// # Errors
/// When the descriptor cannot be read or built, the platform cannot validate it, or the validation fails.
pub(super) async fn run(context: &Context<'_>, arguments: &WitboostValidateArguments) -> Result<Exit, Failure> {
    let paths = paths(context, arguments)?;
    let mut input = Input::read(&paths, context.ui)?;
    let mut settings = context.settings(paths.first().map(PathBuf::as_path))?;
    let products = input.build_repositories(&mut settings, &arguments.repositories, context.ui)?;
    input.accept(context.ui)?;
    let product = match products.as_slice() {
        [product] => Some(product.clone()),
        _ => None,
    };
    let descriptor = read(context, &input, product, settings.environment.as_deref())?;
    let mut sources = std::mem::take(&mut input.sources);
    let mut secrets = Vec::new();
    collect_secrets(&descriptor.product, false, &mut secrets);
    let lines: Vec<(SourceId, Range<usize>)> =
        secrets.iter().filter_map(|node| Some((node.span.source, lines_of(node.span, &sources)?))).collect();
    lines.into_iter().for_each(|(source, bytes)| sources.hide(source, bytes));
    let redaction = redaction(&secrets);
    let client = Client::new(&settings, context.ui)?;
    let version = descriptor.product.get("version").and_then(Node::as_text).unwrap_or(FIRST_VERSION);
    let body = json!({
        "descriptor": descriptor.text, "version": version, "environment": descriptor.environment, "projectKind": "System",
    });
    let name = descriptor.id.strip_prefix(PRODUCT).unwrap_or(&descriptor.id).replace(':', ".");
    let hidden = |text: &str| redaction.text(&client.redacted(text));
    let answer = client.validate(&name, body).await.map_err(|error| {
        let message = error.failure.message.as_deref().map(&hidden);
        Failure { message, hints: error.failure.hints.iter().map(|hint| hidden(hint)).collect(), ..error.failure }
    })?;
    let phases = verdict::read(&answer).map_err(|why| {
        Failure::new(format!("Witboost returns no result of the validation: {}", hidden(&why)))
            .hint("look at the data product in Witboost")
    })?;
    let sent = yaml::parse(SourceId::default(), &descriptor.text, &Budget::default()).ok();
    let places = Places { product: &descriptor.product, sent: sent.as_ref(), text: &descriptor.text };
    let diagnostics: Vec<Diagnostic> = phases.iter().flat_map(|phase| places.diagnostics(phase, &hidden)).collect();
    report(context.ui, &sources, &diagnostics);
    let is_valid = phases.iter().all(|phase| phase.state != State::Failed);
    let components: Vec<Option<String>> = phases.iter().map(|phase| places.component(phase)).collect();
    if arguments.format.is_json() {
        let all: Vec<Json> = phases
            .iter()
            .zip(&components)
            .map(|(phase, component)| json!({"phase": phase.name, "state": phase.state.word(), "component": component}))
            .collect();
        context.ui.print_json(&json!({
            "valid": is_valid, "product": descriptor.id, "environment": descriptor.environment, "phases": all,
            "diagnostics": remembered(context.ui),
        }))?;
    } else {
        let lines = phases.iter().zip(&components).map(|(phase, component)| {
            let component = component.as_deref().map(|id| format!("  {id}")).unwrap_or_default();
            format!("{:7}  {}\n", phase.state.word(), harmless_line(&format!("{}{component}", phase.name)))
        });
        let word = if is_valid { "valid" } else { "invalid" };
        let text = format!("{}{word}: {name}@{}\n", lines.collect::<String>(), descriptor.environment);
        context.ui.print(&text)?;
    }
    if is_valid { Ok(Exit::Done) } else { Err(Failure::reported(Exit::Error)) }
}

/// The paths of the command line. Without any, the only descriptor of the working directory, or its repository.
///
/// # Errors
/// When the working directory has neither, or several descriptors.
fn paths(context: &Context<'_>, arguments: &WitboostValidateArguments) -> Result<Vec<PathBuf>, Failure> {
    let here = Path::new(".");
    // An entity that cannot be read is reported later.
    let has_entities = || entities_below(here, &context.ui.silent()).map_or(true, |found| !found.is_empty());
    if arguments.paths != [here] || has_entities() {
        return Ok(arguments.paths.clone());
    }
    let command = "terrace witboost validate";
    if has_no_descriptor(here) {
        return Err(Failure::new(format!(
            "`{command}` needs a data product, and this folder has neither a descriptor nor a `catalog-info.yaml`"
        ))
        .hint(format!(
            "name the file, such as `{command} data-product.yaml`, or the folder of a `catalog-info.yaml`"
        )));
    }
    match descriptors_here().0.as_slice() {
        [] => Ok(arguments.paths.clone()),
        [only] => Ok(vec![PathBuf::from(only)]),
        several => {
            let commands: Vec<String> =
                several.iter().map(|file| format!("`{command} {}`", shell_word(file))).collect();
            Err(Failure::new(format!("`{command}` needs one data product, and this folder has several descriptors"))
                .hint(format!("name one: {}", commands.join(", "))))
        }
    }
}

/// The data product of a descriptor, or of the tree that repositories make.
///
/// # Errors
/// When the input has another number of data products than one, or no environment.
fn read(
    context: &Context<'_>,
    input: &Input,
    product: Option<Node>,
    environment: Option<&str>,
) -> Result<Descriptor, Failure> {
    let [described] = input.descriptors.as_slice() else {
        return Err(Failure::new(format!("one data product is needed, and the input has {}", input.descriptors.len()))
            .hint("name one descriptor, or the repositories of a single data product"));
    };
    if described.front_end == FrontEnd::Stack {
        return Err(Failure::new("Witboost validates data products, and this is a stack")
            .hint("`terrace validate` checks stacks"));
    }
    let (product, text) = match product {
        Some(product) => {
            let text = write(&product).map_err(Failure::new)?;
            (product, text)
        }
        None => of_file(context, input)?,
    };
    let id = product.get("id").and_then(Node::as_text).unwrap_or_default().to_owned();
    if id.is_empty() {
        return Err(
            Failure::new("the data product has no `id`").hint(format!("add an id such as `{PRODUCT}sales:orders:0`"))
        );
    }
    let described = described.environment.as_ref().map(|environment| environment.value.as_str());
    if let (Some(requested), Some(described)) = (environment, described)
        && requested != described
    {
        return Err(Failure::new(format!("the descriptor is for the environment `{described}`, not `{requested}`"))
            .hint("leave `--env` out, or pass the descriptor of that environment"));
    }
    match environment.or(described) {
        Some(environment) => Ok(Descriptor { id, environment: environment.to_owned(), product, text }),
        None => Err(Failure::new("the descriptor names no environment").hint("choose it with `--env NAME`")),
    }
}

/// The data product in the text of a descriptor, and the text to send: the platform takes no wrapped one.
fn of_file(context: &Context<'_>, input: &Input) -> Result<(Node, String), Failure> {
    let id = SourceId::default();
    let text = input.sources.get(id).map(|source| source.text.to_string()).unwrap_or_default();
    let node = yaml::parse(id, &text, &Budget::default()).map_err(|found| {
        report(context.ui, &input.sources, &found);
        Failure::reported(Exit::Error)
    })?;
    let wrapped = node.as_map().into_iter().flatten().find(|entry| entry.key.eq_ignore_ascii_case("dataProduct"));
    match wrapped {
        None => Ok((node, text)),
        Some(entry) => {
            let text = write(&entry.value).map_err(Failure::new)?;
            Ok((entry.value.clone(), text))
        }
    }
}

/// The places of problems in the files that people edit.
struct Places<'a> {
    product: &'a Node,
    /// The tree of the text that was sent.
    sent: Option<&'a Node>,
    text: &'a str,
}

impl Places<'_> {
    /// The diagnostics of a phase. `hidden` removes secrets from a text.
    fn diagnostics(&self, phase: &Phase, hidden: &dyn Fn(&str) -> String) -> Vec<Diagnostic> {
        let component = self.component(phase);
        let of_component = component.as_deref().and_then(|id| self.component_node(id));
        let subject = match &component {
            Some(id) => format!("{} of `{id}`", phase.name),
            None => phase.name.clone(),
        };
        let diagnostic = |problem: &Problem| {
            let message = format!("{subject}: {}", hidden(&problem.message));
            let diagnostic = match phase.state {
                State::Failed => Diagnostic::error(CODE, message),
                State::Warning | State::Passed => Diagnostic::warning(CODE, message),
            };
            let hint = (!problem.solutions.is_empty()).then(|| hidden(&problem.solutions.join("; ")));
            self.spans(problem, of_component).into_iter().fold(diagnostic, Diagnostic::at).maybe_hint(hint)
        };
        phase.problems.iter().map(diagnostic).collect()
    }

    /// The component of a phase: the result names it, or its messages name a single component.
    fn component(&self, phase: &Phase) -> Option<String> {
        if phase.component.is_some() {
            return phase.component.clone();
        }
        let ids = self.product.get("components").and_then(Node::as_list).into_iter().flatten();
        let ids = ids.filter_map(|component| component.get("id")?.as_text());
        let is_named = |id: &&str| phase.problems.iter().any(|problem| has_word(&problem.message, id));
        let named: Vec<&str> = ids.filter(is_named).collect();
        match named.as_slice() {
            [only] => Some((*only).to_owned()),
            _ => None,
        }
    }

    fn component_node(&self, id: &str) -> Option<&Node> {
        let components = self.product.get("components").and_then(Node::as_list)?;
        components.iter().find(|component| component.get("id").and_then(Node::as_text) == Some(id))
    }

    /// The places of a problem: those of its positions, else of its field, else of its component.
    fn spans(&self, problem: &Problem, component: Option<&Node>) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for span in problem.positions.iter().filter_map(|position| self.at_position(*position)) {
            if !spans.contains(&span) {
                spans.push(span);
            }
        }
        if spans.is_empty() {
            let field = problem.field.as_deref().and_then(|field| self.at_field(field, component));
            let heading = |node: &Node| node.entry("id").map_or(node.span, |entry| entry.value.span);
            spans.extend(field.or_else(|| component.map(heading)));
        }
        spans
    }

    /// The place of a field: of the whole descriptor, or within the component or its `specific`.
    fn at_field(&self, field: &str, component: Option<&Node>) -> Option<Span> {
        let field = ["$.", "descriptor.", "dataProduct."]
            .into_iter()
            .fold(field, |field, prefix| field.strip_prefix(prefix).unwrap_or(field));
        let path = match field.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(pointer_step).collect(),
            None => field.parse::<ValuePath>().ok()?.0,
        };
        let specific = component.and_then(|component| component.get("specific"));
        let roots = [Some(self.product), component, specific].into_iter().flatten();
        // The root with the longest known part of the path.
        let deepest = roots.map(|root| deepest(root, &path)).max_by_key(|(steps, _)| *steps)?;
        (deepest.0 > 0).then_some(deepest.1)
    }

    /// The edited place of a line and column in the text that was sent.
    fn at_position(&self, (line, column): (usize, usize)) -> Option<Span> {
        let start: usize = self.text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let rest = self.text.get(start..)?;
        let row = rest.split('\n').next().unwrap_or_default();
        let within: usize = row.chars().take(column.checked_sub(1)?).map(char::len_utf8).sum();
        let path = path_at(self.sent?, start + within);
        let (steps, span) = deepest(self.product, &path);
        (steps > 0).then_some(span)
    }
}

/// A step of a JSON pointer.
fn pointer_step(token: &str) -> Step {
    match token.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Key(token.replace("~1", "/").replace("~0", "~")),
    }
}

/// The number of known steps of a path, and the place of the last of them.
fn deepest(root: &Node, path: &[Step]) -> (usize, Span) {
    let (mut node, mut steps) = (root, 0);
    for step in path {
        let next = match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.as_list().and_then(|items| items.get(*index)),
        };
        let Some(next) = next else { break };
        (node, steps) = (next, steps + 1);
    }
    (steps, node.span)
}

/// The path to the innermost node at a byte: its key or its value.
fn path_at(root: &Node, at: usize) -> Vec<Step> {
    let has = |span: Span| Range::<usize>::from(span).contains(&at) || span.end as usize == at;
    let mut path = Vec::new();
    let mut node = root;
    loop {
        let next = match &node.kind {
            NodeKind::Map(entries) => entries
                .iter()
                .find(|entry| has(entry.key_span) || has(entry.value.span))
                .map(|entry| (Step::Key(entry.key.clone()), &entry.value, has(entry.key_span))),
            NodeKind::List(items) => items
                .iter()
                .enumerate()
                .find(|(_, item)| has(item.span))
                .map(|(index, item)| (Step::Index(index), item, false)),
            _ => None,
        };
        let Some((step, inner, is_key)) = next else { return path };
        path.push(step);
        if is_key {
            return path;
        }
        node = inner;
    }
}

/// True if a text has a word that is not a part of a longer id.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, ':' | '-' | '_');
    text.match_indices(word).any(|(at, _)| {
        let after = text.get(at + word.len()..).unwrap_or_default();
        // A colon may end the id in a sentence.
        let mut next = after.chars();
        match next.next() {
            Some(':') => !next.next().is_some_and(|c| c.is_alphanumeric()),
            Some(c) => !is_part(c),
            None => true,
        }
    })
}

/// The texts of a tree that are secret by the name of their field, or are URLs with a password.
fn collect_secrets<'n>(node: &'n Node, is_secret: bool, found: &mut Vec<&'n Node>) {
    match &node.kind {
        NodeKind::Map(entries) => entries.iter().for_each(|entry| {
            collect_secrets(&entry.value, is_secret || is_likely(&entry.key), found);
        }),
        NodeKind::List(items) => items.iter().for_each(|item| collect_secrets(item, is_secret, found)),
        NodeKind::Text(text) if is_secret || has_password(text) => found.push(node),
        NodeKind::Int(_) | NodeKind::Number(_) | NodeKind::Typed { .. } if is_secret => found.push(node),
        _ => {}
    }
}

fn redaction(secrets: &[&Node]) -> Redaction {
    let values =
        secrets.iter().enumerate().map(|(number, node)| (number.to_string(), Value::sensitive(node.to_value())));
    Redaction::of(&Object::default(), [&values.collect::<Attributes>()])
}

/// The bytes of all lines that a place touches.
fn lines_of(span: Span, sources: &Sources) -> Option<Range<usize>> {
    let text = &sources.get(span.source)?.text;
    let start = text.get(..span.start as usize)?.rfind('\n').map_or(0, |at| at + 1);
    let end = text.get(span.end as usize..)?.find('\n').map_or(text.len(), |at| at + span.end as usize);
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "id: urn:dmb:dp:a:b:0\ncomponents:\n- id: urn:dmb:cmp:a:b:0:c\n  specific:\n    user: me\n    password: hunter2\n- id: urn:dmb:cmp:a:b:0:c-d\n";

    fn tree(text: &str) -> Node {
        yaml::parse(SourceId::default(), text, &Budget::default()).unwrap()
    }

    /// The text of a place.
    #[track_caller]
    fn at(field: &str, component: Option<&str>) -> Option<String> {
        let product = tree(TEXT);
        let places = Places { product: &product, sent: None, text: "" };
        let node = component.and_then(|id| places.component_node(id));
        places.at_field(field, node).map(|span| TEXT[Range::<usize>::from(span)].to_owned())
    }

    #[test]
    fn field_is_found_from_the_product_or_its_component() {
        let component = Some("urn:dmb:cmp:a:b:0:c");
        for (field, component, expected) in [
            ("components[0].specific.user", None, Some("me")),
            ("dataProduct.components[0].specific.user", None, Some("me")),
            ("$.components[0].specific.user", None, Some("me")),
            ("/components/0/specific/user", None, Some("me")),
            ("specific.user", component, Some("me")),
            ("user", component, Some("me")),
            // The last known step counts.
            ("components[0].specific.user.name", None, Some("me")),
            ("nothing", None, None),
            ("specific.user", None, None),
            ("not a path [", None, None),
        ] {
            assert_eq!(at(field, component).as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn position_in_the_sent_text_leads_to_the_edited_one() {
        let sent = "components:\n- specific:\n    password: hunter2\n    user: me\n  id: x\nid: urn:dmb:dp:a:b:0\n";
        let (product, sent_tree) = (tree(TEXT), tree(sent));
        let places = Places { product: &product, sent: Some(&sent_tree), text: sent };
        let at = |position| places.at_position(position).map(|span| &TEXT[Range::<usize>::from(span)]);
        assert_eq!(at((4, 11)), Some("me"));
        assert_eq!(at((4, 5)), Some("me"), "at the key");
        assert_eq!(at((6, 1)), Some("urn:dmb:dp:a:b:0"));
        assert_eq!(at((99, 1)), None);
        assert_eq!(at((0, 0)), None);
    }

    #[test]
    fn component_of_a_message_is_not_confused_with_a_longer_id() {
        assert!(has_word("urn:dmb:cmp:a:b:0:c: wrong", "urn:dmb:cmp:a:b:0:c"));
        assert!(has_word("in `urn:dmb:cmp:a:b:0:c`", "urn:dmb:cmp:a:b:0:c"));
        assert!(has_word("urn:dmb:cmp:a:b:0:c", "urn:dmb:cmp:a:b:0:c"));
        assert!(!has_word("urn:dmb:cmp:a:b:0:c-d", "urn:dmb:cmp:a:b:0:c"));
        assert!(!has_word("urn:dmb:cmp:a:b:0:c:d", "urn:dmb:cmp:a:b:0:c"));
    }

    #[test]
    fn secrets_of_the_descriptor_are_redacted() {
        let product = tree(TEXT);
        let mut secrets = Vec::new();
        collect_secrets(&product, false, &mut secrets);
        assert_eq!(redaction(&secrets).text("me has hunter2"), "me has (sensitive value)");
        let mut sources = Sources::default();
        sources.add("a", TEXT);
        let lines: Vec<&str> = secrets.iter().map(|node| &TEXT[lines_of(node.span, &sources).unwrap()]).collect();
        assert_eq!(lines, ["    password: hunter2"]);
    }

    #[test]
    fn secret_is_recognized_by_every_form_of_its_name() {
        for name in ["apiKey", "private_key", "accessKey", "account_key", "pwd", "connectionString", "serviceAccount"] {
            let product = tree(&format!("components:\n- specific:\n    {name}: {{value: [hunter2]}}\n    user: me\n"));
            let mut secrets = Vec::new();
            collect_secrets(&product, false, &mut secrets);
            assert_eq!(redaction(&secrets).text("me has hunter2"), "me has (sensitive value)", "{name}");
        }
    }
}
