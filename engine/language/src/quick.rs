//! Maps with a fast hash, for maps with at least as many entries as there are resources. Each process has its own
//! random seed, like the standard library's maps.

use std::collections::HashMap;

/// A map with a fast hash.
pub type QuickMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
