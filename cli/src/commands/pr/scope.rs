//! The products that a change touches, in each environment.

use super::commits::Checkout;
use super::planned::{Before, Target, in_environment};
use super::units::{self, Unit};
use crate::configuration;
use crate::context::Context;
use crate::failure::Failure;
use crate::input::{environment_hint, missing_submodules};
use crate::planning::{Base, Copied};
use crate::settings::{Settings, chosen_environment};
use crate::wiring::{blueprint_folders, is_missing, store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use terrace_engine::diagnostic::Diagnostic;
use terrace_state::Access;

/// Most remarks about values of environments.
const MOST_REMARKS: usize = 10;

/// The products of a change.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The touched products, each after those that it depends on.
    pub(super) targets: Vec<Target>,
    /// The stacks that the change removes from the files, each true if the state may have objects of it.
    pub(super) removed: BTreeMap<String, bool>,
    /// Environments whose products cannot be read, with the messages.
    pub(super) failures: Vec<(String, Vec<String>)>,
    /// Remarks for readers.
    pub(super) notes: Vec<String>,
}

/// The folders of the command line, relative to the root of the repository.
///
/// # Errors
/// When a folder is outside of the repository, or neither the checkout nor a commit has it: no product of it would be
/// planned.
pub(super) fn folders(checkout: &Checkout, paths: &[PathBuf], commits: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    for path in paths {
        let folder = within(path).ok_or_else(|| {
            Failure::new(format!("`{}` is outside of the repository", path.display()))
                .hint("name folders of the repository, such as `products/sales`")
        })?;
        let name = folder.to_string_lossy();
        let mut is_known = folder.symlink_metadata().is_ok();
        for commit in commits {
            is_known = is_known || checkout.has(commit, &name)?;
        }
        if !is_known {
            return Err(Failure::new(format!("the repository has no folder `{}`", path.display()))
                .hint("correct the path: it is relative to the root of the repository"));
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Refuses a change of a submodule that is not initialised: its products would not be planned.
///
/// # Errors
/// When there is one, or a file or a folder cannot be read.
pub(super) fn check_submodules(folders: &[PathBuf], changed: &BTreeSet<String>) -> Result<(), Failure> {
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let missing = missing_submodules(folder);
        let missing =
            missing.map(|all| all.into_iter().find(|it| changed.contains(&it.path)).map(|it| it.diagnostic()));
        let diagnostic = missing.unwrap_or_else(|diagnostic| Some(*diagnostic));
        if let Some(Diagnostic { message, hint, .. }) = diagnostic {
            return Err(Failure { hints: hint.into_iter().collect(), ..Failure::new(message) });
        }
    }
    Ok(())
}

/// A path without `.` and `..`, relative to the root of the repository; `None` outside of it.
fn within(path: &Path) -> Option<PathBuf> {
    let resolved = if path.is_absolute() { path.canonicalize().ok() } else { None };
    let path = match &resolved {
        Some(resolved) => resolved.strip_prefix(here()).ok()?,
        None => path,
    };
    let mut folder = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => folder.push(name),
            Component::ParentDir if folder.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
}

/// The environments to plan: that of `--env` or TERRACE_ENV, else all of the configuration.
///
/// # Errors
/// When the configuration is invalid, or lacks the environment: no product would be planned.
pub(super) fn environments(context: &Context<'_>, folders: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let settings = context.settings(folders.first().map(PathBuf::as_path))?;
    Ok(match settings.environment {
        Some(ref name) => {
            settings.check_environment(name)?;
            vec![name.clone()]
        }
        None => settings.configuration.environment_names().into_iter().map(str::to_owned).collect(),
    })
}

/// The changed files that may change the plans of several products: configurations, and blueprints.
pub(super) struct Common<'a> {
    context: &'a Context<'a>,
    changed: &'a BTreeSet<String>,
    /// Those of the first folder's configuration, which concern every product.
    pub(super) of_all: Vec<String>,
    /// Those of the configurations of products, by the configuration file; without one, by the folder of the product, whose
    /// blueprints count.
    known: Mutex<BTreeMap<PathBuf, Vec<String>>>,
}

impl<'a> Common<'a> {
    /// Finds the changed files.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub(super) fn new(
        context: &'a Context<'a>,
        folders: &[PathBuf],
        changed: &'a BTreeSet<String>,
    ) -> Result<Self, Failure> {
        let of_all = changed_by(&context.settings(folders.first().map(PathBuf::as_path))?, changed);
        Ok(Self { context, changed, of_all, known: Mutex::default() })
    }

    /// True if a changed file may change the plan of a product.
    pub(super) fn touches(&self, unit: &Unit, environment: &str) -> bool {
        !self.of_all.is_empty() || unit.is_touched_by(self.changed, environment) || !self.of(unit).is_empty()
    }

    /// Those of a product. An invalid configuration has none: the plan of the product fails.
    pub(super) fn of(&self, unit: &Unit) -> Vec<String> {
        let Some(path) = unit.paths.first() else { return Vec::new() };
        let path_here = here().join(path);
        let folder = path_here.parent().unwrap_or(&path_here);
        let file = self.context.global.config.clone().or_else(|| configuration::find(folder));
        let place = file.unwrap_or_else(|| folder.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_file = || {
            let (ui, context) = (self.context.ui.silent(), self.context);
            let settings = Context { ui: &ui, ..*context }.settings(Some(path));
            settings.map(|settings| changed_by(&settings, self.changed)).unwrap_or_default()
        };
        known.entry(place).or_insert_with(of_file).clone()
    }
}

/// The folder of the checkout.
pub(super) fn here() -> PathBuf {
    Path::new(".").canonicalize().unwrap_or_default()
}

/// The changed files of a configuration and its blueprints.
fn changed_by(settings: &Settings, changed: &BTreeSet<String>) -> Vec<String> {
    let here = here();
    let common: Vec<PathBuf> = settings.configuration_file.iter().cloned().chain(blueprint_folders(settings)).collect();
    let is_common = |path: &&String| common.iter().any(|common| here.join(path).starts_with(common));
    changed.iter().filter(is_common).cloned().collect()
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
        let (files, here) = (base.files(), here());
        let copied = Copied { from: &files, files: &files, checkout: &here };
        let found =
            in_environment(context, environment, async |context| units::find(context, &files, folders, Some(copied)));
        match found.await {
            Ok(found) => drop(units.insert(environment.clone(), found)),
            Err(messages) => notes.push(format!(
                "the plans of {environment} are not compared with the base, which cannot be planned: {}",
                copied.readable(&messages.join("; "))
            )),
        }
    }
    (Before { base, units }, notes)
}

/// The stacks in the state.
///
/// # Errors
/// When it cannot be read.
async fn recorded(context: &Context<'_>, folders: &[PathBuf]) -> Result<BTreeSet<String>, Failure> {
    let settings = context.settings(folders.first().map(PathBuf::as_path))?;
    if is_missing(&settings.state) {
        return Ok(BTreeSet::new());
    }
    let stacks = store(&settings, Access::ReadOnly).await?.stacks().await?;
    Ok(stacks.iter().map(ToString::to_string).collect())
}

/// Remarks about changed values of an environment that terrace.yaml does not have: no plan reads them.
///
/// # Errors
/// When the configuration is invalid.
pub(super) fn unread_values(
    context: &Context<'_>,
    folders: &[PathBuf],
    changed: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    let settings = context.settings(folders.first().map(PathBuf::as_path))?;
    let configured = settings.configuration.environment_names();
    if !settings.configuration.has_environments() {
        return Ok(Vec::new());
    }
    let is_here = |path: &Path| folders.iter().any(|folder| folder == Path::new(".") || path.starts_with(folder));
    let remark = |path: &String| {
        let name = units::environment_of(Path::new(path)).filter(|_| is_here(Path::new(path)))?;
        let is_unknown = !configured.contains(&name.as_str()) && Path::new(path).is_file();
        let hint = environment_hint(&name, &configured);
        is_unknown.then(|| format!("{path} belongs to no environment of terrace.yaml, so no plan reads it: {hint}"))
    };
    Ok(changed.iter().filter_map(remark).take(MOST_REMARKS).collect())
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
    let chosen = chosen_environment(context.global, context.variables);
    // A descriptor may name its own environment.
    let is_chosen = |unit: &Unit| chosen.as_deref().is_none_or(|name| unit.is_in(name));
    for environment in environments {
        let found =
            in_environment(context, environment, async |context| units::find(context, Path::new(""), folders, None))
                .await;
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
        let is_gone = |unit: &&Unit| units.iter().all(|other| other.stack != unit.stack);
        let gone = base.iter().filter(|unit| is_chosen(unit) && is_touched(unit, environment)).filter(is_gone);
        // A file that stopped being a descriptor, such as by a misspelt `kind`: its plan reports the error.
        let is_of_head = |path: &PathBuf| units.iter().any(|unit| unit.paths.contains(path));
        let (unread, gone): (Vec<&Unit>, Vec<&Unit>) =
            gone.partition(|unit| unit.paths.iter().any(|path| path.is_file() && !is_of_head(path)));
        let stack = |unit: &Unit| format!("{}@{}", unit.stack, unit.environment.as_deref().unwrap_or(environment));
        let gone: Vec<String> = gone.into_iter().map(stack).collect();
        if !gone.is_empty() {
            let known = in_environment(context, environment, async |context| recorded(context, folders).await).await;
            let has_objects = |stack: &String| known.as_ref().map_or(true, |known| known.contains(stack));
            scope.removed.extend(gone.into_iter().map(|stack| (stack.clone(), has_objects(&stack))));
        }
        let is_target = |unit: &Unit| is_chosen(unit) && (is_touched(unit, environment) || of_base(unit));
        let unread: Vec<Unit> = unread.into_iter().cloned().collect();
        let touched = units.into_iter().filter(is_target).chain(unread).collect();
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
