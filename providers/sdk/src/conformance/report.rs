//! Results of the suite.

use std::fmt;

/// Result of a behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The provider has the behaviour.
    Shown,
    /// The behaviour does not apply to this type or fixture, with the reason.
    NotApplicable(&'static str),
    /// The provider lacks the behaviour: expected and actual result.
    Missed(String),
}

/// The results of all behaviours on all fixtures.
#[derive(Debug, Clone, Default)]
pub struct Report {
    entries: Vec<Entry>,
}

/// The result of one behaviour on one fixture.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    type_name: &'static str,
    label: &'static str,
    behaviour: &'static str,
    verdict: Verdict,
}

impl Entry {
    pub(super) fn new(
        type_name: &'static str,
        label: &'static str,
        behaviour: &'static str,
        checked: Result<Verdict, String>,
    ) -> Self {
        Self { type_name, label, behaviour, verdict: checked.unwrap_or_else(Verdict::Missed) }
    }
}

impl Report {
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// True if the provider has every behaviour that applies.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missed().next().is_none()
    }

    /// The failed behaviours, one per line: `type (fixture): behaviour: problem`.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.missed().collect()
    }

    /// The verdict of one behaviour on one fixture.
    #[must_use]
    pub fn verdict(&self, label: &str, behaviour: &str) -> Option<&Verdict> {
        self.entries
            .iter()
            .find(|entry| entry.label == label && entry.behaviour == behaviour)
            .map(|entry| &entry.verdict)
    }

    /// Number of behaviours that the provider has.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.entries.iter().filter(|entry| entry.verdict == Verdict::Shown).count()
    }

    fn missed(&self) -> impl Iterator<Item = String> + '_ {
        self.entries.iter().filter_map(|entry| match &entry.verdict {
            Verdict::Missed(problem) => {
                Some(format!("{} ({}): {}: {problem}", entry.type_name, entry.label, entry.behaviour))
            }
            _ => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            let Entry { type_name, label, behaviour, verdict } = entry;
            match verdict {
                Verdict::Shown => writeln!(f, "shown   {type_name} ({label}): {behaviour}")?,
                Verdict::NotApplicable(reason) => writeln!(f, "skipped {type_name} ({label}): {behaviour}: {reason}")?,
                Verdict::Missed(problem) => writeln!(f, "MISSED  {type_name} ({label}): {behaviour}: {problem}")?,
            }
        }
        Ok(())
    }
}
