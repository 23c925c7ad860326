//! Colours of a terminal, in one place. They repeat what signs say and never say anything alone.

/// A colour or weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Headings.
    Bold,
    /// What only informs.
    Faint,
    /// What comes.
    Green,
    /// What changes.
    Yellow,
    /// What goes.
    Red,
    /// What is looked at or taken over.
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

/// Paints, or leaves as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Painter {
    /// The reader wants colours.
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
