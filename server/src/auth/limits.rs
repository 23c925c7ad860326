//! Limits of callers: environments, domains, stacks and actions, and how much of the queue one caller may take.
//!
//! [`Principal::may`] is the only place that decides. Every route asks it through `Caller`; `super::guard` answers 500
//! for a route that does not.

use super::scope::Scope;
use crate::pipelines::PipelineLimits;
use globset::{Glob, GlobMatcher};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Reads state, operations, plans and configuration.
    Read,
    /// Validates a descriptor.
    Validate,
    /// Plans a descriptor.
    Plan,
    /// Looks for drift.
    Drift,
    /// Answers reverse provisioning.
    Reverse,
    /// Lists remote objects for a picker.
    Pick,
    /// Provisions a data product or a component.
    Provision,
    /// Unprovisions a data product or a component; applies a plan that removes one.
    Unprovision,
    /// Replaces the access list of a component.
    UpdateAcl,
    /// Applies a plan.
    Apply,
    /// Stops an operation.
    Cancel,
    /// Breaks a lease.
    Unlock,
    /// Starts a run of a data pipeline.
    Run,
    /// Extends or stops a database of data pipelines.
    Database,
}

impl Action {
    /// The actions that `limits.actions` may name. Reading is always allowed within the other limits.
    pub const WORDS: [(&'static str, Self); 13] = [
        ("validate", Self::Validate),
        ("plan", Self::Plan),
        ("drift", Self::Drift),
        ("reverse-provisioning", Self::Reverse),
        ("pick", Self::Pick),
        ("provision", Self::Provision),
        ("unprovision", Self::Unprovision),
        ("updateacl", Self::UpdateAcl),
        ("apply", Self::Apply),
        ("cancel", Self::Cancel),
        ("unlock", Self::Unlock),
        ("run", Self::Run),
        ("database", Self::Database),
    ];

    /// The word of the action: `provision`.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, action)| *action == self).map_or("read", |(word, _)| word)
    }

    /// The least scope for the action.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::Read,
            Self::Validate | Self::Plan | Self::Drift | Self::Reverse | Self::Pick => Scope::Plan,
            Self::Provision
            | Self::Unprovision
            | Self::UpdateAcl
            | Self::Apply
            | Self::Cancel
            | Self::Run
            | Self::Database => Scope::Apply,
            Self::Unlock => Scope::Admin,
        }
    }

    /// True if the action changes remote objects, state, or operations of other callers.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self.scope(), Scope::Apply | Scope::Admin)
    }
}

/// A glob pattern: `*` and `?` match any characters, `{a,b}` either word.
#[derive(Debug, Clone)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the pattern is empty or invalid, with the reason.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        Glob::new(text).map(|glob| Self(glob.compile_matcher())).map_err(|error| error.kind().to_string())
    }

    fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    fn matches_full_names(&self) -> bool {
        self.0.glob().glob().contains('@')
    }
}

/// The names that a limit allows.
#[derive(Debug, Clone, Default)]
pub enum Names {
    /// All names.
    #[default]
    Any,
    /// Names that match one of these patterns.
    Patterns(Vec<Pattern>),
    /// Names that a claim of the caller's token lists literally. Without this claim no name is allowed.
    Claim(String),
    /// These literal names.
    Exactly(BTreeSet<String>),
}

impl Names {
    const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    fn allow(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
            Self::Exactly(names) => names.contains(name),
            Self::Claim(_) => false,
        }
    }

    /// A pattern with `@` is matched against `name@environment`, any other pattern against the name.
    fn allow_stack(&self, stack: &StackId) -> bool {
        let full = stack.to_string();
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| match pattern.matches_full_names() {
                true => pattern.matches(&full),
                false => pattern.matches(&stack.name),
            }),
            Self::Exactly(names) => names.contains(&stack.name) || names.contains(&full),
            Self::Any => true,
            Self::Claim(_) => false,
        }
    }

    fn resolve_claims(&self, claims: &Map<String, Json>) -> Self {
        match self {
            Self::Claim(path) => Self::Exactly(claim_words(claims, path).map(str::to_owned).collect()),
            other => other.clone(),
        }
    }
}

/// The words of a claim: the items of a list, or the words of a text.
pub(super) fn claim_words<'c>(claims: &'c Map<String, Json>, path: &str) -> impl Iterator<Item = &'c str> {
    let (list, text): (&[Json], &str) = match crate::jwt::claim(claims, path) {
        Some(Json::Array(list)) => (list, ""),
        Some(Json::String(text)) => (&[], text),
        _ => (&[], ""),
    };
    list.iter().filter_map(Json::as_str).chain(text.split_whitespace())
}

/// A caller's share of the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Requests that may wait for a worker; `None` means the default of the server.
    pub waiting: Option<u32>,
    /// Requests that may run at once; `None` means all workers.
    pub running: Option<u32>,
}

/// The limits of a token or a role. The default has no limits.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Environments.
    pub environments: Names,
    /// Domains of data products: the first part of a stack's name.
    pub domains: Names,
    /// Stacks, as `name` or as `name@environment`.
    pub stacks: Names,
    /// Actions; `None` means all actions of the scope.
    pub actions: Option<BTreeSet<Action>>,
    /// The share of the queue.
    pub queue: Quota,
    /// Runs of pipelines, and their results.
    pub pipelines: PipelineLimits,
}

/// The scopes and limits of a token or a role.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The largest scope.
    pub scope: Scope,
    /// Whether the grant includes consent to the loss of data. [`Scope::Admin`] always does.
    pub is_data_loss_allowed: bool,
    /// Where the scope holds.
    pub limits: Limits,
}

impl From<Scope> for Grant {
    fn from(scope: Scope) -> Self {
        Self { scope, is_data_loss_allowed: false, limits: Limits::default() }
    }
}

impl Grant {
    /// The grant with the names that the claims of a token list.
    pub(super) fn resolve_claims(&self, claims: &Map<String, Json>) -> Self {
        let Limits { environments, domains, stacks, actions, queue, pipelines } = &self.limits;
        let [environments, domains, stacks] = [environments, domains, stacks].map(|names| names.resolve_claims(claims));
        Self {
            limits: Limits {
                environments,
                domains,
                stacks,
                actions: actions.clone(),
                queue: *queue,
                pipelines: *pipelines,
            },
            ..self.clone()
        }
    }

    fn allows(&self, action: Action, consents: bool, resources: &[Resource<'_>]) -> bool {
        self.allows_action(action)
            && (!consents || self.consents())
            && resources.iter().all(|resource| self.covers(resource))
    }

    /// True if its limits hide any object.
    pub(super) const fn hides(&self) -> bool {
        let Limits { environments, domains, stacks, .. } = &self.limits;
        !(environments.is_any() && domains.is_any() && stacks.is_any())
    }

    const fn consents(&self) -> bool {
        self.is_data_loss_allowed || matches!(self.scope, Scope::Admin)
    }

    fn allows_action(&self, action: Action) -> bool {
        let is_listed = |actions: &BTreeSet<Action>| actions.contains(&action) || action == Action::Read;
        self.scope >= action.scope() && self.limits.actions.as_ref().is_none_or(is_listed)
    }

    fn covers(&self, resource: &Resource<'_>) -> bool {
        let Limits { environments, domains, stacks, .. } = &self.limits;
        match resource {
            Resource::Any => true,
            Resource::Environment(name) => environments.allow(name),
            Resource::WholeEnvironment(name) => environments.allow(name) && stacks.is_any() && domains.is_any(),
            Resource::Stack(stack) => {
                let own = domains_of(&stack.name);
                environments.allow(&stack.environment)
                    && stacks.allow_stack(stack)
                    && (domains.is_any() || !own.is_empty() && own.iter().all(|domain| domains.allow(domain)))
            }
            Resource::Named { environment, domains: named } => {
                environment.is_none_or(|name| environments.allow(name)) && named.iter().all(|name| domains.allow(name))
            }
        }
    }
}

/// The possible domains of a stack's name: `finance` for `finance.cashflow.0`. With more parts, the domain or the
/// product may contain dots, so all readings count. A name without dots has no domain.
fn domains_of(name: &str) -> Vec<&str> {
    let ends: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
    let most = ends.len().saturating_sub(1).max(1);
    ends.into_iter().take(most).filter_map(|end| name.get(..end)).collect()
}

/// An object that a call acts on.
#[derive(Debug, Clone)]
pub(crate) enum Resource<'r> {
    /// No particular object: whether the caller may do the action anywhere.
    Any,
    /// An environment.
    Environment(&'r str),
    /// An environment with everything in it, for grants without limits to stacks or domains only.
    WholeEnvironment(&'r str),
    /// A stack.
    Stack(&'r StackId),
    /// An environment and domains that a descriptor names in addition to those of its stack: blueprints may read them.
    Named { environment: Option<&'r str>, domains: Vec<&'r str> },
}

/// A caller with its grants.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The name of the owner; `None` if the server requires no tokens.
    pub(crate) name: Option<String>,
    /// The grants. One grant must allow all of a call; `None` allows everything.
    grants: Option<Vec<Grant>>,
    /// The expiry of its token.
    expires: Option<Timestamp>,
    /// Its issuer: `token`, or an address; `None` if the server requires no tokens.
    pub(crate) provider: Option<String>,
    /// Its organisation.
    pub(crate) organisation: Option<String>,
}

impl Principal {
    /// The caller of a server without tokens, and the server itself.
    pub(crate) const fn unlimited(name: Option<String>) -> Self {
        Self { name, grants: None, expires: None, provider: None, organisation: None }
    }

    /// A caller with a token.
    pub(crate) const fn new(name: String, grants: Vec<Grant>) -> Self {
        Self { name: Some(name), grants: Some(grants), expires: None, provider: None, organisation: None }
    }

    /// The same principal as a member of an organisation.
    pub(crate) fn of_organisation(self, organisation: Option<String>) -> Self {
        Self { organisation, ..self }
    }

    /// The same principal, with the name of its issuer.
    pub(crate) fn issued_by(self, provider: &str) -> Self {
        Self { provider: Some(provider.to_owned()), ..self }
    }

    /// The same principal with the expiry of its token.
    pub(crate) fn until(self, expires: Option<Timestamp>) -> Self {
        Self { expires, ..self }
    }

    /// Whether its token has expired.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether the caller may do the action with all of these resources, with or without consent to the loss of data.
    /// One grant must allow all of it.
    pub(crate) fn may(&self, action: Action, consents: bool, resources: &[Resource<'_>]) -> bool {
        self.may_with(action.scope(), action, consents, resources)
    }

    /// Like `may`, for calls that need a larger scope than the action does.
    pub(crate) fn may_with(&self, needed: Scope, action: Action, consents: bool, resources: &[Resource<'_>]) -> bool {
        let has_scope = |grant: &&Grant| grant.scope >= needed;
        match &self.grants {
            None => true,
            Some(grants) => grants.iter().filter(has_scope).any(|grant| grant.allows(action, consents, resources)),
        }
    }

    /// Whether the principal sees all of these stacks.
    pub(crate) fn sees_all(&self, stacks: &[StackId]) -> bool {
        let all: Vec<Resource<'_>> = stacks.iter().map(Resource::Stack).collect();
        self.sees_everything() || !all.is_empty() && self.may(Action::Read, false, &all)
    }

    /// The largest scope of all grants.
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.grants.iter().flatten().map(|grant| grant.scope).max()
    }

    /// Whether any grant has the scope.
    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.grants.is_none() || self.scope() >= Some(scope)
    }

    /// The largest queue share of the grants that allow a call; `None` if the server requires no tokens.
    pub(crate) fn quota(&self, action: Action, stack: &StackId) -> Option<Quota> {
        let grants = self.grants.as_ref()?.iter();
        let grants = grants.filter(|grant| grant.allows(action, false, &[Resource::Stack(stack)]));
        // No limit counts as the largest.
        let larger = |one: Option<u32>, other: Option<u32>| one.zip(other).map(|(one, other)| one.max(other));
        let both = |one: Quota, other: Quota| Quota {
            waiting: larger(one.waiting, other.waiting),
            running: larger(one.running, other.running),
        };
        Some(grants.map(|grant| grant.limits.queue).reduce(both).unwrap_or_default())
    }

    /// The largest limits of pipelines of the grants that allow a call.
    pub(crate) fn pipeline_limits(&self, action: Action, stack: &StackId) -> PipelineLimits {
        let grants = self.grants.iter().flatten();
        let grants = grants.filter(|grant| grant.allows(action, false, &[Resource::Stack(stack)]));
        grants.map(|grant| grant.limits.pipelines).reduce(PipelineLimits::larger).unwrap_or_default()
    }

    /// True if no limit hides anything from the caller.
    pub(crate) fn sees_everything(&self) -> bool {
        self.grants.as_ref().is_none_or(|grants| grants.iter().any(|grant| !grant.hides()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patterns(texts: &[&str]) -> Names {
        Names::Patterns(texts.iter().map(|text| Pattern::new(text).unwrap()).collect())
    }

    fn grant(scope: Scope, limits: Limits) -> Grant {
        Grant { limits, ..Grant::from(scope) }
    }

    fn stack(text: &str) -> StackId {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(limits: &Limits, allowed: &[&str], refused: &[&str]) {
        let principal = Principal::new("ci".to_owned(), vec![grant(Scope::Apply, limits.clone())]);
        for (texts, expected) in [(allowed, true), (refused, false)] {
            for text in texts {
                for action in [Action::Read, Action::Plan, Action::Provision] {
                    let found = principal.may(action, false, &[Resource::Stack(&stack(text))]);
                    assert_eq!(found, expected, "{text} {action:?}");
                }
            }
        }
    }

    #[test]
    fn larger_scope_counts_only_in_the_grant_of_the_stack() {
        let of = |pattern: &str| Limits { environments: patterns(&[pattern]), ..Limits::default() };
        let grants = vec![grant(Scope::Apply, of("dev")), grant(Scope::Plan, of("prod"))];
        let principal = Principal::new("ci".to_owned(), grants);
        let may =
            |needed, name: &str| principal.may_with(needed, Action::Plan, false, &[Resource::Stack(&stack(name))]);
        assert!(may(Scope::Apply, "files@dev"));
        assert!(may(Scope::Plan, "files@prod"));
        assert!(!may(Scope::Apply, "files@prod"), "the scope belongs to another environment");
    }

    #[test]
    fn limits_hold_alone_and_combined() {
        let environments = Limits { environments: patterns(&["dev*"]), ..Limits::default() };
        check(&environments, &["a.b.0@dev", "a.b.0@dev-2"], &["a.b.0@prod", "a.b.0@xdev", "dev.b.0@prod"]);
        let stacks = Limits { stacks: patterns(&["finance.*", "hr.pay.0@dev"]), ..Limits::default() };
        check(&stacks, &["finance.a.0@prod", "hr.pay.0@dev"], &["hr.pay.0@prod", "finances.a.0@dev", "x@finance.dev"]);
        let both = Limits { environments: patterns(&["dev"]), domains: patterns(&["finance"]), ..Limits::default() };
        check(&both, &["finance.a.0@dev"], &["finance.a.0@prod", "hr.a.0@dev", "finance@dev", "shared@dev"]);
    }

    #[test]
    fn domain_with_dots_matches_in_every_reading() {
        let finance = Limits { domains: patterns(&["finance"]), ..Limits::default() };
        check(
            &finance,
            &["finance.cash.0@dev", "finance.cash@dev"],
            &["finance.eu.cash.0@dev", "finance-eu.cash.0@dev"],
        );
        let europe = Limits { domains: patterns(&["finance.eu"]), ..Limits::default() };
        check(&europe, &[], &["finance.eu.cash.0@dev"]);
        let all = Limits { domains: patterns(&["finance", "finance.*"]), ..Limits::default() };
        check(&all, &["finance.eu.cash.0@dev"], &["hr.eu.cash.0@dev"]);
    }

    #[test]
    fn one_grant_must_allow_all_of_a_call() {
        let dev = Limits { environments: patterns(&["dev"]), ..Limits::default() };
        let grants = vec![grant(Scope::Apply, dev), Grant::from(Scope::Read)];
        let principal = Principal::new("ada".to_owned(), grants);
        let (dev, prod) = (stack("a.b.0@dev"), stack("a.b.0@prod"));
        assert!(principal.may(Action::Read, false, &[Resource::Stack(&prod)]));
        assert!(principal.may(Action::Apply, false, &[Resource::Stack(&dev)]));
        assert!(!principal.may(Action::Apply, false, &[Resource::Stack(&prod)]));
        assert!(!principal.may(Action::Apply, false, &[Resource::Stack(&dev), Resource::Stack(&prod)]));
        assert!(!Principal::new("eve".to_owned(), Vec::new()).may(Action::Read, false, &[Resource::Any]));
    }

    #[test]
    fn consent_needs_a_separate_scope() {
        let may = |grant: Grant| Principal::new("ci".to_owned(), vec![grant]).may(Action::Unprovision, true, &[]);
        assert!(!may(Grant::from(Scope::Apply)));
        assert!(may(Grant { is_data_loss_allowed: true, ..Grant::from(Scope::Apply) }));
        assert!(!may(Grant { is_data_loss_allowed: true, ..Grant::from(Scope::Plan) }));
        assert!(may(Grant::from(Scope::Admin)));
    }

    #[test]
    fn actions_limit_everything_except_reading() {
        let limits = Limits { actions: Some([Action::Plan].into()), ..Limits::default() };
        let principal = Principal::new("ci".to_owned(), vec![grant(Scope::Admin, limits)]);
        let may = |action| principal.may(action, false, &[Resource::Any]);
        assert_eq!([Action::Read, Action::Plan, Action::Apply, Action::Unlock].map(may), [true, true, false, false]);
    }

    #[test]
    fn names_of_a_claim_match_literally() {
        let claimed = Grant {
            limits: Limits { domains: Names::Claim("data.domains".to_owned()), ..Limits::default() },
            ..Grant::from(Scope::Apply)
        };
        let may = |claims: Json, text: &str| {
            let grant = claimed.resolve_claims(claims.as_object().unwrap());
            Principal::new("ada".to_owned(), vec![grant]).may(Action::Read, false, &[Resource::Stack(&stack(text))])
        };
        assert!(may(json!({"data": {"domains": ["hr", "finance"]}}), "finance.a.0@dev"));
        assert!(may(json!({"data": {"domains": "hr finance"}}), "finance.a.0@dev"));
        for claims in [json!({}), json!({"data": {"domains": []}}), json!({"data": {"domains": ["*", "fin*"]}})] {
            assert!(!may(claims.clone(), "finance.a.0@dev"), "{claims}");
        }
    }

    #[test]
    fn largest_quota_of_allowing_grants_counts() {
        let with = |environment: &str, waiting: Option<u32>| {
            let queue = Quota { waiting, running: Some(2) };
            grant(Scope::Apply, Limits { environments: patterns(&[environment]), queue, ..Limits::default() })
        };
        let principal =
            Principal::new("ci".to_owned(), vec![with("dev", Some(1)), with("d*", Some(5)), with("p", None)]);
        let quota = |text: &str| principal.quota(Action::Provision, &stack(text)).unwrap();
        assert_eq!(quota("a.b.0@dev"), Quota { waiting: Some(5), running: Some(2) });
        assert_eq!(quota("a.b.0@p").waiting, None);
        assert!(Principal::unlimited(None).quota(Action::Provision, &stack("a@b")).is_none());
    }

    #[test]
    fn pipelines_have_the_largest_limits_of_the_roles_that_allow_the_call() {
        let with = |stacks: &str, runs: Option<u64>, rows: Option<u64>| {
            let pipelines = PipelineLimits { concurrent_runs: runs, rows_per_day: rows, ..PipelineLimits::default() };
            grant(Scope::Apply, Limits { stacks: patterns(&[stacks]), pipelines, ..Limits::default() })
        };
        let grants =
            vec![with("pipelines", Some(1), Some(10)), with("pipe*", Some(5), None), with("other", None, None)];
        let principal = Principal::new("ada".to_owned(), grants);
        let found = principal.pipeline_limits(Action::Run, &stack("pipelines@dev"));
        assert_eq!((found.concurrent_runs, found.rows_per_day), (Some(5), None));
        let unlimited = Principal::unlimited(None).pipeline_limits(Action::Run, &stack("pipelines@dev"));
        assert_eq!(unlimited, PipelineLimits::default());
    }
}
