//! Pipelines that plugins generate from `*.source-spec.yaml`. The plugin's `Generator` runs in the Python environment
//! of the file's folder. Its result is cached next to the specs, where [`crate::spec::read`] finds it without Python.
//!
//! The plugin is code of the project, but its result may be malformed: size and time are limited, and it is parsed like
//! any spec.

use super::log::Masks;
use super::observer::RunObserver;
use super::runner::Runner;
use super::watcher::EnvironmentProgress;
use crate::environment::{Environment, EnvironmentError, Recipe};
use crate::executor::local::Guard;
use crate::spec::processor::{Api, REQUIREMENTS};
use crate::spec::source::{CachedResult, Generated};
use crate::spec::yaml::python_json;
use crate::spec::{SourceSpec, Specs, requirements};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Program that calls the plugin.
const PROGRAM: &str = include_str!("generate/generator.py");
/// Variable that marks the processes of a plugin in their environment.
const MARK: &str = "TERRACE_SOURCE_SPEC";
/// Timeout of a plugin.
const LONGEST: Duration = Duration::from_secs(120);
/// Maximum size of a result in bytes.
const LARGEST: u64 = 16 << 20;
/// Maximum size of the log in bytes.
const LARGEST_LOG: u64 = 1 << 20;
/// Number of log lines in an error.
const LINES: usize = 12;

/// A source spec without a result.
#[derive(Debug)]
pub struct UnexpandedSource {
    /// The file, by position in [`Specs::files`].
    pub file: usize,
    /// Message.
    pub message: String,
    /// Hint.
    pub hint: Option<String>,
    /// The environment cannot be created: a failure of the infrastructure, and not of the spec.
    pub is_environment: bool,
}

/// Answer of the program: exactly one field is set.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    pipelines: Vec<(String, String, Map<String, Value>)>,
    missing: Option<String>,
    lacking: Option<String>,
    #[serde(default)]
    invalid: Vec<(String, String)>,
    failed: Option<String>,
}

impl Runner {
    /// Runs the plugins of all source specs without a cached result. Afterwards, reading the specs again finds the
    /// results.
    pub async fn expand(
        &self,
        specs: &Specs,
        observer: &dyn RunObserver,
        cancel: &CancellationToken,
    ) -> Vec<UnexpandedSource> {
        let mut unexpanded = Vec::new();
        for source in specs.sources.iter().filter(|source| source.generated_count.is_none()) {
            if let Err(message) = self.expand_one(specs, source, observer, cancel).await {
                unexpanded.push(message);
            }
        }
        unexpanded
    }

    async fn expand_one(
        &self,
        specs: &Specs,
        source: &SourceSpec,
        observer: &dyn RunObserver,
        cancel: &CancellationToken,
    ) -> Result<(), UnexpandedSource> {
        let failure = |message: String, hint: Option<String>| UnexpandedSource {
            file: source.file,
            message,
            hint,
            is_environment: false,
        };
        let folder = specs.root.join(source.folder(specs));
        let listed = requirements::read(&folder);
        let recipe =
            Recipe::new(Api::Two, self.python.clone(), vec![listed.packages]).with_constraints(listed.constraints);
        let path = specs.files.get(source.file).map(|file| file.path.display().to_string()).unwrap_or_default();
        let progress = EnvironmentProgress { pipeline: &path, observer };
        let environment = self.environments.ensure(&recipe, &progress, cancel).await;
        let environment = environment.map_err(|error| environment_failure(&error, source))?;
        let answered = tokio::select! {
            answered = self.run_plugin(&environment, specs, source, &folder) => answered,
            () = cancel.cancelled() => return Err(failure("cancelled".to_owned(), None)),
        };
        let masks = Masks::of(&self.variables);
        let answer = answered.map_err(|message| failure(masks.text(&message), None))?;
        let package = format!("datapackage-pipelines-{}", source.module);
        if let Some(missing) = answer.missing {
            let message = format!("the plugin `{missing}`, which generates its pipelines, does not exist");
            let hint =
                format!("name `{package}` in a `{REQUIREMENTS}` next to it, or put `{missing}` into the project");
            return Err(failure(message, Some(hint)));
        }
        if let Some(lacking) = answer.lacking {
            return Err(failure(format!("the plugin `{lacking}` has no class `Generator`"), None));
        }
        if let Some(failed) = answer.failed {
            return Err(failure(format!("the plugin fails: {}", masks.text(&failed)), None));
        }
        let problems = answer.invalid.into_iter().map(|(place, what)| match place.is_empty() {
            true => format!("the plugin rejects it: {what}"),
            false => format!("the plugin rejects `{place}`: {what}"),
        });
        let pipelines = answer.pipelines.into_iter().map(|(id, folder, details)| {
            let folder = Path::new(&folder);
            let folder = folder.strip_prefix(&specs.root).unwrap_or(folder).to_path_buf();
            Generated { id, folder: crate::paths::plain(&folder), details }
        });
        let result = CachedResult::new(pipelines.collect(), problems.collect());
        let place = source.cache_path(&specs.root);
        let written =
            place.parent().map_or(Ok(()), crate::private::folder).and_then(|()| crate::files::write(&place, &result));
        written.map_err(|error| {
            failure(format!("the result of the plugin cannot be stored in `{}`: {error}", place.display()), None)
        })
    }

    async fn run_plugin(
        &self,
        environment: &Environment,
        specs: &Specs,
        source: &SourceSpec,
        folder: &Path,
    ) -> Result<Answer, String> {
        let within = folder.strip_prefix(&specs.root).unwrap_or(folder);
        let base = if within == Path::new("") { PathBuf::from(".") } else { Path::new(".").join(within) };
        let mut command = Command::new(&environment.python);
        command.arg("-c").arg(PROGRAM).arg(&source.module).arg(folder).arg(base).current_dir(&specs.root);
        command
            .env_clear()
            .envs(self.without_credentials(|_| false))
            .env_remove("PYTHONHOME")
            .env("PYTHONIOENCODING", "utf-8");
        // The plugin may be inside the project.
        let places = std::env::join_paths([folder, &specs.root]).map_err(|error| error.to_string())?;
        // Its child processes end with it, and it ends with this process.
        let mark = folder.join(&source.module).display().to_string();
        let guard = Guard::start((MARK, &mark), Duration::ZERO);
        let guard = guard.map_err(|error| format!("the plugin cannot be started: {error}"))?;
        command.env("PYTHONPATH", places).env(MARK, &mark).process_group(guard.group()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("the plugin cannot be started: {error}"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let text = python_json(&source.content);
        let give = async {
            if let Some(mut stdin) = stdin {
                // If the plugin does not read it, its own error says why.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let all = async {
            let ((), answer, log, ended) =
                tokio::join!(give, read(stdout, LARGEST), read(stderr, LARGEST_LOG), child.wait());
            (answer, log, ended)
        };
        let ended = tokio::time::timeout(LONGEST, all).await;
        guard.end().await;
        let (answer, log, ended) =
            ended.map_err(|_| format!("the plugin did not respond within {} s", LONGEST.as_secs()))?;
        let ended = ended.map_err(|error| format!("the plugin cannot be waited for: {error}"))?;
        parse_answer(&answer, &log, ended)
    }
}

fn parse_answer(answer: &[u8], log: &[u8], ended: ExitStatus) -> Result<Answer, String> {
    if answer.len() as u64 > LARGEST {
        return Err(format!("the plugin's result is larger than {} MiB", LARGEST >> 20));
    }
    serde_json::from_slice(answer).map_err(|error| {
        let log = String::from_utf8_lossy(log);
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join(" | ");
        match ended.success() {
            true => format!("the plugin's result is malformed: {error}"),
            false => format!("the plugin ended with {ended}: {last}"),
        }
    })
}

fn environment_failure(error: &EnvironmentError, source: &SourceSpec) -> UnexpandedSource {
    UnexpandedSource { file: source.file, message: error.to_string(), hint: error.hint(), is_environment: true }
}

/// Reads a stream to its end, but keeps at most `most` bytes and one more.
async fn read(stream: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut collected = Vec::new();
    let Some(mut stream) = stream else { return collected };
    let _ = (&mut stream).take(most.saturating_add(1)).read_to_end(&mut collected).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    collected
}
