//! What keeps databases of pipelines: this very program, started by itself.

use std::path::PathBuf;
use terrace_provider_pipelines::database::GuardProgram;

/// How it is started; nothing where the system does not say which program this is.
pub(crate) fn guard_program() -> Option<GuardProgram> {
    // The file may have been replaced by another release meanwhile: what runs is there all the same.
    let itself = PathBuf::from("/proc/self/exe");
    let program =
        std::env::current_exe().ok().filter(|file| file.exists()).or_else(|| itself.exists().then_some(itself))?;
    Some(GuardProgram { program, arguments: ["databases", "keep"].map(str::to_owned).to_vec() })
}
