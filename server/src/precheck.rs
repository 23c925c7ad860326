//! Checks the head of a call before anything else.

use crate::answer::Refusal;
use axum::extract::Request;
use axum::http::header;
use percent_encoding::percent_decode_str;

/// Checks the head of a call, so that a caller that waits for `100 Continue` need not send a body in vain.
///
/// # Errors
/// When its path is not UTF-8, or its body is longer than the limit.
pub(crate) fn readable(request: &Request, limit: usize) -> Result<(), Refusal> {
    if percent_decode_str(request.uri().path()).decode_utf8().is_err() {
        return Err(Refusal::whole("the path is not UTF-8", "percent-encode the names as UTF-8"));
    }
    let length: Option<usize> =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length > limit => {
            Err(Refusal::TooLong(format!("the body has {length} bytes: at most {limit} are allowed")))
        }
        _ => Ok(()),
    }
}
