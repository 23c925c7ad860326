//! This process as a program: how it starts itself again to keep databases of pipelines, and how it guards its memory.

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

/// Keeps the memory of this process, which holds a state key, from other processes and out of core files. Where the system
/// does not know how, or refuses, the process goes on.
pub(super) fn forbid_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "the memory of this process can be dumped");
    }
}
