//! What variables of the process say, as an existing service is configured by them: `AIRBYTE_*` beyond those that stand for
//! a setting, and the account of Snowflake that data lands in.

use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use terrace_provider::{Attributes, Settings, Value};

/// Variables of the process by name: some are secrets.
pub(crate) type Variables = BTreeMap<String, SecretString>;

/// The one instance that variables speak of.
const INSTANCE: &str = "airbyte";

/// What is answered under which name by which variable.
const ANSWERS: [(&str, &str); 7] = [
    ("sourceDefinitionId", "AIRBYTE_SOURCE_ID"),
    ("destinationDefinitionId", "AIRBYTE_DESTINATION_ID"),
    ("host", "SNOWFLAKE_HOST"),
    ("user", "SNOWFLAKE_USER"),
    ("role", "SNOWFLAKE_ROLE"),
    ("warehouse", "SNOWFLAKE_WAREHOUSE"),
    ("password", "SNOWFLAKE_PASSWORD"),
];
/// Where Airbyte is.
const URL: &str = "AIRBYTE_BASE_URL";
/// Whether it asks for a user: `true`, also with quotes around it.
const BASIC_AUTH: &str = "AIRBYTE_BASIC_AUTH_ENABLED";
const USERNAME: &str = "AIRBYTE_USERNAME";

/// What names of variables begin with that are looked at.
pub(crate) fn is_known(name: &str) -> bool {
    ["AIRBYTE_", "SNOWFLAKE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// What variables say of an instance: of any other than `airbyte` nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults(Variables);

impl Defaults {
    pub(crate) fn of(settings: &Settings, variables: &Variables) -> Self {
        if settings.instance == INSTANCE { Self(variables.clone()) } else { Self::default() }
    }

    fn text(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(|text| text.expose_secret()).filter(|text| !text.is_empty())
    }

    /// Where Airbyte is.
    pub(crate) fn url(&self) -> Option<&str> {
        self.text(URL)
    }

    /// Whether the user of the variables is not to be used: nobody is asked who they are.
    pub(crate) fn denies_user(&self, username: &str) -> bool {
        let is_enabled = |text: &str| text.trim_matches(['\'', '"']).eq_ignore_ascii_case("true");
        self.text(USERNAME) == Some(username) && self.text(BASIC_AUTH).is_some_and(|text| !is_enabled(text))
    }

    /// The definition of a connector of that word, where a variable says which.
    pub(crate) fn definition(&self, connector: &str) -> Option<&str> {
        match connector {
            "file" => self.text("AIRBYTE_SOURCE_ID"),
            "snowflake" => self.text("AIRBYTE_DESTINATION_ID"),
            _ => None,
        }
    }

    /// All of them, by the names that blueprints read.
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
            values: Attributes::default(),
        };
        Defaults::of(&settings, &variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect())
    }

    #[test]
    fn variables_speak_of_the_instance_of_the_provider_s_name_alone() {
        let variables = [("AIRBYTE_BASE_URL", "http://h:8000/api/v1"), ("SNOWFLAKE_USER", "U"), ("SNOWFLAKE_ROLE", "")];
        let here = defaults("airbyte", &variables);
        assert_eq!(here.url(), Some("http://h:8000/api/v1"));
        assert_eq!((&here.answer()["user"], &here.answer()["role"]), (&"U".into(), &Value::Null));
        let elsewhere = defaults("airbyte.eu", &variables);
        assert_eq!((elsewhere.url(), &elsewhere.answer()["user"]), (None, &Value::Null));
    }

    #[test]
    fn a_user_is_used_where_airbyte_asks_for_one() {
        for (enabled, is_denied) in
            [("true", false), ("'true'", false), ("false", true), ("'false'", true), ("", false)]
        {
            let it = defaults("airbyte", &[("AIRBYTE_USERNAME", "u"), ("AIRBYTE_BASIC_AUTH_ENABLED", enabled)]);
            assert_eq!(it.denies_user("u"), is_denied, "{enabled}");
            assert!(!it.denies_user("written"), "what is written is used");
        }
    }
}
