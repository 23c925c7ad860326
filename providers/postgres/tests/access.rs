use crate::harness::{Harness, place};
use terrace_provider::{ErrorKind, Found, Observed};

async fn with_roles() -> Harness {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.\"T.x\" (a int, b int, c int); CREATE SEQUENCE s.q; CREATE ROLE \"$db_r\"; CREATE ROLE \"$db_u\"").await;
    harness
}

fn grant(ty: &str, object: &str, rest: &str) -> String {
    let object = serde_json::Value::from(object);
    format!(r#"{{"database": "$db", "objectType": "{ty}", "object": {object}, "role": "$db_r", {rest}}}"#)
}

async fn privileges(harness: &Harness, on: &str) -> Vec<String> {
    let sql = format!(
        "SELECT x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END FROM pg_class c, aclexplode(c.relacl) x
         WHERE c.oid = '{on}'::regclass AND pg_get_userbyid(x.grantee) = '$db_r' ORDER BY 1"
    );
    harness.query(&sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_all_kinds_are_created_changed_and_deleted() {
    let harness = with_roles().await;
    for (ty, object, first, second) in [
        ("database", harness.database.clone(), "CONNECT", "TEMPORARY"),
        ("schema", "s".to_owned(), "USAGE", "CREATE"),
        ("table", "s.\"T.x\"".to_owned(), "SELECT", "UPDATE"),
        ("sequence", "s.q".to_owned(), "USAGE", "SELECT"),
    ] {
        let one = grant(ty, &object, &format!(r#""privileges": ["{first}"]"#));
        let made = harness.create_settled("postgres_grant", &one).await;
        assert!(matches!(harness.find("postgres_grant", &one, Some("step-1")).await, Found::Own(_)));
        assert!(matches!(harness.find("postgres_grant", &one, None).await, Found::Foreign(_)));
        let both = grant(ty, &object, &format!(r#""privileges": ["{second}", "{first}"], "grantOption": true"#));
        let made = harness.update_settled("postgres_grant", &made, &both).await;
        let other = grant(ty, &object, &format!(r#""privileges": ["{second}"]"#));
        let made = harness.update_settled("postgres_grant", &made, &other).await;
        assert_eq!(
            harness.import("postgres_grant", made.attributes["id"].as_str().unwrap()).await.unwrap().attributes,
            made.attributes
        );
        harness.delete("postgres_grant", &made).await.unwrap();
        assert_eq!(harness.read("postgres_grant", &made).await, None);
        harness.delete("postgres_grant", &made).await.unwrap();
    }
    harness.execute("DROP TABLE s.\"T.x\"").await;
    let one = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#);
    assert_eq!(harness.find("postgres_grant", &one, None).await, Found::Absent);
    let error = harness.create("postgres_grant", &one).await.unwrap_err();
    assert_eq!(place(&error), "object", "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_grants_stay() {
    let harness = with_roles().await;
    harness.execute("GRANT SELECT, INSERT ON s.\"T.x\" TO \"$db_r\"").await;
    // A part of the grant existed before: it stays.
    let config = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "UPDATE"]"#);
    let made = harness.create_settled("postgres_grant", &config).await;
    let error = harness.create("postgres_grant", &config).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }));
    harness.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(privileges(&harness, "s.\"T.x\"").await, ["INSERT", "SELECT"]);
    // All of it existed before: it is adopted and not revoked.
    let config = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#);
    let Found::Foreign(found) = harness.find("postgres_grant", &config, None).await else { panic!() };
    harness.assert_settled("postgres_grant", &found, &config).await;
    harness.delete("postgres_grant", &found).await.unwrap();
    assert_eq!(privileges(&harness, "s.\"T.x\"").await, ["INSERT", "SELECT"]);
    // The same for a membership.
    harness.execute("GRANT \"$db_r\" TO \"$db_u\"").await;
    let member = r#"{"role": "$db_r", "member": "$db_u"}"#;
    let Found::Foreign(found) = harness.find("postgres_membership", member, None).await else { panic!() };
    harness.delete("postgres_membership", &found).await.unwrap();
    assert!(harness.read("postgres_membership", &found).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_columns_are_separate_from_those_of_the_table() {
    let harness = with_roles().await;
    let of = |privileges: &str, columns: &str| {
        grant("table", "s.\"T.x\"", &format!(r#""privileges": [{privileges}], "columns": [{columns}]"#))
    };
    let columns = "SELECT string_agg(attname || attacl::text, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 's.\"T.x\"'::regclass AND attacl IS NOT NULL AND attacl <> '{}'";
    let made: Observed = harness.create_settled("postgres_grant", &of(r#""SELECT""#, r#""b", "a""#)).await;
    let made = harness.update_settled("postgres_grant", &made, &of(r#""SELECT", "UPDATE""#, r#""b", "c""#)).await;
    let expected = "b{$db_r=rw/terrace} c{$db_r=rw/terrace}".replace("$db", &harness.database);
    assert_eq!(harness.query(columns).await, [expected]);
    let whole = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#);
    let made = harness.update_settled("postgres_grant", &made, &whole).await;
    assert_eq!(harness.query(columns).await, ["NULL"]);
    let made = harness.update_settled("postgres_grant", &made, &of(r#""SELECT""#, r#""a""#)).await;
    assert_eq!(privileges(&harness, "s.\"T.x\"").await, [] as [&str; 0]);
    harness.execute("GRANT UPDATE (a), SELECT (c) ON s.\"T.x\" TO \"$db_r\"").await;
    let drifted = harness.read("postgres_grant", &made).await.unwrap();
    assert_ne!(drifted.attributes, made.attributes);
    let made = harness.update_settled("postgres_grant", &drifted, &of(r#""SELECT""#, r#""a""#)).await;
    harness.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(harness.query(columns).await, ["NULL"]);
}

/// The privileges of the role on columns.
const OF_COLUMNS: &str = "SELECT a.attname || ' ' || x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END
     FROM pg_attribute a, aclexplode(a.attacl) x
     WHERE a.attrelid = 's.\"T.x\"'::regclass AND pg_get_userbyid(x.grantee) = '$db_r' ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn foreign_grants_on_columns_stay_when_the_table_is_revoked() {
    let harness = with_roles().await;
    let one = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "UPDATE"], "grantOption": true"#);
    let made = harness.create_settled("postgres_grant", &one).await;
    harness.execute("GRANT SELECT (a), INSERT (b) ON s.\"T.x\" TO \"$db_r\"; GRANT SELECT (b) ON s.\"T.x\" TO \"$db_r\" WITH GRANT OPTION").await;
    let preexisting = ["a SELECT", "b INSERT", "b SELECT*"];
    // A privilege, then the option, then all privileges are revoked.
    let less = grant("table", "s.\"T.x\"", r#""privileges": ["UPDATE"], "grantOption": true"#);
    let made = harness.update_settled("postgres_grant", &made, &less).await;
    assert_eq!(harness.query(OF_COLUMNS).await, preexisting);
    let other = grant("table", "s.\"T.x\"", r#""privileges": ["UPDATE", "SELECT"], "grantOption": true"#);
    let made = harness.update_settled("postgres_grant", &made, &other).await;
    let plain = other.replace("true", "false");
    let made = harness.update_settled("postgres_grant", &made, &plain).await;
    assert_eq!(harness.query(OF_COLUMNS).await, preexisting);
    harness.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(privileges(&harness, "s.\"T.x\"").await, [] as [&str; 0]);
    assert_eq!(harness.query(OF_COLUMNS).await, preexisting);
    // A grant on columns covers all privileges of the role on columns.
    let made = harness
        .create_settled("postgres_grant", &grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "DELETE"]"#))
        .await;
    let columns = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"], "columns": ["a"]"#);
    harness.update_settled("postgres_grant", &made, &columns).await;
    assert_eq!(harness.query(OF_COLUMNS).await, ["a SELECT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_revocation_names_the_grantor() {
    let harness = with_roles().await;
    harness
        .execute("GRANT USAGE ON SCHEMA s TO \"$db_u\"; GRANT SELECT ON s.\"T.x\" TO \"$db_u\" WITH GRANT OPTION")
        .await;
    let both = grant("table", "s.\"T.x\"", r#""privileges": ["SELECT", "UPDATE"]"#);
    let made = harness.create_settled("postgres_grant", &both).await;
    harness.execute("SET ROLE \"$db_u\"; GRANT SELECT ON s.\"T.x\" TO \"$db_r\"; RESET ROLE").await;
    let expected = "REVOKE SELECT ON TABLE \"s\".\"T.x\" FROM \"$db_r\"".replace("$db", &harness.database);
    let assert_grantor_named = |error: terrace_provider::ProviderError| {
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
        let (who, what) = (format!("`{}_u`", harness.database), format!("`{expected};`"));
        assert!(error.message.contains(&who) && error.solutions[0].contains(&what), "{error:?}");
    };
    assert_grantor_named(harness.delete("postgres_grant", &made).await.unwrap_err());
    let less = grant("table", "s.\"T.x\"", r#""privileges": ["UPDATE"]"#);
    assert_grantor_named(harness.update("postgres_grant", &made, &less).await.unwrap_err());
    assert_eq!(privileges(&harness, "s.\"T.x\"").await, ["SELECT", "SELECT", "UPDATE"], "nothing was changed");
    harness.execute(&format!("SET ROLE \"$db_u\"; {expected}; RESET ROLE")).await;
    let made = harness.update_settled("postgres_grant", &made, &less).await;
    harness.delete("postgres_grant", &made).await.unwrap();
    assert_eq!(harness.read("postgres_grant", &made).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_without_effect_is_an_error() {
    let harness = with_roles().await;
    let made =
        harness.create_settled("postgres_grant", &grant("table", "s.\"T.x\"", r#""privileges": ["SELECT"]"#)).await;
    let session = crate::rights::limited(&harness).await;
    // The server only warns a user who has the privilege without its grant option.
    harness
        .execute("GRANT CONNECT ON DATABASE \"$db\" TO \"$db_limited\"; GRANT USAGE ON SCHEMA s TO \"$db_limited\"; GRANT SELECT ON s.\"T.x\" TO \"$db_limited\"")
        .await;
    let ty = harness.ty("postgres_grant");
    let error = session.delete(ty, &harness.call("step-3"), &crate::harness::recorded(&made)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.message.contains("`terrace`"), "{error:?}");
    assert_eq!(privileges(&harness, "s.\"T.x\"").await, ["SELECT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_password_is_invalid() {
    let harness = Harness::new().await;
    let with =
        harness.create_settled("postgres_role", r#"{"name": "$db_in", "login": true, "password": "hunter2"}"#).await;
    let stored = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = '$db_in'";
    // An unmanaged password stays.
    let without = r#"{"name": "$db_in", "login": true}"#;
    let same = harness.update_settled("postgres_role", &with, without).await;
    assert_eq!(harness.query(stored).await, ["f"], "another owner may have set it");
    let now = harness.update_with("postgres_role", &same, without, &["password".to_owned()]).await.unwrap();
    assert_eq!(harness.query(stored).await, ["t"]);
    harness.assert_settled("postgres_role", &now, without).await;
    harness.execute("ALTER ROLE \"$db_in\" PASSWORD 'theirs'").await;
    harness.update_settled("postgres_role", &now, r#"{"name": "$db_in", "login": true, "comment": "c"}"#).await;
    assert_eq!(harness.query(stored).await, ["f"], "it is removed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_grant_is_refused_in_the_plan() {
    let harness = Harness::new().await;
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
        let planned = harness.plan("postgres_grant", None, &config).await;
        match planned {
            Err(error) => assert_eq!(place(&error), at, "{config}"),
            // A quote in the middle of a name is valid.
            Ok(_) => assert!(config.contains("TO PUBLIC"), "{config}"),
        }
    }
    let injection = grant("table", "s.t\" TO PUBLIC; --", r#""privileges": ["SELECT"]"#);
    assert!(harness.create("postgres_grant", &injection).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn role_is_created_changed_and_deleted_without_a_visible_password() {
    let harness = with_roles().await;
    let config = r#"{"name": "$db_new", "login": true, "password": "hunter2 'quoted'", "comment": "c"}"#;
    let made = harness.create_settled("postgres_role", config).await;
    assert!(!format!("{made:?}").contains("hunter2"));
    assert!(matches!(harness.find("postgres_role", config, Some("step-1")).await, Found::Own(_)));
    let verifier = harness.query("SELECT rolpassword FROM pg_authid WHERE rolname = '$db_new'").await.join("");
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    assert!(!harness.cluster.log().contains("hunter2"));
    let url = harness
        .cluster
        .url("postgres")
        .replace("terrace:hunter2-of-the-tests", &format!("{}_new:hunter2%20%27quoted%27", harness.database));
    tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map(|_| ()).expect("the password is valid");
    let made = harness.update_settled("postgres_role", &made, r#"{"name": "$db_new", "inherit": false}"#).await;
    let member = r#"{"role": "$db_r", "member": "$db_new"}"#;
    let membership = harness.create_settled("postgres_membership", member).await;
    let membership = harness
        .update_settled("postgres_membership", &membership, r#"{"role": "$db_r", "member": "$db_new", "admin": true}"#)
        .await;
    let membership = harness.update_settled("postgres_membership", &membership, member).await;
    let members = harness.lookup("postgres_members", r#"{"role": "$db_r"}"#).await.unwrap();
    assert!(format!("{members:?}").contains("_new\""), "{members:?}");
    harness.delete("postgres_membership", &membership).await.unwrap();
    assert_eq!(harness.read("postgres_membership", &membership).await, None);
    harness.execute("GRANT SELECT ON s.\"T.x\" TO \"$db_new\"").await;
    let error = harness.delete("postgres_role", &made).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("2BP01"));
    harness.execute("REVOKE ALL ON s.\"T.x\" FROM \"$db_new\"").await;
    harness.delete("postgres_role", &made).await.unwrap();
    assert_eq!(harness.read("postgres_role", &made).await, None);
    let error = harness.create("postgres_membership", member).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("42704"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_is_revoked_from_all_grantors() {
    let harness = Harness::new().await;
    let config = r#"{"role": "$db_r", "member": "$db_m"}"#;
    harness
        .execute(
            "CREATE ROLE \"$db_r\"; CREATE ROLE \"$db_m\"; CREATE ROLE \"$db_boss\";
             GRANT \"$db_r\" TO \"$db_boss\" WITH ADMIN OPTION",
        )
        .await;
    let membership = harness.create_settled("postgres_membership", config).await;
    harness.execute("SET ROLE \"$db_boss\"; GRANT \"$db_r\" TO \"$db_m\"; RESET ROLE").await;
    harness.assert_settled("postgres_membership", &membership, config).await;
    harness.delete("postgres_membership", &membership).await.unwrap();
    let left =
        "SELECT count(*)::text FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member WHERE m.rolname = '$db_m'";
    assert_eq!(harness.query(left).await, ["0"]);
}
