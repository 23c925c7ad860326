use super::*;

const TEXT: &str = "kind: Stack\nresources:\n  - type: local_valeu\n    secret: hunter2\n";

fn shown(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let mut texts = Texts { sources, known: BTreeMap::new() };
    render(diagnostic, &mut texts, GraphicalTheme::unicode_nocolor(), 60)
}

fn span_of(source: SourceId, text: &str, part: &str) -> Span {
    let start = text.find(part).unwrap();
    Span::new(source, start, start + part.len())
}

#[test]
fn report_shows_only_the_line_with_the_error() {
    let mut sources = Sources::default();
    let id = sources.add("stack.yaml", TEXT);
    let diagnostic = Diagnostic::error("unknown_type", "there is no resource type `local_valeu`")
        .at(span_of(id, TEXT, "local_valeu"))
        .hint("did you mean `local_value`?");
    let shown = shown(&diagnostic, &sources);
    assert!(shown.contains("unknown_type"), "{shown}");
    assert!(shown.contains("[stack.yaml:3:11]"), "{shown}");
    assert!(shown.contains("- type: local_valeu"), "{shown}");
    assert!(shown.contains("did you mean `local_value`?"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn diagnostics_of_an_operation_are_combined() {
    let report_of = |address: &str, what: &str| {
        Diagnostic::note("interrupted_step", format!("operation 1 was cut off while it worked on {address}: {what}"))
            .about(format!("demo@local:{address}"))
    };
    let shown = |diagnostics: &[Diagnostic]| -> Vec<Diagnostic> {
        combined(diagnostics.iter().collect()).into_iter().map(Cow::into_owned).collect()
    };
    let few = ["a.x", "a.y", "a.z"].map(|address| report_of(address, "it took effect"));
    assert_eq!(shown(&few), few);
    let other = report_of("a.v", "it did not take effect");
    let several = shown(&[&few as &[_], &[other.clone(), report_of("a.w", "it took effect")]].concat());
    let message = "operation 1 was cut off while it worked on 4 resources of demo@local, such as a.x, a.y, a.z: \
                   it took effect";
    assert_eq!((several.len(), several[0].message.as_str(), &several[0].address), (2, message, &None));
    assert_eq!(several[1], other);
    // Other diagnostics are not combined.
    let others = ["a", "b", "c", "d"].map(|it| Diagnostic::note("x", "y").about(it));
    assert_eq!(shown(&others), others);
}

#[test]
fn places_in_two_texts_are_shown() {
    let mut sources = Sources::default();
    let (first, second) = (sources.add("a.yaml", "name: x\n"), sources.add("b.yaml", "name: x\n"));
    let diagnostic = Diagnostic::error("duplicate", "`x` stands twice")
        .at_with(Span::new(first, 6, 7), "again here")
        .at_with(Span::new(second, 6, 7), "first here");
    let shown = shown(&diagnostic, &sources);
    assert!(shown.contains("a.yaml:1:7") && shown.contains("b.yaml:1:7"), "{shown}");
    assert!(shown.contains("again here") && shown.contains("first here"), "{shown}");
}

#[test]
fn line_numbers_do_not_depend_on_line_breaks() {
    let report_of = |text: &str| {
        let mut sources = Sources::default();
        let id = sources.add("stack.yaml", text);
        let diagnostic = Diagnostic::error("twice", "it stands twice")
            .at_with(span_of(id, text, "hunter2"), "again here")
            .at_with(span_of(id, text, "local_valeu"), "first here");
        shown(&diagnostic, &sources)
    };
    let plain = report_of(TEXT);
    assert!(plain.contains("3 │   - type: local_valeu\n") && plain.contains("4 │     secret: hunter2\n"), "{plain}");
    assert_eq!(report_of(&TEXT.replace('\n', "\r\n")), plain);
    assert_eq!(report_of(&TEXT.trim_end().replace('\n', "\r\n")), plain);
    assert_eq!(report_of(TEXT.trim_end()), plain);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = "name: \u{1b}[2Jx\u{9b}y\n";
    let mut sources = Sources::default();
    let id = sources.add("a.yaml", text);
    let diagnostic = Diagnostic::error("bad", "what is `\u{1b}[31m`").at(span_of(id, text, "x"));
    let shown = shown(&diagnostic, &sources);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown:?}");
    assert!(shown.contains("\\u{1b}[31m"), "{shown:?}");
}

#[test]
fn long_line_is_named_but_not_shown() {
    let text = format!("{{\"a\": \"{}\"}}", "x".repeat(5000));
    let mut sources = Sources::default();
    let id = sources.add("a.json", text.as_str());
    let shown = shown(&Diagnostic::error("bad", "this is wrong").at(Span::new(id, 6, 5000)), &sources);
    assert!(shown.contains("a.json:1:7"), "{shown}");
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn place_at_the_end_of_text_is_shown() {
    let mut sources = Sources::default();
    let id = sources.add("a.yaml", TEXT);
    let end = TEXT.len();
    let shown = shown(&Diagnostic::error("cut_off", "the text ends here").at(Span::new(id, end, end)), &sources);
    assert!(shown.contains("the text ends here"), "{shown}");
}

#[test]
fn block_is_shown_by_its_first_line() {
    let mut sources = Sources::default();
    let id = sources.add("a.yaml", TEXT);
    let shown = shown(&Diagnostic::error("bad", "this list is wrong").at(Span::new(id, 12, TEXT.len())), &sources);
    assert!(shown.contains("resources:") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn lines_are_broken_only_at_blanks() {
    let urn = "urn:dmb:utm:note-templat-of-a-name-that-is-longer-than-a-line:0.0.0";
    let hint = "create a key with `terrace init --state-key`, or pass `--plaintext-secrets` to store it in the clear";
    let diagnostic = Diagnostic::error("x", format!("no blueprint is made for the template `{urn}`")).hint(hint);
    let shown = shown(&diagnostic, &Sources::default());
    for word in [urn, "--state-key", "--plaintext-secrets"] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn line_does_not_break_within_a_command() {
    let hint =
        "to exchange the addresses of recorded objects, run `terrace state mv demo@local:local_file.a local_file.b`";
    let diagnostic = Diagnostic::error("move_loop", "the moves form a circle").hint(hint);
    let sources = Sources::default();
    let mut texts = Texts { sources: &sources, known: BTreeMap::new() };
    let rendered = render(&diagnostic, &mut texts, GraphicalTheme::unicode_nocolor(), 80);
    let lines: Vec<&str> = rendered.lines().collect();
    assert!(
        lines.iter().any(|line| line.contains("`terrace state mv demo@local:local_file.a local_file.b`")),
        "{rendered}"
    );
    assert!(lines.len() > 3, "the hint is wrapped:\n{rendered}");
}
