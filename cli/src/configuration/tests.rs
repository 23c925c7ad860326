use super::*;
use secrecy::ExposeSecret;
use std::time::Duration;
use terrace_engine::diagnostic::has_errors;
use terrace_server::auth::{Auth, Grant, Member, Names, Scope};

fn read(text: &str, variables: &[(&str, &str)]) -> (Configuration, Vec<String>) {
    let variables = variables.iter().copied().collect();
    let (configuration, diagnostics) = Configuration::parse(FILE_NAME, text, Path::new("/project"), &variables);
    let reported = reported(&diagnostics, &configuration.sources);
    (configuration, reported)
}

fn environment(text: &str, name: &str, variables: &[(&str, &str)]) -> (Option<Environment>, Vec<String>) {
    let (configuration, reported_before) = read(text, variables);
    assert!(reported_before.is_empty(), "{reported_before:?}");
    let (environment, diagnostics) = configuration.environment(name, &variables.iter().copied().collect());
    let environment = environment.filter(|_| !has_errors(&diagnostics));
    (environment, reported(&diagnostics, &configuration.sources))
}

fn reported(diagnostics: &[Diagnostic], sources: &Sources) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let place = diagnostic.place(sources).map_or("nowhere".to_owned(), |place| place.to_string());
        let hint = diagnostic.hint.as_deref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{place}: {}{hint}", diagnostic.message)
    };
    diagnostics.iter().map(line).collect()
}

const WHOLE: &str = r#"
state: sqlite:state/terrace.db
encryption: {key: {secret: "${{ env.KEY }}"}, previous: ["AAAA", {keyFile: old.key}]}
identities: {table: {"user:jane.roe_example.com": {snowflake: JROE}}}
environments:
  production:
    overlay: lake
    allowDataLoss: true
    settings: {databricks: {developmentEnvironments: [development]}}
    templates: {"urn:dmb:utm:dbt-standard": airbyte-workload}
    providers:
      snowflake: {account: "${{ env.ACCOUNT }}", password: {secret: "${{ env.PASSWORD }}"}, port: "${{ int(env.PORT) }}"}
      snowflake.eu: {account: CD67890}
      lake: {type: sqlite}
    blueprints: [more/, even/more/]
  staging:
"#;

const VARIABLES: &[(&str, &str)] = &[("KEY", "k"), ("ACCOUNT", "AB12345"), ("PASSWORD", "hunter2"), ("PORT", "443")];

#[test]
fn all_fields_of_a_configuration_are_read() {
    let (configuration, reported) = read(WHOLE, VARIABLES);
    assert!(reported.is_empty(), "{reported:?}");
    assert_eq!(configuration.state.as_deref(), Some("sqlite:state/terrace.db"));
    assert!(
        configuration.encryption.current.as_ref().is_some_and(|key| key.value == KeySource::Key("k".to_owned().into()))
    );
    let previous = [KeySource::Key("AAAA".to_owned().into()), KeySource::File("/project/old.key".into())];
    assert!(configuration.encryption.previous.iter().map(|key| &key.value).eq(&previous));
    assert_eq!(configuration.identities["user:jane.roe_example.com"]["snowflake"], "JROE");
    assert_eq!(configuration.environment_names(), ["production", "staging"]);
}

#[test]
fn selected_environment_is_evaluated() {
    let (environment, reported) = environment(WHOLE, "production", VARIABLES);
    assert!(reported.is_empty(), "{reported:?}");
    let environment = environment.unwrap();
    assert_eq!(environment.overlay_name(), Some("lake"));
    assert!(environment.is_data_loss_allowed);
    assert_eq!(environment.templates["urn:dmb:utm:dbt-standard"], "airbyte-workload");
    let folders: Vec<_> = environment.blueprints.unwrap().into_iter().map(|folder| folder.value).collect();
    assert_eq!(folders, ["more/", "even/more/"]);
    let named: Vec<_> = environment.providers.iter().map(|it| (it.name.as_str(), it.provider.as_str())).collect();
    assert_eq!(named, [("snowflake", "snowflake"), ("snowflake.eu", "snowflake"), ("lake", "sqlite")]);
    let settings = &environment.providers[0].settings;
    assert_eq!(settings["account"], Value::from("AB12345"));
    assert_eq!(settings["port"], Value::Int(443));
    assert_eq!(format!("{:?}", settings["password"]), "(sensitive value)");
}

/// A URL with a password stays hidden even without `{secret: …}`.
#[test]
fn url_with_password_is_secret_without_a_mark() {
    let text = "environments:\n  a:\n    settings: {warehouse: {url: 'postgres://me:hunter2@host/db', docs: 'https://host/a'}}\n    \
                providers: {hasura: {url: '${{ env.URL }}'}}\n";
    let (environment, reported) = environment(text, "a", &[("URL", "http://me:hunter2@host")]);
    assert!(reported.is_empty(), "{reported:?}");
    let environment = environment.unwrap();
    let shown = format!("{:?} {:?}", environment.settings, environment.providers[0].settings);
    assert!(!shown.contains("hunter2") && shown.contains("https://host/a"), "{shown}");
}

#[test]
fn variables_of_other_environments_may_be_missing() {
    let (staging, reported) = environment(WHOLE, "staging", &[("KEY", "k")]);
    assert!(reported.is_empty(), "{reported:?}");
    assert_eq!(staging.unwrap().name, "staging");
    let (production, reported) = environment(WHOLE, "production", &[("KEY", "k"), ("ACCOUNT", "A"), ("PORT", "1")]);
    assert!(production.is_none());
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(reported[0].starts_with("terrace.yaml:12:"), "{reported:?}");
    assert!(reported[0].contains("`PASSWORD` is not set"), "{reported:?}");
}

#[test]
fn misspelt_field_gets_a_suggestion() {
    let (_, reported) = read("stat: sqlite:x\nenvironments:\n  a: {overly: embedded}\npolicies: []\n", &[]);
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert!(reported.iter().any(|line| line.starts_with("terrace.yaml:1:1") && line.contains("did you mean `state`?")));
    assert!(
        reported.iter().any(|line| line.starts_with("terrace.yaml:3:7") && line.contains("did you mean `overlay`?"))
    );
    assert!(reported.iter().any(|line| line.contains("`policies` of terrace.yaml is not supported yet")));
}

#[test]
fn all_wrong_values_are_reported_at_once() {
    let (_, reported) = read("state: [x]\nencryption: {key: a, keyFile: b}\nenvironments: {\"a b\": {}}\n", &[]);
    assert_eq!(reported.len(), 3, "{reported:?}");
    let (_, reported) = read("encryption: {previous: [x]}\n", &[]);
    assert!(reported[0].contains("names no key"), "{reported:?}");
    let (configuration, reported) = read("encryption: {previous: [x]}\n", &[("TERRACE_STATE_KEY", "y")]);
    assert!(reported.is_empty() && configuration.encryption.previous.len() == 1, "{reported:?}");
}

#[test]
fn file_paths_are_relative_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url.txt"), "sqlite:there.db\n").unwrap();
    let text = "state: ${{ file('url.txt') }}\n";
    let variables = Variables::default();
    let (configuration, diagnostics) = Configuration::parse(FILE_NAME, text, folder.path(), &variables);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(configuration.state.as_deref(), Some("sqlite:there.db"));
    let (_, diagnostics) = Configuration::parse(FILE_NAME, "state: ${{ file('none') }}", folder.path(), &variables);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
}

#[test]
fn default_environment_is_embedded() {
    for text in ["", "# nothing yet\n", "state: sqlite:x.db\n"] {
        let (local, reported) = environment(text, "local", &[]);
        assert!(reported.is_empty(), "{reported:?}");
        assert!(local.unwrap().is_embedded());
    }
    assert!(environment("", "production", &[]).0.is_none());
}

#[test]
fn nearest_configuration_upwards_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(folder.path().join(FILE_NAME), "").unwrap();
    assert_eq!(find(&deep), Some(folder.path().join(FILE_NAME)));
    std::fs::write(folder.path().join("a").join(FILE_NAME), "").unwrap();
    assert_eq!(find(&deep), Some(folder.path().join("a").join(FILE_NAME)));
}

fn limits_of(limits: &str) -> (terrace_provider::wrap::Limits, Vec<String>) {
    let text = format!("environments:\n  local:\n    providers:\n      lake: {{type: sqlite, limits: {limits}}}\n");
    let variables = Variables::default();
    let (configuration, _) = Configuration::parse(FILE_NAME, &text, Path::new("/project"), &variables);
    let (environment, diagnostics) = configuration.environment("local", &variables);
    let mut instances = environment.unwrap().providers;
    assert!(!instances[0].settings.contains_key("limits"), "limits are not settings of the provider");
    (instances.remove(0).limits, reported(&diagnostics, &configuration.sources))
}

#[test]
fn instance_and_its_types_have_limits() {
    let (limits, reported) = limits_of(
        "{concurrency: 4, requestsPerSecond: 10, burst: 20, retries: 2, types: {sqlite_table: {concurrency: 2, \
         requestsPerSecond: 0.5}, sqlite_view: {retries: 0}}}",
    );
    assert!(reported.is_empty(), "{reported:?}");
    assert_eq!((limits.concurrency, limits.retries), (4, 2));
    assert_eq!(limits.rate.map(|rate| (rate.period().as_millis(), rate.burst().get())), Some((100, 20)));
    assert_eq!((limits.concurrency_of("sqlite_table"), limits.concurrency_of("sqlite_view")), (Some(2), None));
    assert_eq!(limits.types["sqlite_table"].rate.map(|rate| rate.period().as_millis()), Some(2_000));
    assert_eq!((limits.retries_of("sqlite_table"), limits.retries_of("sqlite_view")), (2, 0));
    assert_eq!(limits_of("").0, terrace_provider::wrap::Limits::default());
}

#[test]
fn invalid_limits_are_reported_with_their_place() {
    let reported = |limits: &str| limits_of(limits).1;
    assert_eq!(
        reported("{concurency: 4, types: {sqlite_table: {rate: 1}}}"),
        [
            "terrace.yaml:4:75: a type in `limits` has no field `rate` (the fields are `concurrency`, `retries`, `burst`, \
         `requestsPerSecond`)",
            "terrace.yaml:4:37: `limits` has no field `concurency` (did you mean `concurrency`?)",
        ]
    );
    let places = |limits: &str| -> Vec<String> {
        reported(limits).iter().map(|line| line.split(" (").next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        places("{concurrency: 0, retries: -1, requestsPerSecond: 0, burst: 1.5}"),
        [
            "terrace.yaml:4:50: `concurrency` is out of range: expected a whole number from 1 to 1024",
            "terrace.yaml:4:62: `retries` is out of range: expected a whole number from 0 to 100",
            "terrace.yaml:4:95: `burst` is out of range: expected a whole number from 1 to 4294967295",
            "terrace.yaml:4:85: `requestsPerSecond` is out of range: expected a number from 0.00001 to 1000000, such as 10 or 0.5",
        ]
    );
    assert_eq!(
        places("{burst: 4, types: {t: 2, u: {requestsPerSecond: fast}}}"),
        [
            "terrace.yaml:4:37: `burst` without `requestsPerSecond` limits nothing",
            "terrace.yaml:4:58: a type in `limits` is a whole number: expected a map",
            "terrace.yaml:4:84: `requestsPerSecond` is text: expected a number from 0.00001 to 1000000, such as 10 or 0.5",
        ]
    );
    assert_eq!(
        places("{requestsPerSecond: 5e-11, types: {t: {requestsPerSecond: 0.001, burst: 20000000}}}"),
        [
            "terrace.yaml:4:56: `requestsPerSecond` is out of range: expected a number from 0.00001 to 1000000, \
             such as 10 or 0.5",
            "terrace.yaml:4:108: `burst` is out of range: expected a whole number from 1 to 3153600 with 0.001 \
             requests a second",
        ]
    );
    assert_eq!(places("4"), ["terrace.yaml:4:36: `limits` is a whole number: expected a map"]);
}

#[test]
fn server_settings_are_read() {
    let digest = "A".repeat(64);
    let text = format!(
        "server: {{bind: '0.0.0.0:80', prefixes: [/a-b/c], workers: 2, parallelism: 3, queue: {{max: 4}}, drain: 5s, retention: \
         6d, stateTimeout: 2m, bodyLimit: 7MB, limits: {{memory: 2GB, values: 8, resources: 9, large: 3, judging: 7s}}, auth: {{mode: token, tokens: [{{name: ci, sha256: {digest}, scopes: [read, apply]}}]}}}}\n"
    );
    let (configuration, reported) = read(&text, &[]);
    assert!(reported.is_empty(), "{reported:?}");
    let server = configuration.server;
    assert_eq!(server.bind.unwrap().to_string(), "0.0.0.0:80");
    assert_eq!((server.prefixes, server.workers, server.parallelism), (vec!["/a-b/c".to_owned()], Some(2), Some(3)));
    assert_eq!((server.queue, server.body_limit), (Some(4), Some(7_000_000)));
    let limits = server.limits;
    assert_eq!((limits.memory, limits.values, limits.resources), (Some(2_000_000_000), Some(8), Some(9)));
    assert_eq!((limits.large, limits.judging), (Some(3), Some(Duration::from_secs(7))));
    assert_eq!((server.drain.unwrap().as_secs(), server.retention.unwrap().as_secs()), (5, 6 * 24 * 3600));
    assert_eq!(server.state_timeout, Some(std::time::Duration::from_secs(120)));
    let Some(Auth::Tokens(tokens)) = server.auth else { panic!("tokens") };
    assert_eq!((tokens[0].name.as_str(), tokens[0].grant.scope), ("ci", Scope::Apply));
    assert_eq!(tokens[0].sha256, "a".repeat(64));
}

#[test]
fn invalid_server_settings_are_refused() {
    for (text, expected) in [
        ("bind: here", "`bind` is invalid: expected an address with its port"),
        ("prefixes: [api]", "`api` is not a prefix of paths"),
        ("prefixes: [/]", "`/` is not a prefix of paths"),
        ("prefixes: [/a, /b, /a]", "`/a` is not a prefix of paths: it is listed twice"),
        ("prefixes: [/datamesh.specificprovisioner]", "`/datamesh.specificprovisioner` is used by the server itself"),
        ("prefixes: [/docs/x]", "`/docs` is used by the server itself"),
        ("workers: 0", "expected a whole number from 1 to 256"),
        ("queue: {most: 1}", "has no field `most`"),
        ("drain: soon", "`drain` is invalid: expected a duration"),
        ("drift: {every: 3s}", "`every` is invalid: expected a duration of at least a minute"),
        ("retention: long", "`retention` is invalid: expected an age of at least an hour"),
        ("retention: 0s", "`retention` is invalid: expected an age of at least an hour"),
        ("retention: 0d", "write `retention: 90d`, for example"),
        ("retention: 59m", "`retention` is invalid: expected an age of at least an hour"),
        ("stateTimeout: 59s", "`stateTimeout` is invalid: expected a duration of at least a minute"),
        ("bodyLimit: 10", ": expected a size"),
        ("limits: {memory: 10}", "`memory` is a whole number: expected a size of at least 256MB"),
        ("limits: {memory: 100MB}", "`memory` is invalid: expected a size of at least 256MB"),
        ("limits: {resources: 0}", "expected a whole number from 1 to 1000000000"),
        ("limits: {judging: 1ms}", "`judging` is invalid: expected a duration of at least a second"),
        ("limits: {cpu: 1}", "has no field `cpu`"),
        ("auth: {mode: tokn}", "`mode` cannot be `tokn`"),
        ("auth: {mode: token}", "refuses every caller: it has no `tokens`"),
        ("auth: {mode: token, tokens: }", "refuses every caller: it has no `tokens`"),
        ("auth: {mode: token, tokens: []}", "refuses every caller: it has no `tokens`"),
        ("auth: {mode: token, tokens: [{name: a, sha256: abc, scopes: [read]}]}", "`sha256` is not a SHA-256"),
        ("auth: {mode: token, tokens: [{name: a, sha256: abc, scopes: [write]}]}", "the scope `write` does not exist"),
        ("auth: {mode: token, tokens: [{name: a, sha256: abc}]}", "a token has no `scopes`"),
        ("auth: {mode: none, tokens: []}", "has no field `tokens`"),
    ] {
        let (_, reported) = read(&format!("server: {{{text}}}\n"), &[]);
        assert!(reported.iter().any(|line| line.contains(expected)), "{text}: {reported:?}");
    }
    // An unknown mode reports no errors of its fields.
    assert_eq!(read("server: {auth: {mode: tokens, tokens: []}}\n", &[]).1.len(), 1);
}

#[test]
fn callers_must_have_different_tokens() {
    let token =
        |name: &str, digest: &str, scope: &str| format!("{{name: {name}, sha256: {digest}, scopes: [{scope}]}}");
    let reported = |second: &str| {
        let tokens = format!("{}, {second}", token("a", &"c".repeat(64), "read"));
        read(&format!("server: {{auth: {{mode: token, tokens: [{tokens}]}}}}\n"), &[]).1
    };
    let expected = "`b` and `a` have the same token: the server cannot tell their calls apart";
    for scope in ["read", "admin"] {
        let reported = reported(&token("b", &"C".repeat(64), scope));
        assert!(
            reported.len() == 1 && reported[0].starts_with("terrace.yaml:1:") && reported[0].contains(expected),
            "{reported:?}"
        );
    }
    // A caller may have several tokens, to replace one by another.
    assert_eq!(reported(&token("a", &"d".repeat(64), "read")), [] as [&str; 0]);
}

#[test]
fn access_foreign_is_report_or_revoke() {
    let settings = |access: &str| format!("environments: {{dev: {{settings: {{access: {access}}}}}}}\n");
    let (_, reported) = environment(&settings("{foreign: revoke}"), "dev", &[]);
    assert_eq!(reported, [] as [&str; 0]);
    let (environment_read, reported) = environment(&settings("{foreign: revok}"), "dev", &[]);
    assert!(environment_read.is_none());
    assert_eq!(
        reported,
        ["terrace.yaml:1:51: `foreign` cannot be `revok`: expected `report` or `revoke` (did you mean `revoke`?)"]
    );
    // Expressions read the other settings.
    for access in ["{foreign: report, suffix: X}", "private"] {
        assert_eq!(environment(&settings(access), "dev", &[]).1, [] as [&str; 0]);
    }
}

fn auth_of(auth: &str) -> (Option<Auth>, Vec<String>) {
    let (configuration, reported) = read(&format!("server: {{auth: {auth}}}\n"), &[]);
    (configuration.server.auth, reported)
}

#[test]
fn limits_of_a_token_are_read() {
    let digest = "a".repeat(64);
    let token = |scopes: &str, limits: &str| {
        auth_of(&format!(
            "{{mode: token, tokens: [{{name: ci, sha256: '{digest}', scopes: [{scopes}], limits: {limits}}}]}}"
        ))
    };
    let (auth, reported) = token(
        "plan, apply, data-loss",
        "{environments: ['dev*'], domains: [finance], stacks: ['*@dev'], actions: [plan, updateacl], queue: {waiting: 3}}",
    );
    assert!(reported.is_empty(), "{reported:?}");
    let Some(Auth::Tokens(tokens)) = auth else { panic!("tokens") };
    let Grant { scope, is_data_loss_allowed, limits } = &tokens[0].grant;
    assert_eq!((*scope, *is_data_loss_allowed), (Scope::Apply, true));
    assert!(matches!(&limits.environments, Names::Patterns(patterns) if patterns.len() == 1));
    assert_eq!(limits.actions.as_ref().unwrap().len(), 2);
    assert_eq!((limits.queue.waiting, limits.queue.running), (Some(3), None));
    for (scopes, limits, expected) in [
        ("apply", "{environment: [dev]}", "`limits` has no field `environment`"),
        ("apply", "{environments: }", "`environments` is empty"),
        ("apply", "{domains: []}", "`domains` allows nothing: it is empty"),
        ("apply", "{domains: ['']}", "`` is not a pattern of names: it is empty"),
        ("apply", "{stacks: ['a[']}", "`a[` is not a pattern of names"),
        ("apply", "{stacks: finance}", "`stacks` is text: expected a list"),
        ("apply", "{domains: {claim: domains}}", "`domains` cannot name a claim here"),
        ("apply", "{actions: [provison]}", "`provison` is not an action"),
        ("apply", "{queue: {waiting: 0}}", "expected a whole number from 1"),
        ("apply", "", "`limits` is empty"),
        ("data-loss", "{}", "`data-loss` has no effect without `plan` or `apply`"),
        ("read, data-loss", "{}", "`data-loss` has no effect without `plan` or `apply`"),
        ("dataloss", "{}", "did you mean `data-loss`"),
    ] {
        let (auth, reported) = token(scopes, limits);
        assert!(reported.iter().any(|line| line.contains(expected)), "{scopes} {limits}: {reported:?}");
        // A token with wrong limits is left out: it would have more rights than intended.
        assert!(matches!(auth, Some(Auth::Tokens(tokens)) if tokens.is_empty()), "{scopes} {limits}");
    }
}

#[test]
fn roles_of_an_issuer_take_limits_from_claims() {
    let (auth, reported) = auth_of(
        "{mode: oidc, issuer: 'https://login.example.com', audience: terrace, roles: {everyone: read, engineers: {scopes: \
         [apply, data-loss], limits: {domains: {claim: data.domains}}}}}",
    );
    assert!(reported.is_empty(), "{reported:?}");
    let Some(Auth::Oidc(oidc)) = auth else { panic!("an issuer") };
    assert_eq!((oidc.roles[0].1.scope, oidc.roles[1].1.scope), (Scope::Read, Scope::Apply));
    assert!(matches!(&oidc.roles[1].1.limits.domains, Names::Claim(path) if path == "data.domains"));
    for (role, expected) in [
        ("[apply]", "the role `engineers` is a list: expected a scope, or a map with `scopes` and `limits`"),
        ("{limits: {}}", "a token has no `scopes`"),
        ("{scopes: [apply], limits: {domains: {claims: x}}}", "has no field `claims`"),
        ("write", "scope `write`"),
    ] {
        let issuer = "mode: oidc, issuer: 'https://login.example.com', audience: terrace";
        let (_, reported) = auth_of(&format!("{{{issuer}, roles: {{engineers: {role}}}}}"));
        assert!(reported.iter().any(|line| line.contains(expected)), "{role}: {reported:?}");
    }
}

#[test]
fn application_at_github_has_its_secret_from_a_variable() {
    let text = "server: {auth: {mode: github, clientId: app, clientSecret: '${{ env.APP_SECRET }}', roles: {\"@ada\": admin, acme: \
                read, acme/data: {scopes: [apply, data-loss]}}}}\n";
    let (configuration, reported) = read(text, &[("APP_SECRET", "s3cret")]);
    assert!(reported.is_empty(), "{reported:?}");
    let Some(Auth::GitHub(github)) = configuration.server.auth else { panic!("an application") };
    assert_eq!((github.client_id.as_str(), github.client_secret.expose_secret()), ("app", "s3cret"));
    assert_eq!((github.url.as_str(), github.cache.as_secs()), ("https://github.com", 300));
    assert_eq!(github.roles[0].0, Member::Person("ada".to_owned()));
    assert_eq!((github.roles[1].1.scope, github.roles[2].1.scope), (Scope::Read, Scope::Apply));
    assert!(!format!("{github:?}").contains("s3cret"));
    let (auth, _) =
        auth_of("{mode: github, clientId: a, clientSecret: b, url: 'https://Git.example.com/', roles: {a: read}}");
    assert!(matches!(auth, Some(Auth::GitHub(github)) if github.url == "https://git.example.com"));
}

#[test]
fn audit_log_has_the_configured_destination() {
    let of = |text: &str| read(&format!("server: {{audit: {text}}}\n"), &[]);
    for (text, log) in [
        ("{}", AuditDestination::StandardError),
        ("{log: stderr}", AuditDestination::StandardError),
        ("{log: 'off'}", AuditDestination::Off),
        ("{log: logs/audit.jsonl}", AuditDestination::File("logs/audit.jsonl".into())),
    ] {
        let (configuration, reported) = of(text);
        assert!(reported.is_empty(), "{reported:?}");
        assert_eq!(configuration.server.audit.log, log);
    }
    let (configuration, _) = of("{retention: 400d}");
    assert_eq!(configuration.server.audit.retention.unwrap().as_secs(), 400 * 24 * 3600);
    assert!(of("{retention: 1h}").1[0].contains("an age of at least a day"));
}
