//! Reverse provisioning: from the body of a call to the blueprint that answers it.

use crate::answer::{Refusal, errors};
use crate::auth::{Resource, Scope};
use crate::environments::{EnvironmentContext, Environments};
use crate::request_context::{RequestSubject, Requester, environment};
use crate::witboost::ReverseProvisioningRequest;
use serde_json::{Map, Value as Json};
use terrace_engine::address::StackId;
use terrace_engine::blueprint::Reverse;
use terrace_engine::digest::sha256;
use terrace_engine::reverse::{ReverseInput, ReverseProvisioner, choose, params};
use terrace_engine::store::OrderKey;

/// The name that replaces the stack of these operations.
const NO_STACK: &str = "reverse-provisioning";

/// The subject of a call.
///
/// # Errors
/// When no blueprint answers it.
pub(crate) fn subject(
    environments: &Environments,
    question: &ReverseProvisioningRequest,
    by: Requester<'_>,
) -> Result<RequestSubject, Refusal> {
    // The call reads with the full rights of the providers' accounts, so limits to stacks or domains rule it out.
    let stack = StackId::new(NO_STACK, question.environment.as_str());
    by.check(false, &[Resource::Stack(&stack)])?;
    let (_, reverse) = blueprint(environments, question, by)?;
    if let Err(errors) = params(reverse, Json::Object(question.params.clone()).into()) {
        return Err(Refusal::several("params", errors, vec!["send the parameters of the template".to_owned()]));
    }
    // Calls with different parameters do not wait for each other.
    let params_text = Json::Object(question.params.clone()).to_string();
    let order = OrderKey::of_text(format!("{} {}", question.use_case_template_id, sha256(params_text)));
    Ok(RequestSubject { stack, order, needed: Scope::Plan })
}

/// The answer: values by dotted paths.
///
/// # Errors
/// When the parameters are invalid, or the lookup fails.
pub(crate) async fn updates(
    environments: &Environments,
    question: ReverseProvisioningRequest,
) -> Result<Map<String, Json>, Refusal> {
    let (env, reverse) = blueprint(environments, &question, Requester::Worker)?;
    let provisioner = ReverseProvisioner {
        registry: &env.engine.registry,
        functions: &env.engine.functions,
        environment: &env.engine.environment,
    };
    let params_text = ReverseInput {
        params: Json::Object(question.params).into(),
        catalog_info: Json::Object(question.catalog_info).into(),
    };
    match provisioner.updates(reverse, params_text).await {
        Ok(updates) => Ok(updates.iter().map(|(path, value)| (path.clone(), value.to_json())).collect()),
        Err(diagnostics) => Err(Refusal::of_problems(errors(&diagnostics, &env.sources))),
    }
}

fn blueprint<'w>(
    environments: &'w Environments,
    question: &ReverseProvisioningRequest,
    by: Requester<'_>,
) -> Result<(&'w EnvironmentContext, &'w Reverse), Refusal> {
    let env = environment(environments, Some(&question.environment), "environment", by)?;
    match choose(&env.library, &question.use_case_template_id, &env.templates) {
        Ok((_, reverse)) => Ok((env, reverse)),
        Err((problem, solution)) => Err(Refusal::field("useCaseTemplateId", problem, solution)),
    }
}
