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
pub enum QueryError {
    /// It is not valid GraphQL.
    Invalid(String),
    /// It is valid, but not allowed.
    Denied(String),
}

/// The root fields of a document's operation, without those of GraphQL itself. `name` is `operationName`.
///
/// # Errors
/// When the request is invalid, or not allowed.
pub fn root_fields(text: &str, name: Option<&str>, allowed: Allowed) -> Result<BTreeSet<String>, QueryError> {
    let document = parse(text)?;
    let (operations, fragments) = definitions(&document)?;
    let operation = find_operation(&operations, name.filter(|name| !name.is_empty()))?;
    let kind = operation.operation_type();
    if kind.as_ref().is_some_and(|kind| kind.mutation_token().is_some()) && !allowed.mutations {
        return Err(denied("mutations are not allowed"));
    }
    if kind.as_ref().is_some_and(|kind| kind.subscription_token().is_some()) && !allowed.subscriptions {
        return Err(denied("subscriptions are not allowed"));
    }
    let mut fields = root_selection(operation, &fragments)?;
    if fields.is_empty() {
        return Err(invalid("the operation has no fields"));
    }
    fields.remove("__typename");
    if let Some(own) = fields.iter().find(|field| field.starts_with("__")).filter(|_| !allowed.introspection) {
        return Err(denied(&format!("introspection is not allowed: {own}")));
    }
    fields.retain(|field| !matches!(field.as_str(), "__schema" | "__type"));
    Ok(fields)
}

/// Whether a text is a GraphQL name: <https://spec.graphql.org/October2021/#Name>.
pub(crate) fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn invalid(why: impl Into<String>) -> QueryError {
    QueryError::Invalid(why.into())
}

fn denied(why: &str) -> QueryError {
    QueryError::Denied(why.to_owned())
}

fn parse(text: &str) -> Result<Document, QueryError> {
    if text.len() > MOST_BYTES {
        return Err(invalid(format!("the query has {} bytes, and at most {MOST_BYTES} are allowed", text.len())));
    }
    let tree = Parser::new(text).recursion_limit(MOST_DEPTH).token_limit(MOST_TOKENS).parse();
    if let Some(error) = tree.errors().next() {
        return Err(invalid(format!("the query is not GraphQL: {} (at byte {})", error.message(), error.index())));
    }
    let document = tree.document();
    // Parsers disagree about the end of such a string. One that reads less of the text sees fewer fields.
    let mut tokens = document.syntax().descendants_with_tokens().filter_map(|element| element.into_token());
    if tokens.any(|token| is_ambiguous_string(token.kind(), token.text())) {
        return Err(invalid(
            "the query has a block string with a backslash, which is not allowed: send the text as a variable",
        ));
    }
    Ok(document)
}

fn is_ambiguous_string(kind: SyntaxKind, text: &str) -> bool {
    !matches!(kind, SyntaxKind::COMMENT) && text.starts_with("\"\"\"") && text.contains('\\')
}

type Operations = Vec<(Option<String>, OperationDefinition)>;
type Fragments = BTreeMap<String, SelectedFields>;

fn definitions(document: &Document) -> Result<(Operations, Fragments), QueryError> {
    let (mut operations, mut fragments) = (Operations::new(), Fragments::new());
    for definition in document.definitions() {
        match definition {
            Definition::OperationDefinition(operation) => {
                operations.push((operation.name().map(|name| name.text().to_string()), operation));
            }
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).map(|name| name.text().to_string());
                let name = name.ok_or_else(|| invalid("a fragment has no name"))?;
                let selected = SelectedFields::of(fragment.selection_set())?;
                if fragments.insert(name.clone(), selected).is_some() {
                    return Err(invalid(format!("there are two fragments `{name}`")));
                }
            }
            _ => return Err(invalid("the document contains schema definitions")),
        }
    }
    Ok((operations, fragments))
}

/// The operation that runs.
fn find_operation<'o>(
    operations: &'o [(Option<String>, OperationDefinition)],
    name: Option<&str>,
) -> Result<&'o OperationDefinition, QueryError> {
    let names: BTreeSet<_> = operations.iter().map(|(name, _)| name).collect();
    if names.len() < operations.len() {
        return Err(invalid("two operations have the same name"));
    }
    let has_unnamed = operations.iter().any(|(name, _)| name.is_none());
    match (operations, name) {
        ([], _) => Err(invalid("the document has no operation")),
        ([_, _, ..], _) if has_unnamed => Err(invalid("an unnamed operation has to be the only one")),
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
struct SelectedFields {
    fields: BTreeSet<String>,
    fragments: BTreeSet<String>,
}

impl SelectedFields {
    /// Fields by their names, not their aliases. Inline fragments belong to the set that contains them.
    fn of(selections: Option<SelectionSet>) -> Result<Self, QueryError> {
        let mut selected = Self::default();
        let mut open: Vec<SelectionSet> = selections.into_iter().collect();
        while let Some(set) = open.pop() {
            for selection in set.selections() {
                match selection {
                    Selection::Field(field) => {
                        let name = field.name().ok_or_else(|| invalid("a field has no name"))?;
                        selected.fields.insert(name.text().to_string());
                    }
                    Selection::FragmentSpread(spread) => {
                        let name = spread.fragment_name().and_then(|name| name.name());
                        let name = name.ok_or_else(|| invalid("a fragment spread has no name"))?;
                        selected.fragments.insert(name.text().to_string());
                    }
                    Selection::InlineFragment(inline) => open.extend(inline.selection_set()),
                }
            }
        }
        Ok(selected)
    }
}

/// All root fields of an operation, including those of fragments. Each fragment is visited once.
fn root_selection(operation: &OperationDefinition, fragments: &Fragments) -> Result<BTreeSet<String>, QueryError> {
    let SelectedFields { mut fields, fragments: first } = SelectedFields::of(operation.selection_set())?;
    let (mut visited, mut open) = (BTreeSet::new(), Vec::from_iter(first));
    while let Some(name) = open.pop() {
        let fragment = fragments.get(&name).ok_or_else(|| invalid(format!("the fragment `{name}` does not exist")))?;
        if visited.insert(name) {
            fields.extend(fragment.fields.iter().cloned());
            open.extend(fragment.fragments.iter().cloned());
        }
    }
    reject_cycles(&visited, fragments)?;
    Ok(fields)
}

/// Removes fragments without remaining spreads repeatedly. The rest forms a cycle.
fn reject_cycles(visited: &BTreeSet<String>, fragments: &Fragments) -> Result<(), QueryError> {
    // For each fragment: the number of remaining spreads, and the fragments that spread it.
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let mut spread_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in visited {
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
    if ended == visited.len() { Ok(()) } else { Err(invalid("fragments spread each other in a cycle")) }
}

#[cfg(test)]
mod tests;
