//! Names in the form of `SHOW GRANTS`, and patterns of `LIKE`.

/// A dotted name, quoted where necessary.
pub(crate) fn shown(parts: &[String]) -> String {
    let part = |part: &String| {
        let is_plain = part.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '$');
        if is_plain { part.clone() } else { format!("\"{}\"", part.replace('"', "\"\"")) }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(".")
}

/// True if a name matches a pattern of `SHOW … LIKE`: `%` and `_` are wildcards, case is ignored.
pub(crate) fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.to_lowercase().chars().collect(), pattern.to_lowercase().chars().collect());
    // reachable[i]: the pattern so far matches the first i characters.
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    let mut position = 0;
    while position < pattern.len() {
        let mut next = vec![false; name.len() + 1];
        let sign = pattern[position];
        if sign == '%' {
            let first = reachable.iter().position(|it| *it).unwrap_or(name.len() + 1);
            next.iter_mut().skip(first).for_each(|it| *it = true);
        } else {
            let is_escaped = sign == '\\' && position + 1 < pattern.len();
            position += usize::from(is_escaped);
            let literal = pattern[position];
            for at in 0..name.len() {
                let fits = name[at] == literal || (literal == '_' && !is_escaped);
                next[at + 1] = reachable[at] && fits;
            }
        }
        reachable = next;
        position += 1;
    }
    reachable[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_wildcards_and_no_case() {
        for (name, pattern) in [("ORDERS", "orders"), ("A_B", "a\\_b"), ("AXB", "a_b"), ("ABC", "%c"), ("", "%")] {
            assert!(is_like(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [("AXB", "a\\_b"), ("AB", "a"), ("A", "ab")] {
            assert!(!is_like(name, pattern), "{name} {pattern}");
        }
    }

    #[test]
    fn names_are_quoted_where_necessary() {
        assert_eq!(shown(&["DB".to_owned(), "a.b".to_owned(), "C\"".to_owned()]), r#"DB."a.b"."C""""#);
    }
}
