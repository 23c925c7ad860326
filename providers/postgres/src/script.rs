//! SQL text with the attribute of each part, so that server errors point to the line in the descriptor.

use terrace_provider::Path;

/// Statements that are sent together.
#[derive(Debug, Default, Clone)]
pub(crate) struct Script {
    text: String,
    /// Length of the text in characters.
    length: usize,
    /// Character ranges with their attributes.
    places: Vec<(usize, usize, Path)>,
    /// The attribute of an error without a position.
    path: Option<Path>,
}

impl Script {
    /// Statements without an attribute.
    pub(crate) fn of(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { length: text.chars().count(), text, ..Self::default() }
    }

    /// A statement for one attribute.
    pub(crate) fn about(path: &Path, text: impl Into<String>) -> Self {
        Self { path: Some(path.clone()), ..Self::of(text) }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    /// Adds text of an attribute.
    pub(crate) fn push_at(&mut self, path: &Path, text: &str) {
        let begin = self.length;
        self.push(text);
        self.places.push((begin, self.length, path.clone()));
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The innermost attribute at a character position, counted from 1.
    pub(crate) fn place(&self, position: Option<usize>) -> Option<Path> {
        let at = position.and_then(|position| position.checked_sub(1));
        let covering = |(begin, end, _): &&(usize, usize, Path)| at.is_some_and(|at| (*begin..*end).contains(&at));
        let narrowest = self.places.iter().filter(covering).min_by_key(|(begin, end, _)| end - begin);
        narrowest.map(|(_, _, path)| path.clone()).or_else(|| self.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_reported_at_the_innermost_attribute() {
        let (columns, ty) = (Path::attribute("columns"), Path::attribute("columns").index(0).key("type"));
        let mut script = Script::of("CREATE TABLE ü (");
        script.push_at(&columns, "\"a\" ");
        script.push_at(&ty, "nonsense");
        script.push(")");
        assert_eq!(script.place(Some(1)), None);
        assert_eq!(script.place(Some(17)), Some(columns));
        assert_eq!(script.place(Some(21)), Some(ty));
        assert_eq!(Script::about(&Path::attribute("x"), "y").place(None), Some(Path::attribute("x")));
    }
}
