//! Wrapper command of a runner of kind `wrapped-python`: `docker run … python -c "{cmd}"`.
//!
//! The text is first split into words like in a shell (dpp: `shlex.split`), and only then filled in. So a parameter of
//! a step stays one argument, and neither the wrapper nor a shell that it starts splits it.

use std::collections::BTreeMap;

/// A wrapper, split into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    /// The text, which is part of the environment's identity.
    pub text: String,
    words: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{cmd}`: the step's command.
    Command,
    /// `{path}`: the folder of the spec, relative to the searched folder.
    Path,
    /// `{abspath}`: the same as an absolute path.
    AbsolutePath,
    /// `{env[NAME]}`: a variable.
    Variable(String),
}

/// Values for the placeholders of a wrapper.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    /// Program of the step, and its arguments.
    pub(crate) command: &'a [String],
    pub(crate) path: &'a str,
    pub(crate) absolute_path: &'a str,
    pub(crate) variables: &'a BTreeMap<String, String>,
}

impl Wrapper {
    /// Parses a wrapper.
    ///
    /// # Errors
    /// When it is not valid; the error is for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("it has an unclosed quote")?;
        let words: Vec<Vec<Piece>> = words.iter().map(|word| pieces(word)).collect::<Result<_, _>>()?;
        if words.is_empty() {
            return Err("it is empty".to_owned());
        }
        if !words.iter().flatten().any(|piece| *piece == Piece::Command) {
            return Err("it has no `{cmd}`, the place of the step's command".to_owned());
        }
        Ok(Self { text: text.to_owned(), words })
    }

    /// Names of its variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let pieces = self.words.iter().flatten();
        pieces.filter_map(|piece| if let Piece::Variable(name) = piece { Some(name.as_str()) } else { None })
    }

    /// Returns the command to start.
    ///
    /// # Errors
    /// When a variable is not set, or an argument cannot be quoted; the error is for people.
    pub(crate) fn fill(&self, filling: Filling<'_>) -> Result<Vec<String>, String> {
        let mut filled = Vec::new();
        for word in &self.words {
            // As a separate word, it expands to the command's words. Inside other text a shell splits it, so it is
            // quoted.
            if let [Piece::Command] = word.as_slice() {
                filled.extend(filling.command.iter().cloned());
                continue;
            }
            let mut text = String::new();
            for piece in word {
                match piece {
                    Piece::Text(plain) => text.push_str(plain),
                    Piece::Path => text.push_str(filling.path),
                    Piece::AbsolutePath => text.push_str(filling.absolute_path),
                    Piece::Command => {
                        let words = filling.command.iter().map(String::as_str);
                        let quoted = shlex::try_join(words).map_err(|error| format!("it cannot be quoted: {error}"))?;
                        text.push_str(&quoted);
                    }
                    Piece::Variable(name) => match filling.variables.get(name) {
                        Some(value) => text.push_str(value),
                        None => return Err(format!("its wrapper names the variable `{name}`, which is not set")),
                    },
                }
            }
            filled.push(text);
        }
        Ok(filled)
    }
}

/// Splits a word into pieces by the rules of Python's `format`: `{{` and `}}` are literal braces.
fn pieces(word: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if characters.peek() == Some(&character) => {
                characters.next();
                text.push(character);
            }
            '{' => {
                let name: String = characters.by_ref().take_while(|character| *character != '}').collect();
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(placeholder(&name)?);
            }
            '}' => return Err("it has a `}` without `{`; write `}}` for a literal brace".to_owned()),
            other => text.push(other),
        }
    }
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn placeholder(name: &str) -> Result<Piece, String> {
    let variable = name.strip_prefix("env[").and_then(|rest| rest.strip_suffix(']')).filter(|name| !name.is_empty());
    match (name, variable) {
        ("cmd", _) => Ok(Piece::Command),
        ("path", _) => Ok(Piece::Path),
        ("abspath", _) => Ok(Piece::AbsolutePath),
        (_, Some(variable)) => Ok(Piece::Variable(variable.to_owned())),
        _ => Err(format!(
            "it has the unknown placeholder `{{{name}}}`: expected `{{cmd}}`, `{{path}}`, `{{abspath}}` or `{{env[NAME]}}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<Vec<String>, String> {
        let command = ["/v/bin/python", "a b.py", "0", r#"{"x": "$(rm -rf /) 'q' \" `w`"}"#, "False", ""];
        let command = command.map(str::to_owned);
        let variables = BTreeMap::from([("IMAGE".to_owned(), "img; x".to_owned())]);
        let filling = Filling { command: &command, path: "./sub", absolute_path: "/p/sub dir", variables: &variables };
        Wrapper::parse(text)?.fill(filling)
    }

    #[test]
    fn command_alone_expands_to_its_words() {
        let words = filled("nice -n 5 {env[IMAGE]} {abspath} {cmd}").unwrap();
        assert_eq!(
            words.iter().take(6).collect::<Vec<_>>(),
            ["nice", "-n", "5", "img; x", "/p/sub dir", "/v/bin/python"]
        );
        assert_eq!(words.len(), 11);
        assert_eq!(words[10], "");
    }

    #[test]
    fn shell_of_wrapper_gets_unchanged_arguments() {
        let words = filled(r#"sh -c "cd '{path}' 2>&1; printf '%s\n' {cmd}""#).unwrap();
        assert_eq!(words.len(), 3);
        let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            printed.ends_with("/v/bin/python\na b.py\n0\n{\"x\": \"$(rm -rf /) 'q' \\\" `w`\"}\nFalse\n\n"),
            "{printed}"
        );
    }

    #[test]
    fn invalid_wrapper_is_reported() {
        let error = |text: &str| filled(text).unwrap_err();
        assert!(error("docker run \"x").contains("unclosed"));
        assert!(error("docker run x").contains("no `{cmd}`"));
        assert!(error("x {cmd} {env}").contains("unknown placeholder `{env}`"));
        assert!(error("x {cmd} {env[NONE]}").contains("`NONE`, which is not set"));
        assert!(error("x {cmd} }").contains("without `{`"));
        assert_eq!(filled("echo {{}} {cmd}").unwrap()[1], "{}");
    }
}
