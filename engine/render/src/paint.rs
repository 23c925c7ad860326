//! Terminal colours. They repeat the meaning of signs and never carry information alone.

/// A colour or weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Headings.
    Bold,
    /// Information without a change.
    Faint,
    /// Additions.
    Green,
    /// Changes.
    Yellow,
    /// Removals.
    Red,
    /// Reads and adoptions.
    Cyan,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Cyan => "36",
        }
    }
}

/// Applies colours if they are enabled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Painter {
    /// True if colours are enabled.
    pub(crate) is_on: bool,
}

impl Painter {
    /// A text in a colour.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        match self.is_on && !text.is_empty() {
            true => format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()),
            false => text.to_owned(),
        }
    }

    /// A sign in its colour.
    pub(crate) fn sign(self, sign: &str) -> String {
        let paint = match sign {
            "+" => Paint::Green,
            "~" => Paint::Yellow,
            "-" | "-/+" | "+/-" | "!" | "?" => Paint::Red,
            "<=" | "=" => Paint::Cyan,
            _ => Paint::Faint,
        };
        self.paint(paint, sign)
    }
}
