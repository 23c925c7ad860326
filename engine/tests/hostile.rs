//! Hostile input from `fuzz/corpus`: no panic, no hang, and every error has a place.

#[path = "../../fuzz/exercise.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzzer")]
mod exercise;

use crate::support::world::World;
use exercise::{BOUNDARY, Report, describe, plan_file};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use terrace_engine::registry::Registry;

/// Limit for one input, after which it counts as hanging: the slowest needs a hundredth of it.
const TIME_LIMIT: Duration = Duration::from_secs(60);

fn corpus(target: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut found: Vec<(String, String)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "`{}` is empty", folder.display());
    found
}

/// Returns the result of one input; fails if it hangs.
#[track_caller]
fn within_time_limit<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waiting) = mpsc::channel();
    // The stack size of a process's main thread.
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(move || done.send(work())).unwrap();
    match waiting.recv_timeout(TIME_LIMIT) {
        Ok(answer) => answer,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("`{name}` hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("`{name}` panics: {:?}", thread.join().is_err()),
    }
}

#[track_caller]
fn described(name: &str, text: String) -> Report {
    within_time_limit(name, move || {
        let registry = Arc::new(Registry::new(vec![Arc::new(World::new(Arc::default()))], Vec::new()).offline());
        describe(&text, &registry)
    })
}

#[test]
fn every_corpus_input_is_planned_or_refused_with_places() {
    for (name, text) in corpus("describe") {
        let output = described(&name, text);
        assert!(output.without_place.is_empty(), "{name}: {:#?}", output.without_place);
        assert_eq!(output.plan.is_some(), name.starts_with("good-"), "{name}: {:#?}", output.all);
    }
}

#[test]
fn corpus_input_fails_with_the_error_of_its_name() {
    for (name, expected) in [
        ("duplicate-keys", "appears twice in one map"),
        ("duplicate-keys-deep", "appears twice in one map"),
        ("tabs", "tab"),
        ("anchor-unknown", "has no anchor"),
        ("alias-bomb", "alias"),
        ("unknown-fields", "has no field `resourcez`"),
        ("wrong-types", "expected a map"),
        ("reference-cycle", "a cycle"),
        ("blueprint-unknown-fields", "has no field"),
        ("blueprint-bad-schema", "is not a JSON Schema"),
    ] {
        let text = corpus("describe").into_iter().find(|(file, _)| file == &format!("{name}.yaml"));
        let (_, text) = text.unwrap_or_else(|| panic!("there is no `{name}`"));
        let output = described(name, text);
        assert!(output.all.iter().any(|line| line.contains(expected)), "{name}: {:#?}", output.all);
    }
}

/// Inputs too large to keep as files.
#[test]
fn input_that_is_too_long_deep_or_numerous_is_refused() {
    let head = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\n";
    let million = |text: &str| text.repeat((1 << 20) / text.len());
    let inputs = [
        ("a line of 1 MB as a value", format!("{head}variables: {{a: {}}}\n", million("x"))),
        ("a line of 1 MB as a key", format!("{head}{}: 1\n", million("k"))),
        ("a line of 1 MB of spaces", format!("{head}{}a: 1\n", million(" "))),
        ("a line of 1 MB of comment", format!("{head}# {}\nresourcez: []\n", million("c"))),
        ("a line of 1 MB of brackets", format!("{head}resources: {}\n", million("["))),
        ("a line of 1 MB of braces", format!("{head}resources: {}\n", million("{a: "))),
        ("a line of 1 MB of anchors", format!("{head}resources: {}\n", million("&a "))),
        ("a line of 1 MB of dashes", format!("{head}resources:\n{}\n", million("- "))),
        ("a line of 1 MB of quotes", format!("{head}resources: {}\n", million("\""))),
        ("an expression of 1 MB", format!("{head}outputs: {{a: \"${{{{ {} 1 }}}}\"}}\n", million("1 + "))),
        ("an expression of 1 MB of brackets", format!("{head}outputs: {{a: \"${{{{ {} }}}}\"}}\n", million("("))),
        ("an expression of 1 MB of nots", format!("{head}outputs: {{a: \"${{{{ {}true }}}}\"}}\n", million("!"))),
        ("an expression of 1 MB of steps", format!("{head}outputs: {{a: \"${{{{ vars{} }}}}\"}}\n", million(".a"))),
        ("100000 openings of expressions", format!("{head}outputs: {{a: '{}'}}\n", "${{ ".repeat(100_000))),
        ("10000 wrong fields", format!("{head}{}", (0..10_000).map(|n| format!("f{n}: 1\n")).collect::<String>())),
        ("10000 times the same key", format!("{head}{}", "a: 1\n".repeat(10_000))),
        (
            "nested 10000 deep in lines",
            format!("{head}resources:\n{}", (1..3000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>()),
        ),
        (
            "a schema that is 10000 deep",
            format!(
                "{head}{BOUNDARY}apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {{name: b, version: '1'}}\nspecific: {}{}\n",
                "{not: ".repeat(10_000),
                "}".repeat(10_000)
            ),
        ),
    ];
    for (name, text) in inputs {
        let output = described(name, text);
        assert!(output.all.iter().any(|line| line.starts_with("Error")), "{name}: {:#?}", output.all);
        assert!(output.without_place.is_empty(), "{name}: {:#?}", output.without_place);
    }
}

/// Each line holds the previous line 150 times: the sixth would hold about 10^13 items. Without limits the machine
/// would run out of memory, so the input has only as many lines as it takes to be refused.
#[test]
fn values_that_multiply_are_refused_before_they_are_copied() {
    let head = "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: s}\n";
    let lines = |line: &dyn Fn(usize) -> String| (1..7).map(line).collect::<String>();
    let often = |text: String, between: &str| vec![text; 150].join(between);
    let one = "the computation is too large";
    let deep = "nests lists and maps deeper than 64 levels";
    let local = |n: usize| format!("locals.a{n}");
    let input = |n: usize| format!("resources.r{n}.val");
    let inputs = [
        (
            "locals in lists of expressions",
            one,
            "locals:\n  a0: xxxxxxxxxx\n".to_owned()
                + &lines(&|n| format!("  a{n}: '${{{{ [{}] }}}}'\n", often(local(n - 1), ","))),
        ),
        (
            "locals in lists",
            one,
            "locals:\n  a0: xxxxxxxxxx\n".to_owned()
                + &lines(&|n| format!("  a{n}: [{}]\n", often(format!("'${{{{ {} }}}}'", local(n - 1)), ","))),
        ),
        (
            "locals in texts",
            one,
            "locals:\n  a0: xxxxxxxxxx\n".to_owned()
                + &lines(&|n| format!("  a{n}: '{}'\n", often(format!("${{{{ {} }}}}", local(n - 1)), ""))),
        ),
        (
            "resources",
            one,
            "resources:\n  - {type: world_thing, name: r0, config: {key: r0, val: xxxxxxxxxx}}\n".to_owned()
                + &lines(&|n| {
                    let held = often(input(n - 1), ",");
                    format!(
                        "  - {{type: world_thing, name: r{n}, config: {{key: r{n}, val: '${{{{ [{held}] }}}}'}}}}\n"
                    )
                }),
        ),
        (
            "locals in lists, deeper and deeper",
            deep,
            "locals:\n  a0: 1\n".to_owned()
                + &(1..300).map(|n| format!("  a{n}: ['${{{{ {} }}}}']\n", local(n - 1))).collect::<String>(),
        ),
        (
            "locals in lists of expressions, deeper and deeper",
            deep,
            "locals:\n  a0: 1\n".to_owned()
                + &(1..300).map(|n| format!("  a{n}: '${{{{ [{}] }}}}'\n", local(n - 1))).collect::<String>(),
        ),
        (
            "resources, deeper and deeper",
            deep,
            "resources:\n  - {type: world_thing, name: r0, config: {key: r0, val: 1}}\n".to_owned()
                + &(1..300)
                    .map(|n| {
                        let held = format!("['${{{{ {} }}}}']", input(n - 1));
                        format!("  - {{type: world_thing, name: r{n}, config: {{key: r{n}, val: {held}}}}}\n")
                    })
                    .collect::<String>(),
        ),
        (
            "an expression that nests",
            deep,
            format!("locals:\n  a: '${{{{ {}1{} }}}}'\n", "[".repeat(80), "]".repeat(80)),
        ),
    ];
    for (name, expected, text) in inputs {
        let output = described(name, head.to_owned() + &text);
        assert!(output.all.iter().any(|line| line.contains(expected)), "{name}: {:.2000}", output.all.join("\n"));
        assert!(output.without_place.is_empty(), "{name}: {:#?}", output.without_place);
    }
}

#[test]
fn every_corpus_plan_file_is_read_or_refused() {
    for (name, body) in corpus("plan_file") {
        within_time_limit(&name, move || plan_file(&body));
    }
}

/// Damage by a bad disk or an edit.
#[test]
fn truncated_or_edited_plan_is_read_or_refused() {
    for (name, text) in corpus("describe").into_iter().filter(|(name, _)| name.starts_with("good-")) {
        let body = described(&name, text).plan.unwrap();
        assert!(plan_file(&body), "{name} is no plan as it is");
        let strings = [("null", "1"), ("true", "null"), ("1", "-9223372036854775808"), ("[]", "{}"), ("\"\"", "null")];
        let mut variants: Vec<String> = strings.iter().map(|(old, new)| body.replace(old, new)).collect();
        let ends = (0..body.len()).step_by(97).filter(|at| body.is_char_boundary(*at));
        variants.extend(ends.map(|at| body[..at].to_owned()));
        for (at, _) in body.match_indices(|c: char| c.is_ascii_digit()).step_by(7) {
            for digits in ["99999999999999999999", "-1", "1e400", "\"\""] {
                variants.push(format!("{}{digits}{}", &body[..at], &body[at + 1..]));
            }
        }
        for (at, _) in body.match_indices(['{', '[']).step_by(5) {
            variants.push(format!("{}{}{}", &body[..at], "[".repeat(5_000), &body[at..]));
        }
        let count = variants.len();
        assert!(count > 50, "{count}");
        within_time_limit(&name, move || variants.iter().filter(|body| plan_file(body)).count());
    }
}
