//! A platform that refuses, limits, fails and forgets.

use super::platform::{Platform, Says};
use std::time::Instant;
use terrace_test_witboost::{Fault, StandIn};

const REGISTER: &[&str] = &["register", "--auto-approve", "--env", "production"];

/// The paths and statuses of the calls since the last use of this function.
fn calls(platform: &Platform) -> Vec<(String, u16)> {
    platform.stand_in.take_calls().into_iter().map(|call| (call.path, call.status)).collect()
}

fn of(expected: &[(&str, u16)]) -> Vec<(String, u16)> {
    expected.iter().map(|(path, status)| ((*path).to_owned(), *status)).collect()
}

const JWT: &str = "/api/auth/access-tokens/jwt";
const ADAPTER: &str = "/api/builder/register";

#[test]
fn token_is_exchanged_once_and_renewed_after_its_expiry() {
    let platform = Platform::new();
    platform.witboost(&["register", "--auto-approve"]).done();
    assert_eq!(calls(&platform), of(&[(JWT, 200), (ADAPTER, 200), (ADAPTER, 200)]));
    platform.stand_in.faults().by_text.push((ADAPTER.to_owned(), Fault::Expired));
    platform.witboost(REGISTER).done();
    assert_eq!(calls(&platform), of(&[(JWT, 200), (ADAPTER, 401), (JWT, 200), (ADAPTER, 200)]));
    // A token that is refused again is not renewed again.
    platform
        .stand_in
        .faults()
        .by_text
        .extend([(ADAPTER.to_owned(), Fault::Expired), (ADAPTER.to_owned(), Fault::Expired)]);
    platform.witboost(REGISTER).with_code(1).says("Witboost does not accept the token: Invalid or expired token");
    assert_eq!(calls(&platform), of(&[(JWT, 200), (ADAPTER, 401), (JWT, 200), (ADAPTER, 401)]));
    platform.check_calls();
}

#[test]
fn lasting_refusals_are_reported_with_their_remedy() {
    let platform = Platform::new();
    for (status, message, hint) in [
        (400, "refuses to register an adapter (status 400): on purpose", ""),
        (403, "the token may not register an adapter: on purpose", "Administration, IAM"),
        (404, "finds nothing to register an adapter: on purpose", "check `witboost.url`"),
        (422, "refuses to register an adapter (status 422): on purpose", ""),
    ] {
        platform.stand_in.faults().by_text.push((ADAPTER.to_owned(), Fault::Status(status)));
        platform.witboost(REGISTER).with_code(1).says(message).says(hint);
        assert_eq!(calls(&platform), of(&[(JWT, 200), (ADAPTER, status)]), "{status} is not retried");
    }
    platform.stand_in.permit(&["validate"]);
    platform
        .witboost(REGISTER)
        .with_code(1)
        .says("the token may not register an adapter: Permission register is missing");
}

#[test]
fn failures_are_retried_with_pauses() {
    let platform = Platform::new();
    for fault in [Fault::Status(500), Fault::Status(503), Fault::LostBefore, Fault::LostAfter, Fault::Limited(0)] {
        platform.stand_in.faults().by_text.push((ADAPTER.to_owned(), fault));
        platform.witboost(REGISTER).done();
        assert_eq!(calls(&platform).last(), Some(&(ADAPTER.to_owned(), 200)), "{fault:?}");
        platform.stand_in.faults().by_text.push((JWT.to_owned(), fault));
        platform.witboost(REGISTER).done();
        assert_eq!(platform.stand_in.adapters().len(), 1, "{fault:?}");
    }
    drop(platform.stand_in.take_calls());
    platform.stand_in.faults().by_text.extend((0..9).map(|_| (ADAPTER.to_owned(), Fault::Status(500))));
    platform.witboost(REGISTER).with_code(1).says("failed to register an adapter (status 500): on purpose");
    assert_eq!(calls(&platform).len(), 5, "the token, a call and three retries");
    platform.check_calls();
}

#[test]
fn requested_pause_is_kept() {
    let platform = Platform::new();
    platform.stand_in.faults().by_text.push((ADAPTER.to_owned(), Fault::Limited(2)));
    let began = Instant::now();
    platform.witboost(REGISTER).done();
    assert!(began.elapsed().as_secs() >= 2);
    // A pause beyond the limit of the call ends it at once.
    platform.stand_in.faults().by_text.push((ADAPTER.to_owned(), Fault::Limited(3600)));
    platform.witboost(REGISTER).with_code(1).says("limits the rate of calls for 3600 s").says("try again later");
    platform.stand_in.faults().by_text.push((JWT.to_owned(), Fault::Limited(3600)));
    platform
        .witboost(REGISTER)
        .with_code(1)
        .says("cannot be asked to register an adapter: it exchanges no token")
        .says("it answers 429");
    platform.check_calls();
}

#[test]
fn answer_that_quotes_the_token_is_redacted() {
    let platform = Platform::new();
    platform.stand_in.revoke();
    // The stand-in repeats the token in its message; `witboost` checks that no output has it.
    let ran = platform.witboost(REGISTER).with_code(1);
    ran.says(
        "Witboost does not accept the access token: it exchanges no token (status 500): Access token (sensitive value)",
    );
    ran.says("WITBOOST_TOKEN");
    let calls = platform.stand_in.take_calls();
    assert!(calls.iter().all(|call| call.path == JWT), "{calls:?}");
    assert!(calls[0].body.contains(StandIn::TOKEN));
}

#[test]
fn platform_that_cannot_be_reached_is_reported() {
    let platform = Platform::new();
    let url = platform.stand_in.url().to_owned();
    platform.edit("terrace.yaml", &url, "http://127.0.0.1:9");
    platform
        .witboost(REGISTER)
        .with_code(1)
        .says("Witboost cannot be reached at `127.0.0.1:9`")
        .says("check `witboost.url`");
}

/// The token may be right: the address is that of another server.
#[test]
fn address_without_an_exchange_of_tokens_is_not_blamed_on_the_token() {
    let platform = Platform::new();
    for fault in [Fault::Status(404), Fault::Page(404), Fault::Page(403), Fault::Page(407), Fault::Page(302)] {
        platform.stand_in.faults().by_text.push((JWT.to_owned(), fault));
        let ran = platform.witboost(REGISTER).with_code(1);
        ran.says("it has no exchange of access tokens").says("check `witboost.url`");
        assert!(!ran.stderr.contains("accept the access token"), "{fault:?}: {ran}");
        platform.stand_in.faults().by_text.push((JWT.to_owned(), fault));
        assert_eq!(platform.witboost(&["status", "--json"]).with_code(1).json()["token"], "unknown", "{fault:?}");
    }
    for path in [JWT, ADAPTER] {
        platform.stand_in.faults().by_text.push((path.to_owned(), Fault::Page(200)));
        platform.witboost(REGISTER).with_code(1).says("check `witboost.url`");
    }
    // The limit of a gateway, at the first attempt and all retries, says nothing about address and token.
    platform.stand_in.faults().by_text.extend((0..4).map(|_| (JWT.to_owned(), Fault::Page(429))));
    let ran = platform.witboost(REGISTER).with_code(1);
    ran.says("it exchanges no token");
    assert!(!ran.stderr.contains("check `witboost.url`"), "{ran}");
    assert!(platform.registered().is_empty());
    platform.check_calls();
}
