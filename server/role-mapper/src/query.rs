//! Root fields of a GraphQL request, parsed according to <https://spec.graphql.org/October2021/>.
//!
//! Everything that could request data counts: aliased fields by their own names, fields of fragments on any type,
//! fields that `@include` or `@skip` may omit. Ambiguous requests are refused.

use apollo_parser::cst::{CstNode, Definition, Document, OperationDefinition, Selection, SelectionSet};
use apollo_parser::{Parser, SyntaxKind};
use std::collections::{BTreeMap, BTreeSet};

/// The longest query in bytes, also for all queries of a batch together.
pub(crate) const MOST_BYTES: usize = 1 << 18;
/// The most tokens of a query.
const MOST_TOKENS: usize = 20_000;
/// The deepest nesting of a query. The parser recurses as deep.
const MOST_DEPTH: usize = 100;

/// What requests may use besides queries for data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Introspection: `__schema` and `__type`.
    pub introspection: bool,
    /// Mutations.
    pub mutations: bool,
    /// Subscriptions.
    pub subscriptions: bool,
}

/// Why a request gets no role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is not valid GraphQL.
    Bad(String),
    /// It is valid, but not allowed.
    Denied(String),
}

/// The root fields of a document's operation, without those of GraphQL itself. `name` is `operationName`.
///
/// # Errors
/// When the request is invalid, or not allowed.
pub fn root_fields(text: &str, name: Option<&str>, allowed: Allowed) -> Result<BTreeSet<String>, Wrong> {
    let document = parsed(text)?;
    let (operations, fragments) = definitions(&document)?;
    let operation = chosen(&operations, name.filter(|name| !name.is_empty()))?;
    let kind = operation.operation_type();
    if kind.as_ref().is_some_and(|kind| kind.mutation_token().is_some()) && !allowed.mutations {
        return Err(denied("mutations are not allowed"));
    }
    if kind.as_ref().is_some_and(|kind| kind.subscription_token().is_some()) && !allowed.subscriptions {
        return Err(denied("subscriptions are not allowed"));
    }
    let mut asked = reached(operation, &fragments)?;
    if asked.is_empty() {
        return Err(bad("the operation has no fields"));
    }
    asked.remove("__typename");
    if let Some(own) = asked.iter().find(|field| field.starts_with("__")).filter(|_| !allowed.introspection) {
        return Err(denied(&format!("introspection is not allowed: {own}")));
    }
    asked.retain(|field| !matches!(field.as_str(), "__schema" | "__type"));
    Ok(asked)
}

/// Whether a text is a GraphQL name: <https://spec.graphql.org/October2021/#Name>.
pub(crate) fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn bad(why: impl Into<String>) -> Wrong {
    Wrong::Bad(why.into())
}

fn denied(why: &str) -> Wrong {
    Wrong::Denied(why.to_owned())
}

fn parsed(text: &str) -> Result<Document, Wrong> {
    if text.len() > MOST_BYTES {
        return Err(bad(format!("the query has {} bytes, and at most {MOST_BYTES} are allowed", text.len())));
    }
    let tree = Parser::new(text).recursion_limit(MOST_DEPTH).token_limit(MOST_TOKENS).parse();
    if let Some(error) = tree.errors().next() {
        return Err(bad(format!("the query is not GraphQL: {} (at byte {})", error.message(), error.index())));
    }
    let document = tree.document();
    // Parsers disagree about the end of such a string. One that reads less of the text sees fewer fields.
    let mut tokens = document.syntax().descendants_with_tokens().filter_map(|element| element.into_token());
    if tokens.any(|token| is_odd_string(token.kind(), token.text())) {
        return Err(bad(
            "the query has a block string with a backslash, which is not allowed: send the text as a variable",
        ));
    }
    Ok(document)
}

fn is_odd_string(kind: SyntaxKind, text: &str) -> bool {
    !matches!(kind, SyntaxKind::COMMENT) && text.starts_with("\"\"\"") && text.contains('\\')
}

type Operations = Vec<(Option<String>, OperationDefinition)>;
type Fragments = BTreeMap<String, Reached>;

fn definitions(document: &Document) -> Result<(Operations, Fragments), Wrong> {
    let (mut operations, mut fragments) = (Operations::new(), Fragments::new());
    for definition in document.definitions() {
        match definition {
            Definition::OperationDefinition(operation) => {
                operations.push((operation.name().map(|name| name.text().to_string()), operation));
            }
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).map(|name| name.text().to_string());
                let name = name.ok_or_else(|| bad("a fragment has no name"))?;
                let reached = Reached::of(fragment.selection_set())?;
                if fragments.insert(name.clone(), reached).is_some() {
                    return Err(bad(format!("there are two fragments `{name}`")));
                }
            }
            _ => return Err(bad("the document contains schema definitions")),
        }
    }
    Ok((operations, fragments))
}

/// The operation that runs.
fn chosen<'o>(
    operations: &'o [(Option<String>, OperationDefinition)],
    name: Option<&str>,
) -> Result<&'o OperationDefinition, Wrong> {
    let names: BTreeSet<_> = operations.iter().map(|(name, _)| name).collect();
    if names.len() < operations.len() {
        return Err(bad("two operations have the same name"));
    }
    let has_nameless = operations.iter().any(|(name, _)| name.is_none());
    match (operations, name) {
        ([], _) => Err(bad("the document has no operation")),
        ([_, _, ..], _) if has_nameless => Err(bad("an unnamed operation has to be the only one")),
        ([(_, only)], None) => Ok(only),
        (_, None) => Err(denied("`operationName` is missing, and the document has several operations")),
        (_, Some(wanted)) => {
            let found = operations.iter().find(|(name, _)| name.as_deref() == Some(wanted));
            found
                .map(|(_, operation)| operation)
                .ok_or_else(|| denied("the document has no operation with this `operationName`"))
        }
    }
}

/// The fields and fragments of one selection set.
#[derive(Debug, Default)]
struct Reached {
    fields: BTreeSet<String>,
    fragments: BTreeSet<String>,
}

impl Reached {
    /// Fields by their names, not their aliases. Inline fragments belong to the set that contains them.
    fn of(selections: Option<SelectionSet>) -> Result<Self, Wrong> {
        let mut reached = Self::default();
        let mut open: Vec<SelectionSet> = selections.into_iter().collect();
        while let Some(set) = open.pop() {
            for selection in set.selections() {
                match selection {
                    Selection::Field(field) => {
                        let name = field.name().ok_or_else(|| bad("a field has no name"))?;
                        reached.fields.insert(name.text().to_string());
                    }
                    Selection::FragmentSpread(spread) => {
                        let name = spread.fragment_name().and_then(|name| name.name());
                        let name = name.ok_or_else(|| bad("a fragment spread has no name"))?;
                        reached.fragments.insert(name.text().to_string());
                    }
                    Selection::InlineFragment(inline) => open.extend(inline.selection_set()),
                }
            }
        }
        Ok(reached)
    }
}

/// All root fields of an operation, including those of fragments. Each fragment is visited once.
fn reached(operation: &OperationDefinition, fragments: &Fragments) -> Result<BTreeSet<String>, Wrong> {
    let Reached { mut fields, fragments: first } = Reached::of(operation.selection_set())?;
    let (mut seen, mut open) = (BTreeSet::new(), Vec::from_iter(first));
    while let Some(name) = open.pop() {
        let fragment = fragments.get(&name).ok_or_else(|| bad(format!("the fragment `{name}` does not exist")))?;
        if seen.insert(name) {
            fields.extend(fragment.fields.iter().cloned());
            open.extend(fragment.fragments.iter().cloned());
        }
    }
    refuse_loops(&seen, fragments)?;
    Ok(fields)
}

/// Removes fragments without remaining spreads repeatedly. The rest forms a cycle.
fn refuse_loops(seen: &BTreeSet<String>, fragments: &Fragments) -> Result<(), Wrong> {
    // For each fragment: the number of remaining spreads, and the fragments that spread it.
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let mut spread_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in seen {
        let spread = fragments.get(name).map(|fragment| &fragment.fragments);
        left.insert(name, spread.map_or(0, BTreeSet::len));
        for target in spread.into_iter().flatten() {
            spread_by.entry(target).or_default().push(name);
        }
    }
    let mut done: Vec<&str> = left.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut ended = 0;
    while let Some(name) = done.pop() {
        ended += 1;
        for by in spread_by.get(name).into_iter().flatten() {
            if let Some(count) = left.get_mut(by) {
                *count -= 1;
                if *count == 0 {
                    done.push(by);
                }
            }
        }
    }
    if ended == seen.len() { Ok(()) } else { Err(bad("fragments spread each other in a cycle")) }
}

#[cfg(test)]
mod tests;
