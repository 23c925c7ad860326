//! The products that a change touches, in each environment.

use super::planned::{Before, Target, in_environment};
use super::units::{self, Unit};
use crate::context::Context;
use crate::failure::Failure;
use crate::planning::Base;
use crate::wiring::blueprint_folders;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The products of a change.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The touched products, each after those that it depends on.
    pub(super) targets: Vec<Target>,
    /// The stacks that the change removes from the files.
    pub(super) removed: BTreeSet<String>,
    /// Environments whose products cannot be read, with the messages.
    pub(super) failures: Vec<(String, Vec<String>)>,
    /// Remarks for readers.
    pub(super) notes: Vec<String>,
}

/// The environments to plan: that of `--env` or TERRACE_ENV, else all of the configuration.
///
/// # Errors
/// When the configuration is invalid.
pub(super) fn environments(context: &Context<'_>, folders: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let settings = context.settings(folders.first().map(PathBuf::as_path))?;
    Ok(match settings.environment {
        Some(name) => vec![name],
        None => settings.configuration.environment_names().into_iter().map(str::to_owned).collect(),
    })
}

/// The changed files that may change the plan of every product: the configuration, and blueprints.
///
/// # Errors
/// When the configuration is invalid.
pub(super) fn changed_common(
    context: &Context<'_>,
    folders: &[PathBuf],
    changed: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    let settings = context.settings(folders.first().map(PathBuf::as_path))?;
    let here = Path::new(".").canonicalize().unwrap_or_default();
    let common: Vec<PathBuf> =
        settings.configuration_file.iter().cloned().chain(blueprint_folders(&settings)).collect();
    let is_common = |path: &&String| common.iter().any(|common| here.join(path).starts_with(common));
    Ok(changed.iter().filter(is_common).cloned().collect())
}

/// The products of the base in each environment. An environment whose products cannot be read is left out.
pub(super) async fn before(
    context: &Context<'_>,
    base: Base,
    environments: &[String],
    folders: &[PathBuf],
) -> (Before, Vec<String>) {
    let (mut units, mut notes) = (BTreeMap::new(), Vec::new());
    for environment in environments {
        let files = base.files();
        match in_environment(context, environment, async |context| units::find(context, &files, folders)).await {
            Ok(found) => drop(units.insert(environment.clone(), found)),
            Err(messages) => notes.push(format!(
                "the plans of {environment} are not compared with the base, which cannot be planned: {}",
                messages.join("; ")
            )),
        }
    }
    (Before { base, units }, notes)
}

/// Finds the products that changed files touch.
pub(super) async fn find(
    context: &Context<'_>,
    environments: &[String],
    folders: &[PathBuf],
    before: &BTreeMap<String, Vec<Unit>>,
    is_touched: impl Fn(&Unit, &str) -> bool,
) -> Scope {
    let mut scope = Scope::default();
    let mut seen = BTreeSet::new();
    for environment in environments {
        let found =
            in_environment(context, environment, async |context| units::find(context, Path::new(""), folders)).await;
        let units = match found {
            Ok(units) => units,
            Err(messages) => {
                scope.failures.push((environment.clone(), messages));
                continue;
            }
        };
        let base = before.get(environment).map(Vec::as_slice).unwrap_or_default();
        let of_base = |unit: &Unit| {
            base.iter().filter(|other| other.stack == unit.stack).any(|other| is_touched(other, environment))
        };
        scope.removed.extend(
            base.iter()
                .filter(|unit| is_touched(unit, environment) && units.iter().all(|other| other.stack != unit.stack))
                .map(|unit| unit.stack.clone()),
        );
        let touched = units.into_iter().filter(|unit| is_touched(unit, environment) || of_base(unit)).collect();
        for unit in units::ordered(touched) {
            let environment = unit.environment.clone().unwrap_or_else(|| environment.clone());
            let target = Target { unit, environment };
            if seen.insert(target.stack()) {
                scope.targets.push(target);
            }
        }
    }
    scope
}
