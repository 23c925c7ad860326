//! `local_value`: a value that exists in the state only.
//!
//! It keeps a value from one run to the next and triggers replacements of resources that reference it. `output` equals
//! `input` after the apply, so a resource that references `output` runs later.

use super::attributes::{given, is_marked, known, marked};
use async_trait::async_trait;
use std::time::Duration;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, Found, Object, Observed, Planned, PlannedChange, Private,
    ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};

/// The type's name.
pub const NAME: &str = "local_value";

/// The schema of `local_value`.
#[must_use]
pub fn resource_type() -> ResourceType {
    ResourceType {
        state_only: true,
        readable: false,
        can_coexist: true,
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "A value that exists only in the state.",
            &["id"],
            Object(vec![
                Attribute::new("input", AttributeType::Any, "Any value; `output` repeats it."),
                Attribute::new("triggersReplace", AttributeType::Any, "Any value; a change creates a new resource.")
                    .replaces(),
                Attribute::new("id", AttributeType::String, "A unique id that stays until replacement.").stable(),
                Attribute::new("output", AttributeType::Any, "The applied `input`; unknown until the apply.")
                    .computed()
                    .follows(&["input"]),
            ]),
        )
    }
}

/// Creates and keeps values.
pub(crate) struct Values;

#[async_trait]
impl Session for Values {
    /// A value cannot drift: only the state has it.
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        Ok(Some(Observed {
            identity: prior.identity.clone(),
            attributes: prior.attributes.clone(),
            private: prior.private.clone(),
        }))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        let mut plan = from_schema(ty, change);
        let input = given(&plan.planned, "input").cloned();
        let is_sensitive = is_marked(&plan.planned, "input");
        if let Some(output) = plan.planned.get_mut("output") {
            if output.is_unknown() {
                *output = marked(Value::Unknown, is_sensitive);
            } else if let Some(input) = input.filter(|input| input.is_same_as(output)) {
                // The same value may have other sensitive marks than the record: the marks of the input are current.
                *output = input;
            }
        }
        Ok(plan)
    }

    async fn create(&self, _ty: &ResourceType, _call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        Ok(observed(uuid::Uuid::now_v7().to_string(), planned))
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        _call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let id = prior.text("id").ok_or_else(|| ProviderError::bug("a recorded local_value has no `id`"))?;
        Ok(observed(id.to_owned(), planned))
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, _prior: &Recorded) -> Result<(), ProviderError> {
        Ok(())
    }

    /// No object exists outside the state.
    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        Ok(match &attempt.prior {
            Some(prior) => Found::Own(Observed {
                identity: prior.identity.clone(),
                attributes: prior.attributes.clone(),
                private: prior.private.clone(),
            }),
            None => Found::Absent,
        })
    }

    async fn import(&self, _ty: &ResourceType, _id: &str) -> Result<Option<Observed>, ProviderError> {
        Err(ProviderError::invalid(None, "a `local_value` cannot be imported: it exists in state only")
            .solution("declare it and apply; there is nothing to import outside the state"))
    }
}

fn observed(id: String, planned: &Planned) -> Observed {
    let mut attributes: Attributes = known(&planned.attributes);
    attributes.shift_remove("output");
    attributes.insert("id".to_owned(), id.as_str().into());
    if let Some(input) = given(&planned.attributes, "input") {
        attributes.insert("output".to_owned(), input.clone());
    }
    Observed { identity: [("id".to_owned(), id.into())].into_iter().collect(), attributes, private: Private::default() }
}
