//! Continuous deployment: new commits of a program become images, and an environment is applied and runs with them.
//!
//! A [`Deployment`] names the repository of the program, and the operations repository with the specs and the
//! `terrace.yaml` of its environments. The [`deployer::Deployer`] polls the program's branches and tags, and takes each new
//! commit through the [`store::Stage`]s: build the image, push it, commit its digest to the operations repository, apply the
//! descriptor, run the pipeline, report the result. The [`store`] records each stage before the next begins, so a killed deployer continues.
//!
//! [`git`] and [`build`] call the programs `git`, `buildah` and `docker`; [`operations`] changes the operations repository.

pub mod build;
pub mod deployer;
pub mod git;
pub mod location;
pub mod operations;
pub mod program;
pub mod store;

use crate::hash::hash_of;
use location::Location;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// An entry of `continuousDeployment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Repository of the program, whose folder has a `Dockerfile`.
    pub app: Location,
    /// Repository of the environments, whose folder has the specs and `terrace.yaml`.
    pub operations: Location,
    /// Repository of the image in a registry, without tag and digest: `registry.example.com/orders`; without it, that of the
    /// image that an environment has.
    pub image: Option<String>,
    /// Maximum time of a run.
    pub timeout: Option<Duration>,
    /// Number of retries of a run whose infrastructure fails; without it, that of the provider.
    pub retries: Option<u32>,
    /// Author of the commits in the operations repository.
    pub author: Author,
    /// What to deploy where.
    pub actions: Vec<Action>,
}

/// Author of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Name of the person or program.
    pub name: String,
    /// Email address.
    pub email: String,
}

impl Default for Author {
    fn default() -> Self {
        Self { name: "terrace".to_owned(), email: "terrace@localhost".to_owned() }
    }
}

/// What to deploy, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The commits.
    pub trigger: Trigger,
    /// Name of the environment in `terrace.yaml` of the operations repository.
    pub environment: String,
    /// What to do with the image.
    pub work: Work,
}

/// The work of an action after an environment has its image: at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Descriptor to apply, as a path in the folder of the operations repository: `stack.yaml`.
    #[serde(default)]
    pub descriptor: Option<String>,
    /// Pipelines in the operations repository that run then, as words of `terrace pipelines run`: `./load-orders`, `all`.
    #[serde(default)]
    pub pipeline: Option<String>,
}

impl Work {
    /// The pipelines, for people.
    #[must_use]
    pub fn pipelines(&self) -> Option<&str> {
        self.pipeline.as_deref().map(|words| if words == "all" { "all pipelines" } else { words })
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = [self.descriptor.as_deref(), self.pipelines()].into_iter().flatten().collect();
        f.write_str(&parts.join(" and "))
    }
}

/// The commits that an action deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// The newest commit of a branch, each time it changes.
    Branch(String),
    /// The commits of new tags.
    Tags,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch {name}"),
            Self::Tags => f.write_str("tags"),
        }
    }
}

impl Deployment {
    /// Identity of an action: the same commit is deployed once for each key.
    ///
    /// It covers the parts that make another deployment for users: program, commits, environment, descriptor and pipeline. A new
    /// registry or timeout does not repeat deployments.
    #[must_use]
    pub fn key(&self, action: &Action) -> String {
        let mut parts = vec![
            self.app.to_string(),
            self.operations.to_string(),
            action.trigger.to_string(),
            action.environment.clone(),
            action.work.pipeline.clone().unwrap_or_default(),
        ];
        parts.extend(action.work.descriptor.clone());
        hash_of(&parts.join("\n")).get(..32).unwrap_or_default().to_owned()
    }
}
