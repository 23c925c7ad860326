//! Plan files: a reader with a state key accepts only files from holders of the key, byte by byte.

use crate::support::Story;
use crate::support::story::{KEY, stack};
use terrace_engine::digest::sha256;
use terrace_engine::plan::Plan;
use terrace_engine::plan::file::{self, FileError};
use terrace_engine::seal::Seal;

const OTHER_KEY: &str = "//////////////////////////////////////////8=";

fn text() -> String {
    stack("  - {type: world_thing, name: a, config: {key: a, val: reviewed}}\n")
}

async fn planned() -> (Plan, Seal) {
    (Story::new().plan(&text()).await, Seal::with_key(KEY, &[]).unwrap())
}

/// The file with another body and that body's digest; the authentication code stays.
fn with_body(written: &str, body: &str) -> String {
    let (head, old) = written.split_once("\"plan\":").unwrap();
    let old = old.strip_suffix("}\n").unwrap();
    format!("{}\"plan\":{body}}}\n", head.replace(&sha256(old), &sha256(body)))
}

fn body(written: &str) -> &str {
    written.split_once("\"plan\":").unwrap().1.strip_suffix("}\n").unwrap()
}

#[tokio::test]
async fn changed_body_with_its_digest_is_forged() {
    let (plan, seal) = planned().await;
    let written = file::write(&plan, &seal).unwrap();
    let forged = with_body(&written, &body(&written).replace("reviewed", "forged"));
    assert_ne!(forged, written);
    assert!(matches!(file::read(&forged, &seal), Err(FileError::Forged)));
    // A code from another key is refused too.
    let other = Seal::with_key(OTHER_KEY, &[]).unwrap();
    let own = file::enclose(body(&forged), &other).unwrap();
    assert!(matches!(file::read(&own, &seal), Err(FileError::UnknownKey { .. })));
    assert!(file::read(&written, &seal).is_ok());
}

#[tokio::test]
async fn file_without_code_is_refused_under_a_key() {
    let (plan, seal) = planned().await;
    let without = file::write(&plan, &Seal::without_key(false)).unwrap();
    let digest = file::digest(&plan, &Seal::without_key(false)).unwrap();
    assert!(matches!(file::read(&without, &seal), Err(FileError::NoCode)));
    assert!(matches!(file::read_to_apply(&without, &seal, Some(&digest)), Err(FileError::NoCode)));
}

#[tokio::test]
async fn every_change_of_bytes_is_refused_under_a_key() {
    let (plan, seal) = planned().await;
    let written = file::write(&plan, &seal).unwrap();
    let old = body(&written);
    let json: serde_json::Value = serde_json::from_str(old).unwrap();
    let again: serde_json::Value = serde_json::from_str(&written).unwrap();
    let mut variants = vec![
        serde_json::to_string(&again).unwrap(),
        format!("{again:#}\n"),
        format!("{written}\n"),
        format!("{written} "),
        format!(" {written}"),
        format!("\u{feff}{written}"),
        written.replace('\n', "\r\n"),
        written.trim_end().to_owned(),
        written.replacen("\"plan\":", "\"plan\": ", 1),
        written.replacen(",\"plan\":", ",\"plan\":{},\"plan\":", 1),
        format!("{},\"plan\":{old}}}\n", written.trim_end().strip_suffix('}').unwrap()),
        with_body(&written, &json.to_string()),
        with_body(&written, &format!("{json:#}")),
        with_body(&written, &format!("{old} ")),
        with_body(&written, &old.replacen('{', &format!("{{\"id\":{},", json["id"]), 1)),
        with_body(&written, &old.replacen('{', "{\"unknown\":1,", 1)),
        with_body(&written, &old.replace("reviewed", "r\\u0065viewed")),
    ];
    variants.extend((0..written.len()).step_by(61).map(|at| written[..at].to_owned()));
    for variant in variants.iter().filter(|variant| **variant != written) {
        assert!(file::read(variant, &seal).is_err(), "{variant}");
    }
}

#[tokio::test]
async fn plan_of_an_older_key_is_read_while_that_key_is_configured() {
    let (plan, seal) = planned().await;
    let written = file::write(&plan, &seal).unwrap();
    let rotated = Seal::with_key(OTHER_KEY, &[KEY]).unwrap();
    assert_eq!(file::read(&written, &rotated).unwrap().id, plan.id);
    let only_new = Seal::with_key(OTHER_KEY, &[]).unwrap();
    assert!(matches!(file::read(&written, &only_new), Err(FileError::UnknownKey { .. })));
    assert!(matches!(file::read(&written, &Seal::without_key(false)), Err(FileError::UnknownKey { .. })));
}

#[tokio::test]
async fn apply_without_a_key_needs_the_digest_of_the_plan() {
    let (plan, _) = planned().await;
    let seal = Seal::without_key(false);
    let written = file::write(&plan, &seal).unwrap();
    let digest = file::digest(&plan, &seal).unwrap();
    assert!(matches!(file::read_to_apply(&written, &seal, None), Err(FileError::Unauthenticated)));
    assert_eq!(file::read_to_apply(&written, &seal, Some(&digest)).unwrap().id, plan.id);
    let forged = with_body(&written, &body(&written).replace("reviewed", "forged"));
    match file::read_to_apply(&forged, &seal, Some(&digest)) {
        Err(FileError::DigestMismatch { expected, actual }) => assert!(expected == digest && actual != digest),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn digest_covers_secrets_in_the_clear() {
    let secret = |value: &str| {
        format!(
            "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nvariables: {{t: {{type: string, default: \
             {value}, sensitive: true}}}}\nresources:\n  - {{type: world_thing, name: a, config: {{key: a, val: '${{{{ \
             vars.t }}}}'}}}}\n"
        )
    };
    let story = Story { seal: Seal::without_key(true).into(), ..Story::new() };
    let (one, two) = (story.plan(&secret("hunter1")).await, story.plan(&secret("hunter2")).await);
    let digest = |plan| file::digest(plan, &story.seal).unwrap();
    assert_ne!(digest(&one), digest(&two));
    let written = file::write(&two, &story.seal).unwrap();
    let seal = Seal::without_key(false);
    assert!(file::read_to_apply(&written, &seal, Some(&digest(&two))).is_ok());
    assert!(matches!(file::read_to_apply(&written, &seal, Some(&digest(&one))), Err(FileError::DigestMismatch { .. })));
}
