//! Names in messages: which there are, and which one was probably meant; [`NameRule`] is how a system compares them,
//! [`scripts`] checks the names of roles.

mod rule;
pub mod scripts;

pub use rule::NameRule;

/// So many are listed; of the others it is said how many they are.
const MOST: usize = 40;

/// Names for "it has …": `` `A`, `B` and 3 more``, or "none".
#[must_use]
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().saturating_sub(MOST) {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A suggestion compares so many candidate names at most: a text with many names must not keep a server busy.
pub const MOST_CANDIDATES: usize = 1_000;

/// The longest name that is compared, in bytes. Comparing takes as long as both lengths multiplied, and no slip is longer.
const LONGEST: usize = 200;

/// The candidates that a suggestion for a name compares: the first [`MOST_CANDIDATES`], without names that are too long.
/// None where the name itself is too long.
pub fn candidates<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let most = if wanted.len() > LONGEST { 0 } else { MOST_CANDIDATES };
    names.into_iter().take(most).filter(|name| name.len() <= LONGEST)
}

/// The name that a person probably meant: the one with the fewest slips of the pen, if these are few enough. Case makes no
/// difference. It compares [`candidates`] only.
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let words = if wanted.len() > LONGEST { Vec::new() } else { words(wanted) };
    candidates(wanted, names)
        .filter_map(|name| Some((slips_between(&words, &self::words(name))?, name)))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
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

/// The number of slips between two names; `None` if they are different names. A name with another word is another name,
/// however long the words are that both have.
fn slips_between(wanted: &[String], candidate: &[String]) -> Option<usize> {
    if wanted.is_empty() || candidate.is_empty() {
        return None;
    }
    if wanted.len() == candidate.len() {
        let slips: Option<usize> = wanted.iter().zip(candidate).map(|(one, other)| slips(one, other, 2)).sum();
        return slips.filter(|slips| *slips <= 2);
    }
    // A slip at the boundary of words, or a short word too few in a long name.
    let (wanted, candidate) = (wanted.concat(), candidate.concat());
    let (one, other) = (wanted.chars().count(), candidate.chars().count());
    let slips = slips(&wanted, &candidate, if one.min(other) >= 12 { 2 } else { 1 });
    slips.filter(|slips| *slips < 2 || one.abs_diff(other) == *slips)
}

/// The number of slips between two words, up to `most`; `None` if there are more than a word of this length can have.
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
    fn names_are_listed_as_far_as_anybody_reads() {
        assert_eq!(listed::<&str>(&[]), "none");
        assert_eq!(listed(&["a", "b"]), "`a`, `b`");
        let many: Vec<String> = (0..43).map(|number| number.to_string()).collect();
        assert!(listed(&many).ends_with("`39` and 3 more"));
    }

    #[test]
    fn the_closest_name_is_found_in_any_case_and_none_where_none_is_close() {
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
    fn suggestion_compares_no_long_names() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(closest(&long, [long.as_str(), "x"]), None);
        assert_eq!(closest("colour", [long.as_str(), "color"]), Some("color"));
    }
}
