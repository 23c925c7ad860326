//! Access to destinations: addresses and credentials. `Debug` prints no secrets.

use super::StorageError;
use super::folder::Folder;
use super::objects::Objects;
use super::place::{Endpoints, Place, is_interceptable};
use super::target::Target;
use super::uploads::{Credentials, Uploads};
use super::web::Web;
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::Redaction;
use terrace_provider::sandbox::ProtectedFiles;

/// Header for the permissions of an S3 object.
const S3_ACL: HeaderName = HeaderName::from_static("x-amz-acl");
/// Header for the permissions of a Google Cloud Storage object.
const GCS_ACL: HeaderName = HeaderName::from_static("x-goog-acl");
/// Value for public objects.
const PUBLIC_READ: HeaderValue = HeaderValue::from_static("public-read");
/// Timeout of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a request: a part of 8 MiB at 32 KiB per second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Addresses and credentials of destinations.
#[derive(Debug, Clone)]
pub struct Access {
    /// Addresses of the services.
    pub endpoints: Endpoints,
    /// Keys of S3.
    pub s3: Option<Keys>,
    /// Key of a service account of Google Cloud, as JSON.
    pub gcs: Option<SecretString>,
    /// Bearer token of web servers.
    pub web: Option<SecretString>,
    /// File of certificate authorities to trust instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Removes the credentials from messages.
    pub redaction: Redaction,
    /// Local files that no destination may use.
    pub protected: ProtectedFiles,
}

/// Keys of S3.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Id of the access key.
    pub id: SecretString,
    /// Secret of the access key.
    pub secret: SecretString,
    /// Session token of a temporary access key.
    pub session: Option<SecretString>,
}

impl Access {
    /// Returns the target below `name` at a place, without network calls.
    ///
    /// # Errors
    /// When a setting is missing or not valid.
    pub(super) fn target(&self, place: &Place, name: &str, is_public: bool) -> Result<Box<dyn Target>, StorageError> {
        let below = |prefix: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        match place {
            Place::Folder(folder) => Ok(Box::new(Folder::new(folder.join(name), is_public, self.protected.clone()))),
            Place::S3 { bucket, prefix } => {
                let plain = Arc::new(self.s3(bucket, false)?);
                let creator = if is_public { Arc::new(self.s3(bucket, true)?) } else { Arc::clone(&plain) };
                let credentials = Credentials::S3(Arc::clone(plain.credentials()), self.endpoints.region.clone());
                let uploads = self.uploads(&self.endpoints.s3(), bucket, credentials)?;
                let (prefix, shown) = (below(prefix), place.shown());
                Ok(Box::new(Objects { plain, creator, uploads, prefix, shown, redaction: self.redaction.clone() }))
            }
            Place::Gcs { bucket, prefix } => {
                let plain = Arc::new(self.gcs(bucket, false)?);
                let creator = if is_public { Arc::new(self.gcs(bucket, true)?) } else { Arc::clone(&plain) };
                let credentials = Credentials::Gcs(Arc::clone(plain.credentials()));
                let uploads = self.uploads(&self.endpoints.gcs(), bucket, credentials)?;
                let (prefix, shown) = (below(prefix), place.shown());
                Ok(Box::new(Objects { plain, creator, uploads, prefix, shown, redaction: self.redaction.clone() }))
            }
            Place::Web(_) if is_public => Err(StorageError::invalid(
                "public",
                "`public` is `true`, but a web server itself decides who may read its files",
            )),
            Place::Web(base) => {
                if self.web.is_some() && is_interceptable(base.as_str()) {
                    return Err(in_the_clear("destination", "webToken"));
                }
                let base = format!("{base}{}/", super::place::encoded(name)).parse();
                let base = base.map_err(|error| StorageError::invalid("name", format!("`name`: {error}")))?;
                Ok(Box::new(Web { client: self.client(HeaderMap::new(), None)?, base, token: self.web.clone() }))
            }
        }
    }

    fn s3(&self, bucket: &str, is_public: bool) -> Result<object_store::aws::AmazonS3, StorageError> {
        let keys = self.s3.as_ref().ok_or_else(|| {
            missing(
                "`s3://` needs `s3AccessKeyId` and `s3SecretAccessKey`",
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        })?;
        // The client's default headers are signed too.
        let options = match is_public {
            true => ClientOptions::new().with_default_headers(HeaderMap::from_iter([(S3_ACL, PUBLIC_READ)])),
            false => ClientOptions::new(),
        };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options)
            .with_bucket_name(bucket)
            .with_region(&self.endpoints.region)
            .with_access_key_id(keys.id.expose_secret())
            .with_secret_access_key(keys.secret.expose_secret())
            .with_retry(retries())
            .with_http_connector(Connector(self.client(HeaderMap::new(), Some(REQUEST_TIMEOUT))?));
        if let Some(session) = &keys.session {
            builder = builder.with_token(session.expose_secret());
        }
        if let Some(endpoint) = &self.endpoints.s3 {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        builder.build().map_err(|error| self.wrong("destination", &error))
    }

    fn gcs(&self, bucket: &str, is_public: bool) -> Result<object_store::gcp::GoogleCloudStorage, StorageError> {
        let key = self
            .gcs
            .as_ref()
            .ok_or_else(|| missing("`gs://` needs `gcsServiceAccount`", "`${{ file(\"key.json\") }}`"))?;
        if self.endpoints.gcs.as_deref().is_some_and(is_interceptable) {
            return Err(in_the_clear("gcsEndpoint", "gcsServiceAccount"));
        }
        // Requests carry a token, and are not signed.
        let headers = if is_public { HeaderMap::from_iter([(GCS_ACL, PUBLIC_READ)]) } else { HeaderMap::new() };
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_service_account_key(key.expose_secret())
            .with_retry(retries())
            .with_http_connector(Connector(self.client(headers, Some(REQUEST_TIMEOUT))?));
        if let Some(endpoint) = &self.endpoints.gcs {
            builder = builder
                .with_base_url(endpoint)
                .with_client_options(ClientOptions::new().with_allow_http(endpoint.starts_with("http://")));
        }
        // The original error might contain parts of the key.
        builder.build().map_err(|_| {
            StorageError::invalid("destination", "`gcsServiceAccount` is not the key of a service account")
                .hint("set it to the text of the JSON file from Google Cloud: `${{ file(\"key.json\") }}`")
        })
    }

    fn uploads(&self, service: &str, bucket: &str, credentials: Credentials) -> Result<Uploads, StorageError> {
        let client = self.client(HeaderMap::new(), Some(REQUEST_TIMEOUT))?;
        Ok(Uploads { client, bucket: format!("{service}/{bucket}"), credentials })
    }

    fn client(&self, headers: HeaderMap, longest: Option<Duration>) -> Result<Client, StorageError> {
        let wrong = |why: String| {
            StorageError::invalid("destination", format!("the certificates of `caFile` cannot be read: {why}"))
        };
        let builder = terrace_provider::http::builder(self.authorities.as_deref()).map_err(wrong)?;
        let builder = builder.connect_timeout(CONNECT_TIMEOUT).default_headers(headers);
        let builder = longest.into_iter().fold(builder, |builder, longest| builder.timeout(longest));
        builder.build().map_err(|error| StorageError::failed(terrace_provider::http::in_words(&error)))
    }

    fn wrong(&self, attribute: &'static str, error: &object_store::Error) -> StorageError {
        StorageError::invalid(attribute, format!("`{attribute}`: {}", self.redaction.text(&error.to_string())))
    }
}

/// Retry policy for requests.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(10), ..BackoffConfig::default() };
    RetryConfig { max_retries: 6, retry_timeout: Duration::from_secs(120), backoff }
}

fn missing(message: &str, other: &str) -> StorageError {
    StorageError::invalid("destination", message)
        .hint(format!("set it for the provider `pipelines`, for example with {other}"))
}

fn in_the_clear(reached: &str, secret: &str) -> StorageError {
    let message = format!("`{reached}` is reached without encryption: `{secret}` could be intercepted");
    StorageError::invalid("destination", message).hint("use `https://`")
}

/// Makes the vendors' clients use the common HTTP client.
#[derive(Debug)]
struct Connector(Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
