//! The `terrace` command: hands the process over to the library and its exit code back to the process.
#![forbid(unsafe_code)]

use std::process::ExitCode;

// For a server: where many threads allocate at once, those of the system (musl's most of all) wait for each other.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    terrace::run(std::env::args_os().collect())
}
