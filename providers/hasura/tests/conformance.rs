use crate::harness::{
    BINDING, PERMISSION, ROLE, SOURCE, TABLE, attributes, permission, postgres, provider, role, settings, source,
    stand_in, table,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_test_hasura::{Mapper, StandIn};

/// A fixture whose hooks change objects outside terrace.
fn fixture(
    stand_in: &Arc<StandIn>,
    (ty, label): (&'static str, &'static str),
    configs: [Json; 3],
    tamper: Json,
    remove: Json,
) -> Fixture {
    let [config, update, replace] = configs.map(attributes);
    let (tampering, removing) = (Arc::clone(stand_in), Arc::clone(stand_in));
    let fixture = Fixture::new(ty, label, config).update(update).replace(replace).tamper(move |_| {
        tampering.metadata(&tamper);
        async {}
    });
    fixture.remove(move |_| {
        // Another object or none may have the name.
        let _ = removing.try_metadata(&remove);
        async {}
    })
}

fn changed(mut config: Json, changes: Json) -> Json {
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn metadata_fixtures(stand_in: &Arc<StandIn>) -> Vec<Fixture> {
    let args = |more: Json| changed(json!({"source": "base", "table": ["ORDERS"]}), more);
    let other_connection = changed(source("s")["connection"].clone(), json!({"warehouse": "OTHER", "role": "r/w?"}));
    let tampered = json!({"type": "snowflake_update_source", "args": {"name": "s", "configuration": {
        "jdbc_url": "jdbc:snowflake://a1.snowflakecomputing.com/?user=EVE&password=x&db=SALES&schema=ORDERS_1"}}});
    let other_pool = json!({"connection_info": {"pool_settings": {"max_connections": 7}}});
    let permit = json!({"columns": ["ID"], "filter": {}, "allow_aggregations": true});
    let drop = json!({"type": "snowflake_drop_select_permission", "args": args(json!({"role": "readers"}))});
    let make = json!({"type": "snowflake_create_select_permission", "args": args(json!({"role": "readers", "permission": permit}))});
    vec![
        fixture(
            stand_in,
            (SOURCE, "s"),
            [source("s"), changed(source("s"), json!({"connection": other_connection})), source("other")],
            tampered,
            json!({"type": "snowflake_drop_source", "args": {"name": "s"}}),
        ),
        fixture(
            stand_in,
            (SOURCE, "shop"),
            [
                postgres("pg_shop"),
                changed(postgres("pg_shop"), json!({"configuration": other_pool})),
                postgres("pg_two"),
            ],
            json!({"type": "pg_update_source", "args": {"name": "pg_shop", "configuration": {"connection_info": {"database_url": "postgres://u:other@db:5432/shop", "pool_settings": {"max_connections": 6}}}}}),
            json!({"type": "pg_drop_source", "args": {"name": "pg_shop"}}),
        ),
        fixture(
            stand_in,
            (TABLE, "t"),
            [
                table("base", "ORDERS", "a_"),
                changed(
                    table("base", "ORDERS", "b_"),
                    json!({"apolloFederation": false, "columnConfig": {"ID": {"custom_name": "id"}}}),
                ),
                table("base", "ITEMS", "a_"),
            ],
            json!({"type": "snowflake_set_table_customization", "args": args(json!({"configuration": {"custom_name": "x"}}))}),
            json!({"type": "snowflake_untrack_table", "args": args(json!({}))}),
        ),
        {
            let prepared = Arc::clone(stand_in);
            prepared
                .metadata(&json!({"type": "snowflake_track_table", "args": {"source": "base", "table": ["RETURNS"]}}));
            let of = |role: &str| permission("base", "RETURNS", role);
            let in_returns = |mut request: Json| {
                request["args"]["table"] = json!(["RETURNS"]);
                request
            };
            fixture(
                stand_in,
                (PERMISSION, "readers"),
                [
                    of("readers"),
                    changed(
                        of("readers"),
                        json!({"columns": ["NAME", "ID"], "limit": 5, "filter": {"ID": {"_gt": 1}}, "allowAggregations": true}),
                    ),
                    of("others"),
                ],
                json!({"type": "bulk", "args": [in_returns(drop.clone()), in_returns(make)]}),
                in_returns(drop),
            )
            .spelled("/columns", [json!(["ID", "NAME"]), json!(["NAME", "ID"])])
        },
    ]
}

fn role_fixtures(stand_in: &Arc<StandIn>) -> Vec<Fixture> {
    let put = |path: &'static str, body: Json| {
        let stand_in = Arc::clone(stand_in);
        move |_| {
            stand_in.mapper("PUT", &["v1", path], &body);
            async {}
        }
    };
    let removing = Arc::clone(stand_in);
    let base = json!({"role_id": "base", "component_id": "urn:base", "graphql_root_field_names": []});
    assert_eq!(stand_in.mapper("PUT", &["v1", "roles"], &base).0, 200);
    let members = |users: Json, groups: Json| attributes(json!({"roleId": "base", "users": users, "groups": groups}));
    let tampered = json!({"role_id": "r", "component_id": "urn:dmb:cmp:sales:r", "graphql_root_field_names": ["all"]});
    vec![
        Fixture::new(ROLE, "r", attributes(role("r")))
            .update(attributes(changed(role("r"), json!({"rootFields": ["b", "a"]}))))
            .spelled("/rootFields", [json!(["a", "b"]), json!(["b", "a"])])
            .replace(attributes(role("r2")))
            .tamper(put("roles", tampered))
            .remove(move |_| {
                removing.mapper("DELETE", &["v1", "roles", "r"], &Json::Null);
                async {}
            }),
        Fixture::new(BINDING, "b", members(json!(["user:zoe", "user:ada"]), json!(["group:dev"])))
            .update(members(json!(["user:ada"]), json!([])))
            .spelled("/users", [json!(["user:zoe", "user:ada"]), json!(["user:ada", "user:zoe"])])
            .tamper(put("user_roles", json!({"role_id": "base", "users": ["user:eve"]})))
            .remove({
                let stand_in = Arc::clone(stand_in);
                move |_| {
                    stand_in.mapper("PUT", &["v1", "user_roles"], &json!({"role_id": "base", "users": []}));
                    stand_in.mapper("PUT", &["v1", "group_roles"], &json!({"role_id": "base", "groups": []}));
                    async {}
                }
            }),
    ]
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let stand_in = Arc::new(stand_in(Mapper::Extended));
    let url = "jdbc:snowflake://h/?user=u&password=p&db=SALES&schema=ORDERS_1";
    stand_in.metadata(
        &json!({"type": "snowflake_add_source", "args": {"name": "base", "configuration": {"jdbc_url": url}}}),
    );
    let provider = provider();
    let mut suite = Suite::new(&provider, settings(&stand_in));
    for fixture in metadata_fixtures(&stand_in).into_iter().chain(role_fixtures(&stand_in)) {
        suite = suite.fixture(fixture);
    }
    let before = stand_in.inventory();
    let report = suite.run().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(stand_in.inventory(), before, "something is left");
}
