//! The budget of a comment, and a page that never exceeds it.

/// A limit in characters and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Characters as platforms count them: in UTF-16.
    pub(super) characters: usize,
    /// Bytes in UTF-8.
    pub(super) bytes: usize,
}

impl Budget {
    /// The budget minus a text.
    pub(super) fn without(self, text: &str) -> Self {
        let taken = Self::of(text);
        Self {
            characters: self.characters.saturating_sub(taken.characters),
            bytes: self.bytes.saturating_sub(taken.bytes),
        }
    }

    /// One of `of` equal parts.
    pub(super) fn part(self, of: usize) -> Self {
        Self { characters: self.characters / of.max(1), bytes: self.bytes / of.max(1) }
    }

    /// True if the text fits.
    pub(super) fn fits(self, text: &str) -> bool {
        let needed = Self::of(text);
        needed.characters <= self.characters && needed.bytes <= self.bytes
    }

    fn of(text: &str) -> Self {
        Self { characters: text.encode_utf16().count(), bytes: text.len() }
    }

    fn least(self, other: Self) -> Self {
        Self { characters: self.characters.min(other.characters), bytes: self.bytes.min(other.bytes) }
    }
}

/// A text within a budget.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    left: Budget,
}

/// Space reserved for the line about omitted entries.
const REST: usize = 200;

impl Page {
    pub(super) fn new(budget: Budget) -> Self {
        Self { text: String::new(), left: budget }
    }

    /// The remaining budget.
    pub(super) fn left(&self) -> Budget {
        self.left
    }

    /// Adds a text if it fits. Single texts are short; long lists use [`Page::fill`].
    pub(super) fn push(&mut self, text: &str) -> bool {
        let fits = self.left.fits(text);
        if fits {
            self.text.push_str(text);
            self.left = self.left.without(text);
        }
        fits
    }

    /// Adds lines while they fit into `room`. If some do not fit, adds the text of `rest`, which gets the number of added lines.
    /// Returns that number.
    pub(super) fn fill(
        &mut self,
        room: Budget,
        lines: impl Iterator<Item = String>,
        rest: impl FnOnce(usize) -> String,
    ) -> usize {
        let mut room = room.least(self.left);
        room = Budget { characters: room.characters.saturating_sub(REST), bytes: room.bytes.saturating_sub(4 * REST) };
        let mut shown = 0;
        for line in lines {
            if !room.fits(&line) {
                self.push(&rest(shown));
                break;
            }
            room = room.without(&line);
            self.push(&line);
            shown += 1;
        }
        shown
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The maximum length of an address, command or message.
pub(super) const LONGEST: usize = 300;
