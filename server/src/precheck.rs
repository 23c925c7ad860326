//! Checks the head of a call.

use crate::answer::Refusal;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

/// Checks the path of a call.
///
/// # Errors
/// When it is not UTF-8.
pub(crate) fn check_path(request: &Request) -> Result<(), Refusal> {
    match percent_decode_str(request.uri().path()).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::whole("the path is not UTF-8", "percent-encode the names as UTF-8")),
    }
}

/// Checks the length of a body by the head of its call, so that a caller that waits for `100 Continue` need not send it in vain.
///
/// # Errors
/// When the body is longer than the limit.
pub(crate) fn check_body_length(headers: &HeaderMap, limit: usize) -> Result<(), Refusal> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > limit => {
            Err(Refusal::TooLong(format!("the body has {length} bytes: at most {limit} are allowed")))
        }
        _ => Ok(()),
    }
}
