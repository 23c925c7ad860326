//! Reverse provisioning: from the body of a call to the blueprint that answers it.

use crate::answer::{Refusal, errors};
use crate::auth::{Resource, Scope};
use crate::environments::{Environments, World};
use crate::request_context::{AboutWhat, By, environment};
use crate::witboost::ReverseProvisioningRequest;
use serde_json::{Map, Value as Json};
use terrace_engine::address::StackId;
use terrace_engine::blueprint::Reverse;
use terrace_engine::digest::sha256;
use terrace_engine::reverse::{Question, Reversing, choose, params};

/// The name that replaces the stack of these operations.
const NO_STACK: &str = "reverse-provisioning";

/// The subject of a call.
///
/// # Errors
/// When no blueprint answers it.
pub(crate) fn place(
    worlds: &Environments,
    question: &ReverseProvisioningRequest,
    by: By<'_>,
) -> Result<AboutWhat, Refusal> {
    // The call reads with the full rights of the providers' accounts, so limits to stacks or domains rule it out.
    let stack = StackId::new(NO_STACK, question.environment.as_str());
    by.check(false, &[Resource::Stack(&stack)])?;
    let (_, reverse) = blueprint(worlds, question, by)?;
    if let Err(errors) = params(reverse, Json::Object(question.params.clone()).into()) {
        return Err(Refusal::several("params", errors, vec!["send the parameters of the template".to_owned()]));
    }
    // Calls with different parameters do not wait for each other.
    let params_text = Json::Object(question.params.clone()).to_string();
    let component = format!("{} {}", question.use_case_template_id, sha256(params_text));
    Ok(AboutWhat { stack, component, needed: Scope::Plan })
}

/// The answer: values by dotted paths.
///
/// # Errors
/// When the parameters are invalid, or the lookup fails.
pub(crate) async fn updates(
    worlds: &Environments,
    question: ReverseProvisioningRequest,
) -> Result<Map<String, Json>, Refusal> {
    let (world, reverse) = blueprint(worlds, &question, By::Worker)?;
    let reversing =
        Reversing { registry: &world.registry, functions: &world.functions, environment: &world.environment };
    let params_text = Question {
        params: Json::Object(question.params).into(),
        catalog_info: Json::Object(question.catalog_info).into(),
    };
    match reversing.updates(reverse, params_text).await {
        Ok(updates) => Ok(updates.iter().map(|(path, value)| (path.clone(), value.to_json())).collect()),
        Err(diagnostics) => Err(Refusal::problems_of(errors(&diagnostics, &world.sources))),
    }
}

fn blueprint<'w>(
    worlds: &'w Environments,
    question: &ReverseProvisioningRequest,
    by: By<'_>,
) -> Result<(&'w World, &'w Reverse), Refusal> {
    let world = environment(worlds, Some(&question.environment), "environment", by)?;
    match choose(&world.library, &question.use_case_template_id, &world.templates) {
        Ok((_, reverse)) => Ok((world, reverse)),
        Err((problem, solution)) => Err(Refusal::field("useCaseTemplateId", problem, solution)),
    }
}
