//! Grants of tokens and roles: scopes and limits.

use super::super::fields::read;
use super::super::limits::whole_number;
use crate::memory::size;
use std::collections::BTreeSet;
use terrace_engine::decode::{Fields, wrong_type};
use terrace_engine::diagnostic::{Diagnostic, did_you_mean};
use terrace_engine::source::Span;
use terrace_engine::yaml::{Entry, Node};
use terrace_server::auth::{Action, DATA_LOSS, Grant, Limits, Names, Pattern, Quota, Scope};
use terrace_server::pipelines::PipelineLimits;

/// The grant of a role: a scope, or a map like that of a token.
pub(super) fn role(entry: &Entry, owner: Owner, diagnostics: &mut Vec<Diagnostic>) -> Option<Grant> {
    if let Some(word) = entry.value.as_text() {
        return Words::of(&[(word, entry.value.span)], diagnostics).grant(
            entry.value.span,
            Limits::default(),
            diagnostics,
        );
    }
    if entry.value.as_map().is_none() {
        let what = format!("the role `{}`", entry.key);
        diagnostics.push(wrong_type(&what, "a scope, or a map with `scopes` and `limits`", &entry.value));
        return None;
    }
    let mut fields = Fields::open(&entry.value, "a role", diagnostics)?;
    let grant = grant(&entry.value, &mut fields, owner);
    fields.finish();
    grant
}

/// Owners of grants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A token of the configuration, or a role of callers whose tokens have no claims.
    WithoutClaims,
    /// A role of an issuer whose tokens have claims.
    WithClaims,
}

/// `scopes` and `limits`.
pub(super) fn grant(node: &Node, fields: &mut Fields<'_, '_>, owner: Owner) -> Option<Grant> {
    let is_limited = is_filled(node, "limits", fields.diagnostics);
    let scopes = fields.texts("scopes");
    let words: Vec<(&str, Span)> = scopes.iter().map(|word| (word.value.as_str(), word.span)).collect();
    let span = fields.optional("scopes").map_or_else(|| fields.span(), |entry| entry.value.span);
    let words = Words::of(&words, fields.diagnostics);
    let limits = match fields.optional("limits") {
        Some(entry) => limits(&entry.value, owner, fields.diagnostics),
        None => Some(Limits::default()),
    };
    words.grant(span, limits?, fields.diagnostics).filter(|_| is_limited)
}

/// Reports a limit without a value: null would mean the default, which is unlimited.
fn is_filled(node: &Node, name: &str, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let Some(empty) = node.get(name).filter(|value| value.is_null()) else { return true };
    diagnostics.push(
        Diagnostic::error("missing_field", format!("`{name}` is empty"))
            .at(empty.span)
            .hint(format!("give `{name}` a value, or leave it out to allow all")),
    );
    false
}

/// The words of `scopes`.
#[derive(Default)]
struct Words {
    largest: Option<Scope>,
    is_data_loss_allowed: bool,
    is_any_unknown: bool,
}

impl Words {
    fn of(words: &[(&str, Span)], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut read = Self::default();
        for (word, span) in words {
            match *word {
                DATA_LOSS => read.is_data_loss_allowed = true,
                word => {
                    let scope = scope(word, *span, diagnostics);
                    read.is_any_unknown |= scope.is_none();
                    read.largest = read.largest.max(scope);
                }
            }
        }
        read
    }

    fn grant(self, span: Span, limits: Limits, diagnostics: &mut Vec<Diagnostic>) -> Option<Grant> {
        let Self { largest, is_data_loss_allowed, is_any_unknown } = self;
        let consents_alone =
            is_data_loss_allowed && !matches!(largest, Some(Scope::Plan | Scope::Apply | Scope::Admin));
        if is_any_unknown {
            return None;
        }
        if consents_alone {
            diagnostics.push(
                Diagnostic::error("missing_field", format!("`{DATA_LOSS}` has no effect without `plan` or `apply`"))
                    .at(span)
                    .hint(format!("write `scopes: [apply, {DATA_LOSS}]`")),
            );
            return None;
        }
        if largest.is_none() {
            diagnostics.push(
                Diagnostic::error("missing_field", "a token has no `scopes`")
                    .at(span)
                    .hint("add its scopes: `scopes: [apply]`"),
            );
        }
        Some(Grant { scope: largest?, is_data_loss_allowed, limits })
    }
}

/// `limits`. `None` if they are wrong: a token without limits would have more rights than intended.
fn limits(node: &Node, owner: Owner, diagnostics: &mut Vec<Diagnostic>) -> Option<Limits> {
    let before = diagnostics.len();
    for name in ["environments", "domains", "stacks", "actions", "queue", "pipelines"] {
        is_filled(node, name, diagnostics);
    }
    let mut fields = Fields::open(node, "`limits`", diagnostics)?;
    let mut limits = Limits {
        environments: names(&mut fields, "environments", owner),
        domains: names(&mut fields, "domains", owner),
        stacks: names(&mut fields, "stacks", owner),
        ..Limits::default()
    };
    if fields.optional("actions").is_some() {
        limits.actions = Some(actions(&mut fields));
    }
    if let Some(entry) = fields.optional("queue")
        && let Some(mut queue) = Fields::open(&entry.value, "`queue`", fields.diagnostics)
    {
        let mut count =
            |name| whole_number(&mut queue, name, 1, i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok());
        limits.queue = Quota { waiting: count("waiting"), running: count("running") };
        queue.finish();
    }
    if let Some(entry) = fields.optional("pipelines") {
        limits.pipelines = pipeline_limits(&entry.value, "`pipelines`", fields.diagnostics);
    }
    fields.finish();
    (diagnostics.len() == before).then_some(limits)
}

/// The limits of pipelines of a token, a role or an organisation.
pub(super) fn pipeline_limits(node: &Node, what: &'static str, diagnostics: &mut Vec<Diagnostic>) -> PipelineLimits {
    let Some(mut fields) = Fields::open(node, what, diagnostics) else { return PipelineLimits::default() };
    let mut count = |name| whole_number(&mut fields, name, 0, i64::MAX).and_then(|count| u64::try_from(count).ok());
    let mut limits = PipelineLimits {
        concurrent_runs: count("concurrentRuns"),
        run_seconds_per_day: count("runSecondsPerDay"),
        rows_per_day: count("rowsPerDay"),
        database_hours_per_day: count("databaseHoursPerDay"),
        stored_bytes: None,
    };
    limits.stored_bytes = read(&mut fields, "storedBytes", ("a size", "10GB"), size);
    fields.finish();
    limits
}

fn actions(fields: &mut Fields<'_, '_>) -> BTreeSet<Action> {
    let mut actions = BTreeSet::new();
    for word in fields.texts("actions") {
        let known = Action::WORDS.iter().find(|(name, _)| *name == word.value);
        actions.extend(known.map(|(_, action)| *action));
        if known.is_none() {
            let names = Action::WORDS.map(|(name, _)| name);
            fields.diagnostics.push(
                Diagnostic::error("unknown_action", format!("`{}` is not an action", word.value))
                    .at(word.span)
                    .hint(format!("actions are {}; reading is always allowed", names.join(", ")))
                    .maybe_hint(did_you_mean(&word.value, names)),
            );
        }
    }
    actions
}

/// Names that a limit allows: patterns, or `{claim: PATH}` in roles of an issuer.
fn names(fields: &mut Fields<'_, '_>, name: &'static str, owner: Owner) -> Names {
    let Some(entry) = fields.optional(name) else { return Names::Any };
    if entry.value.as_map().is_some() {
        let Some(mut claim) = Fields::open(&entry.value, name, fields.diagnostics) else { return Names::Any };
        let path = claim.required_text("claim");
        claim.finish();
        if owner == Owner::WithoutClaims {
            fields.diagnostics.push(
                Diagnostic::error("wrong_value", format!("`{name}` cannot name a claim here: such a token has none"))
                    .at(entry.value.span)
                    .hint(format!("list patterns of names: `{name}: [finance]`, or use `mode: oidc`")),
            );
        }
        return path.map_or(Names::Any, |path| Names::Claim(path.value));
    }
    let mut patterns = Vec::new();
    for text in fields.texts(name) {
        match Pattern::new(&text.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => fields.diagnostics.push(
                Diagnostic::error("wrong_value", format!("`{}` is not a pattern of names: {why}", text.value))
                    .at(text.span)
                    .hint("write a name, with `*` for any characters: `finance.*`"),
            ),
        }
    }
    if patterns.is_empty() && entry.value.as_list().is_some_and(<[Node]>::is_empty) {
        fields.diagnostics.push(
            Diagnostic::error("missing_field", format!("`{name}` allows nothing: it is empty"))
                .at(entry.value.span)
                .hint(format!("list patterns of names, or leave `{name}` out to allow all")),
        );
    }
    Names::Patterns(patterns)
}

/// The scope with that name.
fn scope(word: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Scope> {
    let known = Scope::WORDS.iter().find(|(name, _)| *name == word).map(|(_, scope)| *scope);
    if known.is_none() {
        diagnostics.push(
            Diagnostic::error("unknown_scope", format!("the scope `{word}` does not exist"))
                .at(span)
                .hint(
                    "scopes are `read`, `plan`, `apply` and `admin`, each with those before it; `data-loss` is separate",
                )
                .maybe_hint(did_you_mean(word, Scope::WORDS.iter().map(|(name, _)| *name).chain([DATA_LOSS]))),
        );
    }
    known
}
