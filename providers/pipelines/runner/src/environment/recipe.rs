//! The packages of an environment, and its name.

use crate::hash::hash_of;
use crate::spec::processor::Api;
use serde::{Deserialize, Serialize};

/// Format of environments; an increase leaves older ones unused.
pub(super) const FORMAT: u32 = 1;

/// Pinned packages of a release, in the format of `pip freeze`.
pub(super) const fn lock(api: Api) -> &'static str {
    match api {
        Api::One => include_str!("../../locks/1.7.1.txt"),
        Api::Two => include_str!("../../locks/2.2.11.txt"),
    }
}

/// Packages of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Generation of dpp.
    pub api: Api,
    /// Interpreter in the settings.
    pub python: Option<String>,
    /// Texts of requirements in addition to dpp's.
    pub requirements: Vec<String>,
    /// Texts of constraints on their versions.
    pub constraints: Vec<String>,
}

impl Recipe {
    /// Recipe for a generation with additional requirements.
    #[must_use]
    pub fn new(api: Api, python: Option<String>, requirements: Vec<String>) -> Self {
        let requirements = requirements.into_iter().filter(|text| !text.trim().is_empty()).collect();
        Self { api, python, requirements, constraints: Vec::new() }
    }

    /// Sets constraints on versions.
    #[must_use]
    pub fn with_constraints(self, constraints: Vec<String>) -> Self {
        Self { constraints, ..self }
    }

    /// Name of the environment: the release, and a digest of all inputs.
    #[must_use]
    pub fn key(&self) -> String {
        let packages = match self.constraints.is_empty() {
            true => serde_json::json!(self.requirements),
            false => serde_json::json!([self.requirements, self.constraints]),
        };
        let text = serde_json::json!([FORMAT, self.api, lock(self.api), self.python, packages]);
        let digest = hash_of(&text.to_string());
        format!("{}-{}", self.api, digest.get(..16).unwrap_or(&digest))
    }
}
