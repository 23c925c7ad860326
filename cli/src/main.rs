//! The `terrace` command: runs the library and returns its exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

// For servers: with many threads, the system's allocator (musl's in particular) makes them wait for each other.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    terrace::run(std::env::args_os().collect())
}
