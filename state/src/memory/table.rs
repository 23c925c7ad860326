//! Map with undo, which makes commits in memory atomic, at a cost proportional to the changes.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// A sorted map that remembers the changes since the last [`Table::commit_changes`].
pub(super) struct Table<K, V> {
    entries: BTreeMap<K, V>,
    before: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), before: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    pub(super) fn range<'a, R: RangeBounds<K>>(
        &'a self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&'a K, &'a V)> + use<'a, K, V, R> {
        self.entries.range(range)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let before = self.entries.insert(key.clone(), value);
        self.before.push((key, before));
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let before = self.entries.remove(key)?;
        self.before.push((key.clone(), Some(before.clone())));
        Some(before)
    }

    /// Makes the changes final.
    pub(super) fn commit_changes(&mut self) {
        self.before.clear();
    }

    /// Undoes the changes.
    pub(super) fn undo(&mut self) {
        while let Some((key, before)) = self.before.pop() {
            match before {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undo_reverts_uncommitted_changes() {
        let mut table = Table::default();
        table.insert("a", 1);
        table.commit_changes();
        table.insert("a", 2);
        table.insert("a", 3);
        table.insert("b", 4);
        table.remove(&"a");
        table.undo();
        assert_eq!(table.iter().collect::<Vec<_>>(), [(&"a", &1)]);
    }
}
