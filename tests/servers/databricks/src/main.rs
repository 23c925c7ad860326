//! The stand-in as a program: `terrace-test-databricks [--bind ADDRESS] [--table NAME:COLUMN=TYPE;…]`. It prints its
//! URL and runs until its standard input ends. Its workspace has the content of the library's stand-in, and the given
//! tables.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program prints to its caller")]

use std::io::Read;
use std::process::ExitCode;
use terrace_test_databricks::StandIn;

fn main() -> ExitCode {
    let (mut bind, mut tables) = ("127.0.0.1:0".to_owned(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--bind", Some(address)) => bind = address,
            ("--table", Some(table)) => tables.push(table),
            _ => {
                eprintln!("usage: terrace-test-databricks [--bind ADDRESS] [--table NAME:COLUMN=TYPE;…]");
                return ExitCode::FAILURE;
            }
        }
    }
    let stand_in = StandIn::start_on(&bind);
    for table in &tables {
        let (name, columns) = table.split_once(':').unwrap_or((table, ""));
        let columns: Vec<(&str, &str)> = columns.split(';').filter_map(|column| column.split_once('=')).collect();
        stand_in.add_table(name, &columns);
    }
    println!("{}", stand_in.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
