//! From files to a plan: the common part of `validate`, `plan`, `apply`, `destroy` and `graph`.

mod access;
mod base;
mod command;
mod compiling;
mod copy;
pub(crate) mod git;
mod hints;
mod selection;
pub(crate) mod tree;

pub(crate) use base::Base;
pub(crate) use command::{command, drift_command};
pub(crate) use compiling::{compile, compile_base, compile_commit, compile_offline, compile_sound, compile_untrusted};
pub(crate) use copy::Copied;
pub(crate) use selection::{check_environment, check_words};

use crate::args::{ChoiceArguments, Consent, PlanningArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::input::{Input, given_variables};
use crate::settings::{EnvironmentRef, Settings};
use crate::stacks;
use crate::wiring::{EnvironmentContext, library};
use jiff::Timestamp;
use selection::select;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use terrace_engine::address::{AddressError, ComponentKey, StackId, parse_with_stack};
use terrace_engine::compile::{CompiledStack, Compiler, chosen};
use terrace_engine::descriptor::{Body, Descriptor};
use terrace_engine::diagnostic::{Diagnostic, Location, has_errors};
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::options::{self, Options};
use terrace_engine::plan::planner::Planner;
use terrace_engine::plan::{NOT_SEARCHED, Origin};
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::store::StateStore;
use terrace_engine::text::{environment_option, shell_word};
use terrace_state::{Access, StoreUrl};
use uuid::Uuid;

/// Compiled descriptors and their environment.
pub(crate) struct Project {
    pub(crate) settings: Settings,
    pub(crate) env_context: EnvironmentContext,
    pub(crate) sources: Sources,
    pub(crate) origin: Origin,
    /// The stacks with their chosen components.
    pub(crate) stacks: Vec<SelectedStack>,
    /// Diagnostics of the descriptors, reported already.
    diagnostics: Vec<Diagnostic>,
    /// Errors of pipelines that were left out: a plan of the others cannot be applied.
    left_out: Vec<Diagnostic>,
}

/// A compiled stack with its chosen components.
pub(crate) struct SelectedStack {
    pub(crate) compiled: CompiledStack,
    /// The components to act on; empty for all.
    pub(crate) chosen: BTreeSet<ComponentKey>,
}

fn uses_blueprints(descriptor: &Descriptor) -> bool {
    descriptor.components.iter().any(|component| matches!(component.body, Body::Blueprint(_)))
}

impl Project {
    /// Plans the descriptors.
    ///
    /// # Errors
    /// When the state cannot be read, or components are chosen in several stacks.
    pub(crate) async fn plan(
        &self,
        store: &dyn StateStore,
        arguments: &PlanningArguments,
    ) -> Result<Computed, Failure> {
        let components = self.chosen()?;
        let options = options(arguments, &self.env_context, components)?;
        let planner = planner(store, &self.env_context, &self.sources, &options);
        let stacks: Vec<CompiledStack> = self.stacks.iter().map(|selected| selected.compiled.clone()).collect();
        let mut computed = planner.plan(&stacks, self.origin.clone()).await?;
        computed.plan.note_before(&self.diagnostics, &self.sources);
        for error in &self.left_out {
            computed.add(error.clone(), &self.sources);
            computed.plan.is_errored = true;
        }
        Ok(computed)
    }

    /// Diagnostics of a plan without state and network: checks with known values, and values that providers refuse.
    /// Leaves out everything that needs state or network.
    ///
    /// # Errors
    /// As [`Project::plan`].
    pub(crate) async fn plan_offline(&self, arguments: &PlanningArguments) -> Result<Vec<Diagnostic>, Failure> {
        Ok(self.plan_empty(arguments).await?.diagnostics)
    }

    /// Plans against an empty state and without network: the plan creates every resource. It serves for display and for
    /// its diagnostics only.
    ///
    /// # Errors
    /// As [`Project::plan`].
    pub(crate) async fn plan_empty(&self, arguments: &PlanningArguments) -> Result<Computed, Failure> {
        let store = terrace_state::open(&StoreUrl::SqliteMemory, Access::ReadWrite).await?;
        let components = self.chosen()?;
        let options = Options { refresh: false, offline: true, ..options(arguments, &self.env_context, components)? };
        let planner = planner(store.as_ref(), &self.env_context, &self.sources, &options);
        let stacks: Vec<CompiledStack> = self.stacks.iter().map(|selected| selected.compiled.clone()).collect();
        let mut computed = planner.plan(&stacks, self.origin.clone()).await?;
        computed.diagnostics.retain(|diagnostic| diagnostic.code != "known_too_late");
        Ok(computed)
    }

    /// Variables whose values may be shown.
    pub(crate) fn open_variables(&self) -> BTreeSet<String> {
        let all = || self.stacks.iter().flat_map(|selected| &selected.compiled.variables);
        let hidden: BTreeSet<&String> = all().filter(|(_, it)| it.has_sensitive()).map(|(name, _)| name).collect();
        all().map(|(name, _)| name).filter(|name| !hidden.contains(name)).cloned().collect()
    }

    /// The chosen components. Only one stack may have any, because the planner selects components by key.
    fn chosen(&self) -> Result<BTreeSet<ComponentKey>, Failure> {
        match self.stacks.as_slice() {
            [only] => Ok(only.chosen.clone()),
            several if several.iter().all(|selected| selected.chosen.is_empty()) => Ok(BTreeSet::new()),
            _ => Err(Failure::new("components are chosen in several stacks")
                .hint("choose one stack with `--stack`, or leave `-c` and `componentIdToProvision` out")),
        }
    }
}

/// Stacks or components to remove.
pub(crate) struct Removal {
    pub(crate) settings: Settings,
    pub(crate) env_context: EnvironmentContext,
    pub(crate) stacks: Vec<StackId>,
    components: BTreeSet<ComponentKey>,
    origin: Origin,
    /// Texts for diagnostics.
    pub(crate) sources: Sources,
    /// Words that name stacks; the store resolves them.
    words: Vec<String>,
    /// Compiled stacks of the descriptors, to find unmanaged objects.
    compiled_stacks: Vec<CompiledStack>,
    /// Stacks whose descriptors cannot be compiled, with their files.
    uncompiled: Vec<(String, String)>,
}

impl Removal {
    /// Reads the stacks to remove. Only the name in a descriptor matters, not its other errors.
    ///
    /// # Errors
    /// When a file cannot be read or names no stack.
    pub(crate) async fn read(
        context: &Context<'_>,
        targets: &[String],
        choice: &ChoiceArguments,
        is_plaintext_allowed: bool,
    ) -> Result<Self, Failure> {
        let ui = context.ui;
        let (files, words): (Vec<String>, Vec<String>) =
            targets.iter().cloned().partition(|target| Path::new(target).exists() || looks_like_file(target));
        let files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
        let mut input = if files.is_empty() { Input::default() } else { Input::read(&files, ui)? };
        if !input.has_descriptors() && !files.is_empty() {
            input.accept(ui)?;
            return Err(Failure::new("the files name no stack")
                .hint("name a descriptor, or a stack of the state as `NAME@ENVIRONMENT`"));
        }
        let mut settings = context.settings(files.first().map(PathBuf::as_path))?;
        input.name_folders(&settings);
        input.build_repositories(&mut settings, &choice.repositories, ui)?;
        input.keep_recorded_names(&settings, ui).await?;
        input.report_faults(&BTreeSet::new());
        let parsed: Vec<StackId> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let named = || parsed.first().map(|stack| EnvironmentRef::word(&stack.environment));
        let requested = input.environment(&settings, ui)?.or_else(named);
        let environment = settings.environment(requested, ui)?;
        parsed.iter().try_for_each(|stack| check_environment(stack, &environment.name))?;
        check_words(&words, &settings)?;
        select(&mut input, &settings, &environment.name)?;
        let requested: BTreeSet<String> = choice.components.iter().cloned().collect();
        let mut components = BTreeSet::new();
        let mut stacks = Vec::new();
        for descriptor in &input.descriptors {
            match chosen(descriptor, &requested) {
                Ok(keys) => components.extend(keys),
                // A component without a declaration may still have rows.
                Err(_) => components.extend(requested.iter().map(|key| ComponentKey::from(key.as_str()))),
            }
            stacks.push(StackId::new(descriptor.stack.as_str(), environment.name.as_str()));
        }
        if input.descriptors.is_empty() {
            components = requested.into_iter().map(ComponentKey::from).collect();
        }
        let env_context = EnvironmentContext::new(&settings, environment, is_plaintext_allowed, ui)?;
        let (compiled_stacks, uncompiled) =
            compile_quietly(context, choice, &settings, &env_context, &mut input, &components);
        let origin = Origin { descriptors: input.digests, ..Origin::default() };
        Ok(Self {
            settings,
            env_context,
            stacks,
            components,
            origin,
            sources: input.sources,
            words,
            compiled_stacks,
            uncompiled,
        })
    }

    /// Plans the removal.
    ///
    /// # Errors
    /// When the state cannot be read, or does not have a stack.
    pub(crate) async fn plan(
        &self,
        store: &dyn StateStore,
        arguments: &PlanningArguments,
    ) -> Result<Computed, Failure> {
        let stacks = self.stacks(store).await?;
        let options = options(arguments, &self.env_context, self.components.clone())?;
        let planner = planner(store, &self.env_context, &self.sources, &options);
        let mut computed = planner.plan_destroy_described(&stacks, &self.compiled_stacks, self.origin.clone()).await?;
        for (stack, file) in &self.uncompiled {
            let environment = &self.env_context.engine.environment.name;
            let what = StackId::new(stack.as_str(), environment.as_str());
            let message = format!("unmanaged objects of {what} are not removed: its descriptor cannot be compiled");
            let hint = format!(
                "see the reason with `terrace validate {}{}`",
                shell_word(file),
                environment_option(environment)
            );
            computed.add(Diagnostic::warning(NOT_SEARCHED, message).hint(hint), &self.sources);
        }
        Ok(computed)
    }

    /// All stacks, including those named by words.
    ///
    /// # Errors
    /// When the store does not have a stack.
    pub(crate) async fn stacks(&self, store: &dyn StateStore) -> Result<Vec<StackId>, Failure> {
        let mut found = self.stacks.clone();
        for word in &self.words {
            let stack = stacks::named(word, &self.settings, store).await?;
            if !found.contains(&stack) {
                found.push(stack);
            }
        }
        Ok(found)
    }
}

/// Compiles descriptors without reporting errors. Returns the stacks, and the names and files of the others: a removal
/// needs no compiled stack.
fn compile_quietly(
    context: &Context<'_>,
    choice: &ChoiceArguments,
    settings: &Settings,
    env_context: &EnvironmentContext,
    input: &mut Input,
    components: &BTreeSet<ComponentKey>,
) -> (Vec<CompiledStack>, Vec<(String, String)>) {
    let library = match input.descriptors.iter().any(uses_blueprints) {
        true => library(
            &env_context.engine.registry,
            env_context.configuration(),
            &settings.project_folder,
            &mut input.sources,
        ),
        false => Ok(Default::default()),
    };
    let named = |descriptor: &Descriptor| {
        let source = descriptor.components.first().and_then(|component| input.sources.get(component.span.source));
        (descriptor.stack.clone(), source.map_or_else(|| "FILE".to_owned(), |source| source.name.clone()))
    };
    let (Ok((library, _)), Ok(given)) = (library, given_variables(choice, context.variables, context.ui)) else {
        return (Vec::new(), input.descriptors.iter().map(named).collect());
    };
    let compiler = Compiler {
        sources: &input.sources,
        functions: &env_context.engine.functions,
        environment: &env_context.engine.environment,
        library: &library,
        templates: &env_context.templates,
        variables: &given.values,
        latest_enriched: None,
    };
    let (mut compiled_stacks, mut uncompiled) = (Vec::new(), Vec::new());
    for descriptor in &input.descriptors {
        match compiler.compile(descriptor, components) {
            (Some(compiled), found) if !has_errors(&found) && !has_text_errors(descriptor, input) => {
                compiled_stacks.push(compiled)
            }
            _ => uncompiled.push(named(descriptor)),
        }
    }
    (compiled_stacks, uncompiled)
}

/// True if the text of a descriptor has errors. An error without a place counts for every descriptor.
fn has_text_errors(descriptor: &Descriptor, input: &Input) -> bool {
    let texts: BTreeSet<SourceId> = descriptor.components.iter().map(|component| component.span.source).collect();
    input.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).any(|error| {
        error.labels.first().is_none_or(|label| match label.at {
            Location::Span(span) => texts.contains(&span.source),
            Location::Place(_) => true,
        })
    })
}

/// Recognises words that can only be files, so that they are reported as missing files, not as unknown stacks.
fn looks_like_file(word: &str) -> bool {
    word.contains('/') || [".yaml", ".yml", ".json"].iter().any(|ending| word.ends_with(ending))
}

/// Options of the planner.
///
/// # Errors
/// When `--allow-data-loss` has an invalid address.
pub(crate) fn options(
    arguments: &PlanningArguments,
    env_context: &EnvironmentContext,
    components: BTreeSet<ComponentKey>,
) -> Result<Options, Failure> {
    let allow_data_loss = match arguments.data.consent() {
        _ if env_context.is_data_loss_allowed => options::Consent::All,
        Consent::Nowhere => options::Consent::None,
        Consent::Everywhere => options::Consent::All,
        Consent::At(addresses) => {
            let parsed =
                addresses.iter().map(|text| parse_with_stack(text)).collect::<Result<BTreeSet<_>, AddressError>>();
            options::Consent::Addresses(parsed.map_err(|error| Failure::new(format!("--allow-data-loss: {error}")))?)
        }
    };
    let access = access::access(arguments, &components)?;
    Ok(Options {
        offline: false,
        assumes_siblings: false,
        by_address: false,
        named_ids: BTreeMap::new(),
        access,
        components,
        targets: named("--target", &arguments.targets)?,
        excludes: named("--exclude", &arguments.excludes)?,
        replace: named("--replace", &arguments.replace)?,
        refresh: arguments.refresh,
        refresh_only: arguments.refresh_only,
        remove_data: arguments.data.remove_data,
        allow_deferral: arguments.allow_deferral,
        allow_data_loss,
    })
}

/// Addresses of an option, each with its stack if it names one.
fn named<T: FromStr<Err = AddressError>>(option: &str, texts: &[String]) -> Result<Vec<(Option<StackId>, T)>, Failure> {
    let wrong = |error: AddressError| {
        Failure::new(format!("{option}: {error}")).hint("the plan without this option shows the addresses")
    };
    texts.iter().map(|text| parse_with_stack(text).map_err(wrong)).collect()
}

/// A planner for one plan at the present time.
pub(crate) fn planner<'a>(
    store: &'a dyn StateStore,
    env_context: &'a EnvironmentContext,
    sources: &'a Sources,
    options: &'a Options,
) -> Planner<'a> {
    env_context.engine.planner(store, sources, options, (Timestamp::now(), Uuid::now_v7()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_engine::address::Address;

    #[test]
    fn address_may_include_its_stack() {
        let parsed = |text: &str| {
            parse_with_stack::<Address>(text)
                .map(|(stack, address)| (stack.map(|it| it.to_string()), address.to_string()))
        };
        let named = parsed("demo@local:api/local_file.a").unwrap();
        assert_eq!(named, (Some("demo@local".to_owned()), "api/local_file.a".to_owned()));
        assert_eq!(parsed("local_file.a[\"x:y\"]").unwrap(), (None, "local_file.a[\"x:y\"]".to_owned()));
        assert!(parsed("demo:local_file.a").is_err());
    }

    #[test]
    fn file_names_are_not_mistaken_for_stacks() {
        assert!(looks_like_file("dir/x") && looks_like_file("x.yaml"));
        assert!(!looks_like_file("finance.cash.0@local"));
    }
}
