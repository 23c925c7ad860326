//! The stand-in as a program: `terrace-test-snowflake [--bind ADDRESS] [--fakesnow URL]`. It prints its URL and runs
//! until its standard input ends.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program prints to its caller")]

use std::io::Read;
use std::process::ExitCode;
use terrace_test_snowflake::StandIn;

fn main() -> ExitCode {
    let (mut bind, mut mirror) = ("127.0.0.1:0".to_owned(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--bind", Some(address)) => bind = address,
            ("--fakesnow", Some(url)) => mirror = Some(url),
            _ => {
                eprintln!("usage: terrace-test-snowflake [--bind ADDRESS] [--fakesnow URL]");
                return ExitCode::FAILURE;
            }
        }
    }
    let stand_in = StandIn::start_on(&bind);
    let stand_in = match &mirror {
        Some(url) => stand_in.with_mirror(url),
        None => stand_in,
    };
    println!("{}", stand_in.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
