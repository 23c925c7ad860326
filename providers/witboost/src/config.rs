//! Parses the settings of an instance.

use crate::endpoint::Endpoint;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use terrace_provider::http::{check_credentials, is_plain_http_allowed};
use terrace_provider::{Attributes, Path, ProviderError, Settings, Value};

/// The parsed settings of an instance. Secrets are not in here: only the client has them.
#[derive(Debug)]
pub(crate) struct Config {
    /// Name of the instance, for messages.
    pub(crate) instance: String,
    /// The default adapter.
    pub(crate) endpoint: Option<String>,
    /// Adapters by template id.
    pub(crate) templates: BTreeMap<String, String>,
    /// The authorities to trust instead of the machine's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Timeout of a request.
    pub(crate) timeout: Duration,
    /// True if requests carry credentials that may not be sent to other machines over `http://`.
    pub(crate) has_open_credentials: bool,
    /// Pause before the first status request.
    pub(crate) poll_interval: Duration,
    /// Maximum pause between two status requests.
    pub(crate) poll_most: Duration,
}

impl Config {
    /// Parses settings.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(crate) fn read(settings: &Settings) -> Result<Self, ProviderError> {
        let values = &settings.values;
        let text = |name: &str| values.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut config = Self {
            instance: settings.instance.clone(),
            endpoint: text("endpoint"),
            templates: BTreeMap::new(),
            ca_file: text("caFile").map(|path| settings.project_folder.join(path)),
            timeout: seconds(values, "timeout", 60.0)?,
            has_open_credentials: has_credentials(values) && !is_plain_http_allowed(values),
            poll_interval: seconds(values, "pollInterval", 0.5)?,
            poll_most: seconds(values, "pollMost", 15.0)?,
        };
        let check = |endpoint: &str, path: &[&str]| {
            Endpoint::parse(endpoint).map_err(|why| invalid(path, why))?;
            match config.has_open_credentials {
                true => check_credentials(endpoint, false, at(path)),
                false => Ok(()),
            }
        };
        if let Some(endpoint) = &config.endpoint {
            check(endpoint, &["endpoint"])?;
        }
        let mut found = BTreeMap::new();
        for (template, endpoint) in values.get("templates").and_then(Value::as_map).into_iter().flatten() {
            let endpoint = endpoint.as_str().unwrap_or_default();
            check(endpoint, &["templates", template])?;
            found.insert(template.clone(), endpoint.to_owned());
        }
        config.templates = found;
        Ok(config)
    }

    /// The adapter for the first known template, as written in the settings.
    pub(crate) fn endpoint_of<'t>(&self, templates: impl Iterator<Item = &'t str> + Clone) -> Option<&str> {
        let exact = templates.clone().find_map(|template| self.templates.get(template));
        let any_version = || templates.clone().find_map(|template| self.templates.get(unversioned(template)));
        exact.or_else(any_version).or(self.endpoint.as_ref()).map(String::as_str)
    }
}

fn at(path: &[&str]) -> Path {
    path.iter().fold(Path::default(), |path, key| path.key(key))
}

fn invalid(path: &[&str], why: String) -> ProviderError {
    ProviderError::invalid(Some(at(path)), why).solution("write a URL such as `https://adapters.example.com/airbyte`")
}

/// Returns true if requests carry a token or other headers.
fn has_credentials(values: &Attributes) -> bool {
    let headers = values.get("headers").and_then(Value::as_map);
    values.get("token").and_then(Value::as_str).is_some() || headers.is_some_and(|headers| !headers.is_empty())
}

/// Parses a positive number of seconds.
fn seconds(values: &Attributes, name: &str, default: f64) -> Result<Duration, ProviderError> {
    let given = match values.get(name).map(Value::exposed) {
        Some(Value::Int(number)) => number.to_string().parse().ok(),
        Some(Value::Number(number)) => number.as_str().parse().ok(),
        _ => Some(default),
    };
    let duration = given.filter(|seconds: &f64| *seconds > 0.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
    duration.ok_or_else(|| {
        ProviderError::invalid(Some(Path::attribute(name)), format!("`{name}` is out of range"))
            .solution("write a number of seconds greater than 0")
    })
}

/// The template id without its version (`:0.0.0`, `.1`).
fn unversioned(mut template: &str) -> &str {
    while let Some((name, version)) = template.rsplit_once([':', '.']) {
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        template = name;
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_version_of_a_template_wins() {
        assert_eq!(unversioned("urn:dmb:utm:note-template:0.0.0"), "urn:dmb:utm:note-template");
        assert_eq!(unversioned("urn:dmb:utm:hdfs2.1"), "urn:dmb:utm:hdfs2");
        // The longest possible body.
        assert_eq!(unversioned(&format!("urn:a{}", ":1".repeat(5_000_000))), "urn:a");
        let values: Attributes = [("endpoint".to_owned(), Value::from("http://all"))]
            .into_iter()
            .chain([(
                "templates".to_owned(),
                [("a", "http://any"), ("a:1.0.0", "http://one")]
                    .map(|(id, url)| (id.to_owned(), Value::from(url)))
                    .into_iter()
                    .collect(),
            )])
            .collect();
        let settings = Settings {
            instance: "witboost".to_owned(),
            environment: "local".to_owned(),
            project_folder: PathBuf::new(),
            sandbox: Default::default(),
            sources: Default::default(),
            values,
        };
        let config = Config::read(&settings).unwrap();
        let of = |templates: &[&str]| config.endpoint_of(templates.iter().copied()).map(str::to_owned);
        assert_eq!(of(&["x", "a:1.0.0"]).as_deref(), Some("http://one"));
        assert_eq!(of(&["a:2.0.0"]).as_deref(), Some("http://any"));
        assert_eq!(of(&["b"]).as_deref(), Some("http://all"));
    }
}
