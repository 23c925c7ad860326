//! `terrace witboost register`, `status` and `unregister`.

use super::platform::{Platform, Says};
use crate::cli::schemas::assert_is;
use serde_json::json;
use terrace_test_witboost::StandIn;

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, environment)| ((*id).to_owned(), (*environment).to_owned())).collect()
}

#[test]
fn register_shows_a_plan_and_sends_it_with_consent() {
    let platform = Platform::new();
    // Consent needs a terminal.
    let ran = platform.witboost(&["register"]).with_code(1);
    ran.says("2 registrations for").says("+ urn:dmb:itm:terrace:0  production  http://terrace:8091");
    ran.says("urn:dmb:utm:snowflake-storage-template").says("pass `--auto-approve`");
    assert_eq!(platform.stand_in.adapters(), Vec::<serde_json::Value>::new());
    let ran = platform.witboost(&["register", "--auto-approve"]).done();
    assert_eq!(
        ran.stdout,
        "registered  urn:dmb:itm:terrace:0  development  http://terrace:8091\n\
         registered  urn:dmb:itm:terrace:0  production  http://terrace:8091\n"
    );
    let sent = json!({
        "id": "urn:dmb:itm:terrace:0", "name": "terrace", "description": "Deployed by terrace", "version": "0",
        "url": "http://terrace:8091", "environment": "development",
    });
    assert_eq!(platform.stand_in.adapters()[0], sent);
    // A second run has the same result.
    platform.witboost(&["register", "--auto-approve"]).done();
    assert_eq!(platform.stand_in.adapters().len(), 2);
    platform.check_calls();
}

#[test]
fn registrations_come_from_configuration_and_blueprints() {
    let platform = Platform::new();
    platform.write(
        "blueprints/note.yaml",
        "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: note, version: 1.0.0}\n\
         match: {infrastructureTemplateId: 'urn:dmb:itm:notes:1.2'}\n\
         resources: [{type: local_value, name: v, config: {value: 1}}]\n",
    );
    platform.write(
        "terrace.yaml",
        format!(
            "environments:\n  development: {{overlay: embedded}}\n  production:\n    overlay: embedded\n    \
             templates: {{'urn:dmb:itm:theirs': note, 'urn:dmb:itm:ours:3': note, 'urn:dmb:utm:extra': note}}\n\
             witboost:\n  url: {}\n  adapter:\n    urls: {{production: 'https://terrace.example.com/x'}}\n    \
             templates: [{{id: 'urn:dmb:itm:terrace:0', name: Terrace, description: All components}}]\n",
            platform.stand_in.url()
        ),
    );
    let ran = platform.witboost(&["register", "--auto-approve"]).done();
    ran.says("`urn:dmb:itm:theirs` has no version").says("urn:dmb:utm:extra");
    let expected = ["urn:dmb:itm:notes:1.2", "urn:dmb:itm:ours:3", "urn:dmb:itm:terrace:0"];
    assert_eq!(platform.registered(), pairs(&expected.map(|id| (id, "production"))));
    let adapters = platform.stand_in.adapters();
    assert_eq!((&adapters[2]["name"], &adapters[2]["description"]), (&json!("Terrace"), &json!("All components")));
    assert!(adapters.iter().all(|adapter| adapter["url"] == "https://terrace.example.com/x"), "{adapters:?}");
    assert_eq!(adapters[0]["version"], "1.2");
    platform.check_calls();
}

#[test]
fn quiet_registration_prints_only_its_result() {
    let platform = Platform::new();
    let ran = platform.witboost(&["register", "--auto-approve", "-q", "--env", "production"]).done();
    assert_eq!(ran.stdout, "registered  urn:dmb:itm:terrace:0  production  http://terrace:8091\n");
    assert_eq!(ran.stderr, "");
    // A question needs its subject.
    platform.witboost(&["register", "-q"]).with_code(1).says("2 registrations for");
}

#[test]
fn environment_limits_the_registrations() {
    let platform = Platform::new();
    platform.witboost(&["register", "--auto-approve", "--env", "production"]).done();
    assert_eq!(platform.registered(), pairs(&[("urn:dmb:itm:terrace:0", "production")]));
    platform
        .witboost(&["register", "--auto-approve", "--env", "staging"])
        .with_code(1)
        .says("`staging` is not configured");
    platform.configure("urls: {production: 'http://terrace:1'}, templates: ['urn:dmb:itm:terrace:0']");
    let ran = platform.witboost(&["register", "--env", "development"]).with_code(1);
    ran.says("no address of the server is configured for the environment `development`");
}

#[test]
fn registered_adapter_that_the_platform_keeps_is_reported() {
    let platform = Platform::new();
    platform.stand_in.keep_adapters();
    platform.witboost(&["register", "--auto-approve", "--env", "production"]).done();
    let ran = platform.witboost(&["register", "--auto-approve", "--json"]).with_code(3);
    ran.says("Witboost has 1 adapter with these ids already");
    let result = ran.json();
    assert_is("witboostRegister", &result);
    let results: Vec<_> = result["registrations"].as_array().unwrap().iter().map(|it| &it["result"]).collect();
    assert_eq!(results, ["registered", "exists"]);
    platform.witboost(&["register", "--auto-approve"]).with_code(3);
}

#[test]
fn registration_needs_no_secret_of_a_provider() {
    let platform = Platform::new();
    let password = "password: {secret: '${{ env.UNSET_PASSWORD }}'}";
    let providers = format!("providers: {{postgres: {{host: db, user: me, {password}}}}}");
    platform.edit("terrace.yaml", "production: {", &format!("production: {{{providers}, "));
    platform.witboost(&["register", "--auto-approve"]).done();
    assert_eq!(platform.registered().len(), 2);
    platform.witboost(&["register", "--auto-approve", "--env", "production"]).done();
    platform.witboost(&["status"]).done();
    platform.witboost(&["unregister"]).with_code(4);
}

#[test]
fn status_of_a_silent_platform_does_not_call_the_token_refused() {
    let platform = Platform::new();
    let url = platform.stand_in.url().to_owned();
    platform.edit("terrace.yaml", &url, "http://127.0.0.1:9");
    let ran = platform.witboost(&["status", "--json"]).with_code(1);
    let status = ran.json();
    assert_is("witboostStatus", &status);
    assert_eq!(status["token"], "unknown");
    platform.witboost(&["status"]).with_code(1).prints("token unknown");
}

#[test]
fn environment_that_the_platform_lacks_fails_alone() {
    let platform = Platform::new();
    platform.edit("terrace.yaml", "  development:", "  qa:");
    let ran = platform.witboost(&["register", "--auto-approve", "--json"]).with_code(3);
    ran.says("Environment qa is not configured");
    let result = ran.json();
    assert_is("witboostRegister", &result);
    assert_eq!(
        (&result["registrations"][0]["result"], &result["registrations"][1]["result"]),
        (&json!("failed"), &json!("registered"))
    );
    assert_eq!(platform.registered(), pairs(&[("urn:dmb:itm:terrace:0", "production")]));
    // A token without the permission fails every call, so one call is enough.
    platform.stand_in.permit(&[]);
    drop(platform.stand_in.take_calls());
    let result = platform.witboost(&["register", "--auto-approve", "--json"]).with_code(1).json();
    assert_is("witboostRegister", &result);
    assert_eq!(
        (&result["registrations"][0]["result"], &result["registrations"][1]["result"]),
        (&json!("failed"), &json!("skipped"))
    );
    assert_eq!(platform.stand_in.take_calls().len(), 2, "the token and a registration");
    platform.check_calls();
}

#[test]
fn status_reports_token_and_server_without_a_registration() {
    let platform = Platform::new();
    // The server is closed, which fails no command: only the coordinator has to reach it.
    platform.configure("url: 'http://127.0.0.1:9', templates: ['urn:dmb:itm:terrace:0']");
    let ran = platform.witboost(&["status"]).done();
    ran.prints("token accepted").prints("http://127.0.0.1:9: no answer to this machine");
    ran.prints("publishes no API that lists adapters");
    assert_eq!(platform.stand_in.adapters(), Vec::<serde_json::Value>::new());
    let status = platform.witboost(&["status", "--json"]).done().json();
    assert_is("witboostStatus", &status);
    assert_eq!((&status["token"], &status["servers"][0]["answers"]), (&json!("accepted"), &json!(false)));
    // A running server.
    let served = terrace_tests::served::Served::start_with(&platform, &[], &[("WITBOOST_TOKEN", "x")]);
    platform.configure(&format!("url: '{}', templates: ['urn:dmb:itm:terrace:0']", served.url()));
    platform.witboost(&["status"]).done().prints(&format!("{}: answers", served.url()));
    platform.stand_in.revoke();
    let ran = platform.witboost(&["status", "--json"]).with_code(1);
    ran.says("Witboost does not accept the access token").says("(status 500)");
    assert_eq!(ran.json()["token"], "refused");
    platform.check_calls();
}

#[test]
fn unregister_changes_nothing_and_is_refused() {
    let platform = Platform::new();
    platform.witboost(&["register", "--auto-approve"]).done();
    let calls = platform.stand_in.count();
    let ran = platform.witboost(&["unregister"]).with_code(4);
    ran.says("publishes no API that removes an adapter").prints("urn:dmb:itm:terrace:0  production");
    assert_is("witboostUnregister", &platform.witboost(&["unregister", "--json"]).with_code(4).json());
    assert_eq!((platform.stand_in.count(), platform.stand_in.adapters().len()), (calls, 2));
}

#[test]
fn missing_and_invalid_settings_are_named() {
    let platform = Platform::new();
    let url = platform.stand_in.url().to_owned();
    let adapter = "adapter: {url: 'http://t', templates: ['urn:dmb:itm:t:0']}";
    for (settings, message) in [
        ("{}", "no address of the server is configured"),
        ("{adapter: {url: 'http://t'}}", "no infrastructure template is known"),
        (&format!("{{{adapter}}}"), "no address of Witboost is configured"),
        (&format!("{{url: '{url}', {adapter}}}"), "no token for Witboost is configured"),
        (&format!("{{url: 'http://w.example.com', token: wbat-x, {adapter}}}"), "without encryption"),
        ("{adapter: {url: 'ftp://me:hunter2@t'}}", "this is not the URL of a server"),
        (
            "{adapter: {url: 'http://t', templates: ['urn:dmb:utm:t:0.0.0']}}",
            "is not the id of an infrastructure template",
        ),
        ("{adapter: {url: 'http://t', templates: ['urn:dmb:itm:t']}}", "is not the id of an infrastructure template"),
        ("{adapter: {url: 'http://t', templates: ['urn:dmb:itm:t:0', 'urn:dmb:itm:t:0']}}", "is listed twice"),
        ("{adapter: {urls: {nothing: 'http://t'}}}", "`nothing` is not configured"),
        ("{adapter: {ulr: x}}", "did you mean `url`?"),
        ("{token: [x], url: http://w}", "`token` is a list: expected text"),
        ("{url: 'http://w', token: {secret: '${{ env.UNSET_TOKEN }}'}}", "`UNSET_TOKEN` is not set"),
    ] {
        platform.write(
            "terrace.yaml",
            format!("environments: {{production: {{overlay: embedded}}}}\nwitboost: {settings}\n"),
        );
        let ran = platform.run(["witboost", "register", "--auto-approve"]).with_code(1);
        ran.says(message);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    assert_eq!(platform.stand_in.count(), 0);
    // Other commands need no token.
    platform.write_stack("resources: []\n");
    platform.run(["validate", "stack.yaml", "--env", "production"]).done();
}

#[test]
fn jwt_of_a_session_is_used_as_it_is() {
    let platform = Platform::new();
    let jwt = platform.stand_in.jwt();
    platform.with_token(&jwt, &["register", "--auto-approve"]).done();
    let calls = platform.stand_in.take_calls();
    assert!(calls.iter().all(|call| call.path == "/api/builder/register"), "{calls:?}");
    platform
        .with_token("no-such-token", &["register", "--auto-approve"])
        .with_code(1)
        .says("does not accept the token");
    platform.with_token(&jwt, &["status"]).done().prints("token unchecked");
}

#[test]
fn token_is_trimmed_and_its_form_checked() {
    let platform = Platform::new();
    let register = ["register", "--auto-approve"];
    for token in [format!("{}\n", StandIn::TOKEN), format!(" {}\r\n", StandIn::TOKEN)] {
        platform.with_token(&token, &register).done();
    }
    let jwt = format!("{}\n", platform.stand_in.jwt());
    platform.with_token(&jwt, &register).done();
    let calls = platform.stand_in.count();
    for token in ["wbat-two words", "wbat-one\nwbat-two", "wbat-h\u{e9}l", "eyJ.h\u{e9}l", "\u{201c}wbat-x\u{201d}"] {
        let ran = platform.with_token(token, &register).with_code(1);
        ran.says("the token for Witboost is not a token").says("WITBOOST_TOKEN");
    }
    assert_eq!(platform.stand_in.count(), calls, "no call has such a token");
    platform.check_calls();
}
