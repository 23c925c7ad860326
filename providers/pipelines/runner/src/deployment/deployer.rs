//! Polls the repositories of programs, and takes each new commit through its stages.
//!
//! A record names the next stage of a commit, and is written before that stage begins. After a crash, the stage is repeated,
//! so each has to be harmless if it is repeated: an image is built again under the same tag; the operations repository is
//! searched for the commit of the deployment; an apply resolves the steps of the interrupted one; the platform searches for a
//! run with the mark of the deployment.

use super::build::{Builder, DOCKERFILE, is_repository};
use super::git::{Copy, Git, is_commit};
use super::operations::{self, Change};
use super::program::{Problem, ProblemKind};
use super::store::{Deployments, KnownTags, Outcome, Record, Stage};
use super::{Action, Deployment, Trigger};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Number of tries of a stage whose failure may be that of the commit.
const MOST_TRIES: u32 = 3;

/// The end of a pipeline's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Id of the run, if it started.
    pub run: Option<String>,
    /// Why it failed; `None` after a success.
    pub error: Option<String>,
}

/// A pipeline to run.
#[derive(Debug, Clone, Copy)]
pub struct RunRequest<'a> {
    /// The deployment.
    pub deployment: &'a Deployment,
    /// Environment of the operations repository.
    pub environment: &'a str,
    /// Id of the pipeline.
    pub pipeline: &'a str,
    /// Folder with the specs and `terrace.yaml`.
    pub folder: &'a Path,
    /// Identity of the deployment: a run with this mark, which did not get lost, counts as its run.
    pub mark: &'a str,
}

/// A descriptor to apply.
#[derive(Debug, Clone, Copy)]
pub struct ApplyRequest<'a> {
    /// The deployment.
    pub deployment: &'a Deployment,
    /// Environment of the operations repository.
    pub environment: &'a str,
    /// Path of the descriptor in the folder.
    pub descriptor: &'a str,
    /// Folder with the descriptor and `terrace.yaml`.
    pub folder: &'a Path,
}

/// The parts of a deployment that need the settings of the environment or the forge.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Plans and applies a descriptor. First resolves the steps of an interrupted apply.
    ///
    /// # Errors
    /// When it is not applied completely: the plan is refused or has errors, a step failed, or another operation works on it.
    async fn apply(&self, request: ApplyRequest<'_>) -> Result<(), Problem>;

    /// Runs a pipeline, unless a run with the mark has ended.
    ///
    /// # Errors
    /// When the run has no result: the configuration is invalid, or the infrastructure failed.
    async fn run(&self, request: RunRequest<'_>) -> Result<RunEnd, Problem>;

    /// Reports an ended deployment to the forge of the program. Returns false if the forge cannot be called now.
    async fn report(&self, deployment: &Deployment, record: &Record) -> bool;

    /// A commit begins a stage.
    fn begins(&self, record: &Record);

    /// Tags existed before the first poll.
    fn skips_tags(&self, deployment: &Deployment, count: usize);

    /// A problem that the next poll may not meet.
    fn meets(&self, deployment: &Deployment, record: Option<&Record>, problem: &Problem);
}

/// Deploys new commits.
pub struct Deployer<'a> {
    git: Git,
    store: Deployments,
    platform: &'a dyn Platform,
    /// Folders with programs that build images.
    path: Option<OsString>,
    cancel: CancellationToken,
}

impl<'a> Deployer<'a> {
    /// Creates a deployer. `path` is the variable PATH of builders.
    #[must_use]
    pub fn new(
        git: Git,
        store: Deployments,
        platform: &'a dyn Platform,
        path: Option<OsString>,
        cancel: CancellationToken,
    ) -> Self {
        Self { git, store, platform, path, cancel }
    }

    /// Polls a repository once, and deploys its new commits and interrupted ones. Returns the records that ended, and true if
    /// all commits ended. Problems go to the platform.
    ///
    /// # Errors
    /// When the user stops the work.
    pub async fn poll(&self, deployment: &Deployment) -> Result<(Vec<Record>, bool), Problem> {
        let (mut ended, mut is_complete) = (Vec::new(), true);
        let refs = match self.git.remote_refs(&deployment.app, &["refs/heads/*", "refs/tags/*"]).await {
            Ok(refs) => Some(refs),
            Err(problem) => {
                self.meet(deployment, None, &problem)?;
                is_complete = false;
                None
            }
        };
        for action in &deployment.actions {
            let key = deployment.key(action);
            // Interrupted deployments go on while the program's repository cannot be read.
            if let Some(refs) = &refs
                && let Err(problem) = self.discover(deployment, action, &key, refs).await
            {
                self.meet(deployment, None, &problem)?;
                is_complete = false;
            }
            let records = match self.store.of_action(&key) {
                Ok(records) => records,
                Err(error) => {
                    self.meet(deployment, None, &error.into())?;
                    is_complete = false;
                    continue;
                }
            };
            for mut record in records.into_iter().filter(|record| record.stage != Stage::Ended || !record.is_reported) {
                let was_ended = record.stage == Stage::Ended;
                match self.advance(deployment, action, &key, &mut record).await {
                    Ok(()) if was_ended => {}
                    Ok(()) => ended.push(record),
                    Err(problem) => {
                        self.meet(deployment, Some(&record), &problem)?;
                        is_complete = false;
                        // Later commits wait: they would undo its change of the environment.
                        break;
                    }
                }
            }
        }
        Ok((ended, is_complete))
    }

    fn meet(&self, deployment: &Deployment, record: Option<&Record>, problem: &Problem) -> Result<(), Problem> {
        if problem.kind == ProblemKind::Cancelled {
            return Err(problem.clone());
        }
        self.platform.meets(deployment, record, problem);
        Ok(())
    }

    /// Records new commits of an action.
    async fn discover(
        &self,
        deployment: &Deployment,
        action: &Action,
        key: &str,
        refs: &BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        let new = match &action.trigger {
            Trigger::Branch(branch) => {
                let name = format!("refs/heads/{branch}");
                let head = refs.get(&name).ok_or_else(|| {
                    Problem::later(format!("{} has no branch `{branch}`", deployment.app.url))
                        .hint("create the branch, or correct `branch` in `.dppctl.yaml`")
                })?;
                vec![(name, head.clone())]
            }
            Trigger::Tags => self.new_tags(deployment, key, refs).await?,
        };
        let found_at = Timestamp::now();
        for (order, (reference, commit)) in new.into_iter().enumerate() {
            if !is_commit(&commit) {
                continue;
            }
            let is_branch = matches!(action.trigger, Trigger::Branch(_));
            if is_branch {
                self.supersede(key, &commit)?;
            }
            // A branch may return to a commit that a removed one replaced.
            let begins = |known: Record| is_branch && known.outcome == Some(Outcome::Superseded);
            if !self.store.get(key, &commit)?.is_none_or(begins) {
                continue;
            }
            let record = Record {
                commit,
                reference,
                app: deployment.app.to_string(),
                environment: action.environment.clone(),
                work: action.work.clone(),
                stage: Stage::Build,
                found_at,
                order,
                ended_at: None,
                tries: 0,
                repeats: 0,
                image: None,
                operations_commit: None,
                run: None,
                outcome: None,
                error: None,
                is_reported: false,
            };
            self.store.put(key, &record)?;
        }
        Ok(())
    }

    /// Tags that were created or moved after the first poll, the oldest first.
    async fn new_tags(
        &self,
        deployment: &Deployment,
        key: &str,
        refs: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, String)>, Problem> {
        let tags = || refs.iter().filter(|(name, _)| name.starts_with("refs/tags/"));
        let Some(known) = self.store.known_tags(key)? else {
            let tags: BTreeMap<String, String> = tags().map(|(name, commit)| (name.clone(), commit.clone())).collect();
            let count = tags.len();
            self.store.put_known_tags(key, &KnownTags { tags })?;
            if count > 0 {
                self.platform.skips_tags(deployment, count);
            }
            return Ok(Vec::new());
        };
        let mut new = Vec::new();
        for (name, commit) in tags().filter(|(name, commit)| known.tags.get(*name) != Some(commit)) {
            if self.store.get(key, commit)?.is_none() {
                new.push((name.clone(), commit.clone()));
            }
        }
        if new.len() > 1 {
            let copy = self.git.open(&self.store.repository(&deployment.app)).await?;
            copy.fetch(&deployment.app, &[], true).await?;
            let order = copy.tags().await?;
            new.sort_by_key(|(name, _)| order.iter().position(|tag| tag == name));
        }
        Ok(new)
    }

    /// Ends other commits that did not reach the operations repository: the head of the branch replaces them.
    fn supersede(&self, key: &str, head: &str) -> Result<(), Problem> {
        for mut record in self.store.of_action(key)? {
            if matches!(record.stage, Stage::Build | Stage::Commit) && record.commit != head {
                record.error = Some(format!("{head} came first"));
                self.end(key, &mut record, Outcome::Superseded)?;
            }
        }
        Ok(())
    }

    fn end(&self, key: &str, record: &mut Record, outcome: Outcome) -> Result<(), Problem> {
        record.stage = Stage::Ended;
        record.outcome = Some(outcome);
        record.ended_at = Some(Timestamp::now());
        // A forge need not know of a commit that was left out.
        record.is_reported = outcome == Outcome::Superseded;
        Ok(self.store.put(key, record)?)
    }

    /// Takes a commit through its stages to the end.
    async fn advance(
        &self,
        deployment: &Deployment,
        action: &Action,
        key: &str,
        record: &mut Record,
    ) -> Result<(), Problem> {
        while record.stage != Stage::Ended {
            if self.cancel.is_cancelled() {
                return Err(Problem::cancelled());
            }
            self.platform.begins(record);
            let done = match record.stage {
                Stage::Build => self.build(deployment, action, record).await,
                Stage::Commit => self.commit(deployment, key, record).await,
                Stage::Apply => self.apply(deployment, key, record).await,
                Stage::Run => self.run(deployment, key, record).await,
                Stage::Ended => Ok(()),
            };
            match done {
                Ok(()) if record.stage == Stage::Ended => {
                    let outcome = if record.error.is_none() { Outcome::Deployed } else { Outcome::Failed };
                    self.end(key, record, outcome)?;
                }
                Ok(()) => {
                    record.tries = 0;
                    self.store.put(key, record)?;
                }
                Err(problem) => {
                    let is_limited = problem.kind == ProblemKind::Limited;
                    record.tries = record.tries.saturating_add(u32::from(is_limited));
                    let is_final = problem.kind == ProblemKind::Commit || record.tries >= MOST_TRIES;
                    if !is_final {
                        if is_limited {
                            self.store.put(key, record)?;
                        }
                        return Err(problem);
                    }
                    self.platform.meets(deployment, Some(record), &problem);
                    record.error = Some(problem.message);
                    self.end(key, record, Outcome::Failed)?;
                }
            }
        }
        if !record.is_reported && self.platform.report(deployment, record).await {
            record.is_reported = true;
            self.store.put(key, record)?;
        }
        Ok(())
    }

    async fn build(&self, deployment: &Deployment, action: &Action, record: &mut Record) -> Result<(), Problem> {
        let builder = Builder::find(self.path.as_deref())?;
        let operations = self.git.open(&self.store.repository(&deployment.operations)).await?;
        let descriptor = record.work.descriptor.as_deref();
        let present = operations::check(&operations, &deployment.operations, &record.environment, descriptor).await?;
        let repository = repository_of(deployment, record, &present)?;
        if let Some(image) = self.built_image(deployment, record, repository)? {
            (record.image, record.stage) = (Some(image), Stage::Commit);
            return Ok(());
        }
        let app = &deployment.app;
        let copy = self.git.open(&self.store.repository(app)).await?;
        if !copy.has_commit(&record.commit).await? {
            match &action.trigger {
                Trigger::Branch(branch) => copy.fetch(app, &[branch], false).await?,
                Trigger::Tags => copy.fetch(app, &[], true).await?,
            }
        }
        let short = record.commit.get(..12).unwrap_or(&record.commit);
        if !copy.has_commit(&record.commit).await? {
            let message = format!("{} has no commit {short} any more", app.url);
            return Err(
                Problem::of_commit(message).hint("the branch or tag was moved: the next poll deploys its new commit")
            );
        }
        let path = app.within(DOCKERFILE);
        if copy.file(&record.commit, &path).await?.is_none() {
            return Err(Problem::of_commit(format!("commit {short} of {} has no `{path}`", app.url)).hint(format!(
                "commit a `{DOCKERFILE}`, which begins with the image of the pipelines: `FROM REGISTRY/pipelines:1`"
            )));
        }
        let work = self.store.work()?;
        let context = work.join("context");
        copy.check_out(&record.commit, &app.folder, &context, &work.join("index")).await?;
        let image = (repository, record.commit.as_str());
        let digest = builder.publish(image, &context, &work, &self.cancel).await?;
        record.image = Some(format!("{repository}@{digest}"));
        record.stage = Stage::Commit;
        Ok(())
    }

    /// The image that another action built of the same commit. A repeated deployment builds its own, because the user may have
    /// repaired the registry or the base image.
    fn built_image(
        &self,
        deployment: &Deployment,
        record: &Record,
        repository: &str,
    ) -> Result<Option<String>, Problem> {
        if record.repeats > 0 {
            return Ok(None);
        }
        for action in &deployment.actions {
            let built = self.store.get(&deployment.key(action), &record.commit)?.and_then(|other| other.image);
            let is_here = |image: &String| image.split_once('@').is_some_and(|(name, _)| name == repository);
            if let Some(image) = built.filter(is_here) {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    async fn commit(&self, deployment: &Deployment, key: &str, record: &mut Record) -> Result<(), Problem> {
        let copy = self.git.open(&self.store.repository(&deployment.operations)).await?;
        record.operations_commit = Some(operations::commit(&copy, change(deployment, key, record)).await?);
        record.stage = record.stage_with_image();
        Ok(())
    }

    async fn apply(&self, deployment: &Deployment, key: &str, record: &mut Record) -> Result<(), Problem> {
        let copy = self.git.open(&self.store.repository(&deployment.operations)).await?;
        // An older commit than the head would revert changes that another deployment has applied.
        let head = operations::head_with_image(&copy, change(deployment, key, record)).await?.ok_or_else(|| {
            let message = format!("`{}` of {} has another image now", record.environment, deployment.operations.url);
            Problem::of_commit(message).hint(
                "deploy a newer commit, or restore the image of this one in `terrace.yaml` and deploy it again with `--retry`",
            )
        })?;
        let folder = self.folder_with(&copy, deployment, &record.environment, &head).await?;
        record.operations_commit = Some(head);
        let request = ApplyRequest {
            deployment,
            environment: &record.environment,
            descriptor: record.work.descriptor.as_deref().unwrap_or_default(),
            folder: &folder,
        };
        self.platform.apply(request).await?;
        record.stage = if record.work.pipeline.is_some() { Stage::Run } else { Stage::Ended };
        Ok(())
    }

    /// The folder of an environment with the files of a commit of the operations repository.
    async fn folder_with(
        &self,
        copy: &Copy<'_>,
        deployment: &Deployment,
        environment: &str,
        commit: &str,
    ) -> Result<PathBuf, Problem> {
        let operations = &deployment.operations;
        let (folder, index) = self.store.project(operations, environment);
        copy.check_out(commit, "", &folder, &index).await?;
        Ok(if operations.folder.is_empty() { folder } else { folder.join(&operations.folder) })
    }

    async fn run(&self, deployment: &Deployment, key: &str, record: &mut Record) -> Result<(), Problem> {
        let copy = self.git.open(&self.store.repository(&deployment.operations)).await?;
        if record.repeats > 0
            && let Some(head) = operations::head_with_image(&copy, change(deployment, key, record)).await?
        {
            record.operations_commit = Some(head);
        }
        let commit = record.operations_commit.clone().unwrap_or_default();
        let folder = self.folder_with(&copy, deployment, &record.environment, &commit).await?;
        let mark = format!("deployment/{key}/{}/{}", record.commit, record.repeats);
        let request = RunRequest {
            deployment,
            environment: &record.environment,
            pipeline: record.work.pipeline.as_deref().unwrap_or_default(),
            folder: &folder,
            mark: &mark,
        };
        let end = self.platform.run(request).await?;
        (record.run, record.error) = (end.run, end.error);
        record.stage = Stage::Ended;
        Ok(())
    }
}

/// Repository for the image of a commit: that of the deployment, or else of the present image of the environment.
///
/// # Errors
/// When the present image has no registry.
fn repository_of<'a>(deployment: &'a Deployment, record: &Record, present: &'a str) -> Result<&'a str, Problem> {
    if let Some(repository) = &deployment.image {
        return Ok(repository);
    }
    let (name, _) = present.split_once('@').unwrap_or((present, ""));
    // A port precedes a slash, a tag follows all of them.
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    is_repository(repository).then_some(repository).ok_or_else(|| {
        let message = format!(
            "the repository for the image of `{}` is unknown: the environment has `{present}`",
            record.environment
        );
        Problem::later(message)
            .hint("add `image: REGISTRY/NAME` to the item of `continuousDeployment` in `.dppctl.yaml`")
    })
}

/// The change of the operations repository by a deployment.
fn change<'a>(deployment: &'a Deployment, key: &'a str, record: &'a Record) -> Change<'a> {
    let image = record.image.as_deref().unwrap_or_default();
    Change { deployment, key, environment: &record.environment, commit: &record.commit, image }
}
