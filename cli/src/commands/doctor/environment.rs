//! One environment: its settings, its providers, its blueprints.

use super::Finding;
use crate::commands::Context;
use crate::report::report;
use crate::settings::{Asked, Settings};
use crate::wiring::{Question, World, library};
use std::time::Duration;
use terrace_engine::blueprint::Library;
use terrace_engine::blueprint::check::check;
use terrace_engine::source::Sources;

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at an environment.
pub(super) async fn look_at(context: &Context<'_>, settings: &Settings, name: &str, findings: &mut Vec<Finding>) {
    let what = format!("environment {name}");
    let world = settings
        .environment(Some(Asked::word(name)), context.ui)
        .and_then(|environment| World::new(settings, environment, true, context.ui));
    let world = match world {
        Ok(world) => world,
        Err(failure) => {
            findings.push(Finding::of_failure(what, &failure));
            return;
        }
    };
    for instance in world.registry.instance_names() {
        findings.push(provider(context, &world, name, instance).await);
    }
    blueprints(context, settings, &world, name, findings);
}

async fn provider(context: &Context<'_>, world: &World, environment: &str, instance: &str) -> Finding {
    let what = format!("provider {instance} of {environment}");
    let question = world.registry.instance(instance).and_then(Question::of);
    if question.as_ref().is_some_and(|it| !it.is_configured(world, context.variables, instance)) {
        return Finding::ok(what, "it is not configured, so nobody was asked");
    }
    let asked = async {
        let session = world.registry.session(instance).await.map_err(|error| ("connect", error))?;
        let Some(Question { ty, id, .. }) = question else { return Ok("it connects") };
        // A session may be opened without a word to anybody.
        session.import(&ty, id).await.map(|_| "it answers").map_err(|error| ("answer", error))
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(told)) => Finding::ok(what, told),
        Ok(Err((failed, error))) => {
            let mend = error.solutions.first().cloned();
            let mend =
                mend.unwrap_or_else(|| format!("correct `providers.{instance}` of the environment `{environment}`"));
            // Whoever is told that much is let in, and may have all the rights that its own objects need.
            match error.vendor_code.as_deref().is_some_and(|code| code.ends_with("AUTHORIZATION_FAILED")) {
                true => Finding::warn(what, format!("it answers, and does not tell everything: {error}"), mend),
                false => Finding::fail(what, format!("it does not {failed}: {error}"), mend),
            }
        }
        Err(_) => Finding::fail(
            what,
            format!("it does not answer within {} s", PATIENCE.as_secs()),
            "look whether its host can be reached from here",
        ),
    }
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
