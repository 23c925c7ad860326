//! Evaluates the expressions of a configuration and marks its secrets. Every value keeps its place.

use crate::files;
use crate::variables::Variables;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::expression::{Functions, Missing, ReferenceStep, Scope, Template};
use terrace_engine::source::Sources;
use terrace_engine::yaml::{Entry, Node, NodeKind};
use terrace_provider::secret_half::has_password;
use terrace_provider::{Attributes, Map, Value};

/// The value of every variable and file for an untrusted request.
const PLACEHOLDER: &str = "unavailable";

/// The field that marks a secret.
const SECRET: &str = "secret";

/// The tree with evaluated expressions. Invalid expressions are reported and stay as written.
pub(super) fn expand(
    node: &Node,
    folder: &Path,
    variables: &Variables,
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Node {
    let folder = folder.to_owned();
    let has_read = Arc::new(AtomicBool::new(false));
    let reading = Arc::clone(&has_read);
    let is_isolated = variables.is_isolated();
    let functions = Functions::with_files(move |path| {
        if is_isolated {
            return Ok(PLACEHOLDER.to_owned());
        }
        let text = read_file(&folder.join(path))?;
        reading.store(true, Ordering::Relaxed);
        Ok(text)
    });
    // Any variable may hold a secret, even outside `secret`: errors quote none.
    let variable = |name: &str| Some((name.to_owned(), Value::sensitive(variables.get(name)?.into())));
    let placeholder = is_isolated.then(|| Value::from(PLACEHOLDER));
    let scope = ConfigurationScope { variables: variables.names().filter_map(variable).collect(), placeholder };
    Expanding { scope, functions, has_read, sources, diagnostics }.node(node)
}

struct Expanding<'a> {
    scope: ConfigurationScope,
    functions: Functions,
    /// True if the expression has read a file.
    has_read: Arc<AtomicBool>,
    sources: &'a Sources,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Expanding<'_> {
    fn node(&mut self, node: &Node) -> Node {
        let kind = match &node.kind {
            NodeKind::Text(text) if text.contains("${{") => return self.text(node),
            NodeKind::List(items) => NodeKind::List(items.iter().map(|item| self.node(item)).collect()),
            NodeKind::Map(entries) => NodeKind::Map(
                entries.iter().map(|entry| Entry { value: self.node(&entry.value), ..entry.clone() }).collect(),
            ),
            other => other.clone(),
        };
        Node { span: node.span, kind }
    }

    fn text(&mut self, node: &Node) -> Node {
        let before = self.diagnostics.len();
        let template = Template::compile(node, self.sources, self.diagnostics);
        if self.diagnostics.len() > before {
            return node.clone();
        }
        self.has_read.store(false, Ordering::Relaxed);
        match template.evaluate(&self.scope, &self.functions) {
            Ok(value) => Node::of(&value.revealed(), node.span),
            // A file may hold a secret too, and results of expressions do not mark it.
            Err(found) if self.has_read.load(Ordering::Relaxed) => {
                self.diagnostics.extend(found.into_iter().map(|diagnostic| Diagnostic {
                    message: "the expression has no value".to_owned(),
                    hint: Some(
                        "correct the expression: its details are hidden because they contain text of a file".to_owned(),
                    ),
                    ..diagnostic
                }));
                node.clone()
            }
            Err(found) => {
                self.diagnostics.extend(found);
                node.clone()
            }
        }
    }
}

/// The value of a tree. `{secret: …}` is marked as sensitive, and so is a URL with a password, in any
/// field.
pub(super) fn value_of(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Map(_) => match secret(node) {
            Some(secret) => Value::sensitive(secret.to_value()),
            None => Value::Map(attributes_of(node)),
        },
        NodeKind::List(items) => Value::List(items.iter().map(value_of).collect()),
        NodeKind::Text(text) if has_password(text) => Value::sensitive(node.to_value()),
        _ => node.to_value(),
    }
}

/// The entries of a map as values.
pub(super) fn attributes_of(node: &Node) -> Attributes {
    node.as_map().unwrap_or_default().iter().map(|entry| (entry.key.clone(), value_of(&entry.value))).collect::<Map>()
}

/// The content of `{secret: …}`.
fn secret(node: &Node) -> Option<&Node> {
    match node.as_map()? {
        [entry] if entry.key == SECRET => Some(&entry.value),
        _ => None,
    }
}

/// The text of a field that may be `{secret: …}`.
pub(super) fn revealed(node: &Node) -> &Node {
    secret(node).unwrap_or(node)
}

/// The names in expressions of a configuration: environment variables.
struct ConfigurationScope {
    variables: Map,
    /// The value of every other variable.
    placeholder: Option<Value>,
}

impl Scope for ConfigurationScope {
    fn resolve(&self, root: &str, steps: &[ReferenceStep]) -> Result<Cow<'_, Value>, Missing> {
        if root != "env" {
            return Err(Missing::new(format!("there is no `{root}` in a configuration"))
                .hint("write `env.NAME` or `file(\"path\")`".to_owned()));
        }
        let [ReferenceStep::Key(name)] = steps else {
            return Err(Missing::new("`env` needs the name of one variable").hint("write `env.NAME`".to_owned()));
        };
        self.variables.get(name).or(self.placeholder.as_ref()).map(Cow::Borrowed).ok_or_else(|| {
            let by_default = || format!("set `{name}`, or give a default: `has(env.{name}) ? env.{name} : \"…\"`");
            Missing::new(format!("the environment variable `{name}` is not set"))
                .hint(did_you_mean(name, self.variables.keys().map(String::as_str)).unwrap_or_else(by_default))
                .with_resolved_steps(0)
        })
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let text = files::text(path, files::HANDWRITTEN).map_err(|error| format!("`{}`: {error}", path.display()))?;
    // Drops the final line break of editors and `echo`, which is not part of a key or a password.
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)).to_owned())
}
