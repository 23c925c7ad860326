//! Maps with a quick hash, where there are as many entries as resources or more. It is seeded anew in each process, as
//! that of the standard library is.

use std::collections::HashMap;

/// A map with a quick hash.
pub type QuickMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
