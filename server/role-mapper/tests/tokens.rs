//! Which tokens are taken, and keys that change.

use crate::issuer::Key;
use crate::world::{World, query};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_server::jwt::Algorithm;

async fn world() -> World {
    let world = World::new().await;
    world.role("sales", &["orders"], &["user:ada_example.com"], &["group:sellers"]).await;
    world
}

#[tokio::test]
async fn tokens_of_the_issuer_for_hasura_are_taken_and_no_others() {
    let world = world().await;
    let ask = async |claims: &Json| world.verdict(claims, query("{ orders }")).await;
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
    let forged = Key::new("first").sign(&world.issuer.claims(&json!({})));
    let good = world.key.sign(&world.issuer.claims(&json!({})));
    for headers in [
        json!({}),
        json!({"authorization": good}),
        json!({"authorization": format!("Basic {good}")}),
        json!({"authorization": format!("Bearer {forged}")}),
        json!({"authorization": "Bearer x.y.z"}),
        json!({"authorization": format!("Bearer {}.", good.rsplit_once('.').unwrap().0)}),
        json!({"other": format!("Bearer {good}")}),
        // Whatever a caller calls itself: only the token counts.
        json!({"x-hasura-role": "sales", "x-hasura-user-id": "user:ada_example.com"}),
    ] {
        assert_eq!(world.authenticate(headers.clone(), query("{ orders }")).await.0, 401, "{headers}");
    }
    for name in ["Authorization", "AUTHORIZATION", "X-Token"] {
        let headers = json!({name: format!("bearer {good}")});
        assert_eq!(world.authenticate(headers, query("{ orders }")).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn a_token_is_judged_before_a_query_is() {
    let world = world().await;
    assert_eq!(world.authenticate(json!({}), query("no GraphQL")).await.0, 401);
    assert_eq!(world.asks(&json!({}), query("no GraphQL")).await.0, 400);
}

#[tokio::test]
async fn the_head_of_a_token_asks_for_nothing_that_is_not_known() {
    let world = world().await;
    let claims = world.issuer.claims(&json!({}));
    let ask = async |head: Json| {
        let token = world.key.sign_with(&head, &claims);
        world.authenticate(json!({"authorization": format!("Bearer {token}")}), query("{ orders }")).await.0
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
        // RFC 7515, 4.1.11: who does not know what it names must not take the token.
        json!({"alg": "ES256", "kid": "first", "crit": ["b64"], "b64": true}),
        json!({"alg": "ES256", "kid": "first", "crit": []}),
        json!({"alg": "ES256", "kid": "first", "crit": "exp"}),
        // Keys that a token brings along are its own.
        json!({"alg": "ES256", "kid": "second", "jku": format!("{}/keys", world.issuer.url)}),
    ] {
        assert_eq!(ask(head.clone()).await, 401, "{head}");
    }
}

#[tokio::test]
async fn what_an_issuer_says_of_itself_is_of_itself() {
    for (said, status) in [("", 200), ("/", 503), ("/other", 503)] {
        let world = World::with(|settings| settings.trust.jwks_url = None).await;
        world.issuer.says_it_is(&format!("{}{said}", world.issuer.url));
        world.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
        assert_eq!(world.asks(&json!({}), query("{ orders }")).await.0, status, "{said}");
    }
}

#[tokio::test]
async fn only_configured_algorithms_are_taken() {
    let world = World::with(|settings| settings.trust.algorithms = vec![Algorithm::RS256]).await;
    world.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
    assert_eq!(world.verdict(&json!({}), query("{ orders }")).await, Err(401));
    assert_eq!(world.issuer.asked(), 0, "it was asked for keys in vain");
}

#[tokio::test]
async fn keys_that_the_issuer_changes_are_known_without_a_restart() {
    let world = world().await;
    let ask = async |key: &Key| {
        let token = key.sign(&world.issuer.claims(&json!({})));
        world.authenticate(json!({"authorization": format!("Bearer {token}")}), query("{ orders }")).await.0
    };
    assert_eq!(ask(&world.key).await, 200);
    let second = Key::new("second");
    world.issuer.rotate(&second);
    // Who sends tokens with made-up keys does not make it ask all the time, so that a while may pass.
    let asked = world.issuer.asked();
    for _ in 0..20 {
        assert_eq!(ask(&Key::new("made up")).await, 401);
    }
    assert!(world.issuer.asked() <= asked + 1);
    let mut status = 0;
    for _ in 0..100 {
        status = ask(&second).await;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(status, 200);
    assert_eq!(ask(&world.key).await, 401, "the old key is withdrawn");
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_reason_to_say_unauthorized() {
    let world = World::with(|settings| settings.trust.jwks_url = Some("http://127.0.0.1:1/keys".to_owned())).await;
    let (status, body) = world.asks(&json!({}), query("{ orders }")).await;
    assert_eq!((status, body), (503, json!({"errors": ["who asks cannot be told now: try again later"]})));
}

#[tokio::test]
async fn several_issuers_and_audiences_may_be_trusted_and_the_user_named_by_another_claim() {
    let world = World::with(|settings| {
        settings.trust.issuers.push("https://sts.example.com/tenant/".to_owned());
        settings.trust.audiences.push("api://hasura".to_owned());
        settings.user_claim = "who.mail".to_owned();
    })
    .await;
    world.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
    let claims = json!({"iss": "https://sts.example.com/tenant/", "aud": ["x", "api://hasura"], "unique_name": null,
        "who": {"mail": "ada@example.com"}});
    assert_eq!(world.verdict(&claims, query("{ orders }")).await.as_deref(), Ok("sales"));
}
