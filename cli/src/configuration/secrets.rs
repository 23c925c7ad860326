//! Finds the lines of a configuration that hold a secret: diagnostics name their place, but do not quote them.
//!
//! The text may be unfinished, so only lines and names count: text that cannot be parsed must stay hidden too.

use std::ops::Range;

/// Parts of names that indicate a secret.
const SECRET_WORDS: [&str; 5] = ["secret", "password", "passphrase", "token", "credential"];
/// A field that holds older state keys.
const OLDER_KEYS: &str = "previous";
/// A field that may be a URL with a password in it.
const STATE: &str = "state";

/// The byte ranges of lines with a secret, without line breaks.
pub(super) fn lines(text: &str) -> Vec<Range<usize>> {
    // Inside braces the indentation has no meaning.
    if text.trim_start().starts_with('{') {
        return std::iter::once(0..text.len()).collect();
    }
    let mut hidden = Vec::new();
    let mut begin = 0;
    // Indentation of the line that begins the present block.
    let mut block: Option<usize> = None;
    for line in text.split('\n') {
        let indent = line.len() - line.trim_start().len();
        let continues = |above: usize| line.trim().is_empty() || indent > above || (indent == above && is_item(line));
        block = block.filter(|above| continues(*above));
        let mut values = values(line).peekable();
        let is_within = block.is_some();
        if !is_within && values.peek().is_some() {
            block = Some(indent);
        }
        if is_within || !values.all(is_expression) || has_credentials(line) {
            hidden.push(begin..begin + line.len());
        }
        begin += line.len() + 1;
    }
    hidden
}

fn is_item(line: &str) -> bool {
    line.trim_start().starts_with('-')
}

/// The rest of a line after each name of a secret.
fn values(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(':').filter_map(move |(at, colon)| {
        let before = line.get(..at)?.trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.')).next()?.to_lowercase();
        let is_secret = key.ends_with("key")
            || key == OLDER_KEYS
            || (key == STATE && line.contains("://"))
            || SECRET_WORDS.iter().any(|word| key.contains(word));
        line.get(at + colon.len()..).filter(|_| is_secret)
    })
}

/// True for a line with a URL that has a password, in its authority (`postgres://me:password@host`) or a parameter
/// (`jdbc:snowflake://host/?password=…`).
fn has_credentials(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let url = rest.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).next().unwrap_or_default();
        let has_password = url.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        has_password
            || url
                .to_lowercase()
                .split('=')
                .rev()
                .skip(1)
                .any(|name| SECRET_WORDS.iter().any(|word| name.ends_with(word)))
    })
}

/// True for expressions without literal text: they name the source of a secret, not its value.
fn is_expression(value: &str) -> bool {
    // `{secret: …}` is checked separately.
    let is_silent = |text: &str| !text.replace("secret", "").contains(char::is_alphanumeric);
    let mut rest = value;
    let mut has_expression = false;
    while let Some((before, behind)) = rest.split_once("${{") {
        let Some((expression, after)) = behind.split_once("}}") else { return false };
        if !is_silent(before) || expression.contains(['"', '\'']) {
            return false;
        }
        has_expression = true;
        rest = after;
    }
    has_expression && is_silent(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = lines(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn secret_is_hidden_with_all_of_its_lines() {
        check("a: 1\nkey: x\nb: 2", &["key: x"]);
        check("a:\n  b: {c: {\"secret\" : x}, d: 1}\n  c: 1\n", &["  b: {c: {\"secret\" : x}, d: 1}"]);
        check("a:\n  secret: |\n    one\n\n    two\n  b: 1", &["  secret: |", "    one", "", "    two"]);
        check("previous:\n- one\n- two\nb: 1", &["previous:", "- one", "- two"]);
        check("- {secret: one}\n- two: 2", &["- {secret: one}", "- two: 2"]);
        check("{a: 1,\n\"key\":\nx}", &["{a: 1,\n\"key\":\nx}"]);
    }

    #[test]
    fn text_in_or_around_an_expression_is_hidden() {
        let urls = "state: postgres://a:b@c";
        for line in ["key: ${{ \"x\" }}", urls, "token: ${{ env.T }}x", "token: x${{ env.T }}", "key: ${{ env.K"] {
            check(&format!("{line}\nb: 1"), &[line]);
        }
    }

    #[test]
    fn url_with_password_is_hidden_in_any_field() {
        for line in [
            "url: postgres://me:hunter2@host/db",
            "  - {url: 'postgres://me:hun/ter2@host', prot: 1}",
            "address: \"jdbc:snowflake://host/?user=me&password=hunter2\"",
            "    https://host/?accessToken=hunter2 # by hand",
        ] {
            check(&format!("a: 1\n{line}\nb: 1"), &[line]);
        }
    }

    #[test]
    fn other_lines_are_shown() {
        check(
            "url: postgres://me@host/db\nother: postgres://me:${{ env.PW }}@host\nbroker: http://host:9092/?a=b\n",
            &[],
        );
        check("environments:\n  local: {overlay: embedded}\nencryption: {keyFile: a}\nblueprints: [keys]\n", &[]);
        check("state: sqlite:a.db\npassword: '${{ env.PW }}'\nb: {token: {secret: '${{ env.T }}'}}\nc: 1", &[]);
    }
}
