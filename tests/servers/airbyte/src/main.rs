//! The stand-in as a program: `terrace-test-airbyte [--bind ADDRESS]`. It prints its URL and runs until its standard
//! input ends.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program prints to its caller")]

use std::io::Read;
use std::process::ExitCode;
use terrace_test_airbyte::StandIn;

fn main() -> ExitCode {
    let mut bind = "127.0.0.1:0".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--bind", Some(address)) => bind = address,
            _ => {
                eprintln!("usage: terrace-test-airbyte [--bind ADDRESS]");
                return ExitCode::FAILURE;
            }
        }
    }
    let stand_in = StandIn::start_on(&bind);
    println!("{}", stand_in.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
