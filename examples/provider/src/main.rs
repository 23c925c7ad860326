//! `terrace-kv`: terrace with an additional provider.

use std::process::ExitCode;
use terrace::Providers;
use terrace_provider_kv::KvProvider;

fn main() -> ExitCode {
    terrace::run_with(std::env::args_os().collect(), &Providers::built_in().with(KvProvider::new()))
}
