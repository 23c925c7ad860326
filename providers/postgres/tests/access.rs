use crate::world::{World, place};
use terrace_provider::{ErrorKind, Found, Observed};

async fn with_roles() -> World {
    let world = World::new().await;
    world.execute("CREATE TABLE s.\"T.x\" (a int, b int, c int); CREATE SEQUENCE s.q; CREATE ROLE \"$db_r\"; CREATE ROLE \"$db_u\"").await;
    world
}

fn grant(ty: &str, object: &str, rest: &str) -> String {
    let object = serde_json::Value::from(object);
    format!(r#"{{"database": "$db", "objectType": "{ty}", "object": {object}, "role": "$db_r", {rest}}}"#)
}

async fn privileges(world: &World, on: &str) -> Vec<String> {
    let sql = format!(
        "SELECT x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END FROM pg_class c, aclexplode(c.relacl) x
         WHERE c.oid = '{on}'::regclass AND pg_get_userbyid(x.grantee) = '$db_r' ORDER BY 1"
    );
    world.query(&sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_all_kinds_are_created_changed_and_deleted() {
    let world = with_roles().await;
    for (ty, object, first, second) in [
        ("database", world.database.clone(), "CONNECT", "TEMPORARY"),
        ("schema", "s".to_owned(), "USAGE", "CREATE"),
        ("table", "s.\"T.x\"".to_owned(), "SELECT", "UPDATE"),
        ("sequence", "s.q".to_owned(), "USAGE", "SELECT"),
    ] {
        let one = grant(ty, &object, &format!(r#""privileges": ["{first}"]"#));
        let made = world.settled("postgres_grant", &one).await;
        assert!(matches!(world.find("postgres_grant", &one, Some("step-1")).await, Found::Ours(_)));
        assert!(matches!(world.find("postgres_grant", &one, None).await, Found::Strangers(_)));
        let both = grant(ty, &object, &format!(r#""privileges": ["{second}", "{first}"], "grantOption": true"#));
        let made = world.resettled("postgres_grant", &made, &both).await;
        let other = grant(ty, &object, &format!(r#""privileges": ["{second}"]"#));
        let made = world.resettled("postgres_grant", &made, &other).await;
        assert_eq!(
            world.import("postgres_grant", made.attributes["id"].as_str().unwrap()).await.unwrap().attributes,
            made.attributes
        );
        world.delete("postgres_grant", &made).await.unwrap();
        assert_eq!(world.read("postgres_grant", &made).await, None);
        world.delete("postgres_grant", &made).await.unwrap();
    }
    world.execute("DROP TABLE s.\"T.x\"").await;
    let one = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#);
    assert_eq!(world.find("postgres_grant", &one, None).await, Found::Absent);
    let error = world.create("postgres_grant", &one).await.unwrap_err();
    assert_eq!(place(&error), "object", "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_grants_stay() {
    let world = with_roles().await;
    world.execute("GRANT SELECT, INSERT ON s.\"T.x\" TO \"$db_r\"").await;
    // A part of the grant existed before: it stays.
    let config = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "UPDATE"]"#);
    let made = world.settled("postgres_grant", &config).await;
    let error = world.create("postgres_grant", &config).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }));
    world.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(privileges(&world, "s.\"T.x\"").await, ["INSERT", "SELECT"]);
    // All of it existed before: it is adopted and not revoked.
    let config = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#);
    let Found::Strangers(found) = world.find("postgres_grant", &config, None).await else { panic!() };
    world.is_settled("postgres_grant", &found, &config).await;
    world.delete("postgres_grant", &found).await.unwrap();
    assert_eq!(privileges(&world, "s.\"T.x\"").await, ["INSERT", "SELECT"]);
    // The same for a membership.
    world.execute("GRANT \"$db_r\" TO \"$db_u\"").await;
    let member = r#"{"role": "$db_r", "member": "$db_u"}"#;
    let Found::Strangers(found) = world.find("postgres_membership", member, None).await else { panic!() };
    world.delete("postgres_membership", &found).await.unwrap();
    assert!(world.read("postgres_membership", &found).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_columns_are_separate_from_those_of_the_table() {
    let world = with_roles().await;
    let of = |privileges: &str, columns: &str| {
        grant("table", "s.\"T.x\"", &format!(r#""privileges": [{privileges}], "columns": [{columns}]"#))
    };
    let columns = "SELECT string_agg(attname || attacl::text, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 's.\"T.x\"'::regclass AND attacl IS NOT NULL AND attacl <> '{}'";
    let made: Observed = world.settled("postgres_grant", &of(r#""SELECT""#, r#""b", "a""#)).await;
    let made = world.resettled("postgres_grant", &made, &of(r#""SELECT", "UPDATE""#, r#""b", "c""#)).await;
    let expected = "b{$db_r=rw/terrace} c{$db_r=rw/terrace}".replace("$db", &world.database);
    assert_eq!(world.query(columns).await, [expected]);
    let whole = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#);
    let made = world.resettled("postgres_grant", &made, &whole).await;
    assert_eq!(world.query(columns).await, ["NULL"]);
    let made = world.resettled("postgres_grant", &made, &of(r#""SELECT""#, r#""a""#)).await;
    assert_eq!(privileges(&world, "s.\"T.x\"").await, [] as [&str; 0]);
    world.execute("GRANT UPDATE (a), SELECT (c) ON s.\"T.x\" TO \"$db_r\"").await;
    let drifted = world.read("postgres_grant", &made).await.unwrap();
    assert_ne!(drifted.attributes, made.attributes);
    let made = world.resettled("postgres_grant", &drifted, &of(r#""SELECT""#, r#""a""#)).await;
    world.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(world.query(columns).await, ["NULL"]);
}

/// The privileges of the role on columns.
const OF_COLUMNS: &str = "SELECT a.attname || ' ' || x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END
     FROM pg_attribute a, aclexplode(a.attacl) x
     WHERE a.attrelid = 's.\"T.x\"'::regclass AND pg_get_userbyid(x.grantee) = '$db_r' ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn foreign_grants_on_columns_stay_when_the_table_is_revoked() {
    let world = with_roles().await;
    let one = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "UPDATE"], "grantOption": true"#);
    let made = world.settled("postgres_grant", &one).await;
    world.execute("GRANT SELECT (a), INSERT (b) ON s.\"T.x\" TO \"$db_r\"; GRANT SELECT (b) ON s.\"T.x\" TO \"$db_r\" WITH GRANT OPTION").await;
    let theirs = ["a SELECT", "b INSERT", "b SELECT*"];
    // A privilege, then the option, then all privileges are revoked.
    let less = grant("table", "s.\"T.x\"", r#""privileges": ["UPDATE"], "grantOption": true"#);
    let made = world.resettled("postgres_grant", &made, &less).await;
    assert_eq!(world.query(OF_COLUMNS).await, theirs);
    let other = grant("table", "s.\"T.x\"", r#""privileges": ["UPDATE", "SELECT"], "grantOption": true"#);
    let made = world.resettled("postgres_grant", &made, &other).await;
    let plain = other.replace("true", "false");
    let made = world.resettled("postgres_grant", &made, &plain).await;
    assert_eq!(world.query(OF_COLUMNS).await, theirs);
    world.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(privileges(&world, "s.\"T.x\"").await, [] as [&str; 0]);
    assert_eq!(world.query(OF_COLUMNS).await, theirs);
    // A grant on columns covers all privileges of the role on columns.
    let made =
        world.settled("postgres_grant", &grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "DELETE"]"#)).await;
    let columns = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"], "columns": ["a"]"#);
    world.resettled("postgres_grant", &made, &columns).await;
    assert_eq!(world.query(OF_COLUMNS).await, ["a SELECT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_revocation_names_the_grantor() {
    let world = with_roles().await;
    world
        .execute("GRANT USAGE ON SCHEMA s TO \"$db_u\"; GRANT SELECT ON s.\"T.x\" TO \"$db_u\" WITH GRANT OPTION")
        .await;
    let both = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "UPDATE"]"#);
    let made = world.settled("postgres_grant", &both).await;
    world.execute("SET ROLE \"$db_u\"; GRANT SELECT ON s.\"T.x\" TO \"$db_r\"; RESET ROLE").await;
    let expected = "REVOKE SELECT ON TABLE \"s\".\"T.x\" FROM \"$db_r\"".replace("$db", &world.database);
    let told = |error: terrace_provider::ProviderError| {
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
        let (who, what) = (format!("`{}_u`", world.database), format!("`{expected};`"));
        assert!(error.message.contains(&who) && error.solutions[0].contains(&what), "{error:?}");
    };
    told(world.delete("postgres_grant", &made).await.unwrap_err());
    let less = grant("table", "s.\"T.x\"", r#""privileges": ["UPDATE"]"#);
    told(world.update("postgres_grant", &made, &less).await.unwrap_err());
    assert_eq!(privileges(&world, "s.\"T.x\"").await, ["SELECT", "SELECT", "UPDATE"], "nothing was changed");
    world.execute(&format!("SET ROLE \"$db_u\"; {expected}; RESET ROLE")).await;
    let made = world.resettled("postgres_grant", &made, &less).await;
    world.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(world.read("postgres_grant", &made).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_without_effect_is_an_error() {
    let world = with_roles().await;
    let made = world.settled("postgres_grant", &grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#)).await;
    let session = crate::rights::limited(&world).await;
    // The server only warns a user who has the privilege without its grant option.
    world
        .execute("GRANT CONNECT ON DATABASE \"$db\" TO \"$db_limited\"; GRANT USAGE ON SCHEMA s TO \"$db_limited\"; GRANT SELECT ON s.\"T.x\" TO \"$db_limited\"")
        .await;
    let ty = world.ty("postgres_grant");
    let error = session.delete(ty, &world.call("step-3"), &crate::world::recorded(&made)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.message.contains("`terrace`"), "{error:?}");
    assert_eq!(privileges(&world, "s.\"T.x\"").await, ["SELECT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_password_is_invalid() {
    let world = World::new().await;
    let with = world.settled("postgres_role", r#"{"name": "$db_in", "login": true, "password": "hunter2"}"#).await;
    let stored = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = '$db_in'";
    // An unmanaged password stays.
    let without = r#"{"name": "$db_in", "login": true}"#;
    let same = world.resettled("postgres_role", &with, without).await;
    assert_eq!(world.query(stored).await, ["f"], "another owner may have set it");
    let now = world.update_with("postgres_role", &same, without, &["password".to_owned()]).await.unwrap();
    assert_eq!(world.query(stored).await, ["t"]);
    world.is_settled("postgres_role", &now, without).await;
    world.execute("ALTER ROLE \"$db_in\" PASSWORD 'theirs'").await;
    world.resettled("postgres_role", &now, r#"{"name": "$db_in", "login": true, "comment": "c"}"#).await;
    assert_eq!(world.query(stored).await, ["f"], "it is removed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_grant_is_refused_in_the_plan() {
    let world = World::new().await;
    for (config, at) in [
        (grant("view", "s.t", r#""privileges": ["SELECT"]"#), "objectType"),
        (grant("table", "t", r#""privileges": ["SELECT"]"#), "object"),
        (grant("table", "s.t\" TO PUBLIC; --", r#""privileges": ["SELECT"]"#), "object"),
        (grant("table", "s.t", r#""privileges": ["SELECT, INSERT"]"#), "privileges[0]"),
        (grant("table", "s.t", r#""privileges": ["USAGE"]"#), "privileges[0]"),
        (grant("table", "s.t", r#""privileges": []"#), "privileges"),
        (grant("table", "s.t", r#""privileges": ["DELETE"], "columns": ["a"]"#), "privileges[0]"),
        (grant("schema", "s", r#""privileges": ["USAGE"], "columns": ["a"]"#), "columns"),
        (grant("database", "other", r#""privileges": ["CONNECT"]"#), "object"),
    ] {
        let planned = world.plan("postgres_grant", None, &config).await;
        match planned {
            Err(error) => assert_eq!(place(&error), at, "{config}"),
            // A quote in the middle of a name is valid.
            Ok(_) => assert!(config.contains("TO PUBLIC"), "{config}"),
        }
    }
    let hostile = grant("table", "s.t\" TO PUBLIC; --", r#""privileges": ["SELECT"]"#);
    assert!(world.create("postgres_grant", &hostile).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn role_is_created_changed_and_deleted_without_a_visible_password() {
    let world = with_roles().await;
    let config = r#"{"name": "$db_new", "login": true, "password": "hunter2 'quoted'", "comment": "c"}"#;
    let made = world.settled("postgres_role", config).await;
    assert!(!format!("{made:?}").contains("hunter2"));
    assert!(matches!(world.find("postgres_role", config, Some("step-1")).await, Found::Ours(_)));
    let verifier = world.query("SELECT rolpassword FROM pg_authid WHERE rolname = '$db_new'").await.join("");
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    assert!(!world.cluster.log().contains("hunter2"));
    let url = world
        .cluster
        .url("postgres")
        .replace("terrace:hunter2-of-the-tests", &format!("{}_new:hunter2%20%27quoted%27", world.database));
    tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map(|_| ()).expect("the password is valid");
    let made = world.resettled("postgres_role", &made, r#"{"name": "$db_new", "inherit": false}"#).await;
    let member = r#"{"role": "$db_r", "member": "$db_new"}"#;
    let membership = world.settled("postgres_membership", member).await;
    let membership = world
        .resettled("postgres_membership", &membership, r#"{"role": "$db_r", "member": "$db_new", "admin": true}"#)
        .await;
    let membership = world.resettled("postgres_membership", &membership, member).await;
    let members = world.lookup("postgres_members", r#"{"role": "$db_r"}"#).await.unwrap();
    assert!(format!("{members:?}").contains("_new\""), "{members:?}");
    world.delete("postgres_membership", &membership).await.unwrap();
    assert_eq!(world.read("postgres_membership", &membership).await, None);
    world.execute("GRANT SELECT ON s.\"T.x\" TO \"$db_new\"").await;
    let error = world.delete("postgres_role", &made).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("2BP01"));
    world.execute("REVOKE ALL ON s.\"T.x\" FROM \"$db_new\"").await;
    world.delete("postgres_role", &made).await.unwrap();
    assert_eq!(world.read("postgres_role", &made).await, None);
    let error = world.create("postgres_membership", member).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("42704"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_is_revoked_from_all_grantors() {
    let world = World::new().await;
    let config = r#"{"role": "$db_r", "member": "$db_m"}"#;
    world
        .execute(
            "CREATE ROLE \"$db_r\"; CREATE ROLE \"$db_m\"; CREATE ROLE \"$db_boss\";
             GRANT \"$db_r\" TO \"$db_boss\" WITH ADMIN OPTION",
        )
        .await;
    let membership = world.settled("postgres_membership", config).await;
    world.execute("SET ROLE \"$db_boss\"; GRANT \"$db_r\" TO \"$db_m\"; RESET ROLE").await;
    world.is_settled("postgres_membership", &membership, config).await;
    world.delete("postgres_membership", &membership).await.unwrap();
    let left =
        "SELECT count(*)::text FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member WHERE m.rolname = '$db_m'";
    assert_eq!(world.query(left).await, ["0"]);
}
