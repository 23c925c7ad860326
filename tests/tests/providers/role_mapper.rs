//! Hasura's role mapper: `terrace role-mapper` beside a state, written by `terrace apply` and called as Hasura calls
//! it.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value as Json, json};
use std::time::{SystemTime, UNIX_EPOCH};
use terrace_state::contract::cluster::Cluster;
use terrace_test_hasura::{Mapper, StandIn};
use terrace_tests::served::{Answer, Served};
use terrace_tests::{Peer, Project, repository, until};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const PRODUCT: &str = "data-product.yaml";
const ROLE: &str = "shop_orders_0_graph_role";
const FIELD: &str = "shop_orders_0_graph_select";
const TOKEN: &str = "t0ken-of-the-mapper";

/// An issuer with one key, and a project whose role mapper accepts its tokens.
struct World {
    issuer: Peer,
    key: Ed25519KeyPair,
    project: Project,
    state: Option<String>,
}

impl World {
    fn new(state: Option<String>) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE.encode(key.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "1", "x": x}]}).to_string();
        let issuer = Peer::start(move |_, _| (200, keys.clone()));
        Self { issuer, key, project: Project::new(), state }
    }

    fn start(&self) -> Served {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[(&str, &str)]) -> Served {
        let jwks = format!("{}/keys", self.issuer.url);
        let mut variables = vec![
            ("ROLE_MAPPER_JWT_ISSUER", "https://login.example.com"),
            ("ROLE_MAPPER_JWT_AUDIENCE", "hasura"),
            ("ROLE_MAPPER_JWKS_URL", jwks.as_str()),
            ("ROLE_MAPPER_GROUPS_CLAIM", "groups"),
            ("ROLE_MAPPER_TOKEN", TOKEN),
        ];
        variables.extend(self.state.as_ref().map(|state| ("TERRACE_STATE", state.as_str())));
        variables.extend(more);
        Served::start_command(&self.project, "role-mapper", &[], &variables)
    }

    /// Sends a user's query as Hasura does, and returns the response.
    fn query(&self, mapper: &Served, user: &str, groups: &[&str], query: &str) -> Answer {
        mapper.call("POST", "/v1/authenticate", &self.sent(user, groups, query).to_string())
    }

    /// Returns the body that Hasura sends.
    #[expect(clippy::disallowed_methods, reason = "a token holds until a time of this clock")]
    fn sent(&self, user: &str, groups: &[&str], query: &str) -> Json {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"iss": "https://login.example.com", "aud": "hasura", "exp": now + 600, "unique_name": user,
            "groups": groups});
        let part = |json: &Json| URL_SAFE.encode(json.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": "1"})), part(&claims));
        let token = format!("{text}.{}", URL_SAFE.encode(self.key.sign(text.as_bytes()).as_ref()));
        json!({"headers": {"Authorization": format!("Bearer {token}")},
            "request": {"query": query, "variables": null, "operationName": null}})
    }
}

fn with_token(mapper: &Served, method: &str, path: &str, body: &Json) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    mapper.call_with(method, path, body.to_string(), &[("authorization", bearer.as_str())])
}

#[test]
fn roles_survive_restarts_with_state_in_a_file_and_on_a_server() {
    let database = tokio::runtime::Runtime::new().unwrap().block_on(Cluster::shared().database());
    for state in [None, Some(database)] {
        let world = World::new(state);
        let mapper = world.start();
        let role = json!({"role_id": "r", "component_id": "c", "graphql_root_field_names": ["orders"]});
        assert_eq!(mapper.call("PUT", "/v1/roles", &role.to_string()).status, 401);
        assert_eq!(with_token(&mapper, "PUT", "/v1/roles", &role).json(), role);
        let users = json!({"role_id": "r", "users": ["user:ada_example.com"]});
        assert_eq!(with_token(&mapper, "PUT", "/v1/user_roles", &users).status, 200);
        // Answered calls survive a kill.
        mapper.kill();
        let mapper = world.start();
        assert_eq!(with_token(&mapper, "GET", "/v1/user_roles/r", &Json::Null).json(), users);
        let answer = world.query(&mapper, "ada@example.com", &[], "{ a: orders { id } }");
        assert_eq!(answer.json(), json!({"X-Hasura-User-Id": "user:ada_example.com", "X-Hasura-Role": "r"}));
        assert_eq!(world.query(&mapper, "eve@example.com", &[], "{ orders { id } }").status, 401);
        assert_eq!(world.query(&mapper, "ada@example.com", &[], "mutation { orders { id } }").status, 401);
        assert_eq!(mapper.call("GET", "/v1/health", "").json(), "Alive");
        assert_eq!(mapper.call("GET", "/metrics", "").status, 401);
        assert!(with_token(&mapper, "GET", "/metrics", &Json::Null).body.contains("path=\"/v1/authenticate\""));
        let output = mapper.stderr();
        assert!(!output.contains(TOKEN), "{output}");
        assert!(output.contains(r#""action":"read","actor":"unknown""#), "{output}");
        mapper.stop().done();
        let variables: Vec<(&str, &str)> = world.state.iter().map(|state| ("TERRACE_STATE", state.as_str())).collect();
        let exported = world.project.run_with(&variables, ["audit", "export", "--verify"]).done().stdout;
        for expected in [
            r#""action":"role put","actor":"unknown""#,
            r#""target":"PUT /v1/roles: r""#,
            r#""target":"PUT /v1/user_roles: r""#,
            r#""action":"read","actor":"unknown""#,
        ] {
            assert!(exported.contains(expected), "{expected}: {exported}");
        }
    }
}

#[test]
fn port_grants_access_and_its_removal_revokes_it() {
    let hasura = StandIn::start(Mapper::Old);
    for view in ["OPEN_ORDERS", "OLD_ORDERS"] {
        hasura.add_table("SHOP_EXAMPLE", "ORDERS_0", view, &["ID", "STATUS"], &[]);
    }
    let world = World::new(None);
    for file in [PRODUCT, "terrace.yaml"] {
        world.project.copy(&repository().join("examples/hasura").join(file), file);
    }
    let mapper = world.start();
    let run = |words: &[&str]| {
        let variables = [
            ("HASURA_URL", hasura.url()),
            ("HASURA_ADMIN_SECRET", "secret"),
            ("ROLE_MAPPER_URL", mapper.url()),
            ("ROLE_MAPPER_TOKEN", TOKEN),
            ("SNOWFLAKE_HOST", "ab12345.snowflakecomputing.com"),
            ("SNOWFLAKE_USER", "HASURA"),
            ("SNOWFLAKE_PASSWORD", "p"),
            ("SNOWFLAKE_ROLE", "HASURA_ROLE"),
            ("SNOWFLAKE_WAREHOUSE", "WH"),
        ];
        world.project.run_with(&variables, words.iter().copied())
    };
    let settled = || {
        let plan = run(&["plan", PRODUCT, "-c", "graph", "--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
    };
    let query = format!("{{ {FIELD} {{ ID }} }}");
    let ask = |groups: &[&str]| world.query(&mapper, "ada@example.com", groups, &query).status;
    run(&["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    settled();
    assert_eq!(ask(&["readers"]), 401);
    run(&["acl", "set", PRODUCT, "graph", "user:ada_example.com", "group:readers", "--auto-approve"]).done();
    settled();
    assert_eq!((ask(&[]), ask(&["readers"])), (200, 200));
    run(&["acl", "set", PRODUCT, "graph", "group:readers", "--auto-approve"]).done();
    settled();
    assert_eq!((ask(&[]), ask(&["readers"])), (401, 200));
    // External grants are found.
    let theirs = json!({"role_id": ROLE, "groups": ["group:readers", "group:theirs"]});
    assert_eq!(with_token(&mapper, "PUT", "/v1/group_roles", &theirs).status, 200);
    assert_eq!(run(&["drift", PRODUCT]).code, 2);
    run(&["apply", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    assert_eq!((ask(&["theirs"]), ask(&["readers"])), (401, 200));
    run(&["destroy", PRODUCT, "-c", "graph", "--auto-approve"]).done();
    assert_eq!(ask(&["readers"]), 401);
    assert_eq!(with_token(&mapper, "GET", "/v1/roles", &Json::Null).json(), json!({"roles": []}));
    assert!(hasura.inventory().is_empty(), "{:?}", hasura.inventory());
    mapper.stop().done();
}

#[test]
fn calls_use_tls_with_a_certificate_renewed_at_runtime() {
    let world = World::new(None);
    let first = certify(&world.project);
    let mapper = world.start_with(&[("ROLE_MAPPER_TLS_CERT", "mapper.pem"), ("ROLE_MAPPER_TLS_KEY", "mapper.key")]);
    assert!(mapper.url().starts_with("https://"), "{}", mapper.url());
    let health = |certificate: &str| agent(certificate).get(format!("{}/v1/health", mapper.url())).call().is_ok();
    assert!(health(&first));
    // Plain HTTP is not answered.
    assert!(ureq::get(format!("{}/v1/health", mapper.url().replace("https", "http"))).call().is_err());
    // A role is written and read through TLS, and only with the token.
    let call = |method: &str, path: &str, token: &str, body: &Json| {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", mapper.url()));
        let request =
            request.header("content-type", "application/json").header("authorization", format!("Bearer {token}"));
        agent(&first).run(request.body(body.to_string()).unwrap()).unwrap().status().as_u16()
    };
    let role = json!({"role_id": "r", "component_id": "c", "graphql_root_field_names": ["orders"]});
    assert_eq!(call("PUT", "/v1/roles", "wrong", &role), 401);
    assert_eq!(call("PUT", "/v1/roles", TOKEN, &role), 200);
    assert_eq!(call("PUT", "/v1/user_roles", TOKEN, &json!({"role_id": "r", "users": ["user:ada_example.com"]})), 200);
    assert_eq!(call("POST", "/v1/authenticate", "", &world.sent("ada@example.com", &[], "{ orders }")), 200);
    assert_eq!(call("POST", "/v1/authenticate", "", &world.sent("eve@example.com", &[], "{ orders }")), 401);
    let second = certify(&world.project);
    assert!(!health(&second));
    mapper.hang_up();
    until("the new certificate holds", || health(&second));
    assert!(!health(&first));
    mapper.stop().done();
}

/// Writes a new certificate for this machine and returns it.
fn certify(project: &Project) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    project.write("mapper.key", signing_key.serialize_pem());
    project.write("mapper.pem", cert.pem());
    cert.pem()
}

/// Returns a client that trusts this certificate only.
fn agent(certificate: &str) -> ureq::Agent {
    let certificate = Certificate::from_pem(certificate.as_bytes()).unwrap();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
    ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into()
}

#[test]
fn state_moves_with_its_roles() {
    let world = World::new(None);
    let mapper = world.start();
    let role = json!({"role_id": "r", "component_id": "c", "graphql_root_field_names": ["orders"]});
    assert_eq!(with_token(&mapper, "PUT", "/v1/roles", &role).status, 200);
    let users = json!({"role_id": "r", "users": ["user:ada_example.com"]});
    assert_eq!(with_token(&mapper, "PUT", "/v1/user_roles", &users).status, 200);
    mapper.stop().done();
    let ran = world.project.run(["state", "migrate", "--to", "sqlite:moved.db"]).done();
    ran.prints("role_graphql_root_field_names");
    let mapper = world.start_with(&[("TERRACE_STATE", "sqlite:moved.db")]);
    assert_eq!(world.query(&mapper, "ada@example.com", &[], "{ orders }").json()["X-Hasura-Role"], "r");
    assert_eq!(with_token(&mapper, "GET", "/v1/roles", &Json::Null).json(), json!({"roles": [role]}));
    mapper.stop().done();
}

#[test]
fn example_configuration_in_the_docs_is_valid() {
    let page = std::fs::read_to_string(repository().join("docs/role-mapper.md")).unwrap();
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let project = Project::new();
    project.write("terrace.yaml", yaml);
    let variables = [("HASURA_ADMIN_SECRET", "secret"), ("ROLE_MAPPER_TOKEN", TOKEN)];
    project.run_with(&variables, ["stacks", "--env", "production"]).done();
}

#[test]
fn role_mapper_without_access_control_does_not_start() {
    let project = Project::new();
    let least = [("ROLE_MAPPER_JWT_ISSUER", "https://login.example.com"), ("ROLE_MAPPER_JWT_AUDIENCE", "hasura")];
    let ran = project.run_with(&least, ["role-mapper", "--bind", "0.0.0.0:0"]).with_code(1);
    ran.prints("is reachable from other machines, and calls need no token").prints("ROLE_MAPPER_TOKEN");
    project.run(["role-mapper"]).with_code(1).prints("ROLE_MAPPER_JWT_ISSUER is not set");
    let wrong = [least[0], least[1], ("ROLE_MAPPER_SUBSCRIPTION", "true")];
    project.run_with(&wrong, ["role-mapper"]).with_code(1).prints("did you mean `ROLE_MAPPER_SUBSCRIPTIONS`?");
    let wrong = [least[0], least[1], ("ROLE_MAPPER_TLS_CERT", "none.pem"), ("ROLE_MAPPER_TLS_KEY", "none.pem")];
    project.run_with(&wrong, ["role-mapper"]).with_code(1).prints("ROLE_MAPPER_TLS_CERT");
    assert!(!project.has(".terrace/state.db"), "it made a state");
}
