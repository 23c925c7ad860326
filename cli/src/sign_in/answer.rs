//! Answers of issuers: JSON, or a form. GitHub sends errors with the status 200, so the fields decide and not the status.

use super::TIMEOUT;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json};
use terrace_provider::http::{
    Api, Auth, Base, Client, Failure, Options, ParsedError, Reply, Request, Vendor, Within, is_exposed,
};

/// The largest answer, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;
/// The longest text of an issuer in a message, in characters.
const LONGEST_TEXT: usize = 200;

const VENDOR: Vendor = Vendor {
    name: "the issuer",
    parse_error: |_| ParsedError::default(),
    had_no_effect: |_| false,
    reach: "",
    sign_in: "",
};

/// The fields of an answer.
pub(super) type Fields = Map<String, Json>;

/// Why an address of an issuer gave no fields.
pub(super) enum NoFields {
    /// A later call may succeed.
    Unavailable(String),
    /// The answer has no fields.
    Invalid(String),
}

/// A connection to one address of an issuer.
fn api(url: &str) -> Result<Api, NoFields> {
    let base = Base::parse(url).map_err(|why| NoFields::Invalid(format!("`{url}` is not an address: {why}")))?;
    if is_exposed(base.shown()) {
        let why = format!("`{}` is `http://` to another machine: the network could read the tokens", base.shown());
        return Err(NoFields::Invalid(why));
    }
    let options = Options { timeout: TIMEOUT, max_bytes: LARGEST_ANSWER, retries: 0, ..Options::default() };
    let client = Client::new(options).map_err(|error| NoFields::Invalid(error.message))?;
    Ok(client.api(base, Auth::None, VENDOR, Vec::new()))
}

/// Reads the fields of a path below an address.
pub(super) async fn read(url: &str, path: &'static str) -> Result<Fields, NoFields> {
    send(&api(url)?, &Request::get(path, &[])).await
}

/// Sends a form, and returns the fields of the answer, also of an error.
pub(super) async fn post(url: &str, form: &[(&str, &SecretString)]) -> Result<Fields, NoFields> {
    let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
    send(&api(url)?, &Request::post("", &[]).form(form)).await
}

async fn send(api: &Api, request: &Request) -> Result<Fields, NoFields> {
    let host = api.base().host();
    let reply = match api.send(request, &Within::time(TIMEOUT)).await {
        Ok(reply) => reply,
        Err(Failure::Answered(reply)) => *reply,
        Err(failure) => return Err(NoFields::Unavailable(format!("`{host}`: {}", failure.in_words()))),
    };
    if let Some(fields) = fields(&reply) {
        return Ok(fields);
    }
    let why = format!("`{host}` answers {} without JSON", reply.status);
    Err(if reply.status == 429 || reply.status >= 500 { NoFields::Unavailable(why) } else { NoFields::Invalid(why) })
}

fn fields(reply: &Reply) -> Option<Fields> {
    let kind = reply.header("content-type").unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let pairs = reply.body.split(|byte| *byte == b'&').filter_map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            let (name, value) = pair.split_once('=')?;
            Some((decoded(name)?, Json::String(decoded(value)?)))
        });
        return Some(pairs.collect());
    }
    match reply.json().ok()? {
        Json::Object(fields) => Some(fields),
        _ => None,
    }
}

/// A part of a form, decoded (WHATWG URL, 5.1).
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A text field that is not empty.
pub(super) fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// A secret field.
pub(super) fn secret(fields: &Fields, name: &str) -> Option<SecretString> {
    let secret: SecretString = text(fields, name)?.into();
    // Tokens go into a header.
    secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()).then_some(secret)
}

/// A number of seconds, which a form has as text.
pub(super) fn seconds(fields: &Fields, name: &str) -> Option<u64> {
    let value = fields.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The error of an answer: its code, and both in words.
pub(super) fn error(fields: &Fields) -> Option<(String, String)> {
    let code = text(fields, "error")?;
    let shortened = |text: &str| -> String {
        text.chars().filter(|character| !character.is_control()).take(LONGEST_TEXT).collect()
    };
    let words = match text(fields, "error_description") {
        Some(description) => format!("{} ({})", shortened(description).trim_end_matches('.'), shortened(code)),
        None => shortened(code),
    };
    Some((code.to_owned(), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn issuer_without_encryption_gets_no_call() {
        for url in ["http://login.example.com/token", "ftp://login.example.com", "https://user@login.example.com"] {
            assert!(matches!(post(url, &[]).await, Err(NoFields::Invalid(_))), "{url}");
        }
    }

    #[test]
    fn parts_of_forms_are_decoded() {
        assert_eq!(decoded("a+b%20c%2Fd").as_deref(), Some("a b c/d"));
        for wrong in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
