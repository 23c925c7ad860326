//! Variables `ROLE_MAPPER_*`. An unknown name is an error: it may be a restriction with a typing error.

use crate::failure::Failure;
use crate::variables::Variables;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::diagnostic::closest;
use terrace_engine::digest::sha256;
use terrace_engine::duration;
use terrace_role_mapper::{Allowed, GraphSettings, Settings};
use terrace_server::auth::{Auth, Scope, Token};
use terrace_server::http::check_trusted_url;
use terrace_server::jwt::{ALGORITHMS, Accepted, Algorithm, Trust};
use terrace_server::tls::Certificate;

/// Prefix of all variables.
const PREFIX: &str = "ROLE_MAPPER_";

/// Names without the prefix. The first two belong to the provider, which calls a role mapper.
const KNOWN: [&str; 26] = [
    "URL",
    "TIMEOUT",
    "BIND",
    "TOKEN",
    "TOKEN_SHA256",
    "TOKEN_MINIMUM_LENGTH",
    "TLS_CERT",
    "TLS_KEY",
    "HEADERS",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_ALGORITHMS",
    "JWKS_URL",
    "USER_CLAIM",
    "GROUPS_CLAIM",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_LOGIN_URL",
    "GRAPH_URL",
    "GRAPH_USER_CLAIM",
    "GRAPH_GROUP_NAME",
    "GRAPH_CACHE",
    "INTROSPECTION",
    "MUTATIONS",
    "SUBSCRIPTIONS",
];

/// Default and longest time that groups of Microsoft Graph are cached. A user who leaves a group keeps its roles for
/// this time.
const DEFAULT_CACHE_TIME: Duration = Duration::from_secs(300);
const MAX_CACHE_TIME: Duration = Duration::from_secs(3600);

/// Values of the variables.
pub(super) struct Configuration {
    /// The address to listen on.
    pub(super) bind: Option<SocketAddr>,
    /// The rest.
    pub(super) settings: Settings,
}

/// Reads the variables.
///
/// # Errors
/// When a variable is wrong, missing or unknown.
pub(super) fn read(variables: &Variables) -> Result<Configuration, Failure> {
    let mut names = variables.with_prefix(PREFIX).map(|(name, _)| name);
    if let Some(name) = names.find(|name| !KNOWN.contains(name) && !is_service_link(name)) {
        let hint = match closest(name, KNOWN) {
            Some(best) => format!("did you mean `{PREFIX}{best}`?"),
            None => "`docs/role-mapper.md` lists them".to_owned(),
        };
        return Err(Failure::new(format!("there is no variable `{PREFIX}{name}`")).hint(hint));
    }
    let given = Given(variables);
    let bind = given.parsed("BIND", "an address with its port, such as `127.0.0.1:8092`", |text| text.parse().ok())?;
    let settings = Settings {
        auth: given.auth()?,
        trust: given.trust()?,
        header_names: given.list("HEADERS")?.unwrap_or_else(|| vec!["authorization".to_owned()]),
        user_claim: given.text("USER_CLAIM").unwrap_or("unique_name").to_owned(),
        groups_claim: given.text("GROUPS_CLAIM").map(str::to_owned),
        graph: given.graph()?,
        allowed: Allowed {
            introspection: given.flag("INTROSPECTION")?,
            mutations: given.flag("MUTATIONS")?,
            subscriptions: given.flag("SUBSCRIPTIONS")?,
        },
        certificate: given.certificate()?,
    };
    Ok(Configuration { bind, settings })
}

/// True for a variable that Kubernetes sets in every container if a service is named `role-mapper`.
fn is_service_link(name: &str) -> bool {
    name.starts_with("SERVICE_") || name == "PORT" || name.starts_with("PORT_")
}

struct Given<'v>(&'v Variables);

impl<'v> Given<'v> {
    fn text(&self, name: &str) -> Option<&'v str> {
        self.0.get(&format!("{PREFIX}{name}")).map(str::trim).filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str, what: &str) -> Result<&'v str, Failure> {
        self.text(name).ok_or_else(|| {
            Failure::new(format!("{PREFIX}{name} is not set: expected {what}"))
                .hint("`docs/role-mapper.md` lists them all")
        })
    }

    fn parsed<T>(&self, name: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        let wrong = |text: &str| Failure::new(format!("{PREFIX}{name} is `{text}`: expected {what}"));
        self.text(name).map(|text| parse(text).ok_or_else(|| wrong(text))).transpose()
    }

    fn flag(&self, name: &str) -> Result<bool, Failure> {
        let flag = |text: &str| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Ok(self.parsed(name, "`true` or `false`", flag)?.unwrap_or_default())
    }

    fn url(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(url) = self.text(name) else { return Ok(None) };
        check_trusted_url(url).map_err(|why| Failure::new(format!("{PREFIX}{name} cannot be called: {why}")))?;
        Ok(Some(url.to_owned()))
    }

    /// Words separated by commas, or a JSON list, which the previous service accepted.
    fn list(&self, name: &str) -> Result<Option<Vec<String>>, Failure> {
        let list = |text: &str| match text.starts_with('[') {
            true => serde_json::from_str::<Vec<String>>(text).ok(),
            false => Some(text.split(',').map(|word| word.trim().to_owned()).collect()),
        };
        let whole = |text: &str| list(text).filter(|list| !list.is_empty() && list.iter().all(|word| !word.is_empty()));
        self.parsed(name, "words with commas between them", whole)
    }

    fn auth(&self) -> Result<Auth, Failure> {
        let length = |text: &str| text.parse().ok().filter(|length: &usize| *length > 0);
        let minimum_length = self.parsed("TOKEN_MINIMUM_LENGTH", "a number greater than 0", length)?;
        let minimum_length = minimum_length.unwrap_or(Token::MINIMUM_LENGTH);
        if self.text("TOKEN").is_some_and(|token| token.len() < minimum_length) {
            return Err(Failure::new(format!("ROLE_MAPPER_TOKEN has fewer than {minimum_length} characters"))
                .hint("create one with `openssl rand -hex 32`"));
        }
        let token = |sha256: String| Token {
            name: "role-mapper".to_owned(),
            sha256,
            organisation: None,
            grant: Scope::Admin.into(),
            minimum_length,
        };
        let mut tokens: Vec<Token> = self.text("TOKEN").map(|text| token(sha256(text))).into_iter().collect();
        for digest in self.list("TOKEN_SHA256")?.unwrap_or_default() {
            let digest = digest.to_lowercase();
            if digest.len() != 64 || !digest.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(Failure::new("ROLE_MAPPER_TOKEN_SHA256 is not a SHA-256: expected 64 hexadecimal digits")
                    .hint("compute it with `printf %s TOKEN | sha256sum`"));
            }
            tokens.push(token(digest));
        }
        Ok(if tokens.is_empty() { Auth::ThisMachine } else { Auth::Tokens(tokens) })
    }

    fn trust(&self) -> Result<Trust, Failure> {
        self.required("JWT_ISSUER", "the issuer of users' tokens, their claim `iss`")?;
        self.required("JWT_AUDIENCE", "the audience of users' tokens, their claim `aud`")?;
        let issuers = self.list("JWT_ISSUER")?.unwrap_or_default();
        let jwks_url = self.url("JWKS_URL")?;
        if jwks_url.is_none() {
            for issuer in &issuers {
                check_trusted_url(issuer).map_err(|why| {
                    Failure::new(format!("the keys of ROLE_MAPPER_JWT_ISSUER cannot be read: {why}"))
                        .hint("set ROLE_MAPPER_JWKS_URL to the address of the keys")
                })?;
            }
            if issuers.len() > 1 {
                return Err(Failure::new("several issuers need one address with their keys")
                    .hint("set ROLE_MAPPER_JWKS_URL to the address of all keys"));
            }
        }
        let algorithms = match self.list("JWT_ALGORITHMS")? {
            None => ALGORITHMS.to_vec(),
            Some(names) => names.iter().map(|name| algorithm(name)).collect::<Result<_, _>>()?,
        };
        let audiences = self.list("JWT_AUDIENCE")?.unwrap_or_default();
        // Hasura's users query with tokens of various clients.
        let (types, clients) = (Accepted::Any, Accepted::Any);
        Ok(Trust { issuers, audiences, jwks_url, algorithms, types, clients })
    }

    fn graph(&self) -> Result<Option<GraphSettings>, Failure> {
        let Some(tenant) = self.text("AZURE_TENANT_ID") else {
            return match self.text("AZURE_CLIENT_ID").or_else(|| self.text("AZURE_CLIENT_SECRET")) {
                None => Ok(None),
                Some(_) => self.required("AZURE_TENANT_ID", "the tenant of the application").map(|_| None),
            };
        };
        let cache_time = self.parsed("GRAPH_CACHE", "a time of at most an hour, such as `5m`", |text| {
            duration::parse(text).ok().filter(|time| *time <= MAX_CACHE_TIME)
        })?;
        let secret =
            self.required("AZURE_CLIENT_SECRET", "the secret of the application that calls Microsoft Graph")?;
        let or = |url: Option<String>, usual: &str| url.unwrap_or_else(|| usual.to_owned());
        Ok(Some(GraphSettings {
            url: or(self.url("GRAPH_URL")?, "https://graph.microsoft.com"),
            login_url: or(self.url("AZURE_LOGIN_URL")?, "https://login.microsoftonline.com"),
            tenant: tenant.to_owned(),
            client_id: self.required("AZURE_CLIENT_ID", "the application that calls Microsoft Graph")?.to_owned(),
            client_secret: secret.into(),
            user_claim: self.text("GRAPH_USER_CLAIM").unwrap_or("oid").to_owned(),
            name: self.text("GRAPH_GROUP_NAME").unwrap_or("displayName").to_owned(),
            cache_time: cache_time.unwrap_or(DEFAULT_CACHE_TIME),
        }))
    }

    fn certificate(&self) -> Result<Option<Certificate>, Failure> {
        match (self.text("TLS_CERT"), self.text("TLS_KEY")) {
            (None, None) => Ok(None),
            (Some(chain), Some(key)) => {
                Ok(Some(Certificate { chain: PathBuf::from(chain), key: PathBuf::from(key), reload: Arc::default() }))
            }
            _ => Err(Failure::new("a certificate and its key are set together")
                .hint("set both ROLE_MAPPER_TLS_CERT and ROLE_MAPPER_TLS_KEY, or neither")),
        }
    }
}

fn algorithm(name: &str) -> Result<Algorithm, Failure> {
    let known = ALGORITHMS.iter().find(|known| format!("{known:?}") == name);
    known.copied().ok_or_else(|| {
        let names: Vec<String> = ALGORITHMS.iter().map(|known| format!("{known:?}")).collect();
        Failure::new(format!("ROLE_MAPPER_JWT_ALGORITHMS: `{name}` is not an asymmetric algorithm"))
            .hint(format!("choose from: {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 2] =
        [("ROLE_MAPPER_JWT_ISSUER", "https://login.example.com"), ("ROLE_MAPPER_JWT_AUDIENCE", "api://hasura")];

    fn read_with(more: &[(&str, &str)]) -> Result<Configuration, Failure> {
        read(&LEAST.iter().chain(more).copied().collect())
    }

    fn refused(more: &[(&str, &str)]) -> (String, String) {
        let failure = read_with(more).err().unwrap();
        (failure.message.unwrap(), failure.hints.join("; "))
    }

    #[test]
    fn two_variables_suffice_and_allow_little() {
        let Configuration { bind, settings } = read_with(&[]).unwrap();
        assert!(bind.is_none() && matches!(settings.auth, Auth::ThisMachine) && settings.certificate.is_none());
        assert_eq!(settings.allowed, Allowed::default());
        assert_eq!((settings.header_names, settings.user_claim), (vec!["authorization".into()], "unique_name".into()));
        assert!(settings.groups_claim.is_none() && settings.graph.is_none());
        assert_eq!(settings.trust.algorithms, ALGORITHMS);
        for name in ["ROLE_MAPPER_JWT_ISSUER", "ROLE_MAPPER_JWT_AUDIENCE"] {
            let left = LEAST.iter().copied().filter(|it| it.0 != name).collect();
            assert!(read(&left).err().unwrap().message.unwrap().starts_with(&format!("{name} is not set")));
        }
    }

    #[test]
    fn lists_are_words_or_json() {
        for text in ["RS256, ES256", r#"["RS256","ES256"]"#] {
            let algorithms = read_with(&[("ROLE_MAPPER_JWT_ALGORITHMS", text)]).unwrap().settings.trust.algorithms;
            assert_eq!(algorithms, [Algorithm::RS256, Algorithm::ES256]);
        }
        for text in ["HS256", "none", "RS256,,", "[]"] {
            let (message, _) = refused(&[("ROLE_MAPPER_JWT_ALGORITHMS", text)]);
            assert!(message.starts_with("ROLE_MAPPER_JWT_ALGORITHMS"), "{message}");
        }
    }

    #[test]
    fn graph_needs_all_of_its_variables() {
        let all = [
            ("ROLE_MAPPER_AZURE_TENANT_ID", "t"),
            ("ROLE_MAPPER_AZURE_CLIENT_ID", "c"),
            ("ROLE_MAPPER_AZURE_CLIENT_SECRET", "s"),
        ];
        let graph = read_with(&all).unwrap().settings.graph.unwrap();
        assert_eq!((graph.url.as_str(), graph.name.as_str()), ("https://graph.microsoft.com", "displayName"));
        assert_eq!(graph.cache_time, DEFAULT_CACHE_TIME);
        for left in 0..3 {
            let some: Vec<_> = all.iter().enumerate().filter(|(at, _)| *at != left).map(|(_, it)| *it).collect();
            assert!(refused(&some).0.starts_with(&format!("{} is not set", all[left].0)));
        }
        assert!(read_with(&[all[0], all[1], all[2], ("ROLE_MAPPER_GRAPH_CACHE", "2h")]).is_err());
    }

    #[test]
    fn wrong_and_unknown_variables_are_refused() {
        let (message, hint) = refused(&[("ROLE_MAPPER_MUTATION", "true")]);
        assert_eq!(message, "there is no variable `ROLE_MAPPER_MUTATION`");
        assert_eq!(hint, "did you mean `ROLE_MAPPER_MUTATIONS`?");
        for (name, value, fragment) in [
            ("ROLE_MAPPER_MUTATIONS", "yes", "expected `true` or `false`"),
            ("ROLE_MAPPER_BIND", "8092", "expected an address with its port"),
            ("ROLE_MAPPER_TOKEN_SHA256", "abc", "is not a SHA-256"),
            ("ROLE_MAPPER_TLS_KEY", "key.pem", "are set together"),
            ("ROLE_MAPPER_JWKS_URL", "ftp://a", "cannot be called"),
            ("ROLE_MAPPER_JWKS_URL", "http://login.example.com/keys", "`http://` to another machine"),
            ("ROLE_MAPPER_JWT_ISSUER", "http://login.example.com", "`http://` to another machine"),
            ("ROLE_MAPPER_TOKEN", "fifteen letters", "has fewer than 16 characters"),
            ("ROLE_MAPPER_TOKEN_MINIMUM_LENGTH", "0", "expected a number greater than 0"),
            ("ROLE_MAPPER_JWT_ISSUER", "https://a,https://b", "several issuers need"),
        ] {
            let message = refused(&[(name, value)]).0;
            assert!(message.contains(fragment), "{message}");
        }
        // Variables of the provider in the same process are ignored.
        assert!(read_with(&[("ROLE_MAPPER_URL", "http://127.0.0.1:8092"), ("ROLE_MAPPER_TIMEOUT", "5")]).is_ok());
        assert!(
            read_with(&[("ROLE_MAPPER_SERVICE_HOST", "10.0.0.1"), ("ROLE_MAPPER_PORT_8092_TCP_PROTO", "tcp")]).is_ok()
        );
    }

    #[test]
    fn token_is_kept_only_as_digest() {
        let digest = sha256("secret of 16 let");
        for (name, value) in [("ROLE_MAPPER_TOKEN", "secret of 16 let"), ("ROLE_MAPPER_TOKEN_SHA256", digest.as_str())]
        {
            let Auth::Tokens(tokens) = read_with(&[(name, value)]).unwrap().settings.auth else { panic!() };
            assert_eq!((&tokens[0].sha256, tokens[0].minimum_length), (&digest, 16));
        }
    }
}
