use super::distinct;
use crate::digest::sha256;
use proptest::prelude::*;

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

#[test]
fn non_ascii_name_is_readable_and_ends_in_its_digest() {
    for (text, readable) in [
        ("Qualità 2", "Qualita-2"),
        ("注文", "Zhu-Wen"),
        ("рынок", "rynok"),
        ("כנסת", "knst"),
        ("Straße", "Strasse"),
        ("売上 (v2)", "Mai-Shang-v2"),
        ("📦", "package"),
        ("\u{378}", ""),
    ] {
        let name = distinct(text, '-', is_plain);
        let (words, digest) = name.rsplit_once('-').unwrap_or(("", &name));
        assert_eq!((words, digest.len()), (readable, 8), "{text}");
    }
}

#[test]
fn composed_and_decomposed_letters_are_one_name() {
    assert_eq!(distinct("caf\u{e9}", '_', is_plain), distinct("cafe\u{301}", '_', is_plain));
}

/// State hangs off these names: a table of another version of the library would give objects other names.
#[test]
fn latin_letters_are_those_of_the_first_release() {
    let all: String = ('\u{80}'..=char::MAX)
        .filter_map(|letter| Some(format!("{letter}{}\n", deunicode::deunicode_char(letter)?)))
        .collect();
    assert_eq!(sha256(all), "61876ed27d7bf45584f7331491c6d4172e4ac280ead925d2396e5b943f2d8131");
}

proptest! {
    #[test]
    fn names_beyond_ascii_stay_distinct(one in "\\PC{0,12}[^\\x00-\\x7f]\\PC{0,12}", other in "\\PC{0,12}[^\\x00-\\x7f]\\PC{0,12}") {
        use unicode_normalization::UnicodeNormalization;
        let is_same = one.nfc().eq(other.nfc());
        prop_assert_eq!(distinct(&one, '-', is_plain) == distinct(&other, '-', is_plain), is_same);
    }

    #[test]
    fn names_are_plain_characters_and_single_separators(text in "\\PC{0,24}") {
        let name = distinct(&text, '-', is_plain);
        prop_assert!(name.chars().all(|c| is_plain(c) || c == '-'), "{}", name);
        prop_assert!(!name.starts_with('-') && !name.ends_with('-') && !name.contains("--"), "{}", name);
    }
}
