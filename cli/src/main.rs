//! The `terrace` command: hands the process over to the library and its exit code back to the process.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    terrace::run(std::env::args_os().collect())
}
