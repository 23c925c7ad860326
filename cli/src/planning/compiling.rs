//! From files to compiled stacks.

use super::base::Base;
use super::copy::Copied;
use super::hints;
use super::selection::select;
use super::{Project, SelectedStack, uses_blueprints};
use crate::args::ChoiceArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::input::{Input, given_variables};
use crate::report::report;
use crate::settings::Settings;
use crate::wiring::{EnvironmentContext, library};
use std::collections::BTreeSet;
use std::path::PathBuf;
use terrace_engine::address::ComponentKey;
use terrace_engine::compile::{Compiler, chosen, undeclared};
use terrace_engine::descriptor::Descriptor;
use terrace_engine::diagnostic::{Diagnostic, has_errors};
use terrace_engine::digest::sha256;
use terrace_engine::lookup;
use terrace_engine::plan::Origin;
use terrace_engine::source::Sources;
use terrace_provider::names::listed;

/// Reads and compiles descriptors with the names that the state has for them. Faults are reported.
///
/// # Errors
/// When a descriptor has a fault.
pub(crate) async fn compile(
    context: &Context<'_>,
    files: &[PathBuf],
    choice: &ChoiceArguments,
    is_plaintext_allowed: bool,
) -> Result<Project, Failure> {
    let (mut input, settings) = read_input(context, files, choice)?;
    input.keep_recorded_names(&settings, context.ui).await?;
    compile_chosen(context, (input, settings), choice, &choice.components, is_plaintext_allowed)
}

/// Reads and compiles descriptors without the state.
///
/// # Errors
/// When a descriptor has a fault.
pub(crate) fn compile_offline(
    context: &Context<'_>,
    files: &[PathBuf],
    choice: &ChoiceArguments,
    is_plaintext_allowed: bool,
) -> Result<Project, Failure> {
    let (input, settings) = read_input(context, files, choice)?;
    compile_chosen(context, (input, settings), choice, &choice.components, is_plaintext_allowed)
}

/// Reads and compiles descriptors for a plan. Pipelines with faults are left out and listed in the project.
///
/// # Errors
/// When a descriptor has any other fault.
pub(crate) async fn compile_sound(
    context: &Context<'_>,
    files: &[PathBuf],
    choice: &ChoiceArguments,
    is_plaintext_allowed: bool,
) -> Result<Project, Failure> {
    let (mut input, settings) = read_input(context, files, choice)?;
    input.keep_recorded_names(&settings, context.ui).await?;
    let split = if choice.components.is_empty() { input.split_off_faults() } else { None };
    // The plan is limited to the sound pipelines, so that the left out ones do not count as removed.
    let (chosen, left_out) = match split {
        Some((sound, left_out)) => (sound.into_iter().map(String::from).collect(), left_out),
        None => (choice.components.clone(), Vec::new()),
    };
    let project = compile_chosen(context, (input, settings), choice, &chosen, is_plaintext_allowed)?;
    Ok(Project { left_out, ..project })
}

/// Reads and compiles the descriptors of a commit, with the settings of the work tree. `None` if the commit has none of
/// the files.
///
/// # Errors
/// When a descriptor has a fault, or the files are pipeline specs.
pub(crate) async fn compile_base(
    context: &Context<'_>,
    files: &[PathBuf],
    choice: &ChoiceArguments,
    is_plaintext_allowed: bool,
    base: &Base,
) -> Result<Option<Project>, Failure> {
    let paths: Vec<PathBuf> = files.iter().filter_map(|path| base.path(path)).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    compile_commit(context, (files, &paths), choice, is_plaintext_allowed, base).await.map(Some)
}

/// Reads and compiles descriptors of a commit, with the settings of the work tree. `files` are the paths in the work tree,
/// `paths` those of the files of the commit.
///
/// # Errors
/// When a descriptor has a fault, or the files are pipeline specs.
pub(crate) async fn compile_commit(
    context: &Context<'_>,
    (files, paths): (&[PathBuf], &[PathBuf]),
    choice: &ChoiceArguments,
    is_plaintext_allowed: bool,
    base: &Base,
) -> Result<Project, Failure> {
    let mut settings = context.settings(files.first().map(PathBuf::as_path))?;
    let mut input = Input::read(paths, context.ui)?;
    if input.has_folders_of_specs() {
        return Err(Failure::new("pipeline specs cannot be compared with a commit"));
    }
    settings.descriptor_files = files.to_vec();
    let folder = settings.project_folder.clone();
    for path in &mut settings.configuration.repositories {
        *path = base.other(&folder.join(&path));
    }
    let others: Vec<PathBuf> = choice.repositories.iter().map(|path| base.other(path)).collect();
    input.build_repositories(&mut settings, &others, context.ui)?;
    input.keep_recorded_names(&settings, context.ui).await?;
    compile_chosen(context, (input, settings), choice, &choice.components, is_plaintext_allowed)
}

/// Reads and compiles descriptors of an untrusted request, or of the commit that it is compared with, without state and keys.
///
/// # Errors
/// When a descriptor has a fault.
pub(crate) fn compile_untrusted(
    context: &Context<'_>,
    files: &[PathBuf],
    copied: Copied<'_>,
) -> Result<Project, Failure> {
    let choice = ChoiceArguments::default();
    let mut input = Input::read(files, context.ui)?;
    let mut settings = context.settings(files.first().map(PathBuf::as_path))?;
    copied.relocate(&mut settings);
    settings.descriptor_files = files.to_vec();
    input.name_folders(&settings);
    input.build_repositories(&mut settings, &[], context.ui)?;
    settings.remove_keys();
    compile_chosen(context, (input, settings), &choice, &[], false)
}

fn read_input(
    context: &Context<'_>,
    files: &[PathBuf],
    choice: &ChoiceArguments,
) -> Result<(Input, Settings), Failure> {
    let mut input = Input::read(files, context.ui)?;
    let mut settings = context.settings(files.first().map(PathBuf::as_path))?;
    settings.descriptor_files = files.to_vec();
    input.name_folders(&settings);
    input.build_repositories(&mut settings, &choice.repositories, context.ui)?;
    Ok((input, settings))
}

fn compile_chosen(
    context: &Context<'_>,
    (mut input, settings): (Input, Settings),
    choice: &ChoiceArguments,
    components: &[String],
    is_plaintext_allowed: bool,
) -> Result<Project, Failure> {
    let ui = context.ui;
    let requested: BTreeSet<String> = components.iter().cloned().collect();
    input.report_faults(&requested);
    hints::correct(&input.sources, settings.environment.as_deref(), &mut input.diagnostics);
    let unknown_names = input.take_unknown_names();
    input.accept(ui)?;
    report(ui, &input.sources, &unknown_names);
    let environment = settings.environment(input.environment(&settings, ui)?, ui)?;
    let env_context = EnvironmentContext::new(&settings, environment, is_plaintext_allowed, ui)?;
    let given = given_variables(choice, context.variables, ui)?;
    // Compiling all blueprints takes two fifths of the time for planning a thousand resources: a stack without
    // blueprints skips it.
    let (library, mut diagnostics) = match input.descriptors.iter().any(uses_blueprints) {
        true => library(
            &env_context.engine.registry,
            env_context.configuration(),
            &settings.project_folder,
            &mut input.sources,
        )?,
        false => Default::default(),
    };
    if !has_errors(&diagnostics) {
        diagnostics.extend(undeclared(given.explicit_names.iter().map(String::as_str), &input.descriptors));
    }
    // A file of variables may serve all stacks, so the check comes before the selection.
    select(&mut input, &settings, &env_context.engine.environment.name)?;
    let compiler = Compiler {
        sources: &input.sources,
        functions: &env_context.engine.functions,
        environment: &env_context.engine.environment,
        library: &library,
        templates: &env_context.templates,
        variables: &given.values,
        latest_enriched: None,
    };
    let mut selected = Vec::new();
    for (descriptor, wanted) in wanted(&input, &requested, &mut diagnostics) {
        let (compiled, found) = compiler.compile(descriptor, &wanted);
        diagnostics.extend(found);
        selected.extend(compiled.map(|compiled| SelectedStack { compiled, chosen: wanted }));
    }
    if has_errors(&unknown_names) {
        for SelectedStack { compiled, chosen } in &selected {
            diagnostics.extend(lookup::check(compiled, chosen, &env_context.engine.registry).diagnostics);
        }
    }
    hints::correct(&input.sources, settings.environment.as_deref(), &mut diagnostics);
    report(ui, &input.sources, &diagnostics);
    if has_errors(&unknown_names) || has_errors(&diagnostics) {
        return Err(Failure::reported(Exit::Error));
    }
    let mut origin = Origin { descriptors: input.digests, ..Origin::default() };
    for component in selected.iter().flat_map(|selected| &selected.compiled.components) {
        if let Some(blueprint) = &component.blueprint
            && let Some(digest) = blueprint_digest(blueprint, &library, &input.sources)
        {
            origin.blueprints.insert(blueprint.clone(), digest);
        }
    }
    let diagnostics = input.diagnostics.into_iter().chain(diagnostics).collect();
    let left_out = Vec::new();
    Ok(Project { settings, env_context, sources: input.sources, origin, stacks: selected, diagnostics, left_out })
}

/// The descriptors to act on, with their components. Each requested component must be in one of them. Descriptors
/// without requested components are left out.
fn wanted<'a>(
    input: &'a Input,
    requested: &BTreeSet<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(&'a Descriptor, BTreeSet<ComponentKey>)> {
    let [_, _, ..] = input.descriptors.as_slice() else {
        return match input.descriptors.first().map(|descriptor| (descriptor, chosen(descriptor, requested))) {
            Some((descriptor, Ok(keys))) => vec![(descriptor, keys)],
            Some((_, Err(found))) => {
                diagnostics.extend(found);
                Vec::new()
            }
            None => Vec::new(),
        };
    };
    if requested.is_empty() {
        return input
            .descriptors
            .iter()
            .filter_map(|descriptor| Some((descriptor, chosen(descriptor, requested).ok()?)))
            .collect();
    }
    let mut wanted = Vec::new();
    let mut missing = requested.clone();
    for descriptor in &input.descriptors {
        let mut keys = BTreeSet::new();
        for component in requested {
            if let Ok(found) = chosen(descriptor, &BTreeSet::from([component.clone()])) {
                missing.remove(component);
                keys.extend(found);
            }
        }
        if !keys.is_empty() {
            wanted.push((descriptor, keys));
        }
    }
    for component in missing {
        let message = format!("no descriptor has a component `{component}`");
        let stacks: Vec<&str> = input.descriptors.iter().map(|descriptor| descriptor.stack.as_str()).collect();
        diagnostics.push(
            Diagnostic::error("unknown_component", message)
                .hint(format!("the descriptors have the stacks {}", listed(&stacks))),
        );
    }
    wanted
}

fn blueprint_digest(
    blueprint: &str,
    library: &terrace_engine::blueprint::Library,
    sources: &Sources,
) -> Option<String> {
    let name = blueprint.split_once(' ').map_or(blueprint, |(name, _)| name);
    let source = sources.get(library.get(name)?.span.source)?;
    Some(sha256(&*source.text))
}
