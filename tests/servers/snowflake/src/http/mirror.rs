//! The bridge to fakesnow: statements must work there too.

use crate::error::SqlError;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The file that logs statements and whether fakesnow ran them, for the list in docs/testing.md.
const LOG: &str = "TERRACE_STATEMENTS";

/// Logs a statement: run by fakesnow (`ok`) or not (`skipped`, `none`).
pub(super) fn write_down(difference: &str, sql: &str) {
    let Some(path) = std::env::var_os(LOG) else { return };
    let line = format!("{difference}\t{}\n", serde_json::json!(sql));
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of statements can be written");
}

/// Forwards a statement; a difference is an error.
pub(super) fn compare(url: &str, account: &str, sql: &str) -> Result<String, SqlError> {
    match sent(url, account, sql) {
        Ok(answer) if answer == "ok" || answer == "skipped" => Ok(answer),
        Ok(answer) | Err(answer) => {
            let message = format!("fakesnow does not agree: {answer}");
            Err(SqlError { code: "999999", state: "XX000", message })
        }
    }
}

/// Makes a request of HTTP/1.0, whose response ends with the connection.
fn sent(url: &str, account: &str, sql: &str) -> Result<String, String> {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).map_err(|error| error.to_string())?;
    let request = format!(
        "POST / HTTP/1.0\r\nHost: {host}\r\nX-Account: {account}\r\nContent-Length: {}\r\n\r\n{sql}",
        sql.len()
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok(body.trim().to_owned())
}
