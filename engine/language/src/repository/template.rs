//! Templates of Nunjucks with the delimiters `${{ }}`, `{% %}` and `{# #}`, rendered by minijinja.
//!
//! Templates come from repositories that others can change. So a template reads no file, no network and no environment
//! variable, and its work has limits: [`FUEL`] limits time and memory, [`LONGEST_OUTPUT`] the output, and
//! [`DEEPEST_CALLS`] the recursion; [`depth`] limits nested operators and blocks. minijinja counts no work of filters and objects of this crate: these take fuel
//! themselves, before they make a list or a text.

mod assignments;
mod depth;
mod filters;
mod pattern;
mod prepare;
mod syntax_errors;
mod values;

pub(super) use prepare::{EXPRESSION, STATEMENT};
pub(super) use values::{Map, of_node, text_of_value};

use crate::diagnostic::did_you_mean;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, OutputSpanKind, UndefinedBehavior, Value};
use pattern::Compiled;
use prepare::{COMMENT, LIMITED, Prepared, SUM};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syntax_errors::{Open, unclosed};
use terrace_provider::names::listed;
use values::text;

/// Maximum work of a template: steps, and units of 64 bytes that it makes.
pub(super) const FUEL: u64 = 500_000;
/// Maximum length of a rendered template, in bytes.
pub(super) const LONGEST_OUTPUT: usize = super::limits::BUDGET.bytes;
/// Maximum length of a template, in bytes.
pub(super) const LONGEST_TEMPLATE: usize = 1 << 20;
/// The code of a template beyond a limit.
pub(super) const LIMIT: &str = "template_limit";
/// Maximum depth of calls, in minijinja's units: a macro counts several.
const DEEPEST_CALLS: usize = 200;
/// The variable for null in JavaScript.
const NULL: &str = "null";
/// The message of minijinja about a range with too many items.
const TOO_MANY: &str = "range has too many elements";
/// The beginning of its message about a template that ends too early.
const END_OF_TEXT: &str = "unexpected end of input";
/// Maximum length of a chain of names that `set` and `for` define.
const LONGEST_CHAIN: usize = 8;

/// The filters of Nunjucks, for hints.
const FILTERS: [&str; 31] = [
    "abs",
    "batch",
    "capitalize",
    "default",
    "dictsort",
    "dump",
    "first",
    "float",
    "groupby",
    "indent",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
];

/// The variables of a template.
pub(super) type Scope = BTreeMap<&'static str, Value>;

/// The error of a template.
#[derive(Debug)]
pub(super) struct Failure {
    /// The diagnostic's code.
    pub(super) code: &'static str,
    /// The message.
    pub(super) message: String,
    /// The remedy.
    pub(super) hint: Option<String>,
    /// The place in the template.
    pub(super) at: Option<Range<usize>>,
}

/// A rendered template.
#[derive(Debug)]
pub(super) struct Rendered {
    /// The output.
    pub(super) text: String,
    /// The origins of the output, in its order.
    pub(super) pieces: Vec<Piece>,
}

/// The origin of a part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The range in the output.
    pub(super) output: Range<usize>,
    /// The range in the template: text, or an expression without delimiters.
    pub(super) source: Range<usize>,
    /// True for the output of an expression.
    pub(super) is_expression: bool,
}

/// A name without a value that a template outputs or repeats.
pub(super) struct Undefined {
    pub(super) name: String,
    /// The first expression with the name.
    pub(super) at: Range<usize>,
    /// True if the expression adds the name to others: the text is `undefined`, else it is empty.
    pub(super) is_in_sum: bool,
}

/// A template.
pub(super) struct Template {
    prepared: Prepared,
    patterns: BTreeMap<String, Value>,
}

impl Template {
    /// Prepares a template.
    ///
    /// # Errors
    /// When the text is too long, or a regular expression in it is invalid.
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        if text.len() > LONGEST_TEMPLATE {
            return Err(limit(format!("the template is longer than {} MiB", LONGEST_TEMPLATE >> 20), None));
        }
        let prepared = Prepared::new(text);
        if let Some(at) = prepared.too_long.clone() {
            let message = format!("the expression has more than {} operators in a row", depth::DEEPEST_EXPRESSION);
            return Err(limit(message, Some(at)));
        }
        if text.contains('{') {
            depth::check(&prepared.text, false, syntax()).map_err(|found| {
                let at = prepared.original(found.at.start)..prepared.original(found.at.end);
                limit(found.message, Some(at))
            })?;
        }
        if let Some((name, at)) = assignments::first_lost(text, &prepared.events) {
            return Err(Failure {
                code: "template_failed",
                message: format!(
                    "`set {name}` in a loop changes `{name}` for later iterations and after the loop, which terrace does not support"
                ),
                hint: Some(
                    "compute the value without a loop, for example with `join`, or read it only behind its `set`"
                        .to_owned(),
                ),
                at: Some(at),
            });
        }
        let mut patterns = BTreeMap::new();
        for pattern in &prepared.patterns {
            let compiled = Compiled::new(pattern).map_err(|problem| Failure {
                code: "template_failed",
                message: format!("the regular expression `r/{}/` is invalid: {problem}", pattern.pattern),
                hint: None,
                at: Some(pattern.at.clone()),
            })?;
            patterns.insert(pattern.name.clone(), Value::from_object(compiled));
        }
        Ok(Self { prepared, patterns })
    }

    /// True without any expression or statement.
    pub(super) fn is_plain(&self) -> bool {
        self.prepared.is_plain()
    }

    /// Renders the template.
    ///
    /// # Errors
    /// When the template has an error, or exceeds a limit.
    pub(super) fn render(&self, scope: &Scope) -> Result<Rendered, Failure> {
        let environment = environment(FUEL);
        let template = environment.template_from_str(&self.prepared.text).map_err(|error| self.failure(&error))?;
        let (text, spans) = template.render_with_spans(self.context(scope)).map_err(|error| self.failure(&error))?;
        if text.len() > LONGEST_OUTPUT {
            return Err(limit(format!("the template renders more than {} MiB", LONGEST_OUTPUT >> 20), None));
        }
        let pieces = spans.iter().map(|span| Piece {
            output: span.output_range(),
            source: self.original(&span.source_range()),
            is_expression: span.kind() == OutputSpanKind::Expression,
        });
        let pieces = pieces.collect();
        Ok(Rendered { text, pieces })
    }

    /// Evaluates the template: a single expression keeps its type. Takes the work from `fuel`.
    ///
    /// # Errors
    /// When the template has an error, or exceeds a limit.
    pub(super) fn evaluate(&self, scope: &Scope, fuel: &mut u64) -> Result<Value, Failure> {
        const RESULT: &str = "__result";
        let expression = self.prepared.only_expression();
        let source = match expression {
            Some(expression) => format!("{{% set {RESULT} = {LIMITED}(({expression})) %}}"),
            None => self.prepared.text.clone(),
        };
        let environment = environment(*fuel);
        let failure = |error: &Error| Failure { at: None, ..self.failure(error) };
        let template = environment.template_from_str(&source).map_err(|error| failure(&error))?;
        let captured = template.render_captured(self.context(scope)).map_err(|error| failure(&error))?;
        *fuel = captured.state().fuel_levels().map_or(0, |(_, left)| left);
        Ok(match expression {
            Some(_) => captured.state().lookup(RESULT).unwrap_or_default(),
            None => Value::from(captured.output()),
        })
    }

    /// The variables that the template reads, with their attributes: `parameters.name`. Empty for a template with errors.
    pub(super) fn references(&self) -> BTreeSet<String> {
        let environment = environment(FUEL);
        let template = environment.template_from_str(&self.prepared.text);
        template.map(|template| template.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
    }

    /// Names that the template outputs or repeats although they are undefined, each with its first place. A name that a
    /// condition reads may be undefined, and so may those of an expression with an alternative.
    pub(super) fn undefined(&self, is_undefined: impl Fn(&str) -> bool) -> Vec<Undefined> {
        /// Parts of expressions that have an alternative.
        const ALTERNATIVES: [&str; 5] = ["default", "defined", " if ", " or ", " and "];
        let undefined: BTreeSet<String> =
            self.references().iter().map(|name| entry_of(name).to_owned()).filter(|name| is_undefined(name)).collect();
        if undefined.is_empty() {
            return Vec::new();
        }
        let text = |range: &Range<usize>| self.prepared.text.get(range.clone()).unwrap_or_default();
        let names = |range: &Range<usize>| {
            self.references_of(text(range)).into_iter().map(|name| entry_of(&name).to_owned()).collect::<Vec<_>>()
        };
        let mut known: BTreeSet<String> = self.prepared.conditions.iter().flat_map(names).collect();
        let mut found = Vec::new();
        for range in &self.prepared.reads {
            if ALTERNATIVES.iter().any(|word| text(range).contains(word)) {
                continue;
            }
            for name in names(range) {
                if undefined.contains(&name) && known.insert(name.clone()) {
                    let start = range.start + text(range).len() - text(range).trim_start().len();
                    let end = start + text(range).trim().len();
                    let is_in_sum = text(range).contains(SUM);
                    found.push(Undefined { name, at: self.original(&(start..end)), is_in_sum });
                }
            }
        }
        found
    }

    /// As [`Template::references`] for a part of the template: an expression, with the names that it reads resolved.
    pub(super) fn references_of(&self, expression: &str) -> BTreeSet<String> {
        let environment = environment(FUEL);
        let mut found = BTreeSet::new();
        let mut open = vec![(expression.to_owned(), 0)];
        while let Some((expression, depth)) = open.pop() {
            let expression = Prepared::new(&format!("{}{expression}{}", EXPRESSION.0, EXPRESSION.1));
            let is_too_long = expression.too_long.is_some();
            let Some(expression) = expression.only_expression() else { continue };
            if is_too_long || depth::check(expression, true, syntax()).is_err() {
                continue;
            }
            let Ok(compiled) = environment.compile_expression_owned(expression.to_owned()) else { continue };
            for name in compiled.undeclared_variables(true) {
                let first = name.split('.').next().unwrap_or_default();
                let aliases = self.prepared.aliases.iter().filter(|(alias, _)| alias == first && depth < LONGEST_CHAIN);
                let count = open.len();
                open.extend(aliases.map(|(_, expression)| (expression.clone(), depth + 1)));
                let is_own = name.starts_with("__") || name == NULL;
                if open.len() == count && !is_own {
                    found.insert(name);
                }
            }
        }
        found
    }

    fn context(&self, scope: &Scope) -> Value {
        let variables = scope.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let null = (NULL.to_owned(), Value::from(()));
        let patterns = self.patterns.iter().map(|(name, value)| (name.clone(), value.clone()));
        Value::from_pairs(variables.chain(patterns).chain([null]))
    }

    fn original(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.prepared.original(range.start);
        start..self.prepared.original(range.end).max(start)
    }

    /// The macro that is called at an offset of the converted text.
    fn macro_at(&self, at: usize) -> Option<&str> {
        let text = self.prepared.text.get(at..)?;
        let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
        let name = text.get(..end).filter(|name| !name.is_empty())?;
        self.prepared.text.contains(&format!("macro {name}(")).then_some(name)
    }

    fn failure(&self, error: &Error) -> Failure {
        let at = error.range().map(|range| self.original(&range));
        let detail = error.detail().unwrap_or_default();
        let filter = detail.strip_prefix("filter ").and_then(|rest| rest.strip_suffix(" is unknown"));
        if let (ErrorKind::UnknownFilter, Some(filter)) = (error.kind(), filter) {
            let message = format!("unknown filter `{filter}`");
            let known =
                did_you_mean(filter, FILTERS).unwrap_or_else(|| format!("the filters are {}", listed(&FILTERS)));
            return Failure { code: "template_failed", message, hint: Some(known), at };
        }
        let message = match error.kind() {
            ErrorKind::OutOfFuel => {
                return limit("the template does too much work or makes too much text".to_owned(), at);
            }
            _ if detail.contains("recursion limit") => {
                return match error.range().and_then(|range| self.macro_at(range.start)) {
                    Some(name) => Failure {
                        hint: Some(format!("let a condition end the calls of `{name}` by itself, or use a loop")),
                        ..limit(format!("the macro `{name}` calls itself too deeply"), at)
                    },
                    None => limit("the template calls itself too deeply".to_owned(), at),
                };
            }
            _ if detail == TOO_MANY => return limit(detail.to_owned(), at),
            ErrorKind::SyntaxError if detail.starts_with(END_OF_TEXT) && !detail.contains("variable block") => {
                if let Some(Open { keyword, at }) = unclosed(&self.prepared.text) {
                    return Failure {
                        code: "template_failed",
                        message: format!("`{{% {keyword} … %}}` has no end"),
                        hint: Some(format!("close the block with `{{% end{keyword} %}}`")),
                        at: Some(self.original(&at)),
                    };
                }
                detail.to_owned()
            }
            ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
                "the template reads another file, which terrace does not allow".to_owned()
            }
            ErrorKind::SyntaxError | ErrorKind::InvalidOperation | ErrorKind::UnknownMethod if !detail.is_empty() => {
                detail.to_owned()
            }
            kind if detail.is_empty() => kind.to_string(),
            kind => format!("{kind}: {detail}"),
        };
        let before = || self.prepared.text.get(..error.range().map_or(0, |range| range.start)).unwrap_or_default();
        let hint = match error.kind() {
            ErrorKind::CannotUnpack => Some("a loop with two variables takes a map, or a list of pairs".to_owned()),
            ErrorKind::SyntaxError => syntax_errors::hint(detail, before()),
            _ => None,
        };
        Failure { code: "template_failed", message, hint, at }
    }
}

/// The name of a section's entry: `parameters.name` of `parameters.name.first`.
fn entry_of(name: &str) -> &str {
    let end = name.match_indices('.').nth(1).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or(name)
}

fn limit(message: String, at: Option<Range<usize>>) -> Failure {
    let hint = Some("simplify the template: a catalog entity needs only small loops".to_owned());
    Failure { code: LIMIT, message, hint, at }
}

/// The delimiters of templates.
fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder()
        .variable_delimiters(EXPRESSION.0, EXPRESSION.1)
        .block_delimiters(STATEMENT.0, STATEMENT.1)
        .comment_delimiters(COMMENT.0, COMMENT.1)
        .keep_trailing_newline(true)
        .build();
    syntax.unwrap_or_default()
}

/// An environment without files, with the work that templates may do.
fn environment<'s>(fuel: u64) -> Environment<'s> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_formatter(|out, state, value| out.write_str(&text(state, value)?).map_err(Error::from));
    environment.set_fuel(Some(fuel));
    environment.set_recursion_limit(DEEPEST_CALLS);
    environment.set_debug(true);
    filters::add(&mut environment);
    environment
}

#[cfg(test)]
mod tests;
