//! Choice of a component's blueprint: the most specific one whose facts all match.
//!
//! The use case's template id weighs most, then the infrastructure's template id, then the number of other facts. Ids
//! match with or without their version (`.1`, `:0.0.0`); other facts ignore case.

use super::read::unknown;
use super::{Blueprint, Library};
use crate::descriptor::{BlueprintUse, Facts};
use crate::diagnostic::{Diagnostic, closest};
use crate::source::{Located, Span};
use indexmap::IndexMap;

/// The blueprint names of an environment by template id.
pub type Templates = IndexMap<String, String>;

/// The blueprint for components that an existing specific provisioner deploys.
const EXISTING_PROVISIONER: &str = "witboost-component";

impl Library {
    /// Chooses the blueprint of a component.
    ///
    /// # Errors
    /// When no blueprint matches, two match equally well, or the named blueprint does not exist.
    pub fn choose(
        &self,
        component: &str,
        wanted: &BlueprintUse,
        span: Span,
        templates: &Templates,
    ) -> Result<&Blueprint, Box<Diagnostic>> {
        if let Some(name) = &wanted.name {
            let subject = format!("the component `{component}` names");
            return self.get(&name.value).ok_or_else(|| Box::new(unknown(name, &self.names(), &subject)));
        }
        if let Some((template, name)) = mapped(&wanted.facts, templates) {
            let name = Located { value: name.to_owned(), span };
            let subject = format!("`templates` of the environment maps `{template}` to");
            return self.get(&name.value).ok_or_else(|| Box::new(unknown(&name, &self.names(), &subject)));
        }
        let mut fitting: Vec<(Specificity, &Blueprint)> = self
            .iter()
            .filter_map(|blueprint| Some((specificity(&blueprint.matcher, &wanted.facts)?, blueprint)))
            .collect();
        fitting.sort_by_key(|(specificity, _)| std::cmp::Reverse(*specificity));
        match fitting.as_slice() {
            [] => Err(Box::new(self.no_match(component, wanted, span))),
            [(best, first), (next, second), ..] if best == next => {
                Err(Box::new(ambiguous(component, span, first, second)))
            }
            [(_, best), ..] => Ok(best),
        }
    }

    /// The warning about a component whose `useCaseTemplateId` is close to that of a project's blueprint, while another
    /// blueprint matches it by other facts only.
    pub(crate) fn misspelt_template(
        &self,
        component: &str,
        wanted: &BlueprintUse,
        chosen: &Blueprint,
        span: Span,
    ) -> Option<Diagnostic> {
        let id = wanted.facts.use_case_template_id.as_deref()?;
        if wanted.name.is_some() || chosen.matcher.use_case_template_id.is_some() || chosen.matcher == Facts::default()
        {
            return None;
        }
        let own = self.iter().filter(|blueprint| !blueprint.origin.is_built_in);
        let names = own.filter_map(|blueprint| Some(template_name(blueprint.matcher.use_case_template_id.as_deref()?)));
        let name = template_name(id);
        let best = closest(name, names).filter(|best| *best != name)?;
        let message = format!(
            "no blueprint matches the template `{id}` of the component `{component}`: the blueprint `{}` makes it, which matches {}",
            chosen.name.value,
            described(&chosen.matcher)
        );
        let place = wanted.node.get("useCaseTemplateId").map_or(span, |node| node.span);
        Some(Diagnostic::warning("similar_template", message).at(place).hint(format!("did you mean `{best}`?")))
    }

    /// The blueprint for components of a template, regardless of other facts.
    #[must_use]
    pub fn for_template(&self, template: &str, templates: &Templates) -> Option<&Blueprint> {
        let facts = Facts { use_case_template_id: Some(template.to_owned()), ..Facts::default() };
        match mapped(&facts, templates) {
            Some((_, name)) => self.get(name),
            None => self.closest_for_template(&facts),
        }
    }

    /// The pairs of blueprints that match some component equally well, so that terrace would refuse the component.
    #[must_use]
    pub fn ties(&self) -> Vec<(&Blueprint, &Blueprint)> {
        let pairs =
            self.iter().enumerate().flat_map(|(at, first)| self.iter().skip(at + 1).map(move |second| (first, second)));
        pairs.filter(|(first, second)| can_tie(&first.matcher, &second.matcher)).collect()
    }

    fn no_match(&self, component: &str, wanted: &BlueprintUse, span: Span) -> Diagnostic {
        let facts = &wanted.facts;
        if let Some(blueprint) = self.closest_for_template(facts) {
            return mismatch(component, wanted, span, blueprint);
        }
        let template_id = facts.use_case_template_id.as_ref().or(facts.infrastructure_template_id.as_ref());
        let template = template_id.map_or("without a template id".to_owned(), |id| format!("of template `{id}`"));
        let diagnostic =
            Diagnostic::error("no_blueprint", format!("no blueprint matches the component `{component}` {template}"))
                .at(span);
        let add = "add a blueprint for it to the project's `blueprints/`";
        let Some(id) = template_id else { return diagnostic.hint(format!("give it a `useCaseTemplateId`, or {add}")) };
        match (self.closest(facts), self.get(EXISTING_PROVISIONER)) {
            (Some(closest), _) => diagnostic.hint(format!(
                "did you mean the blueprint `{}`, which matches {}? Else {add}, or map `{id}` with `templates` of the \
                 environment",
                closest.name.value,
                described(&closest.matcher)
            )),
            (None, Some(existing)) => diagnostic.hint(format!(
                "{add}; if a specific provisioner makes it, write `templates: {{\"{id}\": {}}}` into the environment and \
                 configure its provider `witboost`",
                existing.name.value
            )),
            (None, None) => diagnostic.hint(format!("{add}, or map `{id}` with `templates` of the environment")),
        }
    }

    /// The blueprint for the component's template with the fewest facts that do not match.
    fn closest_for_template(&self, facts: &Facts) -> Option<&Blueprint> {
        let is_for_template = |blueprint: &&Blueprint| {
            let matcher = &blueprint.matcher;
            let use_case = match_optional_id(&matcher.use_case_template_id, &facts.use_case_template_id);
            let infrastructure =
                match_optional_id(&matcher.infrastructure_template_id, &facts.infrastructure_template_id);
            use_case.zip(infrastructure).is_some_and(|ids| ids != (IdMatch::Unrestricted, IdMatch::Unrestricted))
        };
        self.iter().filter(is_for_template).min_by_key(|blueprint| mismatched_facts(&blueprint.matcher, facts).len())
    }

    /// The blueprint with the closest template name whose other facts match.
    fn closest(&self, facts: &Facts) -> Option<&Blueprint> {
        let by_id = |pick: fn(&Facts) -> &Option<String>| {
            let wanted = template_name(pick(facts).as_deref()?);
            let fitting = self.iter().filter(|blueprint| mismatched_facts(&blueprint.matcher, facts).is_empty());
            let known =
                fitting.filter_map(|blueprint| Some((template_name(pick(&blueprint.matcher).as_deref()?), blueprint)));
            let known: Vec<(&str, &Blueprint)> = known.collect();
            let best = closest(wanted, known.iter().map(|(name, _)| *name))?;
            known.iter().find(|(name, _)| *name == best).map(|(_, blueprint)| *blueprint)
        };
        by_id(|facts| &facts.use_case_template_id).or_else(|| by_id(|facts| &facts.infrastructure_template_id))
    }
}

/// The specificity of a match; the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Specificity {
    use_case: IdMatch,
    infrastructure: IdMatch,
    other_facts: usize,
}

/// The quality of an id's match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum IdMatch {
    Unrestricted,
    AnyVersion,
    ThisVersion,
}

/// The specificity of a match; `None` when the facts do not match, or the matcher has no facts.
fn specificity(matcher: &Facts, facts: &Facts) -> Option<Specificity> {
    let mut other_facts = 0;
    for ((_, wanted), (_, given)) in plain_facts(matcher).into_iter().zip(plain_facts(facts)) {
        if wanted.is_some() {
            is_same_word(wanted, given).then_some(())?;
            other_facts += 1;
        }
    }
    let specificity = Specificity {
        use_case: match_id(matcher.use_case_template_id.as_deref(), facts.use_case_template_id.as_deref())?,
        infrastructure: match_id(
            matcher.infrastructure_template_id.as_deref(),
            facts.infrastructure_template_id.as_deref(),
        )?,
        other_facts,
    };
    let is_unrestricted = *matcher == Facts::default();
    (!is_unrestricted).then_some(specificity)
}

/// True when some component matches both matchers equally well.
fn can_tie(first: &Facts, second: &Facts) -> bool {
    let pairs = || plain_facts(first).into_iter().zip(plain_facts(second));
    let differ = |((_, first), (_, second)): ((_, Option<&str>), (_, Option<&str>))| {
        first.is_some() && second.is_some() && !is_same_word(first, second)
    };
    if pairs().any(differ) {
        return false;
    }
    let both: Facts = {
        let or = |first: &Option<String>, second: &Option<String>| first.clone().or_else(|| second.clone());
        Facts {
            use_case_template_id: or(&first.use_case_template_id, &second.use_case_template_id),
            infrastructure_template_id: or(&first.infrastructure_template_id, &second.infrastructure_template_id),
            kind: or(&first.kind, &second.kind),
            platform: or(&first.platform, &second.platform),
            technology: or(&first.technology, &second.technology),
            output_port_type: or(&first.output_port_type, &second.output_port_type),
        }
    };
    specificity(first, &both).is_some_and(|specificity_of_one| Some(specificity_of_one) == specificity(second, &both))
}

fn match_id(wanted: Option<&str>, given: Option<&str>) -> Option<IdMatch> {
    let Some(wanted) = wanted else { return Some(IdMatch::Unrestricted) };
    let ((wanted, wanted_version), (given, given_version)) = (split_version(wanted), split_version(given?));
    if wanted != given {
        return None;
    }
    match (wanted_version, given_version) {
        (None, _) | (Some(_), None) => Some(IdMatch::AnyVersion),
        (Some(wanted), Some(given)) => (wanted == given).then_some(IdMatch::ThisVersion),
    }
}

/// An id and its version: `urn:dmb:utm:a.1` and `urn:dmb:utm:a:0.0.0` are both `urn:dmb:utm:a`.
fn split_version(id: &str) -> (&str, Option<&str>) {
    let is_version = |text: &str| {
        !text.is_empty() && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    match id.rsplit_once(':') {
        Some((base, version)) if is_version(version) => return (base, Some(version)),
        _ => {}
    }
    match id.rsplit_once('.') {
        Some((base, version)) if is_version(version) && !base.ends_with(|c: char| c.is_ascii_digit()) => {
            (base, Some(version))
        }
        _ => (id, None),
    }
}

fn match_optional_id(wanted: &Option<String>, given: &Option<String>) -> Option<IdMatch> {
    match_id(wanted.as_deref(), given.as_deref())
}

/// The facts other than ids that do not match: name, expected value, found value.
fn mismatched_facts<'a>(matcher: &'a Facts, facts: &'a Facts) -> Vec<(&'static str, &'a str, Option<&'a str>)> {
    let given = plain_facts(facts).into_iter().map(|(_, given)| given);
    let pairs = plain_facts(matcher).into_iter().zip(given);
    let mismatched = pairs.filter(|((_, wanted), given)| wanted.is_some() && !is_same_word(*wanted, *given));
    mismatched.filter_map(|((name, wanted), given)| Some((name, wanted?, given))).collect()
}

/// The error when the component's template has a blueprint, but other facts do not match.
fn mismatch(component: &str, wanted: &BlueprintUse, span: Span, blueprint: &Blueprint) -> Diagnostic {
    let mismatched = mismatched_facts(&blueprint.matcher, &wanted.facts);
    let name = &blueprint.name.value;
    let expected = mismatched.iter().map(|(field, expected, _)| format!("`{field}: {expected}`")).collect::<Vec<_>>();
    let found = mismatched.iter().map(|(field, _, found)| match found {
        Some(found) => format!("`{field}: {found}`"),
        None => format!("no `{field}`"),
    });
    let mut diagnostic = Diagnostic::error(
        "no_blueprint",
        format!(
            "the blueprint `{name}` of the template of the component `{component}` expects {}, found {}",
            expected.join(", "),
            found.collect::<Vec<_>>().join(", ")
        ),
    );
    for (field, expected, _) in &mismatched {
        let place = wanted.node.entry(field).map(|entry| entry.value.span);
        diagnostic = diagnostic.at_with(place.unwrap_or(span), format!("expected `{expected}`"));
    }
    let suggestion = mismatched.iter().find_map(|(_, expected, found)| closest((*found)?, [*expected]));
    diagnostic.hint(match suggestion {
        Some(best) => format!("did you mean `{best}`?"),
        None => format!(
            "write {}, add a matching blueprint to `blueprints/`, or map the template with `templates` of the \
             environment",
            expected.join(" and ")
        ),
    })
}

/// The last part of a template's id, without the version.
fn template_name(id: &str) -> &str {
    let (base, _) = split_version(id);
    base.rsplit(':').next().unwrap_or(base)
}

/// The blueprint that the environment assigns to one of the component's templates.
fn mapped<'t>(facts: &Facts, templates: &'t Templates) -> Option<(&'t str, &'t str)> {
    let ids = [&facts.use_case_template_id, &facts.infrastructure_template_id];
    let best = |id: &String| {
        let matching =
            templates.iter().filter_map(|(wanted, name)| Some((match_id(Some(wanted), Some(id))?, wanted, name)));
        matching.max_by_key(|(quality, _, _)| *quality).map(|(_, template, name)| (template.as_str(), name.as_str()))
    };
    ids.into_iter().flatten().find_map(best)
}

fn plain_facts(facts: &Facts) -> [(&'static str, Option<&str>); 4] {
    [
        ("kind", facts.kind.as_deref()),
        ("platform", facts.platform.as_deref()),
        ("technology", facts.technology.as_deref()),
        ("outputPortType", facts.output_port_type.as_deref()),
    ]
}

fn is_same_word(wanted: Option<&str>, given: Option<&str>) -> bool {
    match (wanted, given) {
        (Some(wanted), Some(given)) => wanted.trim().to_lowercase() == given.trim().to_lowercase(),
        _ => false,
    }
}

/// The facts that a blueprint matches, for messages.
fn described(matcher: &Facts) -> String {
    let ids = [
        ("useCaseTemplateId", matcher.use_case_template_id.as_deref()),
        ("infrastructureTemplateId", matcher.infrastructure_template_id.as_deref()),
    ];
    let facts = ids.into_iter().chain(plain_facts(matcher));
    let words: Vec<String> = facts.filter_map(|(name, value)| Some(format!("`{name}: {}`", value?))).collect();
    if words.is_empty() { "by name only".to_owned() } else { words.join(", ") }
}

fn ambiguous(component: &str, span: Span, first: &Blueprint, second: &Blueprint) -> Diagnostic {
    let files = [&first.origin.file, &second.origin.file].map(|file| format!("`{file}`")).join(" and ");
    Diagnostic::error(
        "ambiguous_blueprint",
        format!("two blueprints match the component `{component}` equally well: {files}"),
    )
    .at(span)
    .at_with(first.name.span, "one")
    .at_with(second.name.span, "the other")
    .hint("make one `match` more specific, or name the blueprint under `templates` of the environment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blueprints_tie_if_a_component_can_match_both() {
        let facts = |id: Option<&str>, kind: Option<&str>, platform: Option<&str>| Facts {
            use_case_template_id: id.map(str::to_owned),
            kind: kind.map(str::to_owned),
            platform: platform.map(str::to_owned),
            ..Facts::default()
        };
        let storage = facts(None, Some("storage"), None);
        for (other, ties) in [
            (facts(None, Some("Storage"), None), true),
            (facts(None, None, Some("x")), true),
            (facts(None, Some("workload"), None), false),
            (facts(None, Some("storage"), Some("x")), false),
            (facts(Some("urn:a"), Some("storage"), None), false),
            (Facts::default(), false),
        ] {
            assert_eq!((can_tie(&storage, &other), can_tie(&other, &storage)), (ties, ties), "{other:?}");
        }
        assert!(can_tie(&facts(Some("urn:a"), None, None), &facts(Some("urn:a"), None, None)));
        assert!(!can_tie(&facts(Some("urn:a"), None, None), &facts(Some("urn:b"), None, None)));
        assert!(!can_tie(&facts(Some("urn:a:1"), None, None), &facts(Some("urn:a:2"), None, None)));
    }

    #[test]
    fn ids_match_with_or_without_their_version() {
        for (wanted, given, expected) in [
            ("urn:dmb:utm:a", "urn:dmb:utm:a:0.0.0", Some(IdMatch::AnyVersion)),
            ("urn:dmb:utm:a", "urn:dmb:utm:a.1", Some(IdMatch::AnyVersion)),
            ("urn:dmb:utm:a:1", "urn:dmb:utm:a", Some(IdMatch::AnyVersion)),
            ("urn:dmb:utm:a:1", "urn:dmb:utm:a:1", Some(IdMatch::ThisVersion)),
            ("urn:dmb:utm:a:1", "urn:dmb:utm:a:2", None),
            ("urn:dmb:utm:a", "urn:dmb:utm:b", None),
            ("template-id-1", "template-id-1", Some(IdMatch::AnyVersion)),
        ] {
            assert_eq!(match_id(Some(wanted), Some(given)), expected, "{wanted} {given}");
        }
        assert_eq!(match_id(Some("a"), None), None);
        assert_eq!(match_id(None, Some("a")), Some(IdMatch::Unrestricted));
    }
}
