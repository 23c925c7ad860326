//! Names of roles and principals that mix scripts: `аdmin` with a Cyrillic `а` looks like `admin` and is another role.

use crate::{Path, ProviderError};
use unicode_security::MixedScript;
use unicode_security::mixed_script::AugmentedScriptSet;

/// Solution for a name of mixed scripts.
pub const ONE_SCRIPT: &str = "write all letters of the name in one script";
/// Separators of the parts of a principal: its kind and the parts of an address may have different scripts.
const BETWEEN_PARTS: [char; 6] = [':', '@', '.', '/', ',', '='];

/// Checks the name of a role. Letters of one script may be combined with digits, marks and spaces. Latin letters may be
/// combined with Chinese, Japanese or Korean ones. This is the highly restrictive level of Unicode (UTS 39).
///
/// # Errors
/// When the letters have several scripts: the problem, with the letters.
pub fn check_scripts(name: &str) -> Result<(), String> {
    if name.is_ascii() || is_one_script(name) {
        return Ok(());
    }
    let has_latin = name.contains(|letter: char| letter.is_ascii_alphabetic());
    let first = name.chars().find(|letter| letter.is_alphabetic());
    let is_other = |letter: &char| match has_latin {
        true => letter.is_alphabetic() && !letter.is_ascii() && !is_one_script(&format!("a{letter}")),
        false => first.is_some_and(|first| letter.is_alphabetic() && !is_one_script(&format!("{first}{letter}"))),
    };
    let mut letters: Vec<char> = name.chars().filter(is_other).collect();
    letters.sort_unstable();
    letters.dedup();
    let letters: Vec<String> =
        letters.into_iter().take(5).map(|letter| format!("`{letter}` (U+{:04X})", u32::from(letter))).collect();
    Err(format!("mixes letters of several scripts, so it can be confused with another name: {}", letters.join(", ")))
}

/// Checks each part of a principal's name, such as `user`, `ada` and `example.com` of `user:ada@example.com`.
///
/// # Errors
/// As [`check_scripts`].
pub fn check_principal_scripts(principal: &str) -> Result<(), String> {
    principal.split(BETWEEN_PARTS).try_for_each(check_scripts)
}

/// Checks a role name in an attribute, like [`check_scripts`].
///
/// # Errors
/// `InvalidInput` at the attribute.
pub fn check_role(attribute: &str, name: &str) -> Result<(), ProviderError> {
    check_scripts(name).map_err(|problem| refused(attribute, name, &problem))
}

/// Checks a principal in an attribute, like [`check_principal_scripts`].
///
/// # Errors
/// `InvalidInput` at the attribute.
pub fn check_principal(attribute: &str, name: &str) -> Result<(), ProviderError> {
    check_principal_scripts(name).map_err(|problem| refused(attribute, name, &problem))
}

fn refused(attribute: &str, name: &str, problem: &str) -> ProviderError {
    let message = format!("`{attribute}` is `{name}`: the name {problem}");
    ProviderError::invalid(Some(Path::attribute(attribute)), message).solution(ONE_SCRIPT)
}

fn is_one_script(text: &str) -> bool {
    if text.is_single_script() {
        return true;
    }
    // Chinese, Japanese and Korean texts may contain ASCII letters.
    let others: String = text.chars().filter(|letter| !letter.is_ascii()).collect();
    let set: AugmentedScriptSet = others.as_str().resolve_script_set();
    set.hanb || set.jpan || set.kore
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_a_single_script_is_accepted() {
        for name in
            ["admin", "rôle-éditeur_2", "администратор 7", "管理者admin", "ロール_reader", "관리자a", "", "δρ·1"]
        {
            assert_eq!(check_scripts(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn name_of_mixed_scripts_is_refused_with_its_letters() {
        for (name, letter) in
            [("\u{430}dmin", "U+0430"), ("adm\u{456}n", "U+0456"), ("r\u{3bf}le", "U+03BF"), ("роль\u{3bf}", "U+03BF")]
        {
            assert!(check_scripts(name).unwrap_err().contains(letter), "{name}");
        }
    }

    #[test]
    fn parts_of_principal_may_be_of_different_scripts() {
        for principal in ["user:иван", "user:josé@пример.com", "group:developers", "User:CN=ada,O=Пример"]
        {
            assert_eq!(check_principal_scripts(principal), Ok(()), "{principal}");
        }
        assert!(check_principal_scripts("user:\u{430}da@example.com").is_err());
    }

    #[test]
    fn error_of_attribute_has_a_solution() {
        let error = check_role("name", "\u{430}dmin").unwrap_err();
        assert_eq!(
            error.message,
            "`name` is `\u{430}dmin`: the name mixes letters of several scripts, so it can be confused with another name: `\u{430}` (U+0430)"
        );
        assert_eq!(error.solutions, [ONE_SCRIPT]);
    }
}
