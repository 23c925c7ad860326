//! `local_command`: an object that the user's programs create, read, update, delete and find.
//!
//! Every program gets one JSON object on its standard input and answers on its standard output (`protocol`). It runs in
//! its own process group (`run`), and its environment contains the name of the call. After a crash, recovery finds a
//! program that still runs by this name, waits for it, or stops it (`process`).

mod plan;
mod private;
mod process;
mod protocol;
mod run;

use super::attributes::{given, is_marked, known, marked, text};
use crate::project::{Project, invalid};
use async_trait::async_trait;
use private::PrivateState;
use protocol::{Answer, ProgramInput};
use run::Job;
use std::time::Duration;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, Found, LostCall, Object, Observed, Planned, PlannedChange,
    ProposedChange, ProviderError, Recorded, ResourceType, Session, Timeouts, Value,
};

/// The type's name.
pub const NAME: &str = "local_command";

/// How long a command may run by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The schema of `local_command`.
#[must_use]
pub fn resource_type() -> ResourceType {
    let argv = |name, doc| Attribute::new(name, AttributeType::list(AttributeType::String), doc);
    let texts = || AttributeType::map(AttributeType::String);
    ResourceType {
        can_coexist: true,
        settle: Duration::ZERO,
        timeouts: Timeouts {
            create: DEFAULT_TIMEOUT,
            update: DEFAULT_TIMEOUT,
            delete: DEFAULT_TIMEOUT,
            read: DEFAULT_TIMEOUT,
        },
        ..ResourceType::new(
            NAME,
            "An object that your own programs manage; its identity is its address.",
            &[],
            Object(vec![
                argv("create", "The program that creates the object, with its arguments; no shell.").required(),
                argv("read", "The program that reads the object; without it nothing is refreshed."),
                argv("update", "The program that updates the object; without it a change replaces."),
                argv("delete", "The program that deletes the object; without it nothing runs."),
                argv(
                    "find",
                    "The program that reports whether the object exists, after a call with an unknown outcome.",
                ),
                Attribute::new("input", AttributeType::Any, "Input of the programs."),
                Attribute::new("environment", texts(), "Variables in addition to the [usual ones](#variables)."),
                Attribute::new("secretEnvironment", texts(), "Secret variables; only `create` and `update` get them.")
                    .write_only(),
                Attribute::new(
                    "workingDirectory",
                    AttributeType::String,
                    "Folder inside the project folder. Default: the project folder.",
                ),
                Attribute::new("output", AttributeType::Any, "The JSON object that the last program printed.")
                    .computed()
                    .volatile("an update runs a program again"),
                Attribute::new("id", AttributeType::String, "`output.id`, or a generated id.")
                    .computed()
                    .volatile("the program that an update runs may print another"),
            ]),
        )
    }
}

/// Runs programs.
pub(crate) struct Commands {
    project: Project,
    /// The names of the inherited variables in addition to the usual ones.
    inherited: Vec<String>,
}

impl Commands {
    /// Creates the session for one project folder.
    pub(crate) fn new(project: Project, inherited: Vec<String>) -> Self {
        Self { project, inherited }
    }

    /// The job for a program of these attributes; `None` if the program is not configured.
    fn job(
        &self,
        program: &'static str,
        attributes: &Attributes,
        program_input: &ProgramInput<'_>,
        timeout: Duration,
    ) -> Result<Option<Job>, ProviderError> {
        let Some(argv) = given(attributes, program) else { return Ok(None) };
        let folder = match text(attributes, "workingDirectory") {
            Some(folder) => self.project.subfolder("workingDirectory", folder)?.ok_or_else(|| {
                let message = format!("`workingDirectory` is `{folder}`: this folder does not exist");
                invalid("workingDirectory", message)
            })?,
            None => self.project.folder().to_path_buf(),
        };
        let environment = ["environment", "secretEnvironment"].into_iter().flat_map(|name| variables(attributes, name));
        Ok(Some(Job {
            program,
            argv: plan::words(program, argv)?,
            folder,
            inherited: self.inherited.clone(),
            environment: environment.collect(),
            stdin: program_input.to_json(),
            timeout,
            grace: run::GRACE,
        }))
    }
}

/// The variables in a map of texts.
fn variables<'a>(attributes: &'a Attributes, name: &str) -> impl Iterator<Item = (String, String)> + use<'a> {
    let entries = given(attributes, name).and_then(Value::as_map).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
}

#[async_trait]
impl Session for Commands {
    async fn read(&self, ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let program_input = ProgramInput::of(&prior.address, &prior.attributes, Some(&prior.attributes));
        let Some(job) = self.job("read", &prior.attributes, &program_input, ty.timeouts.read)? else {
            return Ok(Some(as_recorded(prior)));
        };
        match job.run_reading().await?.answer("read")? {
            Answer::Absent => Ok(None),
            Answer::Object(output) => {
                let state = PrivateState::of(&prior.private);
                Ok(Some(observed(&prior.attributes, output, text(&prior.attributes, "id"), &state)))
            }
        }
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        plan::plan(&self.project, ty, change)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let program_input = ProgramInput::of(&call.address, &planned.attributes, None);
        let job = self.job("create", &planned.attributes, &program_input, call.timeout)?;
        let job = job.ok_or_else(|| ProviderError::bug("a local_command without `create`"))?;
        let printed = job.run_changing(call, &PrivateState::default()).await?;
        match printed.object("create") {
            Ok(output) => Ok(applied(&planned.attributes, output, None)),
            // The program ended successfully, so there may be an object. It is recorded without an output, and the next
            // plan replaces it.
            Err(error) => Err(error.with_object(without_output(&planned.attributes))),
        }
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        if !planned.attributes.get("output").is_some_and(Value::is_unknown) {
            // A known planned output means that only argv lists or the working directory change: no program runs.
            return Ok(updated_without_call(prior, planned));
        }
        let program_input = ProgramInput::of(&call.address, &planned.attributes, Some(&prior.attributes));
        let job = self.job("update", &planned.attributes, &program_input, call.timeout)?;
        let job = job.ok_or_else(|| ProviderError::bug("an update of a local_command without `update`"))?;
        let state = PrivateState::of(&prior.private);
        let printed = job.run_changing(call, &state).await.map_err(|error| error.with_object(as_recorded(prior)))?;
        let output = printed.object("update").map_err(|error| error.with_object(as_recorded(prior)))?;
        Ok(applied(&planned.attributes, output, text(&prior.attributes, "id")))
    }

    async fn delete(&self, _ty: &ResourceType, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let program_input = ProgramInput::of(&call.address, &prior.attributes, Some(&prior.attributes));
        if let Some(job) = self.job("delete", &prior.attributes, &program_input, call.timeout)? {
            let state = PrivateState::of(&prior.private);
            job.run_changing(call, &state).await.map_err(|error| error.with_object(as_recorded(prior)))?;
        }
        Ok(())
    }

    async fn find(&self, ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        if let Some(lost) = &attempt.lost_call
            && still_runs(attempt, lost).await?
        {
            return Ok(Found::Pending("its process still runs".to_owned()));
        }
        let prior = attempt.prior.as_ref().map(|prior| &prior.attributes);
        // A lost delete has no planned attributes: it used the recorded ones.
        let planned = if attempt.planned.is_empty() { prior.unwrap_or(&attempt.planned) } else { &attempt.planned };
        let program_input = ProgramInput::of(&attempt.address, planned, prior);
        let Some(job) = self.job("find", planned, &program_input, ty.timeouts.read)? else { return Ok(Found::Unknown) };
        let output = match job.run_reading().await?.answer("find")? {
            Answer::Absent => return Ok(Found::Absent),
            Answer::Object(output) => output,
        };
        let id = prior.and_then(|prior| text(prior, "id"));
        let observed = applied(planned, output, id);
        Ok(if attempt.lost_call.is_some() { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    async fn import(&self, _ty: &ResourceType, _id: &str) -> Result<Option<Observed>, ProviderError> {
        Err(ProviderError::invalid(None, "a `local_command` cannot be imported: its identity is its address")
            .solution("declare it with a `create` that accepts an existing object, and apply"))
    }
}

/// The object as recorded.
fn as_recorded(prior: &Recorded) -> Observed {
    Observed { identity: prior.identity.clone(), attributes: prior.attributes.clone(), private: prior.private.clone() }
}

/// The object after a change that no program sees.
fn updated_without_call(prior: &Recorded, planned: &Planned) -> Observed {
    Observed { attributes: recordable(&planned.attributes), ..as_recorded(prior) }
}

/// The object after a program created, updated or found it.
fn applied(planned: &Attributes, output: Value, id: Option<&str>) -> Observed {
    let state = PrivateState { applied: Some(private::digest(&output)), process: None };
    observed(&recordable(planned), output, id, &state)
}

/// The object after a successful program without a valid answer.
fn without_output(planned: &Attributes) -> Observed {
    let mut attributes = recordable(planned);
    attributes.insert("id".to_owned(), new_id().into());
    Observed { attributes, ..Observed::default() }
}

fn observed(attributes: &Attributes, output: Value, id: Option<&str>, state: &PrivateState) -> Observed {
    let mut attributes = attributes.clone();
    let is_sensitive = is_output_sensitive(&attributes);
    let id = match output.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Int(id)) => id.to_string(),
        _ => id.map_or_else(new_id, str::to_owned),
    };
    attributes.insert("output".to_owned(), marked(output, is_sensitive));
    attributes.insert("id".to_owned(), marked(id.into(), is_sensitive));
    Observed { attributes, private: state.to_private(), ..Observed::default() }
}

/// True if the output may contain a sensitive value: a program may print all that it gets.
fn is_output_sensitive(attributes: &Attributes) -> bool {
    attributes.get("secretEnvironment").is_some_and(|secret| !secret.is_null())
        || ["input", "environment", "workingDirectory", "output"].iter().any(|name| is_marked(attributes, name))
        || plan::PROGRAMS.iter().any(|program| is_marked(attributes, program))
}

/// The planned attributes that may be recorded.
fn recordable(planned: &Attributes) -> Attributes {
    let mut attributes = known(planned);
    attributes.shift_remove("secretEnvironment");
    attributes
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Returns whether a lost call still runs; it is stopped after its timeout.
async fn still_runs(attempt: &Attempt, lost: &LostCall) -> Result<bool, ProviderError> {
    let name = run::attempt_name(&lost.operation, &lost.step);
    let state = PrivateState::of(&attempt.private);
    let running = process::find(&name, state.process.as_ref()).await?;
    if running.is_empty() || lost.age < lost.timeout {
        return Ok(!running.is_empty());
    }
    tracing::warn!(address = %attempt.address, attempt = %name, "stopping a command after its timeout");
    process::stop(&running, run::GRACE).await;
    Ok(!process::find(&name, state.process.as_ref()).await?.is_empty())
}
