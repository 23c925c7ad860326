//! `terrace blueprints test`: compares the results of blueprints with expectations.
//!
//! Plans each case against an empty state in memory, with instances that connect to nothing.

use crate::context::{Context, runtime};
use crate::failure::{Exit, Failure};
use crate::files;
use crate::planning::planner;
use crate::report::{harmless, report};
use crate::settings::Settings;
use crate::ui::counted;
use crate::wiring::EnvironmentContext;
use crate::wiring::blueprints::{self, ProjectFile};
use serde_json::Value as Json;
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terrace_engine::blueprint::case::{self, Case, TestFile};
use terrace_engine::blueprint::check::check;
use terrace_engine::blueprint::expectation::{accepted, aligned, yaml};
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::blueprint::{Blueprint, Library};
use terrace_engine::compile::Compiler;
use terrace_engine::descriptor::Body;
use terrace_engine::diagnostic::has_errors;
use terrace_engine::engine::Engine;
use terrace_engine::plan::Origin;
use terrace_engine::plan::options::Options;
use terrace_engine::render::outcome::outcome;
use terrace_engine::source::Sources;
use terrace_engine::store::ServerStore;
use terrace_engine::yaml::Budget;
use terrace_state::{Access, StoreUrl, open};

/// Tests blueprints. With `--accept`, writes actual results as expected results.
///
/// # Errors
/// When a test cannot be read or written, or a result differs.
pub(super) fn run(
    context: &Context<'_>,
    settings: &Settings,
    env_context: &EnvironmentContext,
    files: &[PathBuf],
    is_accepted: bool,
) -> Result<Exit, Failure> {
    let files = match files {
        [] => blueprints::project_tests(env_context.configuration(), &settings.project_folder)?,
        named => named_tests(named, settings, env_context)?,
    };
    if files.is_empty() {
        context.ui.print("0 tests\n")?;
        context.ui.print_note("write a test next to its blueprint: `page.test.yaml` next to `page.yaml`");
        return Ok(Exit::Done);
    }
    let mut bench = Bench::new(context, settings, env_context, &files)?;
    let (mut cases, mut differing) = (0, 0);
    for file in &files {
        let results = bench.file(file, if is_accepted { Accepted::OfValidBlueprints } else { Accepted::Nothing })?;
        cases += results.cases;
        differing += results.differing.len();
        for Differing { case, difference, .. } in results.differing {
            let (word, difference) = if is_accepted { ("written", "") } else { ("FAILED", difference.as_str()) };
            context.ui.print(&format!("{word}: {}: {case}\n{difference}", file.name))?;
        }
    }
    match (differing, is_accepted) {
        (0, _) => context.ui.print(&format!("{} passed\n", counted(cases, "test")))?,
        (_, true) => context.ui.print(&format!("{} passed, {differing} of them written\n", counted(cases, "test")))?,
        (_, false) => {
            context.ui.print(&format!("{differing} of {} failed\n", counted(cases, "test")))?;
            context.ui.print_note("`terrace blueprints test --accept` writes the actual results as the expected ones");
            return Err(Failure::reported(Exit::Error));
        }
    }
    Ok(Exit::Done)
}

/// The tests that words name: by path, or by the name of a blueprint.
fn named_tests(
    words: &[PathBuf],
    settings: &Settings,
    env_context: &EnvironmentContext,
) -> Result<Vec<ProjectFile>, Failure> {
    let mut files = Vec::new();
    for word in words {
        files.extend(match blueprints::as_name(word) {
            None => blueprints::tests(std::slice::from_ref(word))?,
            Some(name) => {
                let (registry, environment) = (&env_context.engine.registry, env_context.configuration());
                blueprints::tests_of_name(name, registry, environment, &settings.project_folder)?
            }
        });
    }
    Ok(files)
}

/// Writes the actual results of a new test as expected ones. Returns true if the results contain errors.
///
/// # Errors
/// As [`run`].
pub(super) fn accept(
    context: &Context<'_>,
    settings: &Settings,
    env_context: &EnvironmentContext,
    path: &Path,
) -> Result<bool, Failure> {
    let file = ProjectFile { name: path.display().to_string(), path: path.to_owned() };
    let results =
        Bench::new(context, settings, env_context, std::slice::from_ref(&file))?.file(&file, Accepted::All)?;
    Ok(results.differing.iter().any(|differing| differing.actual.get("errors").is_some()))
}

/// The results that become expected ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepted {
    /// None.
    Nothing,
    /// Those of blueprints without errors.
    OfValidBlueprints,
    /// All: the blueprint is a new draft.
    All,
}

/// Results of the cases of a file.
struct TestResults {
    cases: usize,
    differing: Vec<Differing>,
}

/// A case whose result differs from the expectation.
struct Differing {
    case: String,
    /// The difference, for people.
    difference: String,
    actual: Json,
}

/// Common inputs of all cases.
struct Bench<'a> {
    context: &'a Context<'a>,
    /// The environment, with instances that connect to nothing.
    env_context: EnvironmentContext,
    sources: Sources,
    /// Blueprints as written: those of the environment, and those next to the tests.
    blueprints: Vec<Blueprint>,
    runtime: tokio::runtime::Runtime,
    /// The empty state.
    store: Arc<dyn ServerStore>,
}

impl<'a> Bench<'a> {
    fn new(
        context: &'a Context<'a>,
        settings: &Settings,
        env_context: &EnvironmentContext,
        files: &[ProjectFile],
    ) -> Result<Self, Failure> {
        let mut sources = Sources::default();
        let (mut blueprints, mut diagnostics) = blueprints::all(
            &env_context.engine.registry,
            env_context.configuration(),
            &settings.project_folder,
            &mut sources,
        )?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folders = blueprints::folders(env_context.configuration(), &settings.project_folder).into_iter();
        let known: BTreeSet<PathBuf> = folders.map(|folder| real(&settings.project_folder.join(folder))).collect();
        let folders: BTreeSet<PathBuf> = files.iter().filter_map(|file| file.path.parent()).map(folder_of).collect();
        let folders: Vec<PathBuf> = folders.into_iter().filter(|folder| !known.contains(&real(folder))).collect();
        let (added, found) = blueprints::from_folders(&folders, &mut sources)?;
        blueprints.extend(added);
        diagnostics.extend(found);
        report(context.ui, &sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::reported(Exit::Error));
        }
        let mut env_context = env_context.clone();
        env_context.engine.registry = Arc::new(env_context.engine.registry.offline());
        let runtime = runtime(context.variables)?;
        let store = runtime.block_on(open(&StoreUrl::SqliteMemory, Access::ReadOnly))?;
        Ok(Self { context, env_context, sources, blueprints, runtime, store })
    }

    /// Runs all cases of a file.
    fn file(&mut self, file: &ProjectFile, written: Accepted) -> Result<TestResults, Failure> {
        let ProjectFile { name, path } = file;
        let text = files::text(path, files::HANDWRITTEN)
            .map_err(|error| Failure::new(format!("the test `{name}` cannot be read: {error}")))?;
        let file = self.read(name, &text, path)?;
        let overlay = file.overlay.as_deref().or(self.env_context.configuration().overlay_name());
        let (library, diagnostics) = Library::new(self.blueprints.clone(), overlay);
        report(self.context.ui, &self.sources, &diagnostics);
        if has_errors(&diagnostics) {
            return Err(Failure::reported(Exit::Error));
        }
        let mut templates = file.templates.clone();
        for (template, blueprint) in &self.env_context.templates {
            templates.entry(template.clone()).or_insert_with(|| blueprint.clone());
        }
        let (mut outcomes, mut differing) = (Vec::new(), Vec::new());
        for case in &file.cases {
            let actual = self.outcome(case, &library, &templates)?;
            let expected = case.expected.as_ref().map(|expected| &expected.tree);
            if expected == Some(&actual) {
                continue;
            }
            let (case_name, difference) = (harmless(&case.name.value), difference(expected, &actual));
            differing.push(Differing { case: case_name, difference, actual: actual.clone() });
            outcomes.push((case, actual));
        }
        if written == Accepted::OfValidBlueprints {
            self.check_blueprints(outcomes.iter().map(|(case, _)| *case), &library, &templates)?;
        }
        if written != Accepted::Nothing && !outcomes.is_empty() {
            let outcomes: Vec<(&Case, &Json)> = outcomes.iter().map(|(case, actual)| (*case, actual)).collect();
            self.write(path, &text, &outcomes)?;
        }
        Ok(TestResults { cases: file.cases.len(), differing })
    }

    fn read(&mut self, name: &str, text: &str, path: &Path) -> Result<TestFile, Failure> {
        let id = self.sources.add(name, text);
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let read_neighbor = |path: &str| files::text(&folder.join(path), files::HANDWRITTEN).ok();
        let environment = &self.env_context.engine.environment.name;
        let (file, diagnostics) = case::read(id, &mut self.sources, &read_neighbor, environment, &Budget::default());
        report(self.context.ui, &self.sources, &diagnostics);
        if has_errors(&diagnostics) { Err(Failure::reported(Exit::Error)) } else { Ok(file) }
    }

    /// Refuses to accept results of blueprints with errors, as `terrace blueprints check` finds them.
    fn check_blueprints<'c>(
        &self,
        cases: impl Iterator<Item = &'c Case>,
        library: &Library,
        templates: &Templates,
    ) -> Result<(), Failure> {
        let mut used: BTreeMap<&str, &Blueprint> = BTreeMap::new();
        for component in cases.flat_map(|case| &case.descriptors).flat_map(|descriptor| &descriptor.components) {
            let Body::Blueprint(wanted) = &component.body else { continue };
            let chosen = library.choose(&component.key, wanted, component.span, templates);
            used.extend(chosen.ok().map(|blueprint| (blueprint.name.value.as_str(), blueprint)));
        }
        let Engine { registry, functions, .. } = &self.env_context.engine;
        let found: Vec<_> = used.values().flat_map(|blueprint| check(blueprint, registry, functions)).collect();
        if !has_errors(&found) {
            return Ok(());
        }
        report(self.context.ui, &self.sources, &found);
        Err(Failure::new("the results of a blueprint with errors cannot be accepted")
            .hint("correct the blueprint, then run the command again"))
    }

    /// The result of a case.
    fn outcome(&self, case: &Case, library: &Library, templates: &Templates) -> Result<Json, Failure> {
        let mut diagnostics = case.diagnostics.clone();
        let mut environment = self.env_context.engine.environment.clone();
        if let Some(settings) = &case.settings {
            environment.settings = settings.clone();
        }
        let variables = BTreeMap::new();
        let compiler = Compiler {
            sources: &self.sources,
            functions: &self.env_context.engine.functions,
            environment: &environment,
            library,
            templates,
            variables: &variables,
            latest_enriched: case.latest_enriched,
        };
        let mut stacks = Vec::new();
        if !has_errors(&diagnostics) {
            for descriptor in &case.descriptors {
                let (compiled, found) = compiler.compile(descriptor, &case.chosen);
                diagnostics.extend(found);
                stacks.extend(compiled);
            }
            diagnostics.extend(case.grant(&mut stacks).err());
        }
        if has_errors(&diagnostics) {
            return Ok(outcome(None, &self.env_context.engine.registry, &diagnostics));
        }
        let mut env_context = self.env_context.clone();
        env_context.engine.environment = environment;
        let options = Options { components: case.chosen.clone(), ..Options::default() };
        let planner = planner(&*self.store, &env_context, &self.sources, &options);
        let computed = self.runtime.block_on(planner.plan(&stacks, Origin::default()))?;
        diagnostics.extend(computed.diagnostics);
        Ok(outcome(Some(&computed.plan), &env_context.engine.registry, &diagnostics))
    }

    /// Writes the actual results as expected ones. First checks that they read back equal.
    fn write(&self, path: &Path, text: &str, outcomes: &[(&Case, &Json)]) -> Result<(), Failure> {
        let name = path.display();
        let text = accepted(text, outcomes);
        let mut sources = Sources::default();
        let id = sources.add("accepted", text.as_str());
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let read_neighbor = |path: &str| files::text(&folder.join(path), files::HANDWRITTEN).ok();
        let (written, found) =
            case::read(id, &mut sources, &read_neighbor, &self.env_context.engine.environment.name, &Budget::default());
        let is_written = |(case, actual): &(&Case, &Json)| {
            let written_case = written.cases.iter().find(|other| other.name.value == case.name.value);
            written_case.and_then(|other| other.expected.as_ref()).is_some_and(|expected| expected.tree == **actual)
        };
        if has_errors(&found) || !outcomes.iter().all(is_written) {
            return Err(Failure::new(format!("the expected result cannot be written to `{name}`"))
                .hint("write each field of a case on a separate line, and give each case another name"));
        }
        std::fs::write(path, text).map_err(|error| Failure::new(format!("`{name}` cannot be written: {error}")))
    }
}

/// The folder of a path; the working directory for a bare file name.
fn folder_of(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// The difference between the expected and the actual result.
fn difference(expected: Option<&Json>, actual: &Json) -> String {
    let Some(expected) = expected else {
        return indented(&format!("the case has no `expect`; its actual result:\n{}", yaml(actual)));
    };
    let (before, after) = (yaml(&aligned(expected, actual)), yaml(actual));
    let diff = TextDiff::from_lines(&before, &after);
    let mut unified = diff.unified_diff();
    unified.context_radius(3).header("expected", "is").missing_newline_hint(false);
    indented(&unified.to_string())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", harmless(line))).collect()
}
