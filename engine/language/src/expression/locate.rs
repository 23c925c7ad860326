//! Maps a byte of a scalar's value to its place in the source text.
//!
//! Plain and quoted scalars are mapped exactly, except for folds and escapes. In block scalars the line is searched. A
//! place that cannot be found is reported at the start of the scalar.

use crate::source::{Sources, Span};

/// The place of `length` bytes of a scalar's value from byte `start` on.
pub(super) fn locate(sources: &Sources, scalar: Span, value: &str, start: usize, length: usize) -> Span {
    let written = sources
        .get(scalar.source)
        .and_then(|source| source.text.get(scalar.start as usize..scalar.end as usize))
        .unwrap_or_default();
    match offset(written, value, start) {
        Some(at) => {
            let begin = scalar.start as usize + at;
            let end = (begin + length).min(scalar.end as usize);
            Span::new(scalar.source, begin, end)
        }
        None => scalar,
    }
}

/// The byte of the written scalar that corresponds to a byte of its value.
fn offset(written: &str, value: &str, wanted: usize) -> Option<usize> {
    let exact = match written.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted_offset(written, value, quote, wanted),
        _ if written.starts_with(value) => Some(wanted),
        _ => None,
    };
    exact.or_else(|| line_offset(written, value, wanted))
}

/// The same for a quoted scalar on a single line.
fn quoted_offset(written: &str, value: &str, quote: char, wanted: usize) -> Option<usize> {
    if written.contains('\n') {
        return None;
    }
    let mut at = quote.len_utf8();
    for (decoded, _) in value.char_indices() {
        if decoded == wanted {
            return Some(at);
        }
        let mut symbols = written.get(at..)?.chars();
        let symbol = symbols.next()?;
        at += match (quote, symbol, symbols.next()) {
            ('\'', '\'', Some('\'')) => 2,
            ('"', '\\', Some('x')) => 4,
            ('"', '\\', Some('u')) => 6,
            ('"', '\\', Some('U')) => 10,
            ('"', '\\', Some(escaped)) => 1 + escaped.len_utf8(),
            _ => symbol.len_utf8(),
        };
    }
    None
}

/// The place of the rest of the value's line, if it occurs once.
fn line_offset(written: &str, value: &str, wanted: usize) -> Option<usize> {
    let line = value.get(wanted..)?.lines().next().filter(|line| !line.is_empty())?;
    let mut places = written.match_indices(line);
    let (at, _) = places.next()?;
    places.next().is_none().then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_of_a_value_maps_to_its_written_place() {
        for (written, value, wanted, expected) in [
            ("${{ a }}", "${{ a }}", 4, Some(4)),
            ("\"${{ a }}\"", "${{ a }}", 4, Some(5)),
            ("'${{ ''a'' + b }}'", "${{ 'a' + b }}", 10, Some(13)),
            (r#""${{ \"a\" + b }}""#, r#"${{ "a" + b }}"#, 10, Some(13)),
            (r#""\u00e9 ${{ b }}""#, "é ${{ b }}", 7, Some(12)),
            ("|\n  x\n  ${{ b }}\n", "x\n${{ b }}\n", 6, Some(12)),
            ("|\n  ${{ b }}\n  ${{ b }}\n", "${{ b }}\n${{ b }}\n", 4, None),
            ("'a\n  ${{ b }}'", "a ${{ b }}", 6, Some(9)),
        ] {
            let found = offset(written, value, wanted);
            assert_eq!(found, expected, "{written}");
        }
    }
}
