//! Differences between two versions of an object, in words.

use serde_json::Value as Json;

/// Fields that change with each write, or belong to the status.
const IGNORED: [&str; 7] = [
    "status",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.uid",
];

/// Longest value in a line, in characters.
const LONGEST_VALUE: usize = 60;
/// Most differences in a line.
const MOST: usize = 12;

/// A field that differs. An absent value is `None`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference<'j> {
    /// The steps to the field; positions of list items as numbers.
    pub(crate) steps: Vec<String>,
    pub(crate) before: Option<&'j Json>,
    pub(crate) after: Option<&'j Json>,
}

impl Difference<'_> {
    /// True if the manifest has a value at this place or above.
    pub(crate) fn is_described_by(&self, manifest: &Json) -> bool {
        let mut at = manifest;
        for step in &self.steps {
            let next = match at {
                Json::Object(entries) => entries.get(step),
                Json::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => return true,
            };
            match next {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }

    /// The place: `spec.ports[0].port`.
    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.steps {
            match step.parse::<usize>() {
                Ok(index) => place.push_str(&format!("[{index}]")),
                Err(_) if place.is_empty() => place.push_str(step),
                Err(_) => place.push_str(&format!(".{step}")),
            }
        }
        place
    }

    /// `spec.replicas: 1`, `spec.replicas: 1 → 2`.
    fn words(&self) -> String {
        let place = self.place();
        match (self.before, self.after) {
            (None, Some(after)) => format!("`{place}: {}`", short(after)),
            (Some(before), Some(after)) => format!("`{place}: {} → {}`", short(before), short(after)),
            (_, None) => format!("`{place}` (removed)"),
        }
    }
}

fn short(value: &Json) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The differing fields, without those that only the server writes.
pub(crate) fn between<'j>(before: &'j Json, after: &'j Json) -> Vec<Difference<'j>> {
    let mut found = Vec::new();
    collect(Some(before), Some(after), &mut Vec::new(), &mut found);
    found
}

fn collect<'j>(
    before: Option<&'j Json>,
    after: Option<&'j Json>,
    steps: &mut Vec<String>,
    found: &mut Vec<Difference<'j>>,
) {
    if before == after || IGNORED.contains(&steps.join(".").as_str()) {
        return;
    }
    match (before, after) {
        (Some(Json::Object(one)), Some(Json::Object(other))) => {
            let added = other.keys().filter(|name| !one.contains_key(*name));
            for name in one.keys().chain(added) {
                steps.push(name.clone());
                collect(one.get(name), other.get(name), steps, found);
                steps.pop();
            }
        }
        (Some(Json::Array(one)), Some(Json::Array(other))) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                steps.push(index.to_string());
                collect(Some(one), Some(other), steps, found);
                steps.pop();
            }
        }
        // Lists each field of an added map.
        (None, Some(Json::Object(entries))) if !entries.is_empty() => {
            for (name, value) in entries {
                steps.push(name.clone());
                collect(None, Some(value), steps, found);
                steps.pop();
            }
        }
        _ => found.push(Difference { steps: steps.clone(), before, after }),
    }
}

/// Differences in one line, the first ones with their values.
pub(crate) fn in_words(differences: &[Difference<'_>]) -> String {
    let shown: Vec<String> = differences.iter().take(MOST).map(Difference::words).collect();
    let rest = differences.len().saturating_sub(MOST);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_have_places_and_values() {
        let before = json!({"metadata": {"uid": "1", "name": "a"}, "spec": {"replicas": 1, "ports": [{"port": 1}], "gone": true}, "status": 1});
        let after = json!({"metadata": {"uid": "2", "name": "a"}, "spec": {"replicas": 2, "ports": [{"port": 1, "protocol": "TCP"}],
            "strategy": {"type": "RollingUpdate"}}});
        let expected = "`spec.replicas: 1 → 2`, `spec.ports[0].protocol: TCP`, `spec.gone` (removed), `spec.strategy.type: RollingUpdate`";
        assert_eq!(in_words(&between(&before, &after)), expected);
    }

    #[test]
    fn long_lists_and_values_are_cut() {
        let after: Json = (0..20)
            .map(|index| (format!("k{index}"), Json::from("ä".repeat(100))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let empty = json!({});
        let words = in_words(&between(&empty, &after));
        assert!(words.ends_with("…` and 8 more"), "{words}");
    }

    #[test]
    fn described_fields_are_known() {
        let (before, after) = (json!({"spec": {"a": 1, "b": [1]}}), json!({"spec": {"a": 2, "b": [2], "c": 3}}));
        let manifest = json!({"spec": {"a": 2, "b": [2]}});
        let others: Vec<_> = between(&before, &after).into_iter().filter(|it| !it.is_described_by(&manifest)).collect();
        assert_eq!(in_words(&others), "`spec.c: 3`");
    }
}
