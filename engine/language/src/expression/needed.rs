//! Finds the parts of each path that a tree uses: `tables.map(t, t.name)` needs the names of the tables, but not their
//! columns.
//!
//! CEL receives only these parts. So this module decides more than the cost of an evaluation:
//!
//! - A result is unknown if CEL touches an unknown value (`bridge`). It cannot touch a part that it did not receive:
//!   the names of tables are known even if a column is not.
//! - The budget counts only these parts. And CEL copies an item each time a loop reaches it, so large items would make
//!   a loop slow.
//!
//! A part that is missing here would be absent in CEL: the expression would fail, or return a wrong value. In doubt, a
//! tree needs the whole value. Sensitivity does not depend on this module: any sensitive part of a path's value makes
//! the result sensitive, used or not (`evaluate`).

use super::compile::{IN_ORDER, Use};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

/// The parts of a value that a tree uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needed {
    /// The whole value.
    Whole,
    /// For a list: the number of items, and these entries of items that are maps. For any other value: all.
    Items(Vec<(String, Needed)>),
}

impl Needed {
    /// Only the kind of the value, and the number of items.
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

/// The parts that the tree uses of each path, by number.
pub(super) fn of(tree: &IdedExpr, paths: usize) -> Vec<Needed> {
    let mut collector = Collector { paths: vec![Needed::OUTLINE; paths], loops: Vec::new() };
    collector.visit(tree);
    collector.paths
}

struct Collector {
    paths: Vec<Needed>,
    /// The variables of the surrounding loops, innermost last: name, and the used parts of an item.
    loops: Vec<(String, Item)>,
}

/// The parts of an item that a tree uses.
enum Item {
    Whole,
    Fields(Vec<(String, Needed)>),
}

impl Collector {
    /// Records that the whole value of the node is used.
    fn visit(&mut self, node: &IdedExpr) {
        self.visit_for(node, Needed::Whole);
    }

    /// Records the parts of the node's value that are used.
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

    /// Records the parts of an operand's field that are used.
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
            // The item is still a map after entries are removed, so its type stays the same.
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
