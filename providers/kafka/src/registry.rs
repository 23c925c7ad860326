//! A schema registry by Confluent's REST interface, which others speak, too
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
/// A body that is longer is nothing that a registry says.
const LONGEST: usize = 16 << 20;

/// A schema registry.
pub(crate) struct Registry {
    http: Client,
    base: Url,
    username: Option<String>,
    password: Option<Sensitive>,
}

/// A schema as it is registered, or to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    /// The text.
    pub(crate) text: String,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub(crate) kind: String,
    /// Other schemas that it names.
    pub(crate) references: Vec<Reference>,
}

/// A schema that another one names.
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

/// A refusal, or no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing was sent.
    NotSent(String),
    /// It was sent, or may have been.
    Lost(String),
    /// The registry says no.
    Refused { status: u16, code: i64, said: String, pause: Option<Duration> },
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

/// Where a schema is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Registered {
    pub(crate) id: i64,
    pub(crate) version: i64,
}

/// What a registry says of a schema beside the others of its subject.
#[derive(Debug, Deserialize)]
pub(crate) struct Compatibility {
    pub(crate) is_compatible: bool,
    #[serde(default)]
    pub(crate) messages: Vec<String>,
    /// Where other registries than Confluent's say why.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

impl Registry {
    /// A client; nobody is connected to yet.
    ///
    /// # Errors
    /// When the URL is none, or there is no TLS.
    pub(crate) fn new(access: RegistryAccess) -> Result<Self, ProviderError> {
        let at = |name: &str| Some(Path::attribute("schemaRegistry").key(name));
        let wrong = |why: &str| {
            ProviderError::invalid(at("url"), format!("the URL of the schema registry {why}"))
                .solution("write such as `https://registry.example.com`")
        };
        let mut base = Url::parse(&access.url).map_err(|_| wrong("is none"))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("is none of `http` or `https`"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("has a user in it: give `username` and `password` instead"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("has more than host, port and path in it"));
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
            .map_err(|error| ProviderError::bug(format!("there is no HTTP client: {}", in_words(&error))))?;
        Ok(Self { http, base, username: access.username, password: access.password })
    }

    /// The latest version of a subject; nothing where there is no such subject.
    pub(crate) async fn latest(&self, subject: &str) -> Result<Option<Version>, Trouble> {
        let url = self.at(&["subjects", subject, "versions", "latest"]);
        let Some(body) = absent_as_none(self.send(Method::GET, url, None).await)? else { return Ok(None) };
        let VersionBody { version, id, schema, schema_type, references } = understood(body)?;
        let kind = schema_type.unwrap_or_else(|| "AVRO".to_owned());
        Ok(Some(Version { schema: Schema { text: schema, kind, references }, id, version }))
    }

    /// How many versions a subject has; nothing where the answer does not tell.
    pub(crate) async fn count_versions(&self, subject: &str) -> Result<Option<usize>, Trouble> {
        let url = self.at(&["subjects", subject, "versions"]);
        Ok(match absent_as_none(self.send(Method::GET, url, None).await)? {
            None => Some(0),
            Some(body) => body.as_array().map(Vec::len),
        })
    }

    /// The version of a subject that a schema is, by what the registry takes for the same; nothing where it is none.
    pub(crate) async fn registered(&self, subject: &str, schema: &Schema) -> Result<Option<Registered>, Trouble> {
        let url = self.at(&["subjects", subject]);
        match absent_as_none(self.send(Method::POST, url, Some(body_of(schema))).await) {
            // What the registry does not take for a schema is none of them.
            Err(Trouble::Refused { status: 422, .. }) => Ok(None),
            answer => answer?.map(understood).transpose(),
        }
    }

    /// Registers a schema as the next version of a subject; one that is there already is found again.
    pub(crate) async fn register(&self, subject: &str, schema: &Schema) -> Result<(), Trouble> {
        let url = self.at(&["subjects", subject, "versions"]);
        self.send(Method::POST, url, Some(body_of(schema))).await.map(|_| ())
    }

    /// Whether a schema could be the next version of a subject; nothing where there is no such subject.
    pub(crate) async fn check(&self, subject: &str, schema: &Schema) -> Result<Option<Compatibility>, Trouble> {
        let mut url = self.at(&["compatibility", "subjects", subject, "versions", "latest"]);
        url.set_query(Some("verbose=true"));
        let body = absent_as_none(self.send(Method::POST, url, Some(body_of(schema))).await)?;
        body.map(understood).transpose()
    }

    /// The compatibility level that a subject has of its own.
    pub(crate) async fn compatibility(&self, subject: &str) -> Result<Option<String>, Trouble> {
        let body = absent_as_none(self.send(Method::GET, self.at(&["config", subject]), None).await)?;
        let level = |body: &Json| {
            let level = body.get("compatibilityLevel").or_else(|| body.get("compatibility"))?;
            Some(level.as_str()?.to_owned())
        };
        Ok(body.as_ref().and_then(level))
    }

    /// Gives a subject a compatibility level, or takes away the one that it has of its own.
    pub(crate) async fn set_compatibility(&self, subject: &str, level: Option<&str>) -> Result<(), Trouble> {
        let url = self.at(&["config", subject]);
        match level {
            Some(level) => self.send(Method::PUT, url, Some(json!({"compatibility": level}))).await.map(|_| ()),
            None => absent_as_none(self.send(Method::DELETE, url, None).await).map(|_| ()),
        }
    }

    /// Removes a subject with all its versions; one that is gone already is no error.
    pub(crate) async fn delete(&self, subject: &str) -> Result<(), Trouble> {
        absent_as_none(self.send(Method::DELETE, self.at(&["subjects", subject]), None).await)?;
        let mut url = self.at(&["subjects", subject]);
        url.set_query(Some("permanent=true"));
        absent_as_none(self.send(Method::DELETE, url, None).await)?;
        Ok(())
    }

    /// Paths are put together by segments, so that no subject leads anywhere else.
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

    async fn send(&self, method: Method, url: Url, body: Option<Json>) -> Result<Json, Trouble> {
        let mut response = match http::dispatched(self.request(method, url, body.as_ref())).await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => return Err(Trouble::NotSent(in_words(&error))),
            Err(error) => return Err(Trouble::Lost(in_words(&error))),
        };
        let status = response.status().as_u16();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len().saturating_add(chunk.len()) <= LONGEST => {
                    bytes.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => return Err(Trouble::Lost(format!("the answer has more than {LONGEST} bytes"))),
                Ok(None) => break,
                Err(error) => return Err(Trouble::Lost(in_words(&error))),
            }
        }
        let body: Option<Json> = serde_json::from_slice(&bytes).ok();
        if (200..300).contains(&status) {
            return body.ok_or_else(|| Trouble::Lost(format!("the answer (HTTP {status}) is no JSON")));
        }
        let said = |name: &str| body.as_ref().and_then(|body| body.get(name));
        Err(Trouble::Refused {
            status,
            code: said("error_code").and_then(Json::as_i64).unwrap_or(i64::from(status)),
            said: said("message").and_then(Json::as_str).unwrap_or("it does not say why").chars().take(2000).collect(),
            pause: pause.map(Duration::from_secs),
        })
    }
}

impl Trouble {
    /// True where what was asked for is known not to have happened.
    pub(crate) fn excludes_effect(&self) -> bool {
        match self {
            Self::NotSent(_) => true,
            Self::Lost(_) => false,
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 408,
        }
    }

    /// The error of something that was asked for: `register a version of `orders-value``.
    pub(crate) fn failed(self, what: &str, changes: bool) -> ProviderError {
        match self {
            Self::NotSent(why) => {
                ProviderError::new(ErrorKind::Transient, format!("cannot {what}: the schema registry: {why}"))
                    .solution("look at `schemaRegistry` of the instance, and whether it runs")
            }
            Self::Lost(why) => {
                let kind = if changes { ErrorKind::Ambiguous } else { ErrorKind::Transient };
                ProviderError::new(kind, format!("cannot {what}: no answer of the schema registry: {why}"))
            }
            Self::Refused { status, code, said, pause } => {
                let schema = ErrorKind::InvalidInput { path: Some(Path::attribute("schema")) };
                let kind = match (status, code) {
                    (401 | 403, _) => ErrorKind::PermissionDenied,
                    (408 | 429 | 503, _) => ErrorKind::Throttled { retry_after: pause },
                    (409, _) | (_, 42201) => schema,
                    (_, 42203) => ErrorKind::InvalidInput { path: Some(Path::attribute("compatibility")) },
                    (422, _) => ErrorKind::InvalidInput { path: None },
                    (404, code) if is_of_registry(code) => ErrorKind::NotFound,
                    // It may be stored all the same.
                    (500..=599, _) if changes => ErrorKind::Ambiguous,
                    (500..=599, 50002 | 50003) => ErrorKind::Transient,
                    _ => ErrorKind::Failed,
                };
                let mut error = ProviderError::new(kind, format!("the schema registry does not {what}: {said}"));
                error.vendor_code = Some(code.to_string());
                match status {
                    401 | 403 => error.solution(
                        "look at `schemaRegistry.username` and `schemaRegistry.password` of the instance, and at what \
                         they may",
                    ),
                    404 if !is_of_registry(code) => error.solution(
                        "look at `schemaRegistry.url` of the instance: what answers there is no schema registry, or has \
                         it at another path",
                    ),
                    409 => error.solution(
                        "write a schema that readers of the others can read, or apply another `compatibility` first",
                    ),
                    _ => error,
                }
            }
        }
    }
}

/// True for what a registry says of a subject, a version, a schema or a level that is not there. Of a path that it does not
/// know it says no more than 404.
fn is_of_registry(code: i64) -> bool {
    (40401..=40499).contains(&code)
}

/// 404 of a subject, of a schema or of a level says that it is not there.
fn absent_as_none(answer: Result<Json, Trouble>) -> Result<Option<Json>, Trouble> {
    match answer {
        Ok(body) => Ok(Some(body)),
        Err(Trouble::Refused { status: 404, code: 40401..=40404 | 40408, .. }) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

fn understood<T: serde::de::DeserializeOwned>(body: Json) -> Result<T, Trouble> {
    serde_json::from_value(body).map_err(|error| Trouble::Lost(format!("the answer is none that is known: {error}")))
}

fn body_of(schema: &Schema) -> Json {
    let mut body = json!({"schema": schema.text});
    if let Some(body) = body.as_object_mut() {
        // Registries before the other languages know no `schemaType`.
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
