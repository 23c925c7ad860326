//! Client for Confluent's REST interface of schema registries, which other registries support too
//! (<https://docs.confluent.io/platform/current/schema-registry/develop/api.html>).

use crate::config::RegistryAccess;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_provider::http::{self, in_words};
use terrace_provider::{ErrorKind, Path, ProviderError, Sensitive};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Maximum length of a body; no registry sends a longer one.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Client of a schema registry.
pub(crate) struct Registry {
    http: Client,
    base: Url,
    username: Option<String>,
    password: Option<Sensitive>,
}

/// A registered schema, or one to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    /// The schema text.
    pub(crate) text: String,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub(crate) kind: String,
    /// Schemas of other subjects that the text refers to.
    pub(crate) references: Vec<Reference>,
}

/// A reference to a version of another subject.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) version: i64,
}

/// The latest version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) schema: Schema,
    pub(crate) id: i64,
    pub(crate) version: i64,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RegistryError {
    /// The request was not sent.
    NotSent(String),
    /// The request was or may have been sent, but has no usable answer.
    Lost(String),
    /// The registry answered with an error.
    Refused { status: u16, code: i64, message: String, pause: Option<Duration> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionBody {
    version: i64,
    id: i64,
    schema: String,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

/// Id and version of a registered schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Registered {
    pub(crate) id: i64,
    pub(crate) version: i64,
}

/// Result of a compatibility check of a schema against the versions of its subject.
#[derive(Debug, Deserialize)]
pub(crate) struct Compatibility {
    pub(crate) is_compatible: bool,
    #[serde(default)]
    pub(crate) messages: Vec<String>,
    /// The reasons, in answers of registries other than Confluent's.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

impl Registry {
    /// Creates a client without connecting.
    ///
    /// # Errors
    /// If the URL is invalid, or TLS cannot be set up.
    pub(crate) fn new(access: RegistryAccess) -> Result<Self, ProviderError> {
        let at = |name: &str| Some(Path::attribute("schemaRegistry").key(name));
        let wrong = |why: &str| {
            ProviderError::invalid(at("url"), format!("the URL of the schema registry {why}"))
                .solution("write such as `https://registry.example.com`")
        };
        let mut base = Url::parse(&access.url).map_err(|_| wrong("is invalid"))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("is not `http` or `https`"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("contains a user: set `username` and `password` instead"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("has a query or a fragment"));
        }
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.pop_if_empty();
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.schemaregistry.v1+json, application/json"));
        let http = http::builder(access.authorities.as_deref())
            .map_err(|why| ProviderError::invalid(Some(Path::attribute("caFile")), format!("`caFile`: {why}")))?
            .default_headers(headers)
            .timeout(access.timeout)
            .build()
            .map_err(|error| ProviderError::bug(format!("cannot create the HTTP client: {}", in_words(&error))))?;
        Ok(Self { http, base, username: access.username, password: access.password })
    }

    /// Returns the latest version of a subject; `None` if the subject does not exist.
    pub(crate) async fn latest(&self, subject: &str) -> Result<Option<Version>, RegistryError> {
        let url = self.at(&["subjects", subject, "versions", "latest"]);
        let Some(body) = absent_as_none(self.send(Method::GET, url, None).await)? else { return Ok(None) };
        let VersionBody { version, id, schema, schema_type, references } = parsed(body)?;
        let kind = schema_type.unwrap_or_else(|| "AVRO".to_owned());
        Ok(Some(Version { schema: Schema { text: schema, kind, references }, id, version }))
    }

    /// Counts the versions of a subject; `None` if the answer has no list.
    pub(crate) async fn count_versions(&self, subject: &str) -> Result<Option<usize>, RegistryError> {
        let url = self.at(&["subjects", subject, "versions"]);
        Ok(match absent_as_none(self.send(Method::GET, url, None).await)? {
            None => Some(0),
            Some(body) => body.as_array().map(Vec::len),
        })
    }

    /// Returns the version of a subject with this schema, if any. The registry decides which schemas are equal.
    pub(crate) async fn registered(&self, subject: &str, schema: &Schema) -> Result<Option<Registered>, RegistryError> {
        let url = self.at(&["subjects", subject]);
        match absent_as_none(self.send(Method::POST, url, Some(body_of(schema))).await) {
            // The registry rejects the schema as invalid: no version has it.
            Err(RegistryError::Refused { status: 422, .. }) => Ok(None),
            answer => answer?.map(parsed).transpose(),
        }
    }

    /// Registers a schema as the next version of a subject. An existing version with the same schema is reused.
    pub(crate) async fn register(&self, subject: &str, schema: &Schema) -> Result<(), RegistryError> {
        let url = self.at(&["subjects", subject, "versions"]);
        self.send(Method::POST, url, Some(body_of(schema))).await.map(|_| ())
    }

    /// Checks if a schema could be the next version of a subject; `None` if the subject does not exist.
    pub(crate) async fn check(&self, subject: &str, schema: &Schema) -> Result<Option<Compatibility>, RegistryError> {
        let mut url = self.at(&["compatibility", "subjects", subject, "versions", "latest"]);
        url.set_query(Some("verbose=true"));
        let body = absent_as_none(self.send(Method::POST, url, Some(body_of(schema))).await)?;
        body.map(parsed).transpose()
    }

    /// Returns the compatibility level that is set on the subject itself.
    pub(crate) async fn compatibility(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        let body = absent_as_none(self.send(Method::GET, self.at(&["config", subject]), None).await)?;
        let level = |body: &Json| {
            let level = body.get("compatibilityLevel").or_else(|| body.get("compatibility"))?;
            Some(level.as_str()?.to_owned())
        };
        Ok(body.as_ref().and_then(level))
    }

    /// Sets the compatibility level of a subject, or removes it.
    pub(crate) async fn set_compatibility(&self, subject: &str, level: Option<&str>) -> Result<(), RegistryError> {
        let url = self.at(&["config", subject]);
        match level {
            Some(level) => self.send(Method::PUT, url, Some(json!({"compatibility": level}))).await.map(|_| ()),
            None => absent_as_none(self.send(Method::DELETE, url, None).await).map(|_| ()),
        }
    }

    /// Deletes a subject with all its versions. A missing subject is not an error.
    pub(crate) async fn delete(&self, subject: &str) -> Result<(), RegistryError> {
        absent_as_none(self.send(Method::DELETE, self.at(&["subjects", subject]), None).await)?;
        let mut url = self.at(&["subjects", subject]);
        url.set_query(Some("permanent=true"));
        absent_as_none(self.send(Method::DELETE, url, None).await)?;
        Ok(())
    }

    /// Builds a URL from segments, so that the name of a subject cannot change the path.
    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // A base always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        url
    }

    fn request(&self, method: Method, url: Url, body: Option<&Json>) -> RequestBuilder {
        let mut request = self.http.request(method, url);
        if let Some(username) = &self.username {
            let password = self.password.as_ref().and_then(|password| password.expose().as_str());
            request = request.basic_auth(username, password);
        }
        match body {
            Some(body) => request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_string()),
            None => request,
        }
    }

    async fn send(&self, method: Method, url: Url, body: Option<Json>) -> Result<Json, RegistryError> {
        let mut response = match http::dispatch(self.request(method, url, body.as_ref())).await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return Err(RegistryError::NotSent(in_words(&error)));
            }
            Err(error) => return Err(RegistryError::Lost(in_words(&error))),
        };
        let status = response.status().as_u16();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len().saturating_add(chunk.len()) <= MAX_BODY_BYTES => {
                    bytes.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => {
                    return Err(RegistryError::Lost(format!("the answer is longer than {MAX_BODY_BYTES} bytes")));
                }
                Ok(None) => break,
                Err(error) => return Err(RegistryError::Lost(in_words(&error))),
            }
        }
        let body: Option<Json> = serde_json::from_slice(&bytes).ok();
        if (200..300).contains(&status) {
            return body.ok_or_else(|| RegistryError::Lost(format!("the answer (HTTP {status}) is not JSON")));
        }
        let field = |name: &str| body.as_ref().and_then(|body| body.get(name));
        Err(RegistryError::Refused {
            status,
            code: field("error_code").and_then(Json::as_i64).unwrap_or(i64::from(status)),
            message: field("message").and_then(Json::as_str).unwrap_or("no reason given").chars().take(2000).collect(),
            pause: pause.map(Duration::from_secs),
        })
    }
}

impl RegistryError {
    /// Returns true if the failure proves that the request had no effect.
    pub(crate) fn excludes_effect(&self) -> bool {
        match self {
            Self::NotSent(_) => true,
            Self::Lost(_) => false,
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 408,
        }
    }

    /// Converts the failure into a provider error. `what` names the request: `register a version of `orders-value``.
    pub(crate) fn failed(self, action: &str, changes: bool) -> ProviderError {
        match self {
            Self::NotSent(why) => {
                ProviderError::new(ErrorKind::Transient, format!("cannot {action}: the schema registry: {why}"))
                    .solution("check `schemaRegistry` of the instance, and that the registry runs")
            }
            Self::Lost(why) => {
                let kind = if changes { ErrorKind::Ambiguous } else { ErrorKind::Transient };
                ProviderError::new(kind, format!("cannot {action}: no answer from the schema registry: {why}"))
            }
            Self::Refused { status, code, message, pause } => {
                let schema = ErrorKind::InvalidInput { path: Some(Path::attribute("schema")) };
                let kind = match (status, code) {
                    (401 | 403, _) => ErrorKind::PermissionDenied,
                    (408 | 429 | 503, _) => ErrorKind::Throttled { retry_after: pause },
                    (409, _) | (_, 42201) => schema,
                    (_, 42203) => ErrorKind::InvalidInput { path: Some(Path::attribute("compatibility")) },
                    (422, _) => ErrorKind::InvalidInput { path: None },
                    (404, code) if is_of_registry(code) => ErrorKind::NotFound,
                    // The registry may have stored the change all the same.
                    (500..=599, _) if changes => ErrorKind::Ambiguous,
                    (500..=599, 50002 | 50003) => ErrorKind::Transient,
                    _ => ErrorKind::Failed,
                };
                let mut error = ProviderError::new(kind, format!("the schema registry did not {action}: {message}"));
                error.vendor_code = Some(code.to_string());
                match status {
                    401 | 403 => error.solution(
                        "check `schemaRegistry.username` and `schemaRegistry.password` of the instance, and the \
                         user's rights",
                    ),
                    404 if !is_of_registry(code) => error.solution(
                        "check `schemaRegistry.url` of the instance: the server is not a schema registry, or uses \
                         another path",
                    ),
                    409 => error.solution(
                        "write a schema that is compatible with earlier versions, or apply another `compatibility` first",
                    ),
                    _ => error,
                }
            }
        }
    }
}

/// Returns true for the registry's own codes of a missing subject, version, schema or level. An unknown path has the
/// code 404.
fn is_of_registry(code: i64) -> bool {
    (40401..=40499).contains(&code)
}

/// Converts the 404 of a missing subject, version, schema or level into `None`.
fn absent_as_none(answer: Result<Json, RegistryError>) -> Result<Option<Json>, RegistryError> {
    match answer {
        Ok(body) => Ok(Some(body)),
        Err(RegistryError::Refused { status: 404, code: 40401..=40404 | 40408, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(body: Json) -> Result<T, RegistryError> {
    serde_json::from_value(body)
        .map_err(|error| RegistryError::Lost(format!("the answer has an unknown format: {error}")))
}

fn body_of(schema: &Schema) -> Json {
    let mut body = json!({"schema": schema.text});
    if let Some(body) = body.as_object_mut() {
        // Registries that support only Avro reject `schemaType`.
        if schema.kind != "AVRO" {
            body.insert("schemaType".to_owned(), json!(schema.kind));
        }
        if !schema.references.is_empty() {
            let reference = |it: &Reference| json!({"name": it.name, "subject": it.subject, "version": it.version});
            body.insert("references".to_owned(), schema.references.iter().map(reference).collect());
        }
    }
    body
}
