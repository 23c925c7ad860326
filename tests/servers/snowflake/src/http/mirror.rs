//! The bridge to fakesnow: what it has seen too has to work there.

use crate::error::SqlError;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends a statement on; a difference fails it here, too.
pub(super) fn compare(url: &str, sql: &str) -> Result<(), SqlError> {
    match sent(url, sql) {
        Ok(answer) if answer == "ok" || answer == "skipped" => Ok(()),
        Ok(answer) | Err(answer) => {
            let message = format!("fakesnow does not agree: {answer}");
            Err(SqlError { code: "999999", state: "XX000", message })
        }
    }
}

/// One request of HTTP/1.0, whose answer ends with the connection.
fn sent(url: &str, sql: &str) -> Result<String, String> {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).map_err(|error| error.to_string())?;
    let request = format!("POST / HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{sql}", sql.len());
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok(body.trim().to_owned())
}
