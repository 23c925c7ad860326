//! Parts of requests and responses.

use axum::body::{Body, Bytes};
use axum::response::Response;
use percent_encoding::percent_decode_str;

/// Decodes percent encoding; replaces invalid UTF-8.
#[must_use]
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The decoded names and values of a query or a form, in order.
pub fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| decode(&text.replace('+', " "));
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(move |(name, value)| (decode(name), decode(value)))
}

/// A response whose body fails: the connection ends without sending anything.
#[must_use]
pub fn lost() -> Response {
    let lost = async { Err::<Bytes, _>(std::io::Error::other("lost")) };
    Response::new(Body::from_stream(futures_util::stream::once(lost)))
}
