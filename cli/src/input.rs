//! Reads descriptors, repositories, saved plans and values of variables from files.

mod repositories;
pub(crate) mod specs;
mod submodules;

use crate::args::ChoiceArguments;
use crate::configuration::FILE_NAME;
use crate::failure::{Exit, Failure};
use crate::files::{self, Unreadable};
use crate::report::report;
use crate::settings::{EnvironmentRef, Settings};
use crate::ui::Ui;
use crate::variables::Variables;
use crate::wiring::{is_missing, store};
use repositories::Repository;
pub(crate) use repositories::{is_edited, missing_submodules};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use terrace_engine::address::{Address, ComponentKey, StackId};
use terrace_engine::compile::{Given, GivenValue};
use terrace_engine::descriptor::declaration::UNKNOWN_RESOURCE;
use terrace_engine::descriptor::{self, Descriptor, FrontEnd, UNKNOWN_COMPONENT};
use terrace_engine::diagnostic::{Diagnostic, did_you_mean, first_of, has_errors};
use terrace_engine::digest::sha256;
use terrace_engine::plan::file::BEGINNING;
use terrace_engine::recorded_names::keep_recorded_names;
use terrace_engine::repository::{self, EntityFiles};
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{self, Budget, Node};
use terrace_provider::Value;
use terrace_state::Access;

/// The code of a diagnostic about a missing file.
const MISSING: &str = "missing_file";
/// The code of a diagnostic about an empty file.
const EMPTY: &str = yaml::EMPTY_FILE;
/// The code of a diagnostic about a folder without descriptors.
const EMPTY_FOLDER: &str = "empty_folder";
/// The remedy for a name that is not UTF-8.
pub(crate) const NOT_UTF8_HINT: &str =
    "rename the file or its folder: terrace shows names as text, so they must be UTF-8";
/// Prefix of environment variables with values of a stack's variables.
const VARIABLE_PREFIX: &str = "TERRACE_VAR_";

/// The content of the named files.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The texts, for diagnostics.
    pub(crate) sources: Sources,
    /// The descriptors.
    pub(crate) descriptors: Vec<Descriptor>,
    /// Diagnostics about the descriptors.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// SHA-256 of each descriptor by name.
    pub(crate) digests: BTreeMap<String, String>,
    /// Folders of pipeline specs. Their descriptors get names once the project is known.
    folders: Vec<specs::Folder>,
    /// Errors of pipelines, until it is known which of them matter.
    faults: Vec<specs::Faults>,
    /// Repositories. Their descriptors are built once the environment is known.
    repositories: Vec<Repository>,
}

/// A file and its text.
struct Text {
    name: String,
    text: String,
}

/// The files of a command line.
pub(crate) enum Named {
    /// A saved plan.
    Plan(String),
    /// Descriptors, parsed but not checked.
    Descriptors(Box<Input>),
}

impl Input {
    /// Reads descriptors.
    ///
    /// # Errors
    /// When a file cannot be read, which is reported. The caller checks the content.
    pub(crate) fn read(paths: &[PathBuf], ui: &Ui) -> Result<Self, Failure> {
        match named(paths, ui)? {
            Named::Descriptors(input) => Ok(*input),
            Named::Plan(_) => Err(Failure::new("a saved plan is not a descriptor")
                .hint("apply it with `terrace apply PLAN`, or show it with `terrace show PLAN`")),
        }
    }

    /// Adds folders of pipeline specs as descriptors, once the project is known: it decides their names.
    pub(crate) fn name_folders(&mut self, settings: &Settings) {
        for mut folder in std::mem::take(&mut self.folders) {
            folder.set_project(&settings.project_folder);
            if self.descriptors.iter().any(|other| other.stack == folder.descriptor.stack) {
                self.diagnostics.push(folder.duplicate_stack_diagnostic());
            }
            self.descriptors.push(folder.descriptor);
            self.faults.push(folder.faults);
        }
    }

    /// Builds the descriptors of repositories, once the environment is known, and returns their trees. `others` are
    /// repositories that only complete data products.
    ///
    /// # Errors
    /// When no environment is chosen, or a file cannot be read, which is reported.
    pub(crate) fn build_repositories(
        &mut self,
        settings: &mut Settings,
        others: &[PathBuf],
        ui: &Ui,
    ) -> Result<Vec<Node>, Failure> {
        let requested = std::mem::take(&mut self.repositories);
        let Some(first) = requested.first() else {
            return match others.first() {
                None => Ok(Vec::new()),
                Some(other) => Err(Failure::new(format!("`--repo {}` completes no repository", other.display()))
                    .hint("name the repository of the data product or of a component as well")),
            };
        };
        let Some(environment) = settings.environment.clone() else {
            let environments = first.environments();
            let known: Vec<&str> = environments.iter().map(String::as_str).collect();
            let values =
                if known.is_empty() { String::new() } else { format!("; it has values for {}", first_of(&known)) };
            return Err(Failure::new(format!(
                "`{}` is a repository, whose descriptor depends on the environment",
                first.path.display()
            ))
            .hint(format!("choose it with `--env NAME`{values}")));
        };
        let configured = settings.configuration.repositories.iter().map(|path| settings.project_folder.join(path));
        let others: Vec<PathBuf> = others.iter().cloned().chain(configured).collect();
        let mut diagnostics = Vec::new();
        if settings.configuration.has_environments() {
            let configured = settings.configuration.environment_names();
            let mut folders: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
            for (name, folder) in requested.iter().flat_map(Repository::environment_folders) {
                folders.entry(name).or_default().push(folder);
            }
            let unknown = folders.iter().filter(|(name, _)| !configured.contains(&name.as_str()));
            diagnostics.extend(unknown.map(|(name, folders)| unknown_environment(name, folders, &configured)));
        }
        let loaded = repositories::load(&requested, &others, &environment, &mut self.sources, &mut diagnostics);
        let (products, found) = match has_errors(&diagnostics) {
            true => Default::default(),
            false => repository::build(&self.sources, &loaded.entities, &environment, &settings.configuration.platform),
        };
        diagnostics.extend(found);
        if products.is_empty() && !has_errors(&diagnostics) {
            let message = "the repositories have no data product and no component";
            diagnostics.push(
                Diagnostic::error("missing_repository", message)
                    .hint("pass the folder of a `catalog-info.yaml` with `kind: System` or `kind: Component`"),
            );
        }
        if has_errors(&diagnostics) {
            report(ui, &self.sources, &diagnostics);
            return Err(Failure::reported(Exit::Error));
        }
        for product in &products {
            let (descriptors, found) = descriptor::read_tree(product, &self.sources);
            self.descriptors.extend(descriptors);
            diagnostics.extend(found);
        }
        self.diagnostics.extend(diagnostics);
        self.digests.extend(loaded.digests);
        settings.descriptor_files.extend(loaded.files);
        Ok(products)
    }

    /// Uses the names of stacks and components in the state, and their naming rule.
    ///
    /// # Errors
    /// When the state cannot be read, or the descriptors name several environments.
    pub(crate) async fn keep_recorded_names(&mut self, settings: &Settings, ui: &Ui) -> Result<(), Failure> {
        if self.descriptors.is_empty() || is_missing(&settings.state) {
            return Ok(());
        }
        let environment = settings.environment(self.environment(settings, ui)?, ui)?.name;
        let store = store(settings, Access::ReadOnly).await?;
        for descriptor in &mut self.descriptors {
            keep_recorded_names(descriptor, &environment, store.as_ref()).await?;
        }
        Ok(())
    }

    /// Adds errors of pipelines as diagnostics: all of them, or those of these components with a note on the others.
    pub(crate) fn report_faults(&mut self, components: &BTreeSet<String>) {
        let is_known = |key: &String| {
            let mut described = self.descriptors.iter().flat_map(|it| &it.components);
            described.any(|component| component.key == key.as_str()) || self.faults.iter().any(|faults| faults.has(key))
        };
        let may_be_unread = !components.iter().all(is_known);
        for faults in std::mem::take(&mut self.faults) {
            match components.is_empty() {
                true => self.diagnostics.extend(faults.into_diagnostics()),
                false => self.diagnostics.extend(faults.diagnostics_of(components, may_be_unread)),
            }
        }
    }

    /// Separates pipelines with errors. Returns the components without errors, and the diagnostics. `None` without any
    /// of either, or if there are other descriptors.
    pub(crate) fn split_off_faults(&mut self) -> Option<(BTreeSet<ComponentKey>, Vec<Diagnostic>)> {
        let ([descriptor], [faults]) = (self.descriptors.as_slice(), self.faults.as_slice()) else { return None };
        let keys = descriptor.components.iter().map(|component| component.key.clone());
        let sound: BTreeSet<ComponentKey> = keys.filter(|key| !faults.has(key)).collect();
        if faults.is_empty() || sound.is_empty() {
            return None;
        }
        let faults = std::mem::take(&mut self.faults);
        Some((sound, faults.into_iter().flat_map(specs::Faults::into_diagnostics).collect()))
    }

    /// Takes the errors about unknown names in `dependsOn`, unless there are others: checks of the rest can go on without these names.
    pub(crate) fn take_unknown_names(&mut self) -> Vec<Diagnostic> {
        let is_unknown_name = |it: &Diagnostic| it.code == UNKNOWN_RESOURCE || it.code == UNKNOWN_COMPONENT;
        // A data product may name an unknown component as its target.
        if self.descriptors.iter().any(|descriptor| descriptor.front_end != FrontEnd::Stack) {
            return Vec::new();
        }
        if self.diagnostics.iter().any(|it| it.is_error() && !is_unknown_name(it)) {
            return Vec::new();
        }
        let (unknown, rest) = std::mem::take(&mut self.diagnostics).into_iter().partition(is_unknown_name);
        self.diagnostics = rest;
        unknown
    }

    /// True if the files have any descriptor.
    pub(crate) fn has_descriptors(&self) -> bool {
        !self.descriptors.is_empty() || !self.folders.is_empty() || !self.repositories.is_empty()
    }

    /// True if the files have pipeline specs.
    pub(crate) fn has_folders_of_specs(&self) -> bool {
        !self.folders.is_empty()
    }

    /// Reports the diagnostics of the descriptors.
    ///
    /// # Errors
    /// When one of them is an error.
    pub(crate) fn accept(&self, ui: &Ui) -> Result<(), Failure> {
        report(ui, &self.sources, &self.diagnostics);
        if has_errors(&self.diagnostics) { Err(Failure::reported(Exit::Error)) } else { Ok(()) }
    }

    /// The common environment of all descriptors that name one. `None` if a flag or variable names it, which has
    /// priority.
    ///
    /// # Errors
    /// When they name different environments, which is reported.
    pub(crate) fn environment(&self, settings: &Settings, ui: &Ui) -> Result<Option<EnvironmentRef<'_>>, Failure> {
        let mut named = self.descriptors.iter().filter_map(|descriptor| descriptor.environment.as_ref());
        let Some(first) = named.next().filter(|_| settings.environment.is_none()) else { return Ok(None) };
        let Some(other) = named.find(|other| other.value != first.value) else {
            return Ok(Some(EnvironmentRef::described(first, &self.sources)));
        };
        let message = format!("the descriptors name different environments: `{}` and `{}`", first.value, other.value);
        let diagnostic = Diagnostic::error("several_environments", message)
            .at(other.span)
            .at_with(first.span, "the other")
            .hint("give the descriptors of one environment, or choose it with `--env`");
        report(ui, &self.sources, &[diagnostic]);
        Err(Failure::reported(Exit::Error))
    }
}

/// Reads the files of a command line: one saved plan, or descriptors.
///
/// # Errors
/// When a file cannot be read, which is reported.
pub(crate) fn named(paths: &[PathBuf], ui: &Ui) -> Result<Named, Failure> {
    let mut texts = Vec::new();
    let mut diagnostics = Vec::new();
    let mut seen = BTreeSet::new();
    let mut folders = BTreeMap::new();
    let mut repositories = Vec::new();
    let mut warnings = Vec::new();
    for path in paths {
        if let Err(diagnostic) = check_name(path) {
            diagnostics.push(*diagnostic);
            continue;
        }
        let files = match specs::find(path) {
            // Next to specs, only files that declare themselves as descriptors.
            Some(found) => {
                let catalog = path.join(repositories::CATALOG);
                if catalog.is_file() {
                    warnings.push(hidden_catalog(path, &catalog));
                }
                let (_, specs) = folders.entry(identity(&found.folder)).or_insert((found.folder, None));
                *specs = found.specs.or(specs.take());
                found.descriptors
            }
            None => match repository_of(path) {
                Ok(Some(repository)) => {
                    repositories.push(repository);
                    continue;
                }
                Ok(None) => files_or_error(path, &mut diagnostics),
                Err(diagnostic) => {
                    diagnostics.push(*diagnostic);
                    continue;
                }
            },
        };
        // A file may be named twice, or by itself and by its folder: it is one descriptor.
        for file in files.iter().filter(|file| seen.insert(identity(file))) {
            match check_name(file).and_then(|()| text_of(file)) {
                Ok(text) => texts.push(text),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
    }
    let has_plan = texts.iter().any(|text| text.text.starts_with(BEGINNING));
    if has_plan && !diagnostics.is_empty() {
        texts.clear();
    } else if has_plan {
        return match <[Text; 1]>::try_from(texts) {
            Ok([plan]) => Ok(Named::Plan(plan.text)),
            Err(_) => Err(Failure::new("a saved plan cannot be combined with other files")
                .hint("apply it alone: `terrace apply PLAN`")),
        };
    }
    let mut input = Input { repositories, ..Input::default() };
    let mut ids: Vec<SourceId> = Vec::new();
    for Text { name, text } in texts {
        input.digests.insert(name.clone(), sha256(&text));
        ids.push(input.sources.add(name, text));
    }
    let (descriptors, mut found) = descriptor::read(&mut input.sources, &ids, &Budget::default());
    for (folder, specs) in folders.into_values() {
        match specs::read(&folder, specs, &mut input.sources, &mut input.digests, &mut found) {
            Ok(folder) => input.folders.push(folder),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
    if !diagnostics.is_empty() {
        // Reports errors of the other files too.
        diagnostics.extend(found);
        diagnostics.extend(input.folders.into_iter().flat_map(|folder| folder.faults.into_diagnostics()));
        report(ui, &input.sources, &diagnostics);
        return Err(Failure::reported(Exit::Error));
    }
    found.extend(warnings);
    (input.descriptors, input.diagnostics) = (descriptors, found);
    Ok(Named::Descriptors(Box::new(input)))
}

/// The warning about folders of an environment that terrace.yaml lacks: no plan reads their values.
fn unknown_environment(name: &str, folders: &[PathBuf], configured: &[&str]) -> Diagnostic {
    let paths: Vec<String> = folders.iter().map(|folder| without_dot(folder).display().to_string()).collect();
    let message = match paths.as_slice() {
        [path] => format!("the folder `{path}` belongs to no environment of terrace.yaml"),
        paths => format!("the folders {} belong to no environment of terrace.yaml", first_of(paths)),
    };
    Diagnostic::warning("unknown_environment", message).hint(environment_hint(name, configured))
}

/// The remedy for values of an environment that terrace.yaml lacks.
pub(crate) fn environment_hint(name: &str, configured: &[&str]) -> String {
    let meant = did_you_mean(name, configured.iter().copied());
    meant.unwrap_or_else(|| "add the environment, or ignore this if terrace does not manage it".to_owned())
}

fn without_dot(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

/// The files of the entity in a folder, for an environment.
///
/// # Errors
/// When the folder has no entity or several, or a file cannot be read.
pub(crate) fn entity_files(
    folder: &Path,
    environment: &str,
    sources: &mut Sources,
) -> Result<EntityFiles, Box<Diagnostic>> {
    let refused = |text: &str| {
        let message = format!("`{}` has {text}", folder.display());
        Box::new(Diagnostic::error("missing_file", message).hint("name the folder of a single `catalog-info.yaml`"))
    };
    let Some(repository) = Repository::at(folder)? else { return Err(refused("no catalog-info.yaml")) };
    let mut diagnostics = Vec::new();
    let mut loaded = repositories::load(&[repository], &[], environment, sources, &mut diagnostics);
    if let Some(error) = diagnostics.into_iter().find(Diagnostic::is_error) {
        return Err(Box::new(error));
    }
    match (loaded.entities.pop(), loaded.entities.is_empty()) {
        (Some(files), true) => Ok(files),
        _ => Err(refused("several entities")),
    }
}

/// The `catalog-info.yaml` of each entity in a folder and below it.
///
/// # Errors
/// When a folder cannot be read or an entity is in a skipped folder, which is reported.
pub(crate) fn entities_below(folder: &Path, ui: &Ui) -> Result<Vec<PathBuf>, Failure> {
    match Repository::below(folder) {
        Ok(repository) => Ok(repository.map(|repository| repository.catalogs()).unwrap_or_default()),
        Err(diagnostic) => {
            report(ui, &Sources::default(), &[*diagnostic]);
            Err(Failure::reported(Exit::Error))
        }
    }
}

/// True for a stack or the descriptor of a data product. A file that cannot be read may be one.
pub(crate) fn is_descriptor_file(path: &Path) -> bool {
    !specs::is_pipeline_file(path) && specs::is_stack_or_product(path)
}

/// True for the name of a pipeline spec.
pub(crate) fn is_spec_file(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(specs::is_spec_name)
}

/// The repository of a path without a descriptor.
///
/// # Errors
/// When a file or a folder cannot be read, or a folder has both an entity and a descriptor.
fn repository_of(path: &Path) -> Result<Option<Repository>, Box<Diagnostic>> {
    let Some(repository) = Repository::at(path)? else {
        if !path.is_dir() || has_descriptors(path) {
            return Ok(None);
        }
        let repository = Repository::below(path)?;
        if repository.is_none() {
            repositories::check_submodules(path)?;
        }
        return Ok(repository);
    };
    let descriptor = if path.is_dir() { files_of(path).unwrap_or_default() } else { Vec::new() };
    let Some(descriptor) = descriptor.into_iter().find(|file| specs::is_stack_or_product(file)) else {
        return Ok(Some(repository));
    };
    let catalog = path.join(repositories::CATALOG);
    let message = format!(
        "the folder `{}` has a repository and a descriptor: `{}` and `{}`",
        path.display(),
        catalog.display(),
        descriptor.display()
    );
    Err(Box::new(Diagnostic::error("several_forms", message).hint("plan one of the two files by its path")))
}

/// The warning about an entity in a folder of specs.
fn hidden_catalog(folder: &Path, catalog: &Path) -> Diagnostic {
    let message = format!("terrace does not read `{}`: `{}` has pipeline specs", catalog.display(), folder.display());
    Diagnostic::warning("skipped_entity", message)
        .hint(format!("to plan the entity, name the file itself: `{}`", catalog.display()))
}

/// The files of a path. An error is added to the diagnostics.
fn files_or_error(path: &Path, diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    files_of(path).unwrap_or_else(|diagnostic| {
        diagnostics.push(*diagnostic);
        Vec::new()
    })
}

/// True if a folder has a file that declares itself as a descriptor.
fn has_descriptors(folder: &Path) -> bool {
    files_of(folder).unwrap_or_default().iter().any(|file| specs::is_declared_descriptor(file))
}

/// The identity of a file, independent of the spelling of its path.
fn identity(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}

/// The file of a path, or the descriptors of a folder.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| {
        Box::new(
            Diagnostic::error(
                "unreadable",
                format!("the folder `{}` cannot be read: {}", path.display(), files::describe_io_error(&error)),
            )
            .hint(
                files::permission_hint(path, false)
                    .unwrap_or_else(|| "let the user of this process read the folder".to_owned()),
            ),
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        // The configuration often is in the same folder.
        let is_configuration = file.file_name().is_some_and(|name| name == FILE_NAME);
        if is_yaml && !is_configuration && !specs::is_pipeline_file(&file) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Box::new(
            Diagnostic::error(EMPTY_FOLDER, format!("the folder `{}` has no descriptor in it", path.display()))
                .hint("terrace reads *.yaml and *.yml of the folder, not of folders within"),
        ));
    }
    Ok(files)
}

/// True for a folder without files that could be descriptors.
pub(crate) fn has_no_descriptor(folder: &Path) -> bool {
    files_of(folder).is_err_and(|diagnostic| diagnostic.code == EMPTY_FOLDER)
}

/// The valid descriptors of this folder, and true if naming the folder would read exactly these.
pub(crate) fn descriptors_here() -> (Vec<String>, bool) {
    // Hints list no more than this.
    const MANY: usize = 10;
    let files = files_of(Path::new(".")).unwrap_or_default();
    if files.len() > MANY {
        return (Vec::new(), false);
    }
    let is_descriptor = |file: &&PathBuf| {
        let Ok(Text { name, text }) = text_of(file) else { return false };
        let mut sources = Sources::default();
        let id = sources.add(name, text);
        let (descriptors, found) = descriptor::read(&mut sources, &[id], &Budget::default());
        !descriptors.is_empty() && !has_errors(&found)
    };
    let names: Vec<String> =
        files.iter().filter(is_descriptor).filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect();
    let is_all = names.len() == files.len();
    (names, is_all)
}

/// Refuses a path that is not UTF-8: neither a plan nor a comment could name the file.
fn check_name(path: &Path) -> Result<(), Box<Diagnostic>> {
    if path.to_str().is_some() {
        return Ok(());
    }
    let message = format!("the name `{}` is not UTF-8", path.display());
    Err(Box::new(Diagnostic::error("wrong_file_name", message).hint(NOT_UTF8_HINT)))
}

fn text_of(path: &Path) -> Result<Text, Box<Diagnostic>> {
    let name = path.display().to_string();
    let text = files::descriptor_or_plan(path).map_err(|error| Box::new(unreadable(&name, &error)))?;
    if text.trim().is_empty() {
        let diagnostic = Diagnostic::error(EMPTY, format!("`{name}` is empty"));
        return Err(Box::new(diagnostic.hint("write a descriptor into it, or leave the file out")));
    }
    Ok(Text { name, text })
}

/// The address of a resource, with or without its stack. Its type has an underscore: `stack.json` is a file.
fn address_in(name: &str) -> Option<&str> {
    let stack = name.split_once(':').filter(|(stack, _)| stack.parse::<StackId>().is_ok());
    let address = stack.map_or(name, |(_, address)| address);
    let ty = address.parse::<Address>().ok().map(|address| address.ty);
    let is_file = name.ends_with(".yaml") || name.ends_with(".yml");
    ty.filter(|ty| ty.contains('_') && !is_file).map(|_| address)
}

/// The hint for a file that does not exist: its name may be a stack or an address.
fn hint_for_missing(name: &str) -> String {
    let has_yaml_extension = Path::new(name).extension().is_some_and(|it| it == "yaml" || it == "yml");
    match (address_in(name), name.parse::<StackId>()) {
        // `--allow-data-loss` alone consents everywhere, so clap takes a following address as a file.
        (Some(address), _) => format!(
            "check the path; if it is an address, write it after an option: `--allow-data-loss={name}`, `--target {address}`; \
             `terrace show {name}` shows the resource"
        ),
        (None, Ok(stack)) if !name.contains('/') && !has_yaml_extension => format!(
            "name a stack only to remove or inspect it: `terrace plan --destroy {stack}`, `terrace destroy {stack}`, \
             `terrace drift {stack}`; a plan needs its descriptor"
        ),
        _ => "check the path: it names a descriptor or a folder of descriptors; for `terrace apply` also a saved plan"
            .to_owned(),
    }
}

/// The diagnostic about a file without text.
fn unreadable(name: &str, error: &Unreadable) -> Diagnostic {
    match error {
        Unreadable::Failed(error) if error.kind() == ErrorKind::NotFound => {
            Diagnostic::error(MISSING, format!("there is no file `{name}`")).hint(hint_for_missing(name))
        }
        Unreadable::Failed(error) => {
            let why = files::describe_io_error(error);
            let diagnostic = Diagnostic::error("unreadable", format!("`{name}` cannot be read: {why}"));
            match error.kind() {
                ErrorKind::PermissionDenied => diagnostic.maybe_hint(files::permission_hint(Path::new(name), false)),
                _ => diagnostic,
            }
        }
        Unreadable::TooLong(limit) => {
            Diagnostic::error("too_long", format!("`{name}` is longer than {}", files::size(*limit)))
                .hint("split it into several files")
        }
        Unreadable::NotUtf8 { line, column } => {
            let message = format!("`{name}` is not UTF-8: see line {line}, character {column}");
            Diagnostic::error("not_utf8", message).hint("save it as UTF-8")
        }
    }
}

/// Claims of a saved plan that is not authenticated yet. They only select the project and its key.
#[derive(Debug, Default)]
pub(crate) struct PlanClaims {
    /// An existing descriptor of the plan: its folder selects the project.
    pub(crate) descriptor: Option<PathBuf>,
    /// The environment, which selects the state key.
    pub(crate) environment: Option<String>,
}

impl PlanClaims {
    /// Reads the claims; other texts have no claims.
    pub(crate) fn of(text: &str) -> Self {
        #[derive(serde::Deserialize)]
        struct Head {
            plan: Body,
        }
        #[derive(serde::Deserialize)]
        struct Body {
            environment: String,
            origin: terrace_engine::plan::Origin,
        }
        let Ok(Head { plan: Body { environment, origin } }) = serde_json::from_str(text) else {
            return Self::default();
        };
        let descriptor = origin.descriptors.into_keys().map(PathBuf::from).find(|path| path.exists());
        Self { descriptor, environment: Some(environment) }
    }
}

/// The values of variables: flags have priority over files, and files over environment variables.
///
/// # Errors
/// When a flag is not `name=value`, or a file cannot be read, which is reported.
pub(crate) fn given_variables(choice: &ChoiceArguments, variables: &Variables, ui: &Ui) -> Result<Values, Failure> {
    let mut given = Values::default();
    for (name, value) in variables.with_prefix(VARIABLE_PREFIX) {
        let by = format!("the environment variable `{VARIABLE_PREFIX}{name}`");
        given.values.insert(name.to_owned(), Given::text(value, by));
    }
    for path in &choice.variable_files {
        for (name, value) in map_of(path, "--var-file", "a `name: value` for each variable", ui)? {
            given.explicit_names.push(name.clone());
            let by = format!("`{}`", path.display());
            given.values.insert(name, Given { value: GivenValue::Value(value), by });
        }
    }
    for text in &choice.variables {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            // The text may be the value.
            return Err(Failure::new("a `--var` has no name or no `=`").hint("write `--var NAME=VALUE`"));
        };
        given.explicit_names.push(name.to_owned());
        given.values.insert(name.to_owned(), Given::text(value, format!("`--var {name}`")));
    }
    Ok(given)
}

/// Values of variables.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// By name.
    pub(crate) values: BTreeMap<String, Given>,
    /// Names from flags and files. Environment variables may be for other stacks.
    pub(crate) explicit_names: Vec<String>,
}

/// The map in a file of an option.
///
/// # Errors
/// When the file cannot be read, which is reported, or is not a map.
pub(crate) fn map_of(path: &Path, option: &str, what: &str, ui: &Ui) -> Result<Vec<(String, Value)>, Failure> {
    let mut sources = Sources::default();
    let missing = |mut diagnostic: Diagnostic| {
        if diagnostic.code == MISSING {
            diagnostic.hint = Some(format!("pass a YAML or JSON file with {what} to `{option}`"));
        }
        diagnostic
    };
    let read = text_of(path).map_err(|diagnostic| vec![missing(*diagnostic)]).and_then(|Text { name, text }| {
        let id = sources.add(name, text.as_str());
        // Any value may be that of a sensitive variable.
        sources.hide(id, 0..text.len());
        yaml::parse(id, &text, &Budget::default())
    });
    let node = read.map_err(|diagnostics| {
        report(ui, &sources, &diagnostics);
        Failure::reported(Exit::Error)
    })?;
    let Some(entries) = node.as_map() else {
        return Err(Failure::new(format!("`{}` is not a map: expected {what}", path.display()))
            .hint("write `name: value` in each line"));
    };
    Ok(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect())
}

#[cfg(test)]
mod tests;
