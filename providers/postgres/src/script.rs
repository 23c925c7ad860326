//! SQL text that knows which attribute each part of it comes from, so that an error of the server is shown where the
//! descriptor says it.

use terrace_provider::Path;

/// Statements, sent together.
#[derive(Debug, Default, Clone)]
pub(crate) struct Script {
    text: String,
    /// How many characters that is.
    length: usize,
    /// The attribute from one character up to another.
    places: Vec<(usize, usize, Path)>,
    /// The attribute of an error that names no place.
    path: Option<Path>,
}

impl Script {
    /// Statements that no attribute is to blame for.
    pub(crate) fn of(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { length: text.chars().count(), text, ..Self::default() }
    }

    /// One statement that is about one attribute.
    pub(crate) fn about(path: &Path, text: impl Into<String>) -> Self {
        Self { path: Some(path.clone()), ..Self::of(text) }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    /// Adds text that comes from an attribute.
    pub(crate) fn push_at(&mut self, path: &Path, text: &str) {
        let begin = self.length;
        self.push(text);
        self.places.push((begin, self.length, path.clone()));
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The attribute that a character, counted from 1, comes from; the innermost one.
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
    fn an_error_is_shown_at_the_innermost_attribute() {
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
