//! Names in messages: lists and suggestions. [`NameRule`] defines how a system compares names, [`scripts`] checks role
//! names.

mod rule;
pub mod scripts;

pub use rule::NameRule;

use crate::ProviderError;

/// Number of names in a list; the rest is a count.
const MOST: usize = 40;

/// A list of names for a message: `` `A`, `B` and 3 more``, or "none".
#[must_use]
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    first_listed(names, MOST)
}

/// The same, with at most so many names.
#[must_use]
pub fn first_listed<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().saturating_sub(most) {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Number of names that a suggestion compares. A text with many names must not keep a server busy.
pub const MOST_CANDIDATES: usize = 1_000;

/// The longest name in a comparison, in bytes. A comparison takes time proportional to the product of both lengths.
const LONGEST: usize = 200;

/// The candidates for a suggestion: the first [`MOST_CANDIDATES`], without names that are too long. Empty if the name
/// itself is too long.
pub fn candidates<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let most = if wanted.len() > LONGEST { 0 } else { MOST_CANDIDATES };
    names.into_iter().take(most).filter(|name| name.len() <= LONGEST)
}

/// The name that the user probably meant: the one with the fewest typing mistakes, if these are few enough. Ignores
/// case and compares [`candidates`] only.
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let words = if wanted.len() > LONGEST { Vec::new() } else { words(wanted) };
    candidates(wanted, names)
        .filter_map(|name| Some((slips_between(&words, &self::words(name))?, name)))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

impl ProviderError {
    /// Adds the known name that the user probably meant as a solution, if there is one.
    #[must_use]
    pub fn did_you_mean<T: AsRef<str>>(self, wanted: &str, known: &[T]) -> Self {
        match closest(wanted, known.iter().map(AsRef::as_ref)) {
            Some(meant) => self.solution(format!("did you mean `{meant}`?")),
            None => self,
        }
    }
}

/// The words of a name, in lower case: `kafka-topic`, `kafka_topic` and `kafkaTopic` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_after_lower = false;
    for char in name.chars() {
        if !char.is_alphanumeric() || (char.is_uppercase() && is_after_lower) {
            words.push(String::new());
        }
        is_after_lower = char.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| char.is_alphanumeric()) {
            word.extend(char.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The number of typing mistakes between two names; `None` if the names are different. A name with a different word is
/// a different name, no matter how long the common words are.
fn slips_between(wanted: &[String], candidate: &[String]) -> Option<usize> {
    if wanted.is_empty() || candidate.is_empty() {
        return None;
    }
    if wanted.len() == candidate.len() {
        let slips: Option<usize> = wanted.iter().zip(candidate).map(|(one, other)| slips(one, other, 2)).sum();
        return slips.filter(|slips| *slips <= 2);
    }
    // A mistake at a word boundary, or a long name without one of its short words.
    let (wanted, candidate) = (wanted.concat(), candidate.concat());
    let (one, other) = (wanted.chars().count(), candidate.chars().count());
    let slips = slips(&wanted, &candidate, if one.min(other) >= 12 { 2 } else { 1 });
    slips.filter(|slips| *slips < 2 || one.abs_diff(other) == *slips)
}

/// The number of typing mistakes between two words, up to `most`; `None` if there are too many for this length.
fn slips(one: &str, other: &str, most: usize) -> Option<usize> {
    let (one_length, other_length) = (one.chars().count(), other.chars().count());
    let allowed = match (one_length.min(other_length), one_length.max(other_length)) {
        (_, 0..=2) => 0,
        (0..=7, _) => 1,
        _ => most,
    };
    Some(strsim::osa_distance(one, other)).filter(|slips| *slips <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_list_of_names_ends_with_a_count() {
        assert_eq!(listed::<&str>(&[]), "none");
        assert_eq!(listed(&["a", "b"]), "`a`, `b`");
        let many: Vec<String> = (0..43).map(|number| number.to_string()).collect();
        assert!(listed(&many).ends_with("`39` and 3 more"));
    }

    #[test]
    fn closest_name_ignores_case_and_needs_a_similar_name() {
        assert_eq!(closest("VARCHR", ["TEXT", "varchar", "char"]), Some("varchar"));
        assert_eq!(closest("colour", ["id", "name"]), None);
        assert_eq!(closest("evn", ["state", "env"]), Some("env"));
    }

    #[test]
    fn name_with_another_word_is_not_suggested() {
        for (wanted, name) in [
            ("schemaName", "schema"),
            ("tags", "tasks"),
            ("minValue", "maxValue"),
            ("aws-s3-template", "gcp-s3-template"),
            ("kafka-outputport-template", "hasura-outputport-template"),
            ("snowflake-storage", "snowflake-outputport"),
            ("load", "update"),
            ("dump_to_sql", "dump_to_zip"),
            ("format", "forest"),
            ("id", "if"),
            ("node_a", "node_b"),
            ("world_thing.aa", "world_thing.e[\"x\"]"),
            ("-", "."),
        ] {
            assert_eq!(closest(wanted, [name]), None, "{wanted}");
            assert_eq!(closest(name, [wanted]), None, "{name}");
        }
    }

    #[test]
    fn another_spelling_of_a_name_is_suggested() {
        for (wanted, name) in [
            ("use_case_template_id", "useCaseTemplateId"),
            ("useCaseTemplate", "useCaseTemplateId"),
            ("kafkatopic", "kafka-topic"),
            ("snowflake-storge", "snowflake-storage"),
            ("retentoin.ms", "retention.ms"),
            ("compresion.typ", "compression.type"),
            ("numPartition", "numPartitions"),
            ("prodction", "production"),
            ("idd", "id"),
        ] {
            assert_eq!(closest(wanted, ["other", name]), Some(name), "{wanted}");
        }
    }

    #[test]
    fn suggestion_stops_after_its_last_candidate() {
        let many: Vec<String> = (0..MOST_CANDIDATES).map(|number| format!("{number:08}")).collect();
        let names = || many.iter().map(String::as_str);
        assert_eq!(closest("colour", names().take(MOST_CANDIDATES - 1).chain(["color"])), Some("color"));
        assert_eq!(closest("colour", names().chain(["color"])), None);
        let mut compared = 0;
        assert_eq!(closest("colour", std::iter::repeat_with(|| "x").take(1_000_000).inspect(|_| compared += 1)), None);
        assert_eq!(compared, MOST_CANDIDATES);
    }

    #[test]
    fn suggestion_skips_long_names() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(closest(&long, [long.as_str(), "x"]), None);
        assert_eq!(closest("colour", [long.as_str(), "color"]), Some("color"));
    }
}
