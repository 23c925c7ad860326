//! The stand-in as a program: `terrace-test-azure [--bind ADDRESS] [--certificate FILE] [--federated TOKEN]`. It
//! prints its URL and runs until its standard input ends. Its service principal authenticates with a secret, and with
//! the given certificate or token.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program prints to its caller")]

use std::io::Read;
use std::process::ExitCode;
use terrace_test_azure::Azure;

fn main() -> ExitCode {
    let (mut bind, mut certificate, mut federated) = ("127.0.0.1:0".to_owned(), None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--bind", Some(address)) => bind = address,
            ("--certificate", Some(file)) => certificate = Some(file),
            ("--federated", Some(token)) => federated = Some(token),
            _ => {
                eprintln!("usage: terrace-test-azure [--bind ADDRESS] [--certificate FILE] [--federated TOKEN]");
                return ExitCode::FAILURE;
            }
        }
    }
    let azure = Azure::start_on(&bind);
    if let Some(file) = certificate {
        match std::fs::read(&file) {
            Ok(pem) => azure.trust_certificate(&pem),
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if let Some(token) = federated {
        azure.trust_token(&token);
    }
    println!("{}", azure.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
