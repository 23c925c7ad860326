//! The caller of a call.

use super::limits::{Action, Principal, Quota, Resource};
use super::scope::Scope;
use crate::answer::Refusal;
use crate::pipelines::PipelineLimits;
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use terrace_engine::address::StackId;
use terrace_engine::store::Usage;
use uuid::Uuid;

/// The caller of a call. Handlers ask it whether the call may go on, and which objects its answer may show.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) principal: Arc<Principal>,
    /// The idempotency key of the call (`Idempotency-Key`).
    key: Option<String>,
    /// True once a handler has checked the stacks or environments of the call.
    pub(super) is_checked: Arc<AtomicBool>,
    /// True if the limits hid an object that the call named, or refused the call.
    pub(super) is_refused: Arc<AtomicBool>,
    facts: Arc<Mutex<Facts>>,
}

/// Facts for the audit log that only a handler knows.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) stacks: BTreeSet<String>,
    pub(super) consents: bool,
    pub(super) operation: Option<Uuid>,
    pub(super) usage: Usage,
}

impl Caller {
    pub(super) fn new(principal: Arc<Principal>, key: Option<String>) -> Self {
        let unset = Arc::<AtomicBool>::default;
        Self { principal, key, is_checked: unset(), is_refused: unset(), facts: Arc::default() }
    }

    /// The server itself, for scheduled work.
    pub(crate) fn schedule() -> Self {
        Self::new(Arc::new(Principal::unlimited(Some("schedule".to_owned()))), None)
    }

    /// Checks that the caller may do the action with all of these resources.
    ///
    /// # Errors
    /// When a scope is missing, or a resource is outside the limits. The answer contains only names from the call.
    pub(crate) fn check(&self, action: Action, consents: bool, resources: &[Resource<'_>]) -> Result<(), Refusal> {
        self.is_checked.store(true, Ordering::Relaxed);
        let stacks = resources.iter().filter_map(|resource| match resource {
            Resource::Stack(stack) => Some(stack.to_string()),
            _ => None,
        });
        self.note(|facts| {
            facts.stacks.extend(stacks);
            facts.consents |= consents;
        });
        let principal = &self.principal;
        if principal.may(action, consents, resources) {
            return Ok(());
        }
        self.is_refused.store(true, Ordering::Relaxed);
        let name = self.name_or("anonymous");
        let (has, needed) = (principal.scope(), action.scope());
        Err(match () {
            () if has < Some(needed) => Refusal::Forbidden { name, has, needed },
            () if principal.may(action, false, resources) => Refusal::NoConsent { name },
            () => Refusal::Limited { name },
        })
    }

    /// Notes the operation that the call starts or cancels.
    pub(crate) fn note_operation(&self, operation: Uuid) {
        self.note(|facts| facts.operation = Some(operation));
    }

    /// Forgets the operation of a refused call.
    pub(crate) fn forget_operation(&self) {
        self.note(|facts| facts.operation = None);
    }

    /// The caller's limits of pipelines for a call.
    pub(crate) fn pipeline_limits(&self, action: Action, stack: &StackId) -> PipelineLimits {
        self.principal.pipeline_limits(action, stack)
    }

    /// The organisation of the caller.
    pub(crate) fn organisation(&self) -> Option<&str> {
        self.principal.organisation.as_deref()
    }

    /// Notes facts about the use of pipelines.
    pub(crate) fn note_usage(&self, note: impl FnOnce(&mut Usage)) {
        self.note(|facts| note(&mut facts.usage));
    }

    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        self.note(|noted| facts = std::mem::take(noted));
        facts
    }

    /// Whether the caller's token has expired.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.principal.is_expired(now)
    }

    fn note(&self, note: impl FnOnce(&mut Facts)) {
        note(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the caller may do the action with a stack, for lists that leave out the other stacks.
    pub(crate) fn may(&self, action: Action, stack: &StackId) -> bool {
        self.mark_checked(self.principal.may(action, false, &[Resource::Stack(stack)]))
    }

    /// Whether the caller sees a stack and everything in it.
    pub(crate) fn sees(&self, stack: &StackId) -> bool {
        self.may(Action::Read, stack)
    }

    /// Whether the caller sees all of these stacks. An object of several stacks would reveal each of them.
    pub(crate) fn sees_all(&self, stacks: &[StackId]) -> bool {
        self.mark_checked(self.principal.sees_all(stacks))
    }

    /// Whether the caller sees an environment.
    pub(crate) fn sees_environment(&self, name: &str) -> bool {
        self.mark_checked(self.principal.may(Action::Read, false, &[Resource::Environment(name)]))
    }

    /// Whether the caller may do the action with everything in an environment.
    pub(crate) fn may_everywhere(&self, action: Action, environment: &str) -> bool {
        self.mark_checked(self.principal.may(action, false, &[Resource::WholeEnvironment(environment)]))
    }

    /// The items of a list that the caller sees.
    pub(crate) fn visible<T>(&self, items: impl IntoIterator<Item = T>, sees: impl Fn(&Self, &T) -> bool) -> Vec<T> {
        self.mark_checked(true);
        items.into_iter().filter(|item| sees(self, item)).collect()
    }

    /// The object that the call names, unless the limits hide it. The server answers for a hidden object as for an
    /// unknown one.
    pub(crate) fn filter_visible<T>(&self, found: Option<T>, sees: impl FnOnce(&Self, &T) -> bool) -> Option<T> {
        self.mark_checked(true);
        let exists = found.is_some();
        let visible = found.filter(|found| sees(self, found));
        if exists && visible.is_none() {
            self.is_refused.store(true, Ordering::Relaxed);
        }
        visible
    }

    /// The caller's share of the queue for a call.
    pub(crate) fn quota(&self, action: Action, stack: &StackId) -> Option<Quota> {
        self.principal.quota(action, stack)
    }

    fn mark_checked(&self, is_visible: bool) -> bool {
        self.is_checked.store(true, Ordering::Relaxed);
        is_visible
    }

    /// True if the call has an idempotency key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Checks the caller's scope if the content of a call needs a larger one than its action. The grant that allows the
    /// action on the stack must have this scope.
    ///
    /// # Errors
    /// When the scope of the token is too small, or the stack is outside its limits.
    pub(crate) fn check_scope(&self, needed: Scope, action: Action, stack: &StackId) -> Result<(), Refusal> {
        let resources = [Resource::Stack(stack)];
        self.check(action, false, &resources)?;
        if self.principal.may_with(needed, action, false, &resources) {
            return Ok(());
        }
        self.is_refused.store(true, Ordering::Relaxed);
        let (name, has) = (self.name_or("anonymous"), self.principal.scope());
        Err(match has < Some(needed) {
            true => Refusal::Forbidden { name, has, needed },
            // Another grant has the scope, for other stacks.
            false => Refusal::Limited { name },
        })
    }

    /// The name of the caller: the owner of the token, else the given word.
    pub(crate) fn name_or(&self, otherwise: &str) -> String {
        self.principal.name.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    /// The owner of the token, if the server requires tokens.
    pub(crate) fn name(&self) -> Option<&str> {
        self.principal.name.as_deref()
    }

    /// The idempotency key with its owner: two callers may use the same key.
    pub(crate) fn key(&self) -> Option<String> {
        self.key.as_ref().map(|key| json!([self.principal.name, key]).to_string())
    }

    /// The same caller for one of the several requests that a call starts.
    pub(crate) fn with_key_part(&self, part: &str) -> Self {
        Self { key: self.key.as_ref().map(|key| json!([key, part]).to_string()), ..self.clone() }
    }
}
