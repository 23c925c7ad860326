use super::*;
use proptest::prelude::*;

fn fields_of(text: &str) -> Result<BTreeSet<String>, QueryError> {
    root_fields(text, None, Allowed::default())
}

/// A selection of the root with a hidden field.
#[derive(Debug, Clone)]
enum Hidden {
    Field {
        name: String,
        alias: Option<String>,
        is_skipped: bool,
    },
    Inline(Option<String>, Vec<Hidden>),
    /// A fragment definition.
    Spread(Vec<Hidden>),
}

fn name() -> impl Strategy<Value = String> {
    // GraphQL keywords are names, too.
    prop_oneof![
        "[a-z][a-z0-9_]{0,6}",
        prop::sample::select(vec!["on", "query", "fragment", "true", "null", "type", "mutation", "_x"])
            .prop_map(str::to_owned),
    ]
}

fn hidden() -> impl Strategy<Value = Hidden> {
    let field = (name(), prop::option::of(name()), any::<bool>()).prop_map(|(name, alias, is_skipped)| Hidden::Field {
        name,
        alias,
        is_skipped,
    });
    field.prop_recursive(4, 24, 4, |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (prop::option::of("[A-Z][a-z]{0,4}"), some()).prop_map(|(ty, all)| Hidden::Inline(ty, all)),
            some().prop_map(Hidden::Spread),
        ]
    })
}

/// Writes selections; collects their fragments and the fields that they request.
fn write(all: &[Hidden], fragments: &mut Vec<String>, fields: &mut BTreeSet<String>) -> String {
    let mut text = String::new();
    for one in all {
        text += &match one {
            Hidden::Field { name, alias, is_skipped } => {
                fields.insert(name.clone());
                let alias = alias.as_ref().map(|alias| format!("{alias}: ")).unwrap_or_default();
                let directive = if *is_skipped { " @skip(if: true)" } else { "" };
                format!("{alias}{name}(a: {{b: [\"}}{{ #\", $c]}}){directive} {{ deep }} , ")
            }
            Hidden::Inline(ty, inner) => {
                let ty = ty.as_ref().map(|ty| format!("on {ty}")).unwrap_or_default();
                format!("... {ty} @include(if: false) {{ {} }} ", write(inner, fragments, fields))
            }
            Hidden::Spread(inner) => {
                let inner = write(inner, fragments, fields);
                let name = format!("F{}", fragments.len());
                fragments.push(format!("fragment {name} on Root {{ {inner} }}"));
                format!("...{name} # ...G\r\n")
            }
        };
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_hidden_field_is_found(all in prop::collection::vec(hidden(), 1..5)) {
        let (mut fragments, mut fields) = (Vec::new(), BTreeSet::new());
        let text = write(&all, &mut fragments, &mut fields);
        let text = format!("{} query {{ {text} }}", fragments.join("\n"));
        prop_assert_eq!(fields_of(&text), Ok(fields), "{}", text);
    }

    #[test]
    fn arbitrary_text_does_not_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "(", ")", "[", "]", "...", "..", ":", "!", "$", "@", "=", "|", "&", ",", " ", "\n", "\r", "#", "\"",
        "\"\"\"", "\\", "\\u", "\\u00e9", "\\ud83d", "query", "mutation", "fragment", "on", "a", "F", "Q", "type", "schema",
        "extend", "directive", "1", "-", "0", "1.5e", "true", "\u{feff}", "é", "\u{0}", "😀", "__schema",
    ]), 0..40)) {
        let text = parts.concat();
        if let Ok(fields) = fields_of(&text) {
            prop_assert!(fields.iter().all(|field| text.contains(field.as_str())), "{fields:?} of {text}");
        }
    }
}

#[test]
fn long_chain_of_fragments_is_followed_without_recursion() {
    let count = 1_000;
    let chain = (0..count).map(|at| format!("fragment F{at} on Q{{...F{}}}", at + 1)).collect::<String>();
    let fields = fields_of(&format!("{{...F0}}{chain}fragment F{count} on Q{{x}}")).unwrap();
    assert_eq!(fields, BTreeSet::from(["x".to_owned()]));
    let circle = fields_of(&format!("{{...F0}}{chain}fragment F{count} on Q{{x ...F0}}")).unwrap_err();
    assert_eq!(circle, QueryError::Invalid("fragments spread each other in a cycle".to_owned()));
}

#[test]
fn deepest_allowed_nesting_is_read() {
    let nested = |depth: usize| fields_of(&format!("{{ x{} {} }}", "{x".repeat(depth), "}".repeat(depth)));
    assert!(nested(MOST_DEPTH - 2).is_ok());
    assert!(nested(MOST_DEPTH + 1).is_err());
}
