//! Converts the JSON of a plan file to a plan.

use super::super::{
    After, Basis, Change, ComponentPlan, Deferred, How, InDoubt, Lookup, OutputChange, OwnerChange, Plan, PlannedCheck,
    RecordedOutputs, SharedDeclaration, StackPlan, Why,
};
use super::shapes::{
    AfterJson, ChangeJson, CheckJson, ComponentJson, DeclarationJson, DeferredJson, LookupJson, OutputJson, OwnedJson,
    OwnerJson, PlanJson, PriorJson, RecordedOutputsJson, StackJson, Text,
};
use super::{FileError, Json, SEALED};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use terrace_language::address::ComponentKey;
use terrace_language::duration;
use terrace_language::expression::{Captured, Template};
use terrace_provider::Private;
use terrace_provider::schema::Timeouts;
use terrace_provider::value::wire::{Sealing, Spot, WireError, decode, decode_map};
use terrace_store::Ownership;
use terrace_store::record::{Prior, open_private};
use terrace_store::seal::{Place, Placed, Seal};

pub(super) struct Reading<'a> {
    seal: Placed<'a>,
    /// Templates with the component in whose scope they are evaluated.
    templates: Vec<(ComponentKey, Arc<Template>)>,
}

fn parse<'t, T: Deserialize<'t>>(text: &'t Text) -> Result<T, FileError> {
    serde_json::from_str(text.get()).map_err(|error| FileError::Damaged(error.to_string()))
}

/// The JSON of a deferred configuration, decrypted if it is sealed as a whole.
fn opened<'j>(json: &'j Json, seal: &Placed<'_>) -> Result<Cow<'j, Json>, FileError> {
    let Some(sealed) = json.get(SEALED).and_then(Json::as_str) else { return Ok(Cow::Borrowed(json)) };
    let json = serde_json::from_slice(&seal.open(&Spot::Root, sealed)?)
        .map_err(|error| FileError::Damaged(error.to_string()))?;
    Ok(Cow::Owned(json))
}

impl<'a> Reading<'a> {
    pub(super) fn plan(json: PlanJson<'_>, seal: &'a Seal) -> Result<Plan, FileError> {
        let seal = seal.at(Place::Plan { id: json.id });
        let templates = json
            .templates
            .iter()
            .map(|entry| {
                let template: Json = parse(&entry.template)?;
                Ok((entry.component.clone(), Arc::new(Template::from_json(opened(&template, &seal)?.as_ref(), &seal)?)))
            })
            .collect::<Result<_, FileError>>()?;
        let reading = Reading { seal, templates };
        Ok(Plan {
            id: json.id,
            timestamp: json.timestamp,
            terrace_version: json.terrace_version,
            state: json.state,
            state_url: json.state_url,
            environment: json.environment,
            environment_note: json.environment_note,
            mode: json.mode,
            is_complete: json.is_complete,
            is_errored: json.is_errored,
            origin: json.origin,
            stacks: json.stacks.into_iter().map(|stack| reading.stack(stack)).collect::<Result<_, _>>()?,
            reads: json.reads.into_owned(),
            notes: json.notes,
        })
    }

    fn stack(&self, json: StackJson) -> Result<StackPlan, FileError> {
        let component = |json: ComponentJson| {
            Ok(ComponentPlan {
                recorded_outputs: decode_map(json.recorded_outputs, &self.seal)?,
                key: json.key,
                id: json.id,
                ids: json.ids,
                depends_on: json.depends_on,
                depended_on: json.depended_on,
                reads: json.reads,
                recorded_reads: json.recorded_reads,
                shared: json.shared,
                blueprint: json.blueprint,
                place: json.place,
                access: json.access,
                recorded_access: json.recorded_access,
                grants: json.grants,
                part: json.part,
                is_deferred: json.is_deferred,
            })
        };
        let mut changes = Vec::with_capacity(json.changes.len());
        for change in json.changes {
            changes.push(self.change(parse(&change)?)?);
        }
        Ok(StackPlan {
            stack: json.stack,
            components: json.components.into_iter().map(component).collect::<Result<_, WireError>>()?,
            changes,
            outputs: json.outputs.into_iter().map(|output| self.output(output)).collect::<Result<_, _>>()?,
            deferred: json.deferred,
            checks: json.checks.into_iter().map(|check| self.check(check)).collect::<Result<_, _>>()?,
            lookups: json.lookups.into_iter().map(|lookup| self.lookup(lookup)).collect::<Result<_, _>>()?,
            needs: json.needs,
            output_reads: json.output_reads,
            recorded_outputs: json
                .others
                .into_iter()
                .map(|other| self.recorded_outputs(other))
                .collect::<Result<_, _>>()?,
            owners: json.owners.into_iter().map(|owner| self.owner(owner)).collect::<Result<_, _>>()?,
            owned: json.owned.into_iter().map(Ownership::from).collect(),
        })
    }

    fn recorded_outputs(&self, json: RecordedOutputsJson) -> Result<RecordedOutputs, FileError> {
        let outputs = decode_map(json.outputs, &self.seal)?;
        Ok(RecordedOutputs { stack: json.stack, component: json.component, outputs })
    }

    fn lookup(&self, json: LookupJson) -> Result<Lookup, FileError> {
        Ok(Lookup {
            address: json.address,
            provider: json.provider,
            arguments: decode_map(json.arguments, &self.seal)?,
            deferred: json.deferred.as_ref().map(|deferred| self.deferred(deferred)).transpose()?,
            depends_on: json.depends_on,
            reads: json.reads,
            needed_by: json.needed_by,
            reason: json.reason,
            result: decode(json.result, &self.seal)?,
            place: json.place,
        })
    }

    fn owner(&self, json: OwnerJson) -> Result<OwnerChange, FileError> {
        Ok(OwnerChange {
            ownership: Ownership { address: json.address, stack: json.stack, component: json.component },
            action: json.action,
            declaration: json.declaration.map(|declaration| self.declaration(declaration)).transpose()?,
        })
    }

    fn declaration(&self, json: DeclarationJson) -> Result<SharedDeclaration, FileError> {
        Ok(SharedDeclaration {
            provider: json.provider,
            config: decode_map(json.config, &self.seal)?,
            deferred: json.deferred.as_ref().map(|deferred| self.deferred(deferred)).transpose()?,
            write_only: json.write_only,
            lifecycle: json.lifecycle,
            place: json.place,
        })
    }

    fn check(&self, json: CheckJson) -> Result<PlannedCheck, FileError> {
        Ok(PlannedCheck {
            when: json.when,
            error: json.error,
            place: json.place,
            status: json.status,
            problem: json.problem,
            deferred: json.deferred.as_ref().map(|deferred| self.deferred(deferred)).transpose()?,
        })
    }

    fn change(&self, json: ChangeJson) -> Result<Change, FileError> {
        let Timeouts { create, update, delete, read } = json.timeouts;
        if [create, update, delete, read].iter().any(|timeout| *timeout > duration::LONGEST) {
            return Err(FileError::Damaged(format!("{} has a timeout of more than a year", json.address)));
        }
        // Unused capacity would be a large part of a change's memory.
        let mut depends_on = json.depends_on;
        depends_on.shrink_to_fit();
        let prior = json.prior.map(|prior| self.prior(prior).map(Box::new)).transpose()?;
        Ok(Change {
            address: json.address,
            deposed: json.deposed,
            moved_from: json.moved_from,
            import_id: json.import_id,
            action: json.action,
            after: json.after.map(|after| self.after(after)).transpose()?,
            data_loss: json.data_loss,
            in_doubt: json.in_doubt.map(if json.is_held_back { InDoubt::Held } else { InDoubt::Own }),
            why: Why {
                reason: json.reason,
                because: json.because,
                triggered_by: json.triggered_by,
                replace_paths: json.replace_paths,
                drift: json.drift,
            },
            basis: Basis { place: json.place, generation: json.generation, prior, ignored: json.ignored },
            how: How {
                provider: json.provider,
                depends_on,
                lifecycle: json.lifecycle,
                timeouts: json.timeouts,
                checks: json.checks.into_iter().map(|check| self.check(check)).collect::<Result<_, _>>()?,
            },
        })
    }

    fn prior(&self, json: PriorJson) -> Result<Prior, FileError> {
        Ok(Prior {
            status: json.status,
            identity: decode_map(json.identity, &self.seal)?,
            attributes: decode_map(json.attributes, &self.seal)?,
            recorded: json.recorded.map(|recorded| decode_map(recorded, &self.seal)).transpose()?,
            private: self.private(&json.private)?,
            dependencies: json.dependencies,
            write_only: json.write_only,
            inconsistent: json.inconsistent,
            lifecycle: json.lifecycle,
        })
    }

    fn after(&self, json: AfterJson) -> Result<After, FileError> {
        Ok(After {
            attributes: decode_map(json.attributes, &self.seal)?,
            private: self.private(&json.private)?,
            deferred: json.deferred.map(|deferred| self.deferred(&deferred)).transpose()?,
            write_only: json.write_only,
            newly_sensitive: json.newly_sensitive,
        })
    }

    fn deferred(&self, json: &DeferredJson) -> Result<Deferred, FileError> {
        let template = self.templates.get(json.template).cloned();
        let (component, template) = template.ok_or_else(|| FileError::Damaged("a template is missing".to_owned()))?;
        let captured = match &json.captured {
            Some(captured) => Captured::from_json(opened(captured, &self.seal)?.as_ref(), &self.seal)?,
            None => Captured::default(),
        };
        Ok(Deferred { component, template, captured: Arc::new(captured) })
    }

    fn output(&self, json: OutputJson) -> Result<OutputChange, FileError> {
        let value = |json: Option<Json>| json.map(|json| decode(json, &self.seal)).transpose();
        Ok(OutputChange {
            before: value(json.before)?,
            after: value(json.after)?,
            deferred: json.deferred.map(|deferred| self.deferred(&deferred)).transpose()?,
            component: json.component,
            name: json.name,
            is_newly_sensitive: json.is_newly_sensitive,
            is_public: json.is_public,
            label: json.label,
        })
    }

    fn private(&self, text: &str) -> Result<Private, FileError> {
        let bytes = BASE64.decode(text).map_err(|error| FileError::Damaged(error.to_string()))?;
        Ok(open_private(&bytes, &self.seal)?)
    }
}

impl From<Ownership> for OwnedJson {
    fn from(Ownership { address, stack, component }: Ownership) -> Self {
        Self { address, stack, component }
    }
}

impl From<OwnedJson> for Ownership {
    fn from(OwnedJson { address, stack, component }: OwnedJson) -> Self {
        Self { address, stack, component }
    }
}
