//! Environment variables that configure specs, as in dpp: more folders of processors, and the file of runners.

use std::path::{Path, PathBuf};

/// Variable with more folders of processors.
const PROCESSORS: &str = "DPP_PROCESSOR_PATH";
/// Separator of the folders, which dpp uses on all systems.
const SEPARATOR: char = ';';
/// Variable with the path of the file of runners.
const RUNNERS: &str = "DPP_RUNNER_CONFIG";
/// Default name of the file of runners.
pub(super) const RUNNERS_FILE: &str = "dpp-runners.yaml";

/// Configuration of specs by environment variables. Paths may be relative to the searched folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecEnvironment {
    /// Folders to search for processors after the folder of the spec.
    pub processors: Vec<PathBuf>,
    /// File of runners.
    pub runners: Option<PathBuf>,
}

impl SpecEnvironment {
    /// Reads the variables of this process.
    #[must_use]
    pub fn from_process() -> Self {
        let variables = crate::process_environment::variables();
        Self::from_variables(|name| variables.get(name).cloned())
    }

    /// Reads variables through a function.
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let folders = variable(PROCESSORS).unwrap_or_default();
        let folders = folders.split(SEPARATOR).filter(|folder| !folder.is_empty());
        let runners = variable(RUNNERS).filter(|path| !path.is_empty());
        Self { processors: folders.map(PathBuf::from).collect(), runners: runners.map(PathBuf::from) }
    }

    /// Folders of processors, resolved from the root.
    pub(super) fn processors_at(&self, root: &Path) -> Vec<PathBuf> {
        self.processors.iter().map(|folder| crate::paths::plain(&root.join(folder))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_split_as_in_dpp() {
        let of = |text: &str| {
            SpecEnvironment::from_variables(|name| (name == PROCESSORS).then(|| text.to_owned())).processors
        };
        assert_eq!(of("/a:b;;c"), [PathBuf::from("/a:b"), PathBuf::from("c")]);
        assert_eq!(of(""), Vec::<PathBuf>::new());
    }
}
