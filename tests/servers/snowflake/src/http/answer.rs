//! Responses in the wire format.

use crate::error::SqlError;
use crate::execute::Rows;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::time::Duration;
use terrace_test_listening::lost;

/// A response.
pub(super) enum Answer {
    /// No response: the connection ends.
    Lost,
    Running(String),
    /// The handle, all rows, the rows of a partition, and the requested partition.
    Rows(String, Rows, Option<usize>, Option<usize>),
    Failed(String, SqlError),
    Throttled(u16, Option<Duration>),
    TimedOut(String),
    Unauthorized(&'static str, String),
    /// A status without a statement.
    Refused(u16),
}

pub(super) fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({"code": code, "message": message}))).into_response()
}

impl Answer {
    /// The status (0 without a response), the code, and the response.
    pub(super) fn into_response(self) -> (u16, String, Response) {
        match self {
            Self::Lost => (0, String::new(), lost()),
            Self::Running(handle) => {
                let body = json!({
                    "code": "333334", "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
                    "statementHandle": handle, "statementStatusUrl": format!("/api/v2/statements/{handle}"),
                });
                (202, "333334".to_owned(), (StatusCode::ACCEPTED, axum::Json(body)).into_response())
            }
            Self::Rows(handle, rows, size, partition) => {
                (200, "090001".to_owned(), rows_response(&handle, &rows, size, partition))
            }
            Self::Failed(handle, error) => {
                let body = json!({
                    "code": error.code, "sqlState": error.state, "message": error.message, "statementHandle": handle, "createdOn": 1,
                    "statementStatusUrl": format!("/api/v2/statements/{handle}"),
                });
                (422, error.code.to_owned(), (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(body)).into_response())
            }
            Self::Throttled(status, pause) => {
                let status_code = StatusCode::from_u16(status).unwrap();
                let mut response = refused(status_code, "390505", "Too many requests.");
                if let Some(pause) = pause {
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, pause.as_secs().max(1).to_string().parse().unwrap());
                }
                (status, "390505".to_owned(), response)
            }
            Self::TimedOut(handle) => {
                let body = json!({"code": "000630", "sqlState": "57014", "message": "Statement reached its statement or warehouse timeout and was canceled.", "statementHandle": handle});
                (408, "000630".to_owned(), (StatusCode::REQUEST_TIMEOUT, axum::Json(body)).into_response())
            }
            Self::Refused(status) => {
                let status_code = StatusCode::from_u16(status).unwrap();
                (status, "390303".to_owned(), refused(status_code, "390303", "It is not to be had."))
            }
            Self::Unauthorized(code, message) => {
                (401, code.to_owned(), refused(StatusCode::UNAUTHORIZED, code, &message))
            }
        }
    }
}

fn rows_response(handle: &str, rows: &Rows, size: Option<usize>, partition: Option<usize>) -> Response {
    let size = size.unwrap_or(usize::MAX).max(1);
    let parts: Vec<&[Vec<Option<String>>]> =
        if rows.rows.is_empty() { vec![&[]] } else { rows.rows.chunks(size).collect() };
    let wanted = partition.unwrap_or(0);
    let Some(part) = parts.get(wanted) else {
        return refused(StatusCode::BAD_REQUEST, "391905", "There is no such partition");
    };
    if wanted > 0 {
        // Compressed, regardless of the request's `Accept-Encoding`.
        let text = json!({"data": part}).to_string();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let body = encoder.finish().unwrap();
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")];
        return (StatusCode::OK, headers, body).into_response();
    }
    let columns: Vec<Json> = rows
        .column_names()
        .iter()
        .map(|name| json!({"name": name, "database": "", "schema": "", "table": "", "type": "text", "nullable": true, "length": 16_777_216, "byteLength": 16_777_216, "scale": null, "precision": null, "collation": null}))
        .collect();
    let info: Vec<Json> = parts.iter().map(|part| json!({"rowCount": part.len(), "uncompressedSize": 1})).collect();
    let body = json!({
        "code": "090001", "sqlState": "00000", "message": "Statement executed successfully.", "createdOn": 1,
        "statementHandle": handle, "statementStatusUrl": format!("/api/v2/statements/{handle}"),
        "resultSetMetaData": {"numRows": rows.rows.len(), "format": "jsonv2", "rowType": columns, "partitionInfo": info},
        "data": part,
    });
    (StatusCode::OK, axum::Json(body)).into_response()
}
