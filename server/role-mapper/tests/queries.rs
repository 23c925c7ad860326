//! Hostile queries with their expected roles or statuses.
//!
//! `ada` has the role `sales` by herself and `ops` by a group; only other users have the root field `secrets`.

use crate::mapper::{TestMapper, query};
use serde_json::{Value as Json, json};
use terrace_role_mapper::Allowed;
use terrace_state::roles::{Members, Role};

const GROUPS: &str = r#"{"groups": ["dev", "all"]}"#;

async fn start_mapper(allowed: Allowed) -> TestMapper {
    let mapper = TestMapper::with(|settings| settings.allowed = allowed).await;
    mapper.role("sales", &["orders", "orders_by_pk", "insert_orders"], &["user:ada_example.com"], &[]).await;
    mapper.role("ops", &["machines", "items"], &[], &["group:dev"]).await;
    mapper
        .role("boss", &["secrets", "orders", "machines", "delete_orders"], &["user:eve_example.com"], &["group:boss"])
        .await;
    mapper
}

fn named(text: &str, name: &str) -> Json {
    json!({"query": text, "operationName": name})
}

/// Each case: its name, the request, and the expected role or status.
fn cases() -> Vec<(&'static str, Json, Result<&'static str, u16>)> {
    let both = "query A { orders { id } } query B { secrets { id } }";
    let deep = |open: &str, close: &str| format!("{{ orders{}{} }}", open.repeat(5_000), close.repeat(5_000));
    let values =
        |open: &str, close: &str| format!("{{ orders(x: {}1{}) {{ id }} }}", open.repeat(5_000), close.repeat(5_000));
    let many = |count: usize| format!("{{ {} }}", "orders { id } ".repeat(count));
    vec![
        ("a field that a role has", query("{ orders { id } }"), Ok("sales")),
        ("a field of a group's role", query("query { machines { id } }"), Ok("ops")),
        ("a field of another user's role", query("{ secrets { id } }"), Err(401)),
        ("a field without a role", query("{ nothing { id } }"), Err(401)),
        ("a field in another case", query("{ Orders { id } }"), Err(401)),
        ("two fields of two roles", query("{ orders { id } machines { id } }"), Err(401)),
        ("a nested field is not a root field", query("{ orders { secrets { id } } }"), Ok("sales")),
        // Aliases.
        ("an alias that looks harmless", query("{ orders: secrets { id } }"), Err(401)),
        ("an alias that looks harmful", query("{ secrets: orders { id } }"), Ok("sales")),
        ("an alias for introspection", query("{ orders: __schema { types { name } } }"), Err(401)),
        // Fragments.
        ("a fragment on the root", query("{ ...F } fragment F on query_root { secrets { id } }"), Err(401)),
        ("a harmless fragment", query("{ ...F } fragment F on query_root { orders { id } }"), Ok("sales")),
        ("a fragment on any type", query("{ ...F } fragment F on orders { secrets { id } }"), Err(401)),
        ("an inline fragment", query("{ orders { id } ... on query_root { secrets { id } } }"), Err(401)),
        ("an inline fragment without a type", query("{ ... { secrets { id } } }"), Err(401)),
        ("nested inline fragments", query("{ ... { ... on query_root { ... { secrets { id } } } } }"), Err(401)),
        (
            "a fragment through other fragments",
            query(
                "{ ...A } fragment A on Q { ...B orders { id } } fragment B on Q { ... { ...C } } fragment C on Q { secrets }",
            ),
            Err(401),
        ),
        ("a fragment that is not spread", query("{ orders } fragment F on query_root { secrets }"), Ok("sales")),
        ("a missing fragment", query("{ orders ...F }"), Err(400)),
        (
            "two fragments with the same name",
            query("{ ...F } fragment F on Q { orders } fragment F on Q { secrets }"),
            Err(400),
        ),
        ("a cycle of fragments", query("{ ...A } fragment A on Q { ...B } fragment B on Q { orders ...A }"), Err(400)),
        ("a fragment that spreads itself", query("{ orders ...A } fragment A on Q { ...A }"), Err(400)),
        // Fields that a directive may omit still count.
        ("@include", query("query($x: Boolean!) { orders { id } secrets @include(if: $x) { id } }"), Err(401)),
        ("@skip", query("{ orders { id } secrets @skip(if: true) { id } }"), Err(401)),
        ("@include on a fragment", query("{ orders ... @include(if: false) { secrets { id } } }"), Err(401)),
        ("@skip on a spread", query("{ orders ...F @skip(if: true) } fragment F on Q { secrets }"), Err(401)),
        // Several operations.
        ("the harmless one of two", named(both, "A"), Ok("sales")),
        ("the harmful one of two", named(both, "B"), Err(401)),
        ("neither of two", query(both), Err(401)),
        ("an empty name counts as none", named(both, ""), Err(401)),
        ("an unknown name", named(both, "C"), Err(401)),
        ("a wrong name for the only operation", named("query A { orders }", "B"), Err(401)),
        ("an empty name for the only one", named("{ orders }", ""), Ok("sales")),
        ("two operations with the same name", named("query A { orders } query A { secrets }", "A"), Err(400)),
        ("an unnamed operation beside a named one", named("{ secrets } query A { orders }", "A"), Err(400)),
        ("two without names", query("{ orders } { secrets }"), Err(400)),
        // Introspection, and operations that are not queries.
        ("introspection", query("{ __schema { queryType { name } } }"), Err(401)),
        ("introspection of a type", query("{ orders __type(name: \"x\") { name } }"), Err(401)),
        ("introspection in a fragment", query("{ ...F } fragment F on Q { __schema { types { name } } }"), Err(401)),
        ("another reserved name", query("{ __secret }"), Err(401)),
        ("federation", query("{ _service { sdl } }"), Err(401)),
        ("the name of the root", query("{ __typename }"), Ok("ops")),
        ("the name of the root beside a field", query("{ __typename orders }"), Ok("sales")),
        ("a mutation", query("mutation { insert_orders { id } }"), Err(401)),
        ("a subscription", query("subscription { orders { id } }"), Err(401)),
        ("a mutation that is not selected", named("mutation M { insert_orders } query A { orders }", "A"), Ok("sales")),
        ("a mutation that is selected", named("mutation M { orders } query A { orders }", "M"), Err(401)),
        // Batches.
        ("a batch that one role covers", json!([query("{ orders }"), query("{ orders_by_pk }")]), Ok("sales")),
        ("a batch of two roles", json!([query("{ orders }"), query("{ machines }")]), Err(401)),
        ("a batch that hides one", json!([query("{ orders }"), query("{ secrets }")]), Err(401)),
        ("a batch that hides a mutation", json!([query("{ orders }"), query("mutation { orders }")]), Err(401)),
        ("a batch with names", json!([named(both, "A"), named(both, "B")]), Err(401)),
        ("a batch in a batch", json!([[query("{ orders }")]]), Err(400)),
        ("an empty batch", json!([]), Err(400)),
        ("a batch of too many operations", json!(vec![query("{ orders }"); 101]), Err(400)),
        (
            "a batch of too many bytes",
            json!(vec![query(&format!("{{ orders }} #{}", "x".repeat(4_000))); 80]),
            Err(400),
        ),
        (
            "variables of any size and shape",
            json!({"query": "{ orders }", "variables": {"query": "{ secrets }",
            "many": vec![0; 10_000]}, "extensions": {"query": 7}}),
            Ok("sales"),
        ),
        ("a name that is not a string", json!({"query": "{ orders }", "operationName": 7}), Err(400)),
        // Texts that parsers may read in different ways.
        ("a comment that ends with a carriage return", query("{ orders # \r secrets \n }"), Err(401)),
        ("a comment that ends with a line feed", query("{ orders # secrets \n }"), Ok("sales")),
        ("braces in a string", query(r#"{ orders(where: "} secrets {") { id } }"#), Ok("sales")),
        ("a quote in a string", query(r#"{ orders(where: "\" } secrets {") { id } }"#), Ok("sales")),
        (
            "a block string with an ambiguous end",
            // One field for a parser that ends the first string at its second `"""`, two for one that takes it as
            // escaped.
            query(r#"{ orders(a: """\\""" b: """ ) { id } secrets(c: [""" d: ["x""" ]) { id } }"#),
            Err(400),
        ),
        ("a block string", query(r#"{ orders(a: """ } secrets { " """) { id } }"#), Ok("sales")),
        ("letters that look alike", query("{ \u{43e}rders { id } }"), Err(400)),
        ("a NUL", query("{ orders\u{0} secrets }"), Err(400)),
        ("a schema definition", query("{ orders } type Query { secrets: String }"), Err(400)),
        ("a schema extension", query("{ orders } extend schema { query: Q }"), Err(400)),
        // Invalid GraphQL, and denial of service.
        ("nothing", query(""), Err(400)),
        ("an empty selection", query("{ }"), Err(400)),
        ("half of a query", query("{ orders { id }"), Err(400)),
        ("a query and more", query("{ orders } }"), Err(400)),
        ("a fragment alone", query("fragment F on Q { orders }"), Err(400)),
        ("no text", json!({"query": 7}), Err(400)),
        ("no query", json!({"variables": {}}), Err(400)),
        ("a text for a request", json!("{ orders }"), Err(400)),
        ("no request, as for a websocket", Json::Null, Err(401)),
        ("deeply nested fields", query(&deep("{a", "}")), Err(400)),
        ("deeply nested inline fragments", query(&deep("...{a", "}")), Err(400)),
        ("deeply nested lists", query(&values("[", "]")), Err(400)),
        ("deeply nested objects", query(&values("{a:", "}")), Err(400)),
        ("unclosed brackets", query(&format!("{{ orders(x: {}", "[".repeat(100_000))), Err(400)),
        (
            "deeply nested types",
            query(&format!("query($a: {}Int{}) {{ orders }}", "[".repeat(5_000), "]".repeat(5_000))),
            Err(400),
        ),
        ("too many tokens", query(&many(10_000)), Err(400)),
        ("the same field many times", query(&many(1_000)), Ok("sales")),
        ("a too long query", query(&format!("{{ orders }} #{}", "x".repeat(1 << 18))), Err(400)),
    ]
}

#[tokio::test]
async fn request_gets_the_role_that_covers_all_its_fields() {
    let mapper = start_mapper(Allowed::default()).await;
    let claims: Json = serde_json::from_str(GROUPS).unwrap();
    let cases = cases();
    assert!(cases.len() >= 30);
    for (about, request, expected) in cases {
        let verdict = mapper.role_for(&claims, request.clone()).await;
        let shown: String = request.to_string().chars().take(300).collect();
        assert_eq!(verdict.as_deref().map_err(|status| *status), expected, "{about}: {shown}");
    }
}

#[tokio::test]
async fn allowed_operations_still_need_a_covering_role() {
    let mapper = start_mapper(Allowed { introspection: true, mutations: true, subscriptions: true }).await;
    let claims: Json = serde_json::from_str(GROUPS).unwrap();
    for (text, expected) in [
        ("{ __schema { types { name } } }", Ok("ops")),
        ("{ __schema { types { name } } orders }", Ok("sales")),
        ("{ __type(name: \"x\") { name } secrets }", Err(401)),
        ("mutation { insert_orders { id } }", Ok("sales")),
        ("mutation { insert_orders { id } delete_orders { id } }", Err(401)),
        ("subscription { machines { id } }", Ok("ops")),
        ("subscription { secrets { id } }", Err(401)),
        ("{ __other }", Err(401)),
    ] {
        let verdict = mapper.role_for(&claims, query(text)).await;
        assert_eq!(verdict.as_deref().map_err(|status| *status), expected, "{text}");
    }
}

#[tokio::test]
async fn user_without_roles_gets_none() {
    let mapper = start_mapper(Allowed { introspection: true, mutations: true, subscriptions: true }).await;
    for text in ["{ __typename }", "{ __schema { types { name } } }", "{ orders }"] {
        let verdict = mapper.role_for(&json!({"unique_name": "bob@example.com"}), query(text)).await;
        assert_eq!(verdict, Err(401), "{text}");
    }
}

#[tokio::test]
async fn answer_has_user_and_role_and_a_refusal_no_details() {
    let mapper = start_mapper(Allowed::default()).await;
    let (status, body) = mapper.authenticate_as(&json!({}), query("{ orders }")).await;
    assert_eq!((status, body), (200, json!({"X-Hasura-User-Id": "user:ada_example.com", "X-Hasura-Role": "sales"})));
    let (status, body) = mapper.authenticate_as(&json!({}), query("{ secrets }")).await;
    assert_eq!((status, body), (401, json!("Unauthorized")));
    let (_, body) = mapper.authenticate_as(&json!({}), query("{ orders")).await;
    let error = body["errors"][0].as_str().unwrap();
    assert!(error.starts_with("Graphql query has one or more errors. "), "{error}");
    // A user who lost the role gets none.
    mapper.role("sales", &["orders"], &[], &[]).await;
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await, Err(401));
}

#[tokio::test]
async fn reserved_role_is_never_returned() {
    // A table that was filled by hand, or adopted from the previous service, may contain it.
    let store = terrace_state::roles::open(&terrace_state::StoreUrl::SqliteMemory).await.unwrap();
    let role = Role { id: "admin".to_owned(), component: "urn:admin".to_owned(), fields: ["orders".to_owned()].into() };
    store.put_role(&role).await.unwrap();
    store.put_members("admin", Members::Users, &["user:ada_example.com".to_owned()].into()).await.unwrap();
    let mapper = TestMapper::over(store, |_| ()).await;
    mapper.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
    assert_eq!(mapper.authenticate_as(&json!({}), query("{ orders }")).await, (401, json!("Unauthorized")));
    assert_eq!(mapper.delete("/v1/roles/admin").await.0, 204);
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await.as_deref(), Ok("sales"));
}

#[tokio::test]
async fn webhook_refuses_get() {
    assert_eq!(TestMapper::new().await.get("/v1/authenticate").await, (401, json!("Unauthorized")));
}
