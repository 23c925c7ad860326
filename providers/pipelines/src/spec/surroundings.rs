//! What variables say of how specs are read, as dpp takes them: further folders of processors, and the file of runners.

use std::path::{Path, PathBuf};

/// The variable that names further folders of processors.
const PROCESSORS: &str = "DPP_PROCESSOR_PATH";
/// What separates them: dpp's own mark, also where the system has another.
const BETWEEN: char = ';';
/// The variable that names the file of runners.
const RUNNERS: &str = "DPP_RUNNER_CONFIG";
/// The file of runners where no variable names one.
pub(super) const RUNNERS_FILE: &str = "dpp-runners.yaml";

/// What variables say of how specs are read. Paths may be relative to the folder that is searched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Folders that processors are looked for in, after the folder of the spec.
    pub processors: Vec<PathBuf>,
    /// The file of runners.
    pub runners: Option<PathBuf>,
}

impl Surroundings {
    /// What the variables of this process say.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = crate::settings::variables();
        Self::of(|name| variables.get(name).cloned())
    }

    /// What variables say that somebody else looks up.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let folders = variable(PROCESSORS).unwrap_or_default();
        let folders = folders.split(BETWEEN).filter(|folder| !folder.is_empty());
        let runners = variable(RUNNERS).filter(|path| !path.is_empty());
        Self { processors: folders.map(PathBuf::from).collect(), runners: runners.map(PathBuf::from) }
    }

    /// The folders of processors, from the root.
    pub(super) fn processors_at(&self, root: &Path) -> Vec<PathBuf> {
        self.processors.iter().map(|folder| crate::fingerprint::plain(&root.join(folder))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_separated_as_dpp_separates_them() {
        let of = |text: &str| Surroundings::of(|name| (name == PROCESSORS).then(|| text.to_owned())).processors;
        assert_eq!(of("/a:b;;c"), [PathBuf::from("/a:b"), PathBuf::from("c")]);
        assert_eq!(of(""), Vec::<PathBuf>::new());
    }
}
