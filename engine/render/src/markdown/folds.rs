//! One fold per component, with its changes.

use super::attention::group;
use super::budget::Page;
use super::escape::fenced;
use super::fitting::{self, Entry, Fold, Words, bodies, first_column};
use crate::attributes::body;
use crate::headline;
use crate::human::{output_difference, output_name};
use crate::json::facts::qualified;
use crate::totals::is_listed;
use indexmap::IndexMap;
use terrace_language::action::Action;
use terrace_language::address::ComponentKey;
use terrace_language::text::value::Limits;
use terrace_language::text::{cut, visible};
use terrace_plan::{Change, Lookup, OutputChange, OwnerChange, Plan, ReadReason, StackPlan};

const WORDS: Words = Words { entries: "changes", folds: "components" };

/// The title of a component; prefixed with the stack if the plan has several.
pub(super) fn title(plan: &Plan, stack: &StackPlan, component: &ComponentKey) -> String {
    match component.is_stack() {
        true => stack.stack.to_string(),
        false => qualified(plan, &stack.stack, component),
    }
}

pub(super) fn section(plan: &Plan, page: &mut Page) {
    fitting::push(&folds(plan), WORDS, page);
}

fn folds(plan: &Plan) -> Vec<Fold> {
    let mut folds: Vec<Fold> = Vec::new();
    for stack in &plan.stacks {
        let mut components: IndexMap<ComponentKey, Vec<Entry>> = IndexMap::new();
        for change in stack.changes.iter().filter(|change| is_listed(change)) {
            components.entry(change.address.component.clone()).or_default().push(Entry::of(plan, change));
        }
        for lookup in stack.lookups.iter().filter(|lookup| lookup.reason.is_some()) {
            components.entry(lookup.address.component.clone()).or_default().push(Entry::of_lookup(lookup));
        }
        for owner in stack.owners.iter().filter(|owner| owner.is_change()) {
            let component = headline::owner_section(&stack.stack, owner);
            components.entry(component).or_default().push(Entry::of_owner(stack, owner));
        }
        let fold = |(component, entries)| Fold { title: title(plan, stack, &component), entries };
        folds.extend(components.into_iter().map(fold));
        let outputs: Vec<Entry> =
            stack.outputs.iter().filter(|output| output.is_change()).map(Entry::of_output).collect();
        if !outputs.is_empty() {
            folds.push(Fold { title: qualified(plan, &stack.stack, "outputs"), entries: outputs });
        }
    }
    folds
}

impl Entry {
    fn of(plan: &Plan, change: &Change) -> Self {
        let sign = headline::sign(change);
        let note = headline::note(change, plan.mode);
        let deposed = change.deposed.as_ref().map(|key| format!(" (deposed object {key})")).unwrap_or_default();
        let gap = if note.is_empty() { "" } else { "   " };
        let danger = match &change.data_loss {
            Some(loss) if loss.destroys() => format!("   {}", headline::DESTROYS_DATA),
            _ => String::new(),
        };
        let text = format!("{}{}{gap}{note}", visible(&change.address.local().to_string()), visible(&deposed));
        Self {
            is_minor: change.action == Action::Create && change.in_doubt.is_none(),
            head: format!("{} {}{danger}\n", first_column(sign), fenced(&cut(&text, 400))),
            bodies: bodies(|style| body(change, style)),
            group: format!("{} {}", first_column(sign), cut(&visible(&group(change)), 100)),
        }
    }

    fn of_line(sign: &str, text: &str, group: &str) -> Self {
        Self {
            is_minor: false,
            head: format!("{} {}\n", first_column(sign), fenced(&cut(text, 400))),
            bodies: Default::default(),
            group: group.to_owned(),
        }
    }

    fn of_lookup(lookup: &Lookup) -> Self {
        let name = lookup.address.local().to_string();
        let text = format!("{}   {}", visible(&name), lookup.reason.map(ReadReason::text).unwrap_or_default());
        Self::of_line(Action::Read.sign(), &text, "  lookup")
    }

    fn of_owner(stack: &StackPlan, owner: &OwnerChange) -> Self {
        Self::of_line(owner.action.sign(), &headline::owner_line(&stack.stack, owner), "  ownership")
    }

    fn of_output(output: &OutputChange) -> Self {
        let (mark, value) = output_difference(output, Limits { items: 20, characters: 300 });
        Self::of_line(mark.sign().unwrap_or(" "), &format!("{} = {value}", output_name(output)), "  output")
    }
}
