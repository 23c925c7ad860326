//! Statistics of runs, within the limits of a status. Steps choose their content.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

/// Most bytes of the statistics.
const LARGEST: usize = 16 << 10;
/// Most levels of the statistics. The client of the cluster cannot parse an object with more than about 100, and an
/// object that cannot be parsed would hide all others.
const DEEPEST: usize = 16;

/// Reads the statistics of a run; `None` for empty ones, and for those beyond the limits. The rest of the answer stays
/// readable.
pub(crate) fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Map<String, Json>>, D::Error> {
    let text = Box::<RawValue>::deserialize(source)?;
    let stats = (text.get().len() <= LARGEST).then(|| serde_json::from_str::<Map<String, Json>>(text.get()).ok());
    // The object itself is one level.
    Ok(stats.flatten().filter(|stats| !stats.is_empty() && levels(stats.values()) < DEEPEST))
}

/// The levels of objects and lists.
fn levels<'a>(values: impl IntoIterator<Item = &'a Json>) -> usize {
    let level = |value: &Json| match value {
        Json::Array(items) => 1 + levels(items),
        Json::Object(fields) => 1 + levels(fields.values()),
        _ => 0,
    };
    values.into_iter().map(level).max().unwrap_or_default()
}
