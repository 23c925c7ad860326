//! How much room a comment has, and a page that cannot outgrow it.

/// An amount of room: both of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Characters as platforms count them: in UTF-16.
    pub(super) characters: usize,
    /// Bytes in UTF-8.
    pub(super) bytes: usize,
}

impl Budget {
    /// What is left beside a text.
    pub(super) fn without(self, text: &str) -> Self {
        let taken = Self::of(text);
        Self {
            characters: self.characters.saturating_sub(taken.characters),
            bytes: self.bytes.saturating_sub(taken.bytes),
        }
    }

    /// One of that many equal parts.
    pub(super) fn part(self, of: usize) -> Self {
        Self { characters: self.characters / of.max(1), bytes: self.bytes / of.max(1) }
    }

    /// True when a text fits.
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

/// A text that grows within its budget.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    left: Budget,
}

/// Room kept for the line that says what a list leaves out.
const REST: usize = 200;

impl Page {
    pub(super) fn new(budget: Budget) -> Self {
        Self { text: String::new(), left: budget }
    }

    /// What is left.
    pub(super) fn left(&self) -> Budget {
        self.left
    }

    /// Adds a text if it fits. What is pushed on its own is small; only lists are long, and those are filled in.
    pub(super) fn push(&mut self, text: &str) -> bool {
        let fits = self.left.fits(text);
        if fits {
            self.text.push_str(text);
            self.left = self.left.without(text);
        }
        fits
    }

    /// Adds lines while they fit into that much room, then what `rest` says of those that do not, given how many
    /// were added. Returns that number.
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
