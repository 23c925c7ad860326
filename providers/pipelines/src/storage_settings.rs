//! Settings of the provider for destinations of syncs.

use secrecy::SecretString;
use terrace_pipelines::storage::StorageError;
use terrace_pipelines::storage::access::{Access, Keys};
use terrace_pipelines::storage::place::Endpoints;
use terrace_provider::{Attribute, AttributeType, Object, Redaction, Settings, Value};

/// Attributes of the settings.
pub(crate) fn attributes() -> Vec<Attribute> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    vec![
        text(
            "sync",
            "Default destination of `terrace pipelines run` without `--sync`: a folder, `s3://…`, `gs://…`, `https://…`.",
        ),
        Attribute::new("syncPublic", AttributeType::Bool, "Make the files there public.").default_value(false),
        text("s3AccessKeyId", "Id of the access key for `s3://`.").sensitive().variable("AWS_ACCESS_KEY_ID"),
        text("s3SecretAccessKey", "Secret of the access key.").sensitive().variable("AWS_SECRET_ACCESS_KEY"),
        text("s3SessionToken", "Session token of a temporary access key.").sensitive().variable("AWS_SESSION_TOKEN"),
        text("s3Region", "Region of the buckets.").default_value("us-east-1").variable("AWS_REGION"),
        text("s3Endpoint", "Address of the service for `s3://`, if it is not Amazon's: `https://minio.example.com`.")
            .variable("AWS_ENDPOINT_URL"),
        text("gcsServiceAccount", "Key of a service account for `gs://`: the text of its JSON file.").sensitive(),
        text("gcsEndpoint", "Address of the service for `gs://`, if it is not Google's."),
        text("webToken", "Bearer token for destinations with `https://`.").sensitive(),
        text(
            "caFile",
            "File of certificate authorities (PEM) to trust instead of the system's, relative to the project folder.",
        ),
    ]
}

/// Reads the settings for destinations, without network calls.
///
/// # Errors
/// When a setting is not valid.
pub(crate) fn access(settings: &Settings) -> Result<Access, StorageError> {
    let text = |name: &str| {
        let text = settings.values.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let secret = |name: &str| text(name).map(SecretString::from);
    let endpoint = |name: &'static str| match text(name) {
        Some(address) if !address.starts_with("http://") && !address.starts_with("https://") => {
            Err(StorageError::invalid(name, format!("`{name}` is not an address with `https` or `http`")))
        }
        endpoint => Ok(endpoint),
    };
    let s3 = match (secret("s3AccessKeyId"), secret("s3SecretAccessKey")) {
        (Some(id), Some(secret_key)) => Some(Keys { id, secret: secret_key, session: secret("s3SessionToken") }),
        _ => None,
    };
    Ok(Access {
        endpoints: Endpoints {
            s3: endpoint("s3Endpoint")?,
            region: text("s3Region").unwrap_or_else(|| "us-east-1".to_owned()),
            gcs: endpoint("gcsEndpoint")?,
        },
        s3,
        gcs: secret("gcsServiceAccount"),
        web: secret("webToken"),
        authorities: text("caFile").map(|file| settings.project_folder.join(file)),
        redaction: Redaction::of(&Object(attributes()), [&settings.values]),
        protected: settings.sandbox.files.clone(),
    })
}
