//! What a tree looks at of the paths that it reads: `tables.map(t, t.name)` needs the names of the tables, not their
//! columns. Only that is built for CEL, which copies an item each time that a loop comes to it.

use super::compile::{IN_ORDER, Use};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

/// What is needed of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needed {
    /// All of it.
    Whole,
    /// Of a list, how many items it has, and of those that are maps these entries; of anything else, all.
    Items(Vec<(String, Needed)>),
}

impl Needed {
    /// Nothing but what kind of value it is, and how many items it has.
    const OUTLINE: Self = Self::Items(Vec::new());

    fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Whole, _) => {}
            (_, Self::Whole) => *self = Self::Whole,
            (Self::Items(fields), Self::Items(more)) => {
                more.into_iter().for_each(|(field, needed)| add(fields, &field, needed));
            }
        }
    }
}

fn add(fields: &mut Vec<(String, Needed)>, field: &str, needed: Needed) {
    match fields.iter_mut().find(|(known, _)| known == field) {
        Some((_, known)) => known.add(needed),
        None => fields.push((field.to_owned(), needed)),
    }
}

/// What the tree needs of each of so many paths.
pub(super) fn of(tree: &IdedExpr, paths: usize) -> Vec<Needed> {
    let mut looking = LookupDependencies { paths: vec![Needed::OUTLINE; paths], loops: Vec::new() };
    looking.visit(tree);
    looking.paths
}

struct LookupDependencies {
    paths: Vec<Needed>,
    /// The variables of the loops around, innermost last: their names, and what is needed of an item.
    loops: Vec<(String, Item)>,
}

/// What is needed of an item.
enum Item {
    Whole,
    Fields(Vec<(String, Needed)>),
}

impl LookupDependencies {
    /// The whole value of the node is used.
    fn visit(&mut self, node: &IdedExpr) {
        self.visit_for(node, Needed::Whole);
    }

    /// So much of the value of the node is used.
    fn visit_for(&mut self, node: &IdedExpr, needed: Needed) {
        match &node.expr {
            Expr::Ident(name) => match Use::parse(name) {
                Some(Use::Value(number)) => {
                    if let Some(path) = self.paths.get_mut(number) {
                        path.add(needed);
                    }
                }
                Some(Use::Optional(number, _)) => {
                    if let Some(path) = self.paths.get_mut(number) {
                        path.add(Needed::Whole);
                    }
                }
                Some(Use::Presence(_)) => {}
                None => {
                    if let Some((_, item)) = self.loops.iter_mut().rev().find(|(known, _)| known == name) {
                        *item = Item::Whole;
                    }
                }
            },
            Expr::Select(select) => self.field(&select.operand, &select.field, needed),
            Expr::Call(call) => self.call(call, needed),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.visit(&entry.key);
                        self.visit(&entry.value);
                    }
                }
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(message) => {
                for entry in &message.entries {
                    if let EntryExpr::StructField(field) = &entry.expr {
                        self.visit(&field.value);
                    }
                }
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    /// So much of a field of the operand is used.
    fn field(&mut self, operand: &IdedExpr, field: &str, needed: Needed) {
        let Expr::Ident(name) = &operand.expr else { return self.visit(operand) };
        match self.loops.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, Item::Fields(fields))) => add(fields, field, needed),
            Some((_, Item::Whole)) => {}
            None => self.visit(operand),
        }
    }

    fn call(&mut self, call: &CallExpr, needed: Needed) {
        let arguments: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        match (call.func_name.as_str(), arguments.as_slice()) {
            // An item stays the map that it is, with fewer entries.
            ("type", [IdedExpr { expr: Expr::Ident(name), .. }]) if Use::parse(name).is_none() => {}
            ("size" | "type", [value]) => self.visit_for(value, Needed::OUTLINE),
            (IN_ORDER, [range]) => self.visit_for(range, needed),
            (operators::OPT_SELECT, [operand, field]) => match &field.expr {
                Expr::Literal(LiteralValue::String(field)) => self.field(operand, field.inner(), Needed::Whole),
                _ => arguments.iter().for_each(|argument| self.visit(argument)),
            },
            _ => arguments.iter().for_each(|argument| self.visit(argument)),
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) {
        self.visit(&comprehension.accu_init);
        let outer = self.loops.len();
        let item = if comprehension.iter_var2.is_some() { Item::Whole } else { Item::Fields(Vec::new()) };
        self.loops.push((comprehension.iter_var.clone(), item));
        self.loops.extend(comprehension.iter_var2.clone().map(|name| (name, Item::Whole)));
        self.loops.push((comprehension.accu_var.clone(), Item::Whole));
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.visit(part);
        }
        let item = self.loops.drain(outer..).next().map(|(_, item)| item);
        self.visit_for(
            &comprehension.iter_range,
            match item {
                Some(Item::Fields(fields)) => Needed::Items(fields),
                Some(Item::Whole) | None => Needed::Whole,
            },
        );
    }
}
