//! Checks of an environment: settings, providers and blueprints.

use super::{Finding, Status};
use crate::commands::Context;
use crate::report::report;
use crate::settings::{EnvironmentRef, Settings};
use crate::wiring::{HealthProbe, World, library};
use std::time::Duration;
use terrace_engine::blueprint::Library;
use terrace_engine::blueprint::check::check;
use terrace_engine::source::Sources;
use terrace_provider::{MissingRight, ProviderError};

/// Time limit of a provider's answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks an environment.
pub(super) async fn look_at(context: &Context<'_>, settings: &Settings, name: &str, findings: &mut Vec<Finding>) {
    let what = format!("environment {name}");
    let world = settings
        .environment(Some(EnvironmentRef::word(name)), context.ui)
        .and_then(|environment| World::new(settings, environment, true, context.ui));
    let world = match world {
        Ok(world) => world,
        Err(failure) => {
            findings.push(Finding::of_failure(what, &failure));
            return;
        }
    };
    for instance in world.registry.instance_names() {
        provider(context, &world, name, instance, findings).await;
    }
    blueprints(context, settings, &world, name, findings);
}

/// Checks that an instance answers, and that it has the server-wide rights that its types need.
async fn provider(
    context: &Context<'_>,
    world: &World,
    environment: &str,
    instance: &str,
    findings: &mut Vec<Finding>,
) {
    let what = format!("provider {instance} of {environment}");
    let question = world.registry.instance(instance).and_then(HealthProbe::of);
    if question.as_ref().is_some_and(|it| !it.is_configured(world, context.variables, instance)) {
        findings.push(Finding::ok(what, "it is not configured, so it was not called"));
        return;
    }
    let asked = async {
        let session = world.registry.session(instance).await.map_err(|error| ("connect", error))?;
        let Some(HealthProbe { ty, id, .. }) = question else { return Ok(None) };
        // A session may open without any call.
        match session.import(&ty, id).await {
            Ok(_) => Ok(Some((session, None))),
            // The server accepts the caller, who may still have all rights on its own objects.
            Err(error) if is_of_rights(&error) => Ok(Some((session, Some(error)))),
            Err(error) => Err(("answer", error)),
        }
    };
    let mend = |error: &ProviderError| {
        let mend = error.solutions.first().cloned();
        mend.unwrap_or_else(|| format!("correct `providers.{instance}` of the environment `{environment}`"))
    };
    let (session, partial) = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Some(answered))) => answered,
        Ok(Ok(None)) => return findings.push(Finding::ok(what, "it connects")),
        Ok(Err((failed, error))) => {
            return findings.push(Finding::fail(what, format!("it does not {failed}: {error}"), mend(&error)));
        }
        Err(_) => {
            let message = format!("it does not answer within {} s", PATIENCE.as_secs());
            return findings.push(Finding::fail(what, message, "check that its host can be reached from here"));
        }
    };
    let partial = partial.map(|error| {
        Finding::warn(what.clone(), format!("it answers, but refuses some information: {error}"), mend(&error))
    });
    let rights = match tokio::time::timeout(PATIENCE, session.missing_rights()).await {
        Ok(Ok(rights)) => of_rights(what, rights.as_deref()),
        Ok(Err(error)) => {
            let mend = error.solutions.first().map_or(AGAIN, String::as_str);
            Finding::warn(what, format!("it answers, but does not report its rights: {error}"), mend)
        }
        Err(_) => {
            let message = format!("it answers, but does not report its rights within {} s", PATIENCE.as_secs());
            Finding::warn(what, message, AGAIN)
        }
    };
    findings.extend(together(partial, rights));
}

/// Remedy without a known error.
const AGAIN: &str = "run `terrace doctor` again: commands may work nevertheless";

/// Findings of an instance that answers. Reports "ok" only if the instance refused no information.
fn together(partial: Option<Finding>, rights: Finding) -> impl Iterator<Item = Finding> {
    let is_worth_it = partial.is_none() || rights.status != Status::Ok;
    partial.into_iter().chain(is_worth_it.then_some(rights))
}

/// True if the server accepts the caller, who lacks the right to some information.
fn is_of_rights(error: &ProviderError) -> bool {
    error.vendor_code.as_deref().is_some_and(|code| code.ends_with("AUTHORIZATION_FAILED"))
}

/// The finding about an instance's rights. A plan may need none of the missing ones.
fn of_rights(what: String, missing: Option<&[MissingRight]>) -> Finding {
    let Some(missing) = missing else { return Finding::ok(what, "it answers") };
    if missing.is_empty() {
        return Finding::ok(what, "it answers, and has all server-wide rights");
    }
    let all = |of: fn(&MissingRight) -> &str, between: &str| missing.iter().map(of).collect::<Vec<_>>().join(between);
    let operations = all(|right| &right.operation, ", or ");
    // This separator suits SQL and shell lines.
    let statements = all(|right| &right.statement, "; ");
    let mend = format!("if you need this right, have an administrator run `{statements}`");
    Finding::warn(what, format!("it answers, but may not {operations}"), mend)
}

fn blueprints(context: &Context<'_>, settings: &Settings, world: &World, name: &str, findings: &mut Vec<Finding>) {
    let what = format!("blueprints of {name}");
    let mut sources = Sources::default();
    let read = library(&world.registry, world.configuration(), &settings.project_folder, &mut sources);
    let (library, mut diagnostics) = match read {
        Ok(read) => read,
        Err(failure) => {
            findings.push(Finding::of_failure(what, &failure));
            return;
        }
    };
    diagnostics.extend(library.iter().flat_map(|blueprint| check(blueprint, &world.registry, &world.functions)));
    report(context.ui, &sources, &diagnostics);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    findings.push(match (errors, diagnostics.len()) {
        (0, 0) => Finding::ok(what, format!("{} are valid", library.iter().count())),
        (0, _) => Finding::warn(what, "they have warnings, see above", "`terrace blueprints check` repeats them"),
        _ => Finding::fail(
            what,
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
        let finding = of_rights("provider x".to_owned(), Some(&rights));
        assert_eq!(
            finding.line(),
            "warn  provider x: it answers, but may not create databases, or create roles\n      \
             if you need this right, have an administrator run `GRANT A TO x; GRANT B TO x`\n"
        );
        let line = |missing| of_rights("provider x".to_owned(), missing).line();
        assert_eq!(line(Some(&[])), "ok    provider x: it answers, and has all server-wide rights\n");
        assert_eq!(line(None), "ok    provider x: it answers\n", "without reported rights no right counts as missing");
    }

    #[test]
    fn ok_is_omitted_if_information_was_refused() {
        let partial = || Some(Finding::warn("provider x", "it answers, but refuses some information", "ask"));
        let (well, missing) = (|| Finding::ok("provider x", "it answers"), || Finding::warn("provider x", "no", "run"));
        let messages = |partial, rights| together(partial, rights).map(|it| it.message).collect::<Vec<_>>();
        assert_eq!(messages(None, well()), ["it answers"]);
        assert_eq!(messages(partial(), well()), ["it answers, but refuses some information"]);
        assert_eq!(messages(partial(), missing()), ["it answers, but refuses some information", "no"]);
    }
}
