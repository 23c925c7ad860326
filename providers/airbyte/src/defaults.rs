//! Defaults from environment variables, compatible with an existing service: `AIRBYTE_*` variables that are not
//! settings, and the Snowflake account for the data.

use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use terrace_provider::{Attributes, Settings, Value};

/// Environment variables by name; some hold secrets.
pub(crate) type Variables = BTreeMap<String, SecretString>;

/// The only instance that reads environment variables.
const INSTANCE: &str = "airbyte";

/// The fields of the lookup's answer, with their variables.
const ANSWERS: [(&str, &str); 7] = [
    ("sourceDefinitionId", "AIRBYTE_SOURCE_ID"),
    ("destinationDefinitionId", "AIRBYTE_DESTINATION_ID"),
    ("host", "SNOWFLAKE_HOST"),
    ("user", "SNOWFLAKE_USER"),
    ("role", "SNOWFLAKE_ROLE"),
    ("warehouse", "SNOWFLAKE_WAREHOUSE"),
    ("password", "SNOWFLAKE_PASSWORD"),
];
/// URL of Airbyte.
const URL: &str = "AIRBYTE_BASE_URL";
/// Whether Airbyte needs a user: `true`, with or without quotes.
const BASIC_AUTH: &str = "AIRBYTE_BASIC_AUTH_ENABLED";
const USERNAME: &str = "AIRBYTE_USERNAME";

/// Returns true for variables with a known prefix.
pub(crate) fn is_known(name: &str) -> bool {
    ["AIRBYTE_", "SNOWFLAKE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The variables of the instance `airbyte`; empty for any other instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults(Variables);

impl Defaults {
    pub(crate) fn of(settings: &Settings, variables: &Variables) -> Self {
        if settings.instance == INSTANCE { Self(variables.clone()) } else { Self::default() }
    }

    fn text(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(|text| text.expose_secret()).filter(|text| !text.is_empty())
    }

    /// URL of Airbyte.
    pub(crate) fn url(&self) -> Option<&str> {
        self.text(URL)
    }

    /// Returns true if the user of the variables must be ignored, because basic authentication is disabled.
    pub(crate) fn denies_user(&self, username: &str) -> bool {
        let is_enabled = |text: &str| text.trim_matches(['\'', '"']).eq_ignore_ascii_case("true");
        self.text(USERNAME) == Some(username) && self.text(BASIC_AUTH).is_some_and(|text| !is_enabled(text))
    }

    /// The definition id of a connector, if a variable sets it.
    pub(crate) fn definition(&self, connector: &str) -> Option<&str> {
        match connector {
            "file" => self.text("AIRBYTE_SOURCE_ID"),
            "snowflake" => self.text("AIRBYTE_DESTINATION_ID"),
            _ => None,
        }
    }

    /// All defaults, by the names that blueprints use.
    pub(crate) fn answer(&self) -> Attributes {
        let value = |variable| self.text(variable).map_or(Value::Null, Value::from);
        ANSWERS.iter().map(|(name, variable)| ((*name).to_owned(), value(variable))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(instance: &str, variables: &[(&str, &str)]) -> Defaults {
        let settings = Settings {
            instance: instance.to_owned(),
            environment: "local".to_owned(),
            project_folder: std::path::PathBuf::from("/p"),
            sandbox: Default::default(),
            sources: Default::default(),
            values: Attributes::default(),
        };
        Defaults::of(&settings, &variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect())
    }

    #[test]
    fn variables_apply_only_to_the_instance_airbyte() {
        let variables = [("AIRBYTE_BASE_URL", "http://h:8000/api/v1"), ("SNOWFLAKE_USER", "U"), ("SNOWFLAKE_ROLE", "")];
        let here = defaults("airbyte", &variables);
        assert_eq!(here.url(), Some("http://h:8000/api/v1"));
        assert_eq!((&here.answer()["user"], &here.answer()["role"]), (&"U".into(), &Value::Null));
        let elsewhere = defaults("airbyte.eu", &variables);
        assert_eq!((elsewhere.url(), &elsewhere.answer()["user"]), (None, &Value::Null));
    }

    #[test]
    fn user_is_ignored_without_basic_authentication() {
        for (enabled, is_denied) in
            [("true", false), ("'true'", false), ("false", true), ("'false'", true), ("", false)]
        {
            let it = defaults("airbyte", &[("AIRBYTE_USERNAME", "u"), ("AIRBYTE_BASIC_AUTH_ENABLED", enabled)]);
            assert_eq!(it.denies_user("u"), is_denied, "{enabled}");
            assert!(!it.denies_user("written"), "a configured user is always used");
        }
    }
}
