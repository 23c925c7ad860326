//! One environment: its settings, its providers, its blueprints.

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

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at an environment.
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

/// An instance: whether it answers, and whether it may do what its types need of the server as a whole.
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
        findings.push(Finding::ok(what, "it is not configured, so nobody was asked"));
        return;
    }
    let asked = async {
        let session = world.registry.session(instance).await.map_err(|error| ("connect", error))?;
        let Some(HealthProbe { ty, id, .. }) = question else { return Ok(None) };
        // A session may be opened without a word to anybody.
        match session.import(&ty, id).await {
            Ok(_) => Ok(Some((session, None))),
            // Whoever is told that much is let in, and may have all the rights that its own objects need.
            Err(error) if is_of_rights(&error) => Ok(Some((session, Some(error)))),
            Err(error) => Err(("answer", error)),
        }
    };
    let mend = |error: &ProviderError| {
        let mend = error.solutions.first().cloned();
        mend.unwrap_or_else(|| format!("correct `providers.{instance}` of the environment `{environment}`"))
    };
    let (session, untold) = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Some(answered))) => answered,
        Ok(Ok(None)) => return findings.push(Finding::ok(what, "it connects")),
        Ok(Err((failed, error))) => {
            return findings.push(Finding::fail(what, format!("it does not {failed}: {error}"), mend(&error)));
        }
        Err(_) => {
            let message = format!("it does not answer within {} s", PATIENCE.as_secs());
            return findings.push(Finding::fail(what, message, "look whether its host can be reached from here"));
        }
    };
    let untold = untold.map(|error| {
        Finding::warn(what.clone(), format!("it answers, and does not tell everything: {error}"), mend(&error))
    });
    let rights = match tokio::time::timeout(PATIENCE, session.missing_rights()).await {
        Ok(Ok(rights)) => of_rights(what, rights.as_deref()),
        Ok(Err(error)) => {
            let mend = error.solutions.first().map_or(AGAIN, String::as_str);
            Finding::warn(what, format!("it answers, and does not tell what it may do: {error}"), mend)
        }
        Err(_) => {
            let message = format!("it answers, and does not tell within {} s what it may do", PATIENCE.as_secs());
            Finding::warn(what, message, AGAIN)
        }
    };
    findings.extend(together(untold, rights));
}

/// What helps where nothing is known to be wrong.
const AGAIN: &str = "ask again: commands may work all the same";

/// What is to be told of an instance that answers: that all is well, only where it did tell everything.
fn together(untold: Option<Finding>, rights: Finding) -> impl Iterator<Item = Finding> {
    let is_worth_it = untold.is_none() || rights.status != Status::Ok;
    untold.into_iter().chain(is_worth_it.then_some(rights))
}

/// Whether an error says that who asks is let in and may not have all that was asked for.
fn is_of_rights(error: &ProviderError) -> bool {
    error.vendor_code.as_deref().is_some_and(|code| code.ends_with("AUTHORIZATION_FAILED"))
}

/// What an instance that answers may do, as far as it tells: a plan may need none of what is missing.
fn of_rights(what: String, missing: Option<&[MissingRight]>) -> Finding {
    let Some(missing) = missing else { return Finding::ok(what, "it answers") };
    if missing.is_empty() {
        return Finding::ok(what, "it answers, and lacks no right on the server as a whole");
    }
    let all = |of: fn(&MissingRight) -> &str, between: &str| missing.iter().map(of).collect::<Vec<_>>().join(between);
    let operations = all(|right| &right.operation, ", or ");
    // Statements as well as lines of a shell are told apart so.
    let statements = all(|right| &right.statement, "; ");
    let mend = format!("where that is needed, let somebody who may run `{statements}`");
    Finding::warn(what, format!("it answers, and may not {operations}"), mend)
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
        (0, 0) => Finding::ok(what, format!("{} are right", library.iter().count())),
        (0, _) => Finding::warn(
            what,
            "there is something to be said of them, above",
            "`terrace blueprints check` tells it again",
        ),
        _ => Finding::fail(
            what,
            format!("there are {errors} errors, told above"),
            "correct them; `terrace blueprints check` tells them again",
        ),
    });
    findings.extend(ties(&library, name));
}

/// Two blueprints that fit equally well are an error of every component that both fit.
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
    fn what_an_instance_may_not_do_is_told_at_once_with_all_that_gives_it() {
        let right = |operation: &str, statement: &str| MissingRight {
            operation: operation.to_owned(),
            statement: statement.to_owned(),
        };
        let rights = [right("create databases", "GRANT A TO x"), right("create roles", "GRANT B TO x")];
        let finding = of_rights("provider x".to_owned(), Some(&rights));
        assert_eq!(
            finding.line(),
            "warn  provider x: it answers, and may not create databases, or create roles\n      \
             where that is needed, let somebody who may run `GRANT A TO x; GRANT B TO x`\n"
        );
        let line = |missing| of_rights("provider x".to_owned(), missing).line();
        assert_eq!(line(Some(&[])), "ok    provider x: it answers, and lacks no right on the server as a whole\n");
        assert_eq!(line(None), "ok    provider x: it answers\n", "who tells nothing lacks nothing that is known");
    }

    #[test]
    fn all_is_not_said_to_be_well_where_not_everything_was_told() {
        let untold = || Some(Finding::warn("provider x", "it answers, and does not tell everything", "ask"));
        let (well, missing) = (|| Finding::ok("provider x", "it answers"), || Finding::warn("provider x", "no", "run"));
        let told = |untold, rights| together(untold, rights).map(|it| it.message).collect::<Vec<_>>();
        assert_eq!(told(None, well()), ["it answers"]);
        assert_eq!(told(untold(), well()), ["it answers, and does not tell everything"]);
        assert_eq!(told(untold(), missing()), ["it answers, and does not tell everything", "no"]);
    }
}
