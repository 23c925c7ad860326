//! Accepted tokens, and key rotation.

use crate::issuer::Key;
use crate::mapper::{TestMapper, query};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_server::jwt::Algorithm;

async fn start_mapper() -> TestMapper {
    let mapper = TestMapper::new().await;
    mapper.role("sales", &["orders"], &["user:ada_example.com"], &["group:sellers"]).await;
    mapper
}

#[tokio::test]
async fn only_tokens_of_the_issuer_for_hasura_are_accepted() {
    let mapper = start_mapper().await;
    let ask = async |claims: &Json| mapper.role_for(claims, query("{ orders }")).await;
    assert_eq!(ask(&json!({})).await.as_deref(), Ok("sales"));
    assert_eq!(ask(&json!({"unique_name": "bob@example.com", "groups": ["sellers"]})).await.as_deref(), Ok("sales"));
    for claims in [
        json!({"aud": "somebody"}),
        json!({"aud": null}),
        json!({"iss": "https://login.example.com"}),
        json!({"iss": null}),
        json!({"exp": 1_000_000}),
        json!({"exp": null}),
        json!({"nbf": 9_000_000_000_u64}),
        json!({"unique_name": null}),
        json!({"unique_name": ""}),
        json!({"unique_name": ["ada@example.com"]}),
        json!({"unique_name": "ADA@example.com"}),
        json!({"unique_name": "bob@example.com", "groups": {"sellers": true}}),
    ] {
        assert_eq!(ask(&claims).await, Err(401), "{claims}");
    }
    let forged = Key::new("first").sign(&mapper.issuer.claims(&json!({})));
    let good = mapper.key.sign(&mapper.issuer.claims(&json!({})));
    for headers in [
        json!({}),
        json!({"authorization": good}),
        json!({"authorization": format!("Basic {good}")}),
        json!({"authorization": format!("Bearer {forged}")}),
        json!({"authorization": "Bearer x.y.z"}),
        json!({"authorization": format!("Bearer {}.", good.rsplit_once('.').unwrap().0)}),
        json!({"other": format!("Bearer {good}")}),
        // Headers with a role or a user do not matter: only the token counts.
        json!({"x-hasura-role": "sales", "x-hasura-user-id": "user:ada_example.com"}),
    ] {
        assert_eq!(mapper.authenticate(headers.clone(), query("{ orders }")).await.0, 401, "{headers}");
    }
    for name in ["Authorization", "AUTHORIZATION", "X-Token"] {
        let headers = json!({name: format!("bearer {good}")});
        assert_eq!(mapper.authenticate(headers, query("{ orders }")).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn token_is_checked_before_the_query() {
    let mapper = start_mapper().await;
    assert_eq!(mapper.authenticate(json!({}), query("no GraphQL")).await.0, 401);
    assert_eq!(mapper.authenticate_as(&json!({}), query("no GraphQL")).await.0, 400);
}

#[tokio::test]
async fn token_with_an_unknown_head_is_refused() {
    let mapper = start_mapper().await;
    let claims = mapper.issuer.claims(&json!({}));
    let ask = async |head: Json| {
        let token = mapper.key.sign_with(&head, &claims);
        mapper.authenticate(json!({"authorization": format!("Bearer {token}")}), query("{ orders }")).await.0
    };
    assert_eq!(ask(json!({"alg": "ES256", "kid": "first"})).await, 200);
    assert_eq!(ask(json!({"alg": "ES256"})).await, 200, "there is one key");
    for head in [
        json!({"alg": "none"}),
        json!({"alg": "none", "kid": "first"}),
        json!({"alg": "HS256", "kid": "first"}),
        json!({"alg": "RS256", "kid": "first"}),
        json!({"alg": "ES384", "kid": "first"}),
        json!({"alg": "es256", "kid": "first"}),
        json!({"alg": ["ES256"], "kid": "first"}),
        json!({"kid": "first"}),
        json!({"alg": "ES256", "kid": "../first"}),
        json!({"alg": "ES256", "kid": ""}),
        // RFC 7515, 4.1.11: a recipient must refuse unknown critical extensions.
        json!({"alg": "ES256", "kid": "first", "crit": ["b64"], "b64": true}),
        json!({"alg": "ES256", "kid": "first", "crit": []}),
        json!({"alg": "ES256", "kid": "first", "crit": "exp"}),
        // Keys that a token brings along are not trusted.
        json!({"alg": "ES256", "kid": "second", "jku": format!("{}/keys", mapper.issuer.url)}),
    ] {
        assert_eq!(ask(head.clone()).await, 401, "{head}");
    }
}

#[tokio::test]
async fn discovery_document_must_name_its_own_issuer() {
    for (suffix, status) in [("", 200), ("/", 503), ("/other", 503)] {
        let mapper = TestMapper::with(|settings| settings.trust.jwks_url = None).await;
        mapper.issuer.set_discovered_issuer(&format!("{}{suffix}", mapper.issuer.url));
        mapper.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
        assert_eq!(mapper.authenticate_as(&json!({}), query("{ orders }")).await.0, status, "{suffix}");
    }
}

#[tokio::test]
async fn only_configured_algorithms_are_accepted() {
    let mapper = TestMapper::with(|settings| settings.trust.algorithms = vec![Algorithm::RS256]).await;
    mapper.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await, Err(401));
    assert_eq!(mapper.issuer.key_requests(), 0, "it fetched keys in vain");
}

#[tokio::test]
async fn rotated_keys_are_used_without_a_restart() {
    let mapper = start_mapper().await;
    let ask = async |key: &Key| {
        let token = key.sign(&mapper.issuer.claims(&json!({})));
        mapper.authenticate(json!({"authorization": format!("Bearer {token}")}), query("{ orders }")).await.0
    };
    assert_eq!(ask(&mapper.key).await, 200);
    let second = Key::new("second");
    mapper.issuer.rotate(&second);
    // Tokens with invented keys do not cause fetches all the time, so the new key may take a while.
    let fetched = mapper.issuer.key_requests();
    for _ in 0..20 {
        assert_eq!(ask(&Key::new("made up")).await, 401);
    }
    assert!(mapper.issuer.key_requests() <= fetched + 1);
    let mut status = 0;
    for _ in 0..100 {
        status = ask(&second).await;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(status, 200);
    assert_eq!(ask(&mapper.key).await, 401, "the old key is withdrawn");
}

#[tokio::test]
async fn silent_issuer_causes_503_instead_of_401() {
    let mapper =
        TestMapper::with(|settings| settings.trust.jwks_url = Some("http://127.0.0.1:1/keys".to_owned())).await;
    let (status, body) = mapper.authenticate_as(&json!({}), query("{ orders }")).await;
    assert_eq!((status, body), (503, json!({"errors": ["cannot identify the caller now: try again later"]})));
}

#[tokio::test]
async fn several_issuers_and_another_user_claim_are_accepted() {
    let mapper = TestMapper::with(|settings| {
        settings.trust.issuers.push("https://sts.example.com/tenant/".to_owned());
        settings.trust.audiences.push("api://hasura".to_owned());
        settings.user_claim = "who.mail".to_owned();
    })
    .await;
    mapper.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
    let claims = json!({"iss": "https://sts.example.com/tenant/", "aud": ["x", "api://hasura"], "unique_name": null,
        "who": {"mail": "ada@example.com"}});
    assert_eq!(mapper.role_for(&claims, query("{ orders }")).await.as_deref(), Ok("sales"));
}
