//! Checks of an environment: settings, providers and blueprints.

use super::finding::Finding;
use crate::context::Context;
use crate::report::report;
use crate::settings::{EnvironmentRef, Settings};
use crate::wiring::{EnvironmentContext, library};
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_engine::blueprint::Library;
use terrace_engine::blueprint::check::check as check_blueprint;
use terrace_engine::source::Sources;
use terrace_provider::{MissingRight, ProviderError};

/// Time limit of a provider's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Checks an environment.
pub(super) async fn check(context: &Context<'_>, settings: &Settings, name: &str, findings: &mut Vec<Finding>) {
    let subject = format!("environment {name}");
    let env_context = settings
        .environment(Some(EnvironmentRef::word(name)), context.ui)
        .and_then(|environment| EnvironmentContext::new(settings, environment, true, context.ui));
    let env_context = match env_context {
        Ok(env_context) => env_context,
        Err(failure) => {
            findings.push(Finding::of_failure(subject, &failure));
            return;
        }
    };
    let registry = &env_context.engine.registry;
    let has_instance = |provider: &str| {
        registry.instance_names().any(|name| registry.instance(name).is_some_and(|schema| schema.name == provider))
    };
    // A provider with required settings has no instance without a configuration.
    let without_instance = registry.schemas().map(|schema| schema.name).filter(|name| !has_instance(name));
    let names: BTreeSet<&str> = registry.instance_names().chain(without_instance).collect();
    // At once: each instance that does not answer takes as long as its retries.
    let probes = names.into_iter().map(|instance| provider(context, &env_context, name, instance));
    findings.extend(futures_util::future::join_all(probes).await);
    blueprints(context, settings, &env_context, name, findings);
}

/// Checks that an instance answers, and that it has the server-wide rights that its types need.
async fn provider(
    context: &Context<'_>,
    env_context: &EnvironmentContext,
    environment: &str,
    instance: &str,
) -> Finding {
    let subject = format!("provider {instance} of {environment}");
    let not_called = || Finding::ok(subject.as_str(), "it is not configured, so it was not called");
    let registry = &env_context.engine.registry;
    let Some(schema) = registry.instance(instance) else { return not_called() };
    // Instances without required settings exist without an address.
    let is_written = env_context.configuration().providers.iter().any(|it| it.name == instance);
    let variables: Vec<&str> = schema.variables().filter(|name| context.variables.get(name).is_some()).collect();
    // Other providers have some of the variables, too: KUBECONFIG does not show who uses the cluster.
    let is_own = |name: &&str| registry.schemas().filter(|it| it.variables().any(|other| other == *name)).count() < 2;
    let is_used = is_written || variables.iter().any(is_own);
    let finding = |message: String, remedy: String| match is_used {
        true => Finding::fail(subject.as_str(), message, remedy),
        false => Finding::warn(subject.as_str(), message, remedy),
    };
    let failed = |what: &str, error: &ProviderError| {
        let remedy = || format!("correct `providers.{instance}` of the environment `{environment}`");
        finding(format!("{what}: {error}"), error.hint().unwrap_or_else(remedy))
    };
    let session = match registry.session(instance).await {
        Ok(session) => session,
        Err(error) if error.kind.is_about_settings() => {
            let place = registry.place_of_error(instance, &error).map(|place| format!("{place}: ")).unwrap_or_default();
            return failed(&format!("{place}its settings cannot be used"), &error);
        }
        Err(error) => return failed("it does not connect", &error),
    };
    let Some(probe) = session.probe(schema) else { return Finding::ok(subject, "it connects") };
    if !is_written && variables.is_empty() {
        return not_called();
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, probe).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return failed("it does not answer", &error),
        Err(_) => {
            let message = format!("it does not answer within {} s", ANSWER_TIMEOUT.as_secs());
            return finding(message, "check that its host can be reached from here".to_owned());
        }
    }
    if !is_used {
        return Finding::ok(subject, "it answers; it is not configured, so its rights were not checked");
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, session.missing_rights()).await {
        Ok(Ok(rights)) => rights_finding(subject, rights.as_deref()),
        Ok(Err(error)) => {
            let remedy = error.hint().unwrap_or_else(|| RUN_AGAIN.to_owned());
            Finding::warn(subject, format!("it answers, but does not report its rights: {error}"), remedy)
        }
        Err(_) => {
            let message = format!("it answers, but does not report its rights within {} s", ANSWER_TIMEOUT.as_secs());
            Finding::warn(subject, message, RUN_AGAIN)
        }
    }
}

/// Remedy without a known error.
const RUN_AGAIN: &str = "run `terrace doctor` again: commands may work nevertheless";

/// The finding about an instance's rights. A plan may need none of the missing ones.
fn rights_finding(subject: String, missing: Option<&[MissingRight]>) -> Finding {
    let Some(missing) = missing else { return Finding::ok(subject, "it answers") };
    if missing.is_empty() {
        return Finding::ok(subject, "it answers, and has all server-wide rights");
    }
    let all = |of: fn(&MissingRight) -> &str, between: &str| missing.iter().map(of).collect::<Vec<_>>().join(between);
    let operations = all(|right| &right.operation, ", or ");
    // This separator suits SQL and shell lines.
    let statements = all(|right| &right.statement, "; ");
    let remedy = format!("if you need this right, have an administrator run `{statements}`");
    Finding::warn(subject, format!("it answers, but may not {operations}"), remedy)
}

fn blueprints(
    context: &Context<'_>,
    settings: &Settings,
    env_context: &EnvironmentContext,
    name: &str,
    findings: &mut Vec<Finding>,
) {
    let subject = format!("blueprints of {name}");
    let mut sources = Sources::default();
    let read =
        library(&env_context.engine.registry, env_context.configuration(), &settings.project_folder, &mut sources);
    let (library, mut diagnostics) = match read {
        Ok(read) => read,
        Err(failure) => {
            findings.push(Finding::of_failure(subject, &failure));
            return;
        }
    };
    diagnostics.extend(
        library.iter().flat_map(|blueprint| {
            check_blueprint(blueprint, &env_context.engine.registry, &env_context.engine.functions)
        }),
    );
    report(context.ui, &sources, &diagnostics);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    findings.push(match (errors, diagnostics.len()) {
        (0, 0) => Finding::ok(subject, format!("{} are valid", library.iter().count())),
        (0, _) => Finding::warn(subject, "they have warnings, see above", "`terrace blueprints check` repeats them"),
        _ => Finding::fail(
            subject,
            format!("{errors} errors, see above"),
            "correct them; `terrace blueprints check` repeats them",
        ),
    });
    findings.extend(ties(&library, name));
}

/// Warns about two blueprints that match equally well: a component that matches both is an error.
fn ties(library: &Library, environment: &str) -> Vec<Finding> {
    let tie = |(one, other): (&terrace_engine::blueprint::Blueprint, &terrace_engine::blueprint::Blueprint)| {
        Finding::warn(
            format!("blueprints of {environment}"),
            format!(
                "`{}` ({}) and `{}` ({}) match some components equally well",
                one.name.value, one.origin.file, other.name.value, other.origin.file
            ),
            "make one `match` more specific, or name the blueprint under `templates` of the environment",
        )
    };
    library.ties().into_iter().map(tie).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_are_one_finding_with_all_statements() {
        let right = |operation: &str, statement: &str| MissingRight {
            operation: operation.to_owned(),
            statement: statement.to_owned(),
        };
        let rights = [right("create databases", "GRANT A TO x"), right("create roles", "GRANT B TO x")];
        let finding = rights_finding("provider x".to_owned(), Some(&rights));
        assert_eq!(
            finding.line(),
            "warn  provider x: it answers, but may not create databases, or create roles\n      \
             if you need this right, have an administrator run `GRANT A TO x; GRANT B TO x`\n"
        );
        let line = |missing| rights_finding("provider x".to_owned(), missing).line();
        assert_eq!(line(Some(&[])), "ok    provider x: it answers, and has all server-wide rights\n");
        assert_eq!(line(None), "ok    provider x: it answers\n", "without reported rights no right counts as missing");
    }
}
