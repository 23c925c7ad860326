//! What is read without the parser, the parser reads the same way.

use crate::source::Sources;
use crate::yaml::options::{DuplicateKeys, ParseOptions, Parsed};
use crate::yaml::parse::{read_any, read_usual};
use proptest::prelude::*;

/// The text without the parser, if it can be read without it; it has to be what the parser reads.
fn usual(text: &str) -> Option<Parsed> {
    let source = Sources::default().add("t.yaml", text);
    let options = ParseOptions { duplicate_keys: DuplicateKeys::WarnWhenEqual, ..ParseOptions::default() };
    let usual = read_usual(source, text, &options)?;
    assert_eq!(Ok(&usual), read_any(source, text, &options).as_ref(), "{text}");
    Some(usual)
}

/// What a line may say, whether it may there or not.
const LINES: &[&str] = &[
    "",
    "#",
    "# note",
    "a:",
    "b:  # note",
    "c: 1",
    "d:  two  words  ",
    "e: x # note",
    "f: x#y",
    "g: a: b",
    "h: http://x:80/y",
    "i : j",
    "'k': l",
    "\"m\": 'n'",
    "\"m\":n",
    "'o' : p",
    "q: 'r' # note",
    "q: 'r'# note",
    "q: 'r' s",
    "s: 'it''s'",
    "s: 'two",
    "s: \"a\\nb\"",
    "t: []",
    "t: [ ]",
    "t: {}",
    "t: [a, b c , 'd']",
    "t: [a, [b, {c: d}], -1]",
    "t: {a: 1, b: [c], 'd': e}",
    "t: {a: , b}",
    "t: [a: b]",
    "t: [a, ]",
    "t: [a,",
    "t: [a] # note",
    "t: [a]: b",
    "[a]: b",
    "{a: b}",
    "t: [a:b, c::d]",
    "u: -",
    "u: - a",
    "u: -a",
    "u: -1",
    "u: ~",
    "u: null",
    "u: 1.50",
    "u: 0x1F",
    "-",
    "- ",
    "- v",
    "- v # note",
    "- # note",
    "- -",
    "- - w",
    "-  - w: x",
    "- a:",
    "- a: b",
    "-   a: b",
    "- [a, {b: c}]",
    "- 'a': b",
    "- 'a'",
    "-a: b",
    "--- a",
    "--- a: b",
    "... a: b",
    "t: [a #b]",
    "t: {a #b: c}",
    "---",
    "...",
    "%YAML 1.2",
    "? a",
    ": a",
    "text",
    "two words",
    "x: |",
    "x: >-",
    "x: &y z",
    "x: *y",
    "x: !!str 1",
    "x: @a",
    "x: `a",
    "x: %a",
    "x: ,a",
    "x: ?a",
    "x: :a",
    "x: a,b [c] {d}",
    "x: ${{ a['b'] + \"c\" }}",
    "<<: {a: b}",
    "\"<<\": {a: b}",
    "c: 1\t# tab",
    "größe: \u{e4}\u{1d11e}",
    "x: \u{a0}",
    "x: \u{2028}",
    "x: \u{feff}",
    "x: \u{85}",
    "c: 1\r",
];

/// A descriptor as they are.
const DESCRIPTOR: &str = r#"# A product.
dataProduct:
  id: urn:dmb:dp:sales:orders:0
  name: "Orders"
  description: Who ordered what, minute by minute
  environment: production  # or development
  maturity:
  billing: {}
  tags:
  - tagFQN: GDPR
    source: 'Tag'
  components:
    - kind: outputport
      version: 1.0.0
      dependsOn: [urn, "a b"]

      dataContract:
        schema:
          - name: id
            tags: []
          - {name: größe, precision: 10}
      specific:
        cron: 0 30 1 * *
        url: https://example.com:8443/a?b=c#d
        args:
          - --all
          - -1
componentIdToProvision: urn:dmb:cmp:sales:orders:0:table
"#;

#[test]
fn a_descriptor_is_read_without_the_parser() {
    let read = usual(DESCRIPTOR).unwrap().node;
    let name = read.find(&"dataProduct.components[0].dataContract.schema[1].name".parse().unwrap()).unwrap();
    assert_eq!(name.as_text(), Some("größe"));
}

#[test]
fn all_that_is_usual_is_read_without_the_parser() {
    let texts = [
        "a: 1",
        "a:\n",
        "  a: 1\n  b: 2\n",
        "\n# note\na: 1\n   \n  # note\nb: 2",
        "a: b  # note\nc:  # note\n  d: e\n",
        "a:\n- b\n- c\nd: e\n",
        "a:\n  - b: c\n    d:\n    - e\n  - - f\n    - g\n",
        "- a\n- b: c\n",
        "'a': \"b: # c\"\n\"d\": ''\n",
        "a: []\nb: {}\nc: [d, 'e', [f], {g: h}]\n",
        "a: http://b:1/c#d\ne: -1\nf: -g\nh: i [j] {k}, l\n",
        "größe: ä\u{1d11e}\n",
    ];
    for text in texts {
        assert!(usual(text).is_some(), "{text}");
    }
}

#[test]
fn keys_that_are_too_long_for_the_parser_are_left_to_it() {
    for length in 900..1_100 {
        let key = "k".repeat(length);
        for text in [format!("{key}: v"), format!("\"{key}\": v"), format!("a: {{{key}: v}}"), format!("- {key}: v")] {
            usual(&text);
        }
    }
}

/// One character more, less or another, or a line more, less or further in.
#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, char),
    Remove(usize),
    Indent(usize, usize),
    Repeat(usize),
    Cut(usize),
}

impl Edit {
    fn make(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        match *self {
            Self::Insert(at, char) => chars.insert(at % (chars.len() + 1), char),
            Self::Remove(at) if !chars.is_empty() => drop(chars.remove(at % chars.len())),
            Self::Remove(_) => {}
            Self::Cut(at) => chars.truncate(at),
            Self::Indent(at, by) => {
                let at = at % lines.len();
                lines[at].insert_str(0, &" ".repeat(by));
                return lines.join("\n");
            }
            Self::Repeat(at) => {
                let at = at % lines.len();
                lines.insert(at, lines[at].clone());
                return lines.join("\n");
            }
        }
        chars.into_iter().collect()
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (any::<usize>(), prop::sample::select(" \n:-#'\"[]{},a\\".chars().collect::<Vec<_>>()))
            .prop_map(|(at, char)| Edit::Insert(at, char)),
        2 => any::<usize>().prop_map(Edit::Remove),
        1 => (any::<usize>(), 1usize..4).prop_map(|(at, by)| Edit::Indent(at, by)),
        1 => any::<usize>().prop_map(Edit::Repeat),
        1 => (0..DESCRIPTOR.len()).prop_map(Edit::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn an_edited_descriptor_is_read_as_the_parser_reads_it(edits in prop::collection::vec(edit(), 1..5)) {
        let text = edits.iter().fold(DESCRIPTOR.to_owned(), |text, edit| edit.make(&text));
        usual(&text);
    }

    #[test]
    fn lines_are_read_as_the_parser_reads_them(
        lines in prop::collection::vec((0usize..5, prop::sample::select(LINES)), 0..9),
        ends in any::<bool>(),
    ) {
        let lines: Vec<String> = lines.iter().map(|(indent, line)| format!("{}{line}", " ".repeat(*indent))).collect();
        let mut text = lines.join("\n");
        if ends {
            text.push('\n');
        }
        usual(&text);
    }

    #[test]
    fn any_text_is_read_as_the_parser_reads_it(text in "[ab1:#'\"\\[\\]{},?\\-~<&* \n]{0,40}") {
        usual(&text);
    }
}
