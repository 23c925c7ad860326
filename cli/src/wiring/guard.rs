//! This process as a program: its command line as a guard of databases, and the protection of its memory.

use std::path::PathBuf;
use terrace_pipelines::database::GuardProgram;

/// The guard's command line; `None` if the system does not report the path of this program.
pub(crate) fn guard_program() -> Option<GuardProgram> {
    // Another release may have replaced the file meanwhile: `/proc/self/exe` still leads to the running one.
    let itself = PathBuf::from("/proc/self/exe");
    let program =
        std::env::current_exe().ok().filter(|file| file.exists()).or_else(|| itself.exists().then_some(itself))?;
    Some(GuardProgram { program, arguments: ["pipelines", "databases", "keep"].map(str::to_owned).to_vec() })
}

/// Protects the memory of this process, which holds a state key, from other processes and core files. Continues if the
/// system does not support it or refuses.
pub(crate) fn forbid_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "the memory of this process can be dumped");
    }
}
