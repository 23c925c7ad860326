//! Builds the job of a pipeline in an environment: programs and arguments as in dpp's manager (`manager/tasks.py`,
//! `manager/runners/local_python.py`).

use super::outputs::Output;
use crate::environment::Environment;
use crate::executor::{Elsewhere, Job, Program};
use crate::fingerprint::Fingerprint;
use crate::hash::{hash_of, hash_of_file};
use crate::spec::model::{Pipeline, Step, StepKind};
use crate::spec::processor::{Located, locate};
use crate::spec::wrapper::Filling;
use crate::spec::yaml::python_json;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folder of the code in steps, in the folder of the run.
pub(super) const CODE: &str = "code";
/// Folder of dpp's cached results of steps, in the folder of the spec.
const CACHE: &str = ".cache";
/// dpp's processors that write a data package into a folder.
const DUMPS: [&str; 2] = ["dump/to_path.py", "dump_to_path.py"];

/// Prefix of plugin packages.
const PLUGIN: &str = "datapackage_pipelines_";

/// Inputs of a job.
pub(super) struct JobInputs<'a> {
    pub(super) run: &'a str,
    /// Folder of the run, into which code of steps is written.
    pub(super) run_folder: &'a Path,
    pub(super) root: &'a Path,
    pub(super) pipeline: &'a Pipeline,
    pub(super) environment: &'a Environment,
    pub(super) fingerprint: &'a Fingerprint,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) dependencies: BTreeMap<String, String>,
    /// The environment is on this machine.
    pub(super) is_here: bool,
    pub(super) uses_cache: bool,
    /// A claim keeps the data packages.
    pub(super) uses_claim: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
}

/// A job, with the places of its outputs.
pub(super) struct BuiltJob {
    pub(super) job: Job,
    /// Folders into which data packages are written.
    pub(super) outputs: Vec<Output>,
    /// Step whose cached result is used, counted from 1.
    pub(super) from_cache: Option<usize>,
}

/// Builds a job.
///
/// # Errors
/// When a step has no program, or its code cannot be written; the error is for people.
pub(super) fn build(inputs: JobInputs<'_>) -> Result<BuiltJob, (Option<usize>, String)> {
    let folder = inputs.root.join(&inputs.pipeline.folder);
    let mut outputs = Vec::new();
    let mut steps = Vec::with_capacity(inputs.pipeline.steps.len());
    for (position, step) in inputs.pipeline.steps.iter().enumerate() {
        let program = program(&inputs, &folder, position, step, &mut outputs);
        steps.push(program.map_err(|what| (Some(position), what))?);
    }
    let cached = if inputs.uses_cache { find_cached(&inputs, &folder) } else { None };
    let from_cache = cached.as_ref().map(|(position, _)| position + 1);
    if let Some((position, file)) = cached {
        let parameters = json!({ "load-from": format!("{CACHE}/{file}") });
        let loader = library(inputs.environment, "cache_loader.py");
        let loader = Arguments { program: &loader, parameters: &parameters, is_validated: false, cache: "" };
        steps.splice(..=position, [inputs.environment.program("cache_loader", &loader)]);
    }
    // The second argument of a step is its position; dpp uses it to detect the first step.
    for (position, step) in steps.iter_mut().enumerate() {
        if let Some(index) = step.arguments.get_mut(1) {
            *index = position.to_string();
        }
    }
    let environment = variables(inputs.environment, inputs.variables.clone(), inputs.root, &folder);
    let first = from_cache.map_or(0, |step| step.saturating_sub(1));
    for (position, program) in steps.iter_mut().enumerate() {
        // The environment itself loads the cached result.
        let step = inputs.pipeline.steps.get(position + first).filter(|_| from_cache.is_none() || position > 0);
        wrap(&inputs, &folder, step, program, &environment).map_err(|what| (Some(position + first), what))?;
    }
    let job = Job {
        run: inputs.run.to_owned(),
        environment,
        folder,
        steps,
        dependencies: inputs.dependencies,
        timeout: inputs.timeout,
        grace: inputs.grace,
        elsewhere: Elsewhere::default(),
    };
    Ok(BuiltJob { job, outputs, from_cache })
}

/// Wraps a step's command as its runner defines.
fn wrap(
    inputs: &JobInputs<'_>,
    folder: &Path,
    step: Option<&Step>,
    program: &mut Program,
    variables: &BTreeMap<String, String>,
) -> Result<(), String> {
    let Some(wrapper) = step.and_then(|step| step.wrapper.as_ref()) else { return Ok(()) };
    let mut command = vec![program.program.display().to_string()];
    command.append(&mut program.arguments);
    let path = match inputs.pipeline.folder.display().to_string() {
        folder if folder.is_empty() => ".".to_owned(),
        folder => format!("./{folder}"),
    };
    let absolute_path = folder.display().to_string();
    let filling = Filling { command: &command, path: &path, absolute_path: &absolute_path, variables };
    let mut words = wrapper.fill(filling)?.into_iter();
    program.program = words.next().map(PathBuf::from).unwrap_or_default();
    program.arguments = words.collect();
    Ok(())
}

/// Arguments of a processor.
struct Arguments<'a> {
    program: &'a Path,
    parameters: &'a Value,
    is_validated: bool,
    /// Name of its cached result; empty if it is not cached.
    cache: &'a str,
}

impl Environment {
    fn program(&self, name: &str, arguments: &Arguments<'_>) -> Program {
        Program {
            name: name.to_owned(),
            program: self.python.clone(),
            arguments: vec![
                arguments.program.display().to_string(),
                String::new(),
                python_json(arguments.parameters),
                if arguments.is_validated { "True" } else { "False" }.to_owned(),
                arguments.cache.to_owned(),
            ],
        }
    }
}

fn library(environment: &Environment, path: &str) -> PathBuf {
    environment.packages.join("datapackage_pipelines/lib").join(path)
}

fn program(
    inputs: &JobInputs<'_>,
    folder: &Path,
    position: usize,
    step: &Step,
    outputs: &mut Vec<Output>,
) -> Result<Program, String> {
    let missing = || format!("the processor `{}` does not exist", step.name);
    let mut parameters = step.parameters.clone();
    let file = match locate(inputs.root, inputs.pipeline, step).ok_or_else(missing)? {
        Located::File(file) => file,
        Located::BuiltIn(path) => {
            if DUMPS.contains(&path.as_str()) {
                write_to_partial(inputs, folder, &mut parameters, outputs)?;
            }
            library(inputs.environment, &path)
        }
        Located::Plugin { package, path } => {
            let file = inputs.environment.packages.join(&package).join("processors").join(path);
            if inputs.is_here && !file.is_file() {
                return Err(format!(
                    "the processor `{}` does not exist: the requirements do not include `{package}`",
                    step.name
                ));
            }
            file
        }
        Located::Code => {
            let StepKind::Code(code) = &step.kind else { return Err(missing()) };
            write_code(inputs.run_folder, position, code)
                .map_err(|error| format!("its code cannot be written: {error}"))?
        }
        Located::Flow(module) => {
            let hash = module.as_deref().and_then(|file| hash_of_file(file).ok().flatten()).unwrap_or_default();
            parameters.insert("__flow".to_owned(), json!(step.name));
            parameters.insert("__path".to_owned(), json!(utf8(folder)?));
            parameters.insert("__flow_hash".to_owned(), json!(hash));
            library(inputs.environment, "flow.py")
        }
    };
    let cache = if step.is_cached { cache_name(inputs, position) } else { String::new() };
    let arguments = Arguments {
        program: &file,
        parameters: &Value::Object(parameters),
        is_validated: step.is_validated,
        cache: &cache,
    };
    Ok(inputs.environment.program(&step.name, &arguments))
}

/// Redirects a data package to a temporary place.
fn write_to_partial(
    inputs: &JobInputs<'_>,
    folder: &Path,
    parameters: &mut Map<String, Value>,
    outputs: &mut Vec<Output>,
) -> Result<(), String> {
    let path = match parameters.get("out-path") {
        None => ".",
        Some(Value::String(path)) => path,
        Some(_) => return Err("its `out-path` is not text".to_owned()),
    };
    let place = crate::paths::plain(&folder.join(path));
    let output = match outputs.iter().find(|output| output.place == place) {
        Some(output) => output.clone(),
        None if inputs.uses_claim => Output::within(place, inputs.run),
        None => Output::new(place, inputs.run),
    };
    parameters.insert("out-path".to_owned(), json!(utf8(&output.partial)?));
    if !outputs.contains(&output) {
        outputs.push(output);
    }
    Ok(())
}

/// Path as text, for parameters in JSON.
fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("the path `{}` is not UTF-8", path.display()))
}

/// Writes the code of a step to a file, as dpp runs it. A separate folder is needed, since Python searches it first.
fn write_code(run_folder: &Path, position: usize, code: &str) -> io::Result<PathBuf> {
    let folder = run_folder.join(CODE).join((position + 1).to_string());
    fs::create_dir_all(&folder)?;
    let file = folder.join("step.py");
    fs::write(&file, code)?;
    Ok(file)
}

/// Name of a step's cached result, which changes with all its inputs, including the data.
fn cache_name(inputs: &JobInputs<'_>, position: usize) -> String {
    let fingerprint = inputs.fingerprint;
    let before = fingerprint.steps.get(..=position).unwrap_or_default();
    let text = json!([
        fingerprint.code,
        fingerprint.data,
        fingerprint.dependencies,
        fingerprint.surroundings,
        fingerprint.variables,
        before
    ]);
    hash_of(&text.to_string())
}

/// Returns the last step with a valid cached result, and the name of the file. Steps after a dump do not count: the
/// dump's output may be gone.
fn find_cached(inputs: &JobInputs<'_>, folder: &Path) -> Option<(usize, String)> {
    let steps = inputs.pipeline.steps.iter().enumerate().take_while(|(_, step)| !is_dump(step));
    let steps: Vec<_> = steps.filter(|(_, step)| step.is_cached).collect();
    let steps = steps.into_iter().rev();
    let mut named = steps.map(|(position, _)| (position, cache_name(inputs, position)));
    named.find(|(_, name)| folder.join(CACHE).join(name).is_file())
}

/// Returns true for dpp's steps that write into folders, archives and databases.
fn is_dump(step: &Step) -> bool {
    step.name.starts_with("dump.") || step.name.starts_with("dump_to_")
}

/// Returns true if a plugin is in the searched folder: its processors import it by name.
fn has_plugin(root: &Path) -> bool {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(PLUGIN) && entry.path().is_dir())
}

/// Environment variables of a job: those of this process with the environment's programs first in PATH, and those of
/// the spec.
pub(super) fn variables(
    environment: &Environment,
    mut variables: BTreeMap<String, String>,
    root: &Path,
    folder: &Path,
) -> BTreeMap<String, String> {
    let join = |first: &Path, rest: Option<&String>| match rest.filter(|rest| !rest.is_empty()) {
        Some(rest) => format!("{}:{rest}", first.display()),
        None => first.display().to_string(),
    };
    let path = join(&environment.folder.join("bin"), variables.get("PATH"));
    // Steps import modules next to the spec, even if their own code is elsewhere.
    let mut modules = join(folder, variables.get("PYTHONPATH"));
    if has_plugin(root) {
        modules = format!("{modules}:{}", root.display());
    }
    variables.remove("PYTHONHOME");
    variables.insert("PATH".to_owned(), path);
    variables.insert("PYTHONPATH".to_owned(), modules);
    variables.insert("VIRTUAL_ENV".to_owned(), environment.folder.display().to_string());
    // The default encoding is ASCII, but messages may have other characters.
    variables.insert("PYTHONIOENCODING".to_owned(), "utf-8".to_owned());
    // Python's markers below traceback lines would become separate lines in dpp.
    variables.insert("PYTHONNODEBUGRANGES".to_owned(), "1".to_owned());
    variables
}
