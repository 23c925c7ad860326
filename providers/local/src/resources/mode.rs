//! Permission bits as written in descriptors: `0644`.

use terrace_provider::{Path, ProviderError};

/// Parses permission bits: three or four octal digits.
///
/// # Errors
///
/// If the text is anything else.
pub(crate) fn parse(text: &str) -> Result<u32, ProviderError> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let bits = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    bits.ok_or_else(|| {
        let message = format!("`mode` is `{text}`: expected three or four octal digits");
        ProviderError::invalid(Some(Path::attribute("mode")), message)
            .solution("write an octal mode in quotes, such as `\"0644\"`")
    })
}

/// Formats the permission bits of a mode.
pub(crate) fn print(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// Formats permission bits in the recorded spelling if it has the same value.
pub(crate) fn print_as(recorded: Option<&str>, mode: u32) -> String {
    match recorded {
        Some(text) if parse(text).is_ok_and(|bits| bits == mode & 0o7777) => text.to_owned(),
        _ => print(mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_has_only_octal_digits() {
        assert_eq!(parse("0644").unwrap(), 0o644);
        assert_eq!(parse("755").unwrap(), 0o755);
        for text in ["", "7", "0648", "rw-r--r--", "00644", "+644", "0o644"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mode_keeps_its_recorded_spelling() {
        assert_eq!(print_as(Some("644"), 0o100_644), "644");
        assert_eq!(print_as(Some("644"), 0o100_600), "0600");
    }
}
