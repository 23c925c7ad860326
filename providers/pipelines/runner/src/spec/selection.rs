//! Selection of pipelines as in dpp: an id, `all`, `prefix%`, or several with commas. An unknown id is an error.

use super::Specs;
use terrace_provider::names::{closest, listed};

/// A word that selects no pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// The word.
    pub text: String,
    /// Hint with a similar id, or the existing ones.
    pub hint: String,
}

/// Selects pipelines by words; returns positions in [`Specs::pipelines`], in order. Without words, all are selected.
///
/// # Errors
/// All words that select no pipeline.
pub fn select(specs: &Specs, words: &[String]) -> Result<Vec<usize>, Vec<Unmatched>> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split(',')).map(str::trim).collect();
    let ids: Vec<&str> = specs.pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
    let mut chosen = vec![words.is_empty(); ids.len()];
    let mut unmatched = Vec::new();
    for word in words {
        let mut has_any = word == "all";
        for (id, chosen) in ids.iter().zip(&mut chosen) {
            if selects(word, id) {
                (*chosen, has_any) = (true, true);
            }
        }
        if !has_any {
            unmatched.push(Unmatched { text: word.to_owned(), hint: hint(word, &ids) });
        }
    }
    if !unmatched.is_empty() {
        return Err(unmatched);
    }
    Ok(chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(position, _)| position).collect())
}

/// Returns true if a word selects the pipeline with that id.
#[must_use]
pub fn selects(word: &str, id: &str) -> bool {
    match word.strip_suffix('%') {
        _ if word == "all" => true,
        Some(prefix) => id.starts_with(prefix) || id.strip_prefix("./").is_some_and(|id| id.starts_with(prefix)),
        None => id == word || id.strip_prefix("./") == Some(word),
    }
}

/// Returns true if a word selects pipelines by more than one id.
#[must_use]
pub fn is_pattern(word: &str) -> bool {
    word == "all" || word.ends_with('%')
}

fn hint(word: &str, ids: &[&str]) -> String {
    match closest(word, ids.iter().copied()) {
        Some(id) => format!("did you mean `{id}`?"),
        None => format!("available pipelines: {}", listed(ids)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::specs_of;

    fn chosen(words: &[&str]) -> Result<Vec<String>, Vec<Unmatched>> {
        let step = "{pipeline: [{run: load_metadata}]}";
        let text = format!("a-one: {step}\na-two: {step}\nb: {step}\n");
        let specs = specs_of(&[("pipeline-spec.yaml", &text)]);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let positions = select(&specs, &words)?;
        Ok(positions.into_iter().map(|position| specs.pipelines[position].id.clone()).collect())
    }

    #[test]
    fn words_select_pipelines_as_in_dpp() {
        let all = ["./a-one", "./a-two", "./b"].map(str::to_owned).to_vec();
        assert_eq!(chosen(&[]), Ok(all.clone()));
        assert_eq!(chosen(&["all"]), Ok(all));
        assert_eq!(chosen(&["./a-%"]).unwrap(), ["./a-one", "./a-two"]);
        assert_eq!(chosen(&["./b,./a-one"]).unwrap(), ["./a-one", "./b"]);
        assert_eq!(chosen(&["b"]).unwrap(), ["./b"]);
    }

    #[test]
    fn unmatched_word_has_hint_with_similar_id() {
        let unmatched = chosen(&["./a-on", "./b", "./zzz%"]).unwrap_err();
        assert_eq!(unmatched[0], Unmatched { text: "./a-on".to_owned(), hint: "did you mean `./a-one`?".to_owned() });
        assert!(unmatched[1].hint.contains("available pipelines: `./a-one`"), "{unmatched:?}");
    }
}
