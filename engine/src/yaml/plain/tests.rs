use super::super::options::{ParseOptions, Parsed};
use super::super::parse::from_events;
use super::*;
use crate::source::Sources;
use proptest::prelude::*;

/// What is read here of a text; the parser has to read the same, without a word.
#[track_caller]
fn read_as_the_parser_does(text: &str) -> Option<Node> {
    let id = Sources::default().add("t.yaml", text);
    let options = ParseOptions::default();
    let node = read(id, text, &options.budget)?;
    assert_eq!(from_events(id, text, &options), Ok(Parsed { node: node.clone(), warnings: Vec::new() }), "{text}");
    Some(node)
}

/// All texts of a folder whose names end so, those of its folders included.
fn texts(folder: &str) -> Vec<String> {
    let mut open = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
                found.push(String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned());
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found
}

#[test]
fn what_is_read_line_by_line_is_what_the_parser_reads() {
    for text in [
        "a: 1\nb: two words\nc: 'quoted: # text'\nd: \"also: quoted\"\ne: null\nf: ~\ng: 1.10\nh: 0123\n",
        "a:\n  b:\n    c: 1\n  d: 2\ne: 3",
        "a:\n- 1\n- 2\nb:\n  - 3\n  -   four\n",
        "- a: 1\n  b:\n  - 2\n-   c: 3\n    d: 4\n- - 5\n  - 6\n-\n  - 7\n-\n  e: 8\n",
        "a: []\nb: {}\nc: [] # none\nd: {}   # none\ne: [ ]\nf: {  }\n",
        "# first\n\na: 1 # one\n\n   # two\nb:   # nothing yet\n\n    c: 2\n# last",
        "a b: c d\nurn:x:y: z:w\nk : v\nx#y: a#b\n-k: -1\n",
        "a: é ü €\nü: 'ß'\nb:\n  c: 😀 d\n",
        "a:   spaced   \nb:  'spaced'   \n   \nc:\n    - 1   \n",
        "a: -\u{a0}x\nb: \u{2028}\n",
        "a: one\n  two   \n      three\nb:\n  - four\n    five # end\n  - six\n     seven",
        "a: |\n  one\n    two \n\n  three\n\nb: |-\n    four: 'five'\n    # six\n# seven\nc:\n- |  \n  - eight\n- 9\n",
        "a: >\n  one\n  two \nb: >-\n    three\n\n\nc:\n- >-\n  four\n  five\n",
    ] {
        assert!(read_as_the_parser_does(text).is_some(), "{text}");
    }
}

#[test]
fn what_may_mean_anything_else_is_left_to_the_parser() {
    for text in [
        "",
        "# nothing\n",
        "a",
        "---\na: 1\n",
        "a: 1\n...\n",
        " a: 1\n",
        "a:\n",
        "a:\nb: 1\n",
        "-\n",
        "a: 1\na: 2\n",
        "a: 1\n b: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "a: 1\n- 2\n",
        "- 1\na: 2\n",
        "a: one\n\n  two\n",
        "a: one # two\n  three\n",
        "a: one\n  - two\n",
        "a: one\n  two: three\n",
        "a: b: c\n",
        "a: b:\n",
        "a: [1]\n",
        "a: [\n",
        "a: [}\n",
        "a: [] 1\n",
        "a: []#\n",
        "a: {b: 1}\n",
        "a: 'it''s'\n",
        "a: \"\\n\"\n",
        "a: 'b\n  c'\n",
        "a: 'b' c\n",
        "a: 'b'\n  c\n",
        "'a': 1\n",
        "a: |\n  b",
        "a: |\nb: 1\n",
        "a: |\n\n  b\n",
        "a: |+\n  b\n",
        "a: |2\n  b\n",
        "a: | # b\n  c\n",
        "a: |\n  b\n     \nc: 1\n",
        "a: |\n   b\n  c\n",
        "a: >\n  b\n\n  c\n",
        "a: >\n  b\n   c\n",
        "a: &b 1\n",
        "a: *b\n",
        "a: !!str 1\n",
        "<<: {}\n",
        "? a\n",
        "a: - 1\n",
        "a: %b\n",
        "a: @b\n",
        "a: `b`\n",
        "a:\t1\n",
        "a: 1\r\n",
        "a: \u{85}\n",
        "\u{feff}a: 1\n",
        "a: \u{0}\n",
        "{\"a\": 1}",
        "a: ---\n",
    ] {
        assert!(read_as_the_parser_does(text).is_none(), "{text:?}");
    }
    let long = format!("{}: 1\n", "k".repeat(2000));
    assert!(read_as_the_parser_does(&long).is_none());
}

#[test]
fn what_is_over_the_budget_is_left_to_the_parser() {
    let read_within = |text: &str, budget: Budget| read(Sources::default().add("t.yaml", text), text, &budget);
    let budget = Budget { bytes: 20, depth: 2, nodes: 4, alias_nodes: 0 };
    assert!(read_within("a:\n- 1\n- 2\n", budget).is_some());
    assert!(read_within("a:\n- 1\n- 2\n- 3\n", budget).is_none());
    assert!(read_within("a:\n- - 1\n", budget).is_none());
    assert!(read_within("a:\n- []\n", budget).is_none());
    assert!(read_within("a: 12345678901234567890\n", budget).is_none());
}

#[test]
fn descriptors_of_witboost_need_no_parser_and_no_text_is_read_otherwise_than_by_it() {
    let product = include_str!("../../../../examples/network-status/data-product.yaml");
    assert!(read_as_the_parser_does(product).is_some());
    for text in ["examples", "providers", "fuzz/corpus"].into_iter().flat_map(texts) {
        read_as_the_parser_does(&text);
        // And as somebody may leave it who edits it.
        for (at, _) in text.match_indices(['\n', ':', ' ']).step_by(53) {
            read_as_the_parser_does(&text[..at]);
            read_as_the_parser_does(&format!("{}{}", &text[..at], &text[at + 1..]));
        }
    }
}

/// A line that is right, or nearly so.
fn line() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a", "b", "- ", "-", "a:", "b: ", "c: 1", "- d: x", "[]", "{}", "'q'", "\"p\"", "''", "#", " # n", ": ", "~",
        "null", "é", "--- ", "...", "-1", "<<: ", "? ", "|", ">-", "&x ", "*x", "!t ", "  ", "\t", "x:y", "x#y", ",",
        "@",
    ]);
    (0_usize..7, prop::collection::vec(part, 0..4)).prop_map(|(indent, parts)| " ".repeat(indent) + &parts.concat())
}

/// Lines that make a tree more often than not.
fn tidy() -> impl Strategy<Value = String> {
    let content = prop::sample::select(vec![
        "a: 1",
        "b:",
        "c: two words",
        "d: []",
        "- 1",
        "- e: 'x'",
        "-",
        "- - 2",
        "f: {} # n",
        "# n",
        "",
        "g: \"h\"",
        "- i:",
    ]);
    (0_usize..4, content).prop_map(|(indent, content)| "  ".repeat(indent) + content)
}

proptest! {
    #[test]
    fn random_lines_are_read_as_the_parser_reads_them(lines in prop::collection::vec(line(), 0..8)) {
        read_as_the_parser_does(&lines.join("\n"));
    }

    #[test]
    fn random_trees_are_read_as_the_parser_reads_them(lines in prop::collection::vec(tidy(), 0..12)) {
        read_as_the_parser_does(&lines.join("\n"));
    }
}
