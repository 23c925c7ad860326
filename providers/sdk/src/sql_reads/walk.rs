//! Walk through a parsed query: collects its tables and functions.

use super::dialect::Ambiguous;
use super::{SqlDialect, SqlRead, SqlReads, SqlRefusal};
use sqlparser::ast::{
    Expr, Function, ObjectName, ObjectNamePart, Query, Select, SetExpr, Spanned, Statement, TableFactor, Visit, Visitor,
};
use std::ops::ControlFlow;
use std::ptr;

/// The reads of a query.
pub(super) fn walk(dialect: SqlDialect, defaults: &[&str], query: &Statement) -> SqlReads {
    let mut walk = Walk { dialect, defaults, found: SqlReads::default(), scopes: Vec::new(), called: Vec::new() };
    let _ = query.visit(&mut walk);
    let mut found = walk.found;
    found.reads.sort_by_key(|read| read.line);
    found.reads.dedup_by(|one, other| one.name == other.name && one.is_function == other.is_function);
    found
}

struct Walk<'d> {
    dialect: SqlDialect,
    defaults: &'d [&'d str],
    found: SqlReads,
    scopes: Vec<Scope>,
    /// Names of functions in FROM.
    called: Vec<*const ObjectName>,
}

/// The common table expressions of a query.
struct Scope {
    /// Their names and their queries.
    names: Vec<(String, *const Query)>,
    is_recursive: bool,
    /// Number of visible names: inside of an expression those before it, in the query itself all.
    visible: usize,
}

impl Walk<'_> {
    fn unclear(&mut self, what: impl Into<String>, hint: &str, line: u64) {
        self.found.refused.push(SqlRefusal::unclear(what, hint, line));
    }

    fn never(&mut self, what: &str, line: u64) {
        self.found.refused.push(SqlRefusal::never(what, line));
    }

    /// The complete name, as the server resolves it.
    fn resolve(&self, name: &ObjectName) -> Result<Vec<String>, Ambiguous> {
        let mut parts = Vec::with_capacity(name.0.len());
        for part in &name.0 {
            let ObjectNamePart::Identifier(ident) = part else { return Err(Ambiguous("a computed name")) };
            let is_left_out = ident.value.is_empty() && ident.quote_style.is_none();
            parts.push(match self.dialect.empty_part() {
                Some(schema) if is_left_out => schema.to_owned(),
                None if is_left_out => return Err(Ambiguous("an empty name")),
                _ => self.dialect.fold(ident)?,
            });
        }
        let whole = self.dialect.parts();
        if parts.len() > whole || parts.is_empty() {
            return Err(Ambiguous("a name with too many parts"));
        }
        let missing = whole - parts.len();
        let defaults = self.defaults.iter().take(missing).map(|part| self.dialect.default_part(part));
        Ok(defaults.chain(parts).collect())
    }

    fn read(&mut self, name: &ObjectName, is_function: bool) {
        let line = line_of(name);
        match self.resolve(name) {
            Ok(resolved) => {
                self.found.reads.push(SqlRead { name: resolved, written: name.to_string(), is_function, line });
            }
            Err(Ambiguous(what)) => {
                self.unclear(format!("`{name}` is {what}"), "write the plain name of the table", line);
            }
        }
    }

    /// True for the name of a visible common table expression.
    fn is_common(&self, name: &ObjectName) -> bool {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return false };
        let Ok(wanted) = self.dialect.fold(ident) else { return false };
        self.scopes.iter().any(|scope| {
            let visible = if scope.is_recursive { scope.names.len() } else { scope.visible };
            scope.names.iter().take(visible).any(|(name, _)| *name == wanted)
        })
    }

    /// A function in FROM.
    fn table_function(&mut self, name: &ObjectName) {
        self.called.push(ptr::from_ref(name));
        let line = line_of(name);
        match name.0.as_slice() {
            [ObjectNamePart::Identifier(only)] if self.dialect.is_plain_table_function(&only.value) => {}
            [_] => self.unclear(
                format!("the function `{name}` may read any table"),
                "read a table or a view instead",
                line,
            ),
            _ => self.function_name(name),
        }
    }

    fn function_name(&mut self, name: &ObjectName) {
        let last = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.as_str());
        let is_own = self.dialect == SqlDialect::Postgres
            && name.0.len() == 2
            && name.0.first().and_then(ObjectNamePart::as_ident).is_some_and(|part| part.value == "pg_catalog");
        match last {
            None => self.unclear(format!("`{name}` is a computed name"), "write the plain name", line_of(name)),
            Some(last) if self.dialect.reaches_out(last) => self.unclear(
                format!("the function `{name}` reaches the objects in its arguments"),
                "read a table or a view instead",
                line_of(name),
            ),
            Some(_) if name.0.len() > 1 && !is_own => self.read(name, true),
            Some(_) => {}
        }
    }

    /// Checks the parts of a query's body that no other hook visits.
    fn body(&mut self, body: &SetExpr, line: u64) {
        let mut open = vec![body];
        while let Some(next) = open.pop() {
            match next {
                SetExpr::SetOperation { left, right, .. } => open.extend([&**left, &**right]),
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                    self.never("the query writes", line);
                }
                SetExpr::Table(_) => {
                    self.unclear("the query reads by `TABLE name`", "write `SELECT * FROM name`", line);
                }
                // A query in parentheses has its own visit.
                SetExpr::Query(_) | SetExpr::Select(_) | SetExpr::Values(_) => {}
            }
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let here = ptr::from_ref(query);
        if let Some(scope) = self.scopes.last_mut()
            && let Some(at) = scope.names.iter().position(|(_, query)| *query == here)
        {
            scope.visible = at;
        }
        let common = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = common.map(|table| {
            let name = self.dialect.fold(&table.alias.name).unwrap_or_default();
            (name, ptr::from_ref(&*table.query))
        });
        let names: Vec<_> = names.collect();
        let is_recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        self.scopes.push(Scope { visible: 0, names, is_recursive });
        let line = query.span().start.line.max(1);
        self.body(&query.body, line);
        if !query.locks.is_empty() {
            self.never("the query locks rows", line);
        }
        let is_foreign = query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some();
        if is_foreign || !query.pipe_operators.is_empty() {
            self.unclear("the query has a clause of another system", "write it without", line);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        let here = ptr::from_ref(query);
        if let Some(scope) = self.scopes.last_mut()
            && let Some(at) = scope.names.iter().position(|(_, query)| *query == here)
        {
            scope.visible = at + 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() {
            self.never("`SELECT INTO` writes", select.span().start.line.max(1));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        if !matches!(statement, Statement::Query(_)) {
            self.never("the query holds another statement", statement.span().start.line.max(1));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        // Every kind is listed: a new kind of a newer parser must be examined first.
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.table_function(name);
            }
            // The expression visitor checks the function itself.
            TableFactor::TableFunction { expr: Expr::Function(Function { name, .. }), .. } => self.table_function(name),
            TableFactor::TableFunction { .. } => {
                let line = factor.span().start.line.max(1);
                self.unclear("`TABLE(…)` names its table at run time", "write the name of the table", line);
            }
            TableFactor::SemanticView { name, .. } => self.read(name, false),
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. } => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let is_called = self.called.iter().any(|called| ptr::eq(*called, relation));
        if !is_called && !self.is_common(relation) {
            self.read(relation, false);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                let is_called = self.called.iter().any(|called| ptr::eq(*called, &raw const function.name));
                if !is_called {
                    self.function_name(&function.name);
                }
            }
            // A read of a sequence changes it.
            Expr::CompoundIdentifier(parts)
                if parts.last().is_some_and(|last| {
                    last.quote_style.is_none()
                        && ["nextval", "currval"].iter().any(|name| name.eq_ignore_ascii_case(&last.value))
                }) =>
            {
                let line = parts.first().map_or(1, |first| first.span.start.line).max(1);
                self.unclear(
                    "the query takes numbers of a sequence",
                    "generate the numbers where the table is written",
                    line,
                );
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn line_of(name: &ObjectName) -> u64 {
    name.span().start.line.max(1)
}
