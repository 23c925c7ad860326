//! The command that a runner of kind `wrapped-python` starts a step with: `docker run … python -c "{cmd}"`.
//!
//! Its text is split into words as a shell splits it (dpp: `shlex.split`), and only then filled in: what a parameter of a
//! step holds stays one argument of the step, and is never read as words of the wrapper, or by a shell that it starts.

use std::collections::BTreeMap;

/// A wrapper, split into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    /// As it was written: another text is another environment.
    pub text: String,
    words: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{cmd}`: the step's command.
    Command,
    /// `{path}`: the folder of the spec, from where specs are searched.
    Path,
    /// `{abspath}`: the same from the root.
    AbsolutePath,
    /// `{env[NAME]}`: a variable.
    Variable(String),
}

/// What a wrapper is filled in with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    /// The program of the step and its arguments.
    pub(crate) command: &'a [String],
    pub(crate) path: &'a str,
    pub(crate) absolute_path: &'a str,
    pub(crate) variables: &'a BTreeMap<String, String>,
}

impl Wrapper {
    /// Reads a wrapper.
    ///
    /// # Errors
    /// When it is none, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("a quote in it is not closed")?;
        let words: Vec<Vec<Piece>> = words.iter().map(|word| pieces(word)).collect::<Result<_, _>>()?;
        if words.is_empty() {
            return Err("it is empty".to_owned());
        }
        if !words.iter().flatten().any(|piece| *piece == Piece::Command) {
            return Err("it has no `{cmd}`, where the command of the step belongs".to_owned());
        }
        Ok(Self { text: text.to_owned(), words })
    }

    /// The variables that it names.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let pieces = self.words.iter().flatten();
        pieces.filter_map(|piece| if let Piece::Variable(name) = piece { Some(name.as_str()) } else { None })
    }

    /// The words that are started.
    ///
    /// # Errors
    /// When a variable is not set, or an argument cannot be quoted, in words.
    pub(crate) fn fill(&self, filling: Filling<'_>) -> Result<Vec<String>, String> {
        let mut filled = Vec::new();
        for word in &self.words {
            // Alone it is the words of the command; within other text somebody else splits it, who needs quotes.
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

/// A word in pieces, by Python's rules for `format`: `{{` and `}}` are brackets.
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
            '}' => return Err("a `}` in it has no `{`; write `}}` for the bracket itself".to_owned()),
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
            "`{{{name}}}` in it means nothing: known are `{{cmd}}`, `{{path}}`, `{{abspath}}` and `{{env[NAME]}}`"
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
    fn a_command_alone_is_its_words_and_nothing_is_split_again() {
        let words = filled("nice -n 5 {env[IMAGE]} {abspath} {cmd}").unwrap();
        assert_eq!(
            words.iter().take(6).collect::<Vec<_>>(),
            ["nice", "-n", "5", "img; x", "/p/sub dir", "/v/bin/python"]
        );
        assert_eq!(words.len(), 11);
        assert_eq!(words[10], "");
    }

    #[test]
    fn a_shell_that_a_wrapper_starts_reads_the_very_arguments() {
        let words = filled(r#"sh -c "cd '{path}' 2>&1; printf '%s\n' {cmd}""#).unwrap();
        assert_eq!(words.len(), 3);
        let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with("/v/bin/python\na b.py\n0\n{\"x\": \"$(rm -rf /) 'q' \\\" `w`\"}\nFalse\n\n"), "{said}");
    }

    #[test]
    fn what_is_no_wrapper_is_told() {
        let told = |text: &str| filled(text).unwrap_err();
        assert!(told("docker run \"x").contains("not closed"));
        assert!(told("docker run x").contains("no `{cmd}`"));
        assert!(told("x {cmd} {env}").contains("`{env}` in it means nothing"));
        assert!(told("x {cmd} {env[NONE]}").contains("`NONE`, which is not set"));
        assert!(told("x {cmd} }").contains("has no `{`"));
        assert_eq!(filled("echo {{}} {cmd}").unwrap()[1], "{}");
    }
}
