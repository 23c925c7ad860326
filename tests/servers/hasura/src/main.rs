//! The stand-in as a program: `terrace-test-hasura [--bind ADDRESS] [--bind-mapper ADDRESS] [--mapper old|extended]`.
//! It prints the URLs of Hasura and the role mapper, a line each, and runs until its standard input ends.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program prints to its caller")]

use std::io::Read;
use std::process::ExitCode;
use terrace_test_hasura::{Mapper, StandIn};

fn main() -> ExitCode {
    let (mut bind, mut bind_mapper, mut mapper) =
        ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned(), Mapper::Extended);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next().as_deref()) {
            ("--bind", Some(address)) => bind = address.to_owned(),
            ("--bind-mapper", Some(address)) => bind_mapper = address.to_owned(),
            ("--mapper", Some("old")) => mapper = Mapper::Old,
            ("--mapper", Some("extended")) => mapper = Mapper::Extended,
            _ => {
                eprintln!(
                    "usage: terrace-test-hasura [--bind ADDRESS] [--bind-mapper ADDRESS] [--mapper old|extended]"
                );
                return ExitCode::FAILURE;
            }
        }
    }
    let stand_in = StandIn::start_on(&bind, &bind_mapper, mapper);
    println!("{}\n{}", stand_in.url(), stand_in.mapper_url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
