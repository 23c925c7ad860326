//! Changes that a sync makes at a destination, for people.

use super::manifest::Manifest;
use super::source::Tree;
use std::collections::HashSet;

/// Changed files, with their sizes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    new: Vec<(String, u64)>,
    changed: Vec<(String, u64)>,
    /// Files that the source no longer has.
    removed: Vec<(String, u64)>,
}

/// Number of files that are listed.
const NAMED: usize = 20;

impl Difference {
    /// Changes of a sync of the tree after a manifest with these damaged files.
    fn of(tree: &Tree, former: Option<&Manifest>, damaged: &[String], are_all_changed: bool) -> Self {
        let mut difference = Self::default();
        let damaged: HashSet<&str> = damaged.iter().map(String::as_str).collect();
        for file in &tree.files {
            let entry = former.and_then(|former| former.files.get(&file.key));
            let listed = (file.key.clone(), file.size);
            match entry {
                None => difference.new.push(listed),
                Some(entry)
                    if are_all_changed || entry.sha256 != file.sha256 || damaged.contains(file.key.as_str()) =>
                {
                    difference.changed.push(listed);
                }
                Some(_) => {}
            }
        }
        let removed = former.into_iter().flat_map(|former| &former.files).filter(|(key, _)| !tree.has(key));
        difference.removed = removed.map(|(key, entry)| (key.clone(), entry.size)).collect();
        difference
    }

    /// Lines for the first files, after a line with totals.
    fn lines(&self, removes: bool) -> Vec<String> {
        let sent = || self.new.iter().chain(&self.changed);
        let bytes: u64 = sent().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let count = sent().count();
        let mut lines = vec![format!("{count} {} to send, {bytes} bytes", if count == 1 { "file" } else { "files" })];
        let new = self.new.iter().map(|(key, size)| format!("+ {key} ({size} bytes)"));
        let changed = self.changed.iter().map(|(key, size)| format!("~ {key} ({size} bytes)"));
        let sign = if removes { "-" } else { "stays:" };
        let removed = self.removed.iter().map(|(key, _)| format!("{sign} {key}"));
        let mut all = new.chain(changed).chain(removed);
        lines.extend(all.by_ref().take(NAMED));
        match all.count() {
            0 => {}
            more => lines.push(format!("and {more} more")),
        }
        lines
    }
}

impl Tree {
    /// Changes of a sync after a former one, with lines for the first files.
    #[must_use]
    pub fn changes(
        &self,
        former: Option<&Manifest>,
        damaged: &[String],
        are_all_changed: bool,
        removes: bool,
    ) -> Vec<String> {
        Difference::of(self, former, damaged, are_all_changed).lines(removes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_counted_and_some_are_listed() {
        let difference = Difference { new: (0..30).map(|n| (format!("a/{n}"), 2)).collect(), ..Difference::default() };
        let lines = difference.lines(false);
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[21].as_str()),
            (22, "30 files to send, 60 bytes", "and 10 more")
        );
    }
}
