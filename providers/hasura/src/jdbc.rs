//! The connection string of Snowflake's agent, in the form of existing services:
//! `jdbc:snowflake://host/?user=…&password=…&role=…&warehouse=…&db=…&schema=…`. Parameters:
//! <https://docs.snowflake.com/en/developer-guide/jdbc/jdbc-configure>; with a key instead of a password:
//! <https://hasura.io/docs/2.0/databases/snowflake/getting-started/rsa-key-pair-auth>.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The unreserved characters of RFC 3986, which stay unencoded.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The beginning of connection strings.
const BEGIN: &str = "jdbc:snowflake://";
/// The parameters by attribute name, in the order of the string.
const PARAMETERS: [(&str, &str); 8] = [
    ("user", "user"),
    ("password", "password"),
    ("privateKey", "private_key_base64"),
    ("privateKeyPassphrase", "private_key_pwd"),
    ("role", "role"),
    ("warehouse", "warehouse"),
    ("database", "db"),
    ("schema", "schema"),
];

/// A parsed connection string: `host`, and parameters by attribute name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) host: String,
    /// Known parameters.
    pub(crate) known: Vec<(&'static str, String)>,
    /// Parameters without an attribute.
    pub(crate) others: Vec<(String, String)>,
}

impl Parts {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        match name {
            "host" => Some(&self.host),
            _ => self.known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()),
        }
    }

    /// The string with encoded values.
    pub(crate) fn written(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
        let known = PARAMETERS.iter().filter_map(|(name, parameter)| Some((*parameter, self.get(name)?)));
        let others = self.others.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query: Vec<String> =
            known.chain(others).map(|(name, value)| encoded(name) + "=" + &encoded(value)).collect();
        format!("{BEGIN}{}/?{}", self.host, query.join("&"))
    }

    /// Parses a string; `None` if it is not one of Snowflake.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(BEGIN)?;
        let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let mut parts = Self { host: host.to_owned(), ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            match PARAMETERS.iter().find(|(_, parameter)| *parameter == name) {
                Some((known, _)) => parts.known.push((known, value)),
                None => parts.others.push((name, value)),
            }
        }
        Some(parts)
    }
}

/// A text without the secrets of a connection string in it.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = text.to_owned();
    for name in ["password", "private_key_base64", "private_key_pwd"] {
        let parameter = format!("{name}=");
        let mut parts = masked.split(&parameter);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| c == '&' || c == '"' || c == '\\' || c.is_whitespace()).unwrap_or(part.len());
            kept.push_str(&parameter);
            kept.push_str("***");
            kept.push_str(part.get(end..).unwrap_or_default());
        }
        masked = kept;
    }
    masked
}

/// True for a host with an optional port, without a path or a parameter.
pub(crate) fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn connection_strings_match_existing_services() {
        let known = [
            ("user", "u"),
            ("password", "p/w&d"),
            ("role", "R"),
            ("warehouse", "WH"),
            ("database", "D"),
            ("schema", "S"),
        ];
        let known = known.map(|(name, value)| (name, value.to_owned())).to_vec();
        let parts = Parts { host: "a.snowflakecomputing.com".to_owned(), known, others: Vec::new() };
        let written =
            "jdbc:snowflake://a.snowflakecomputing.com/?user=u&password=p%2Fw%26d&role=R&warehouse=WH&db=D&schema=S";
        assert_eq!(parts.written(), written);
        assert_eq!(Parts::read(written), Some(parts));
        assert_eq!(Parts::read("postgres://h/db"), None);
        assert!(is_host("a-b.c.example.com:443") && !is_host("a/?user=x") && !is_host(""));
    }

    #[test]
    fn secrets_are_masked() {
        let text = r#"cannot reach "jdbc:snowflake://h/?user=u&private_key_base64=QUJD&private_key_pwd=p%20w" with password=hunter2"#;
        let masked_ =
            r#"cannot reach "jdbc:snowflake://h/?user=u&private_key_base64=***&private_key_pwd=***" with password=***"#;
        assert_eq!(masked(text), masked_);
        assert_eq!(masked("nothing"), "nothing");
    }

    proptest! {
        #[test]
        fn written_string_is_read_back(user in ".{0,12}", password in ".{0,12}", schema in ".{0,12}") {
            let known = vec![("user", user), ("password", password), ("schema", schema)];
            let parts = Parts { host: "h".to_owned(), known, others: Vec::new() };
            prop_assert_eq!(Parts::read(&parts.written()), Some(parts));
        }
    }
}
