//! Functions of expressions: CEL's own, its extensions for texts, lists and numbers, and terrace's.
//!
//! [`FUNCTIONS`] is the complete list, for the documentation and for suggestions; a test compares it with the
//! registered functions. [`Functions`] is built once in a run and used by every evaluation.

mod arguments;
mod columns;
mod comments;
mod maps;
mod naming;
mod queries;
mod registry;
mod serialise;

pub use naming::IdentityTable;
pub use registry::{FUNCTIONS, FunctionDoc, Style};

use super::bridge::{self, Touched};
use super::budget::{self, ItemLimits};
use super::decimal;
use super::needed::Needed;
use super::variable::{AS_TEXT, IN_ORDER, KEY};
use crate::diagnostic::Diagnostic;
use crate::digest::sha256;
use crate::limits::{Limits, ResourceCounter};
use crate::naming::NamesRule;
use crate::source::Span;
use arguments::{one, one_text, text, two};
use cel::common::types::{DYN_TYPE, Type};
use cel::common::value::CowVal;
use cel::{Context, DeclarationError, Env, ExecutionError, FunctionContext, extensions};
use naming::Identities;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use terrace_provider::cron::quartz;
use terrace_provider::{IdentityRule, Principal, SqlReader, SqlType, Value};

/// CEL's standard library and extensions.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(extended().unwrap_or_else(|_| Env::stdlib())));

/// The environment for parsing and evaluating expressions.
pub(super) fn environment() -> &'static Arc<Env> {
    &ENVIRONMENT
}

fn extended() -> Result<Env, DeclarationError> {
    let mut environment = Env::stdlib();
    environment.add_extension(extensions::strings)?;
    environment.add_extension(extensions::lists)?;
    environment.add_extension(extensions::math)?;
    environment.add_overload(IN_ORDER, "in_order", vec![DYN_TYPE], bridge::in_order)?;
    environment.add_overload(budget::ADD, "add", dynamic(2), budget::add)?;
    environment.add_overload(budget::CHARGE_PARTS, "parts", vec![DYN_TYPE], budget::charge_parts)?;
    environment.add_overload(budget::CHARGE_PARTS, "parts_between", dynamic(2), budget::charge_parts)?;
    environment.add_overload(KEY, "key", dynamic(2), bridge::key)?;
    environment.add_overload(AS_TEXT, "as_text", vec![DYN_TYPE], decimal::as_text)?;
    environment.add_overload(budget::REPLACE, "replace", dynamic(3), budget::replace)?;
    environment.add_overload(budget::REPLACE, "replace_n", dynamic(4), budget::replace)?;
    environment.add_overload("merge", "merge", dynamic(2), maps::merge)?;
    environment.add_overload(budget::JOIN, "join", vec![DYN_TYPE], budget::join)?;
    environment.add_overload(budget::JOIN, "join_separator", dynamic(2), budget::join)?;
    Ok(environment)
}

/// Argument types of functions that check their arguments themselves.
fn dynamic(count: usize) -> Vec<Type> {
    std::iter::repeat_with(|| DYN_TYPE).take(count).collect()
}

/// A function in the form that CEL calls.
type Boxed =
    Box<dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync>;

/// A function of terrace: returns a value or an error message.
pub(super) type Own = dyn Fn(&[Cow<'_, Value>]) -> Result<Value, String> + Send + Sync;

/// The functions of expressions, with the providers' and the configuration's parts.
pub struct Functions {
    root: Arc<Context<'static, 'static>>,
    own: Arc<BTreeMap<&'static str, Arc<Own>>>,
    identities: Arc<Identities>,
    inputs: Arc<Inputs>,
    /// The number of items that large values of the stack may still contain together. `None` outside a stack, where
    /// only each value is limited.
    left: Option<AtomicU64>,
    limits: Limits,
    /// Counts the resources of the stack.
    resources: ResourceCounter,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions").finish_non_exhaustive()
    }
}

impl Functions {
    /// Builds the functions of a run from column types, query readers and identity rules by provider, and the identity
    /// table of the configuration.
    #[must_use]
    pub fn new(
        sql_types: BTreeMap<String, SqlType>,
        sql_readers: BTreeMap<String, SqlReader>,
        identities: BTreeMap<String, IdentityRule>,
        identity_table: IdentityTable,
    ) -> Self {
        FunctionsBuilder::standard(sql_types, sql_readers, identities, identity_table).build()
    }

    /// Builds functions for the configuration: `file` reads files with the given function.
    #[must_use]
    pub fn with_files(read: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static) -> Self {
        let mut functions =
            FunctionsBuilder::standard(BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        functions.add("file", move |arguments| read(one_text(arguments)?).map(Value::from));
        functions.build()
    }

    /// Returns the same functions for a stack: its values share a budget, and its names follow one rule.
    pub fn of_stack(&self, names: NamesRule) -> Self {
        let within = self.within(self.item_limits().stack);
        match names {
            NamesRule::Latin => within,
            NamesRule::Ascii => Self { left: within.left, ..self.by_rule(names) },
        }
    }

    /// Returns the same functions with another naming rule.
    pub fn by_rule(&self, names: NamesRule) -> Self {
        let Self { root, own, .. } = FunctionsBuilder::of(Arc::clone(&self.inputs), names).build();
        Self { root, own, ..self.bounded(self.limits.clone()) }
    }

    /// Returns the same functions with a shared budget of items.
    pub(super) fn within(&self, total: u64) -> Self {
        Self {
            root: Arc::clone(&self.root),
            own: Arc::clone(&self.own),
            identities: Arc::clone(&self.identities),
            inputs: Arc::clone(&self.inputs),
            left: Some(AtomicU64::new(total)),
            limits: self.limits.clone(),
            resources: ResourceCounter::default(),
        }
    }

    /// Returns the same functions with these limits.
    #[must_use]
    pub fn bounded(&self, limits: Limits) -> Self {
        Self {
            root: Arc::clone(&self.root),
            own: Arc::clone(&self.own),
            identities: Arc::clone(&self.identities),
            inputs: Arc::clone(&self.inputs),
            left: None,
            limits,
            resources: ResourceCounter::default(),
        }
    }

    /// The limits of the stacks.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// True once the stack has too many resources.
    pub fn has_too_many_resources(&self) -> bool {
        self.resources.is_over(&self.limits)
    }

    /// Counts resources of the stack before they are planned.
    ///
    /// # Errors
    /// When the stack has too many resources.
    pub fn count_resources(&self, count: usize, at: Span) -> Result<(), Diagnostic> {
        self.resources.add(count, &self.limits, at)
    }

    /// Returns the provider's name of a principal.
    ///
    /// # Errors
    /// A message if the provider cannot name it.
    pub fn identity(&self, reference: &str, provider: &str) -> Result<Principal, String> {
        self.identities.of(reference, provider)
    }

    /// The maximum size of the next value.
    pub(super) fn allowed(&self) -> u64 {
        let left = self.left.as_ref().map_or(u64::MAX, |left| left.load(Ordering::Relaxed));
        left.saturating_add(budget::SMALL).min(self.item_limits().evaluation)
    }

    /// The budgets of a stack.
    pub(super) fn item_limits(&self) -> ItemLimits {
        ItemLimits::of(&self.limits)
    }

    /// Subtracts the size of a value from the stack's budget.
    pub(super) fn spend(&self, size: u64) {
        if let Some(left) = self.left.as_ref().filter(|_| size > budget::SMALL) {
            // The update cannot fail, because the closure always returns a number.
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(size)));
        }
    }

    /// The function of terrace with that name.
    pub(super) fn own(&self, name: &str) -> Option<&Own> {
        self.own.get(name).map(AsRef::as_ref)
    }

    /// The root context of every evaluation.
    pub(super) fn root(&self) -> &Context<'static, 'static> {
        &self.root
    }
}

/// A builder of [`Functions`].
struct FunctionsBuilder {
    root: Context<'static, 'static>,
    own: BTreeMap<&'static str, Arc<Own>>,
    identities: Arc<Identities>,
    inputs: Arc<Inputs>,
}

/// The providers' and the configuration's parts.
struct Inputs {
    sql_types: Arc<BTreeMap<String, SqlType>>,
    sql_readers: BTreeMap<String, SqlReader>,
    identities: Arc<Identities>,
}

impl FunctionsBuilder {
    /// Builds the standard functions.
    fn standard(
        sql_types: BTreeMap<String, SqlType>,
        sql_readers: BTreeMap<String, SqlReader>,
        identities: BTreeMap<String, IdentityRule>,
        identity_table: IdentityTable,
    ) -> Self {
        let identities = Arc::new(Identities { rules: identities, table: identity_table });
        let inputs = Inputs { sql_types: Arc::new(sql_types), sql_readers, identities };
        Self::of(Arc::new(inputs), NamesRule::Latin)
    }

    fn of(inputs: Arc<Inputs>, names: NamesRule) -> Self {
        let root = Context::with_env(Arc::clone(environment()));
        let identities = Arc::clone(&inputs.identities);
        let mut functions = Self { root, own: BTreeMap::new(), identities, inputs: Arc::clone(&inputs) };
        functions.add("lower", |arguments| one_text(arguments).map(|text| text.to_lowercase().into()));
        functions.add("upper", |arguments| one_text(arguments).map(|text| text.to_uppercase().into()));
        functions
            .add("normalize", move |arguments| one_text(arguments).map(|text| naming::normalize(text, names).into()));
        functions.add("urn", |arguments| naming::urn(one_text(arguments)?));
        functions.add("sha256", |arguments| one_text(arguments).map(|text| sha256(text).into()));
        functions.add("json", |arguments| serialise::json(one(arguments)?));
        functions.add("yaml", |arguments| serialise::yaml(one(arguments)?));
        functions.add("range", |arguments| range(one(arguments)?));
        functions.add("quartz", |arguments| quartz::to_quartz(one_text(arguments)?).map(Value::from));
        functions.add("cron", |arguments| quartz::from_quartz(one_text(arguments)?).map(Value::from));
        functions.add("file", |_| Err("files can be read only in terrace.yaml".to_owned()));
        let types = Arc::clone(&inputs.sql_types);
        let of_columns = Arc::clone(&types);
        functions.add("sqlColumns", move |arguments| columns::sql_columns(&of_columns, arguments));
        functions.add("sqlComment", comments::sql_comment);
        functions.add("sqlPrimaryKey", columns::sql_primary_key);
        functions.add("sqlReads", move |arguments| queries::sql_reads(&inputs.sql_readers, arguments));
        functions.add("sqlType", move |arguments| columns::sql_type(&types, arguments));
        functions.add("sqlUnique", columns::sql_unique);
        let known = Arc::clone(&functions.identities);
        functions.add("identity", move |arguments| {
            let [principal, provider] = two(arguments)?;
            known.identity(text(principal)?, text(provider)?)
        });
        let known = Arc::clone(&functions.identities);
        functions.add("identities", move |arguments| {
            let [principals, provider] = two(arguments)?;
            let Value::List(principals) = principals else {
                return Err(format!("expected a list, found {}", principals.kind()));
            };
            known.known(principals, text(provider)?)
        });
        // Registered without overloads: the choice of an overload would touch the type of unknown values.
        functions
            .register(budget::CHARGE_ELEMENT, Box::new(|call| budget::charge_element(std::mem::take(&mut call.args))));
        functions.register(budget::CHARGE_COPY, Box::new(|call| budget::charge_copied(std::mem::take(&mut call.args))));
        functions
    }

    fn build(self) -> Functions {
        Functions {
            root: Arc::new(self.root),
            own: Arc::new(self.own),
            identities: self.identities,
            inputs: self.inputs,
            left: None,
            limits: Limits::default(),
            resources: ResourceCounter::default(),
        }
    }

    fn add(
        &mut self,
        name: &'static str,
        function: impl Fn(&[Cow<'_, Value>]) -> Result<Value, String> + Send + Sync + 'static,
    ) {
        let function: Arc<Own> = Arc::new(function);
        self.own.insert(name, Arc::clone(&function));
        let boxed: Boxed = Box::new(move |call| {
            let failed = |message: String| ExecutionError::function_error(name, message);
            let mut arguments = Vec::with_capacity(call.args.len() + 1);
            for argument in call.this.iter().chain(&call.args) {
                budget::charge_argument(argument.as_ref())?;
                let argument =
                    bridge::from_cel(argument.as_ref(), &|_| Ok(())).map_err(|failure| failed(failure.message))?;
                arguments.push(Cow::Owned(argument));
            }
            let answer = function(&arguments).map_err(failed)?;
            Ok(CowVal::Owned(bridge::owned(&answer, &Needed::Whole, &Touched::default(), &budget::charge_copy)?))
        });
        self.register(name, boxed);
    }

    fn register(&mut self, name: &'static str, function: Boxed) {
        // Registering fails only for a name that CEL already has. A test calls every documented function.
        let _ = self.root.add_function(name, function);
    }
}

impl Default for Functions {
    fn default() -> Self {
        Self::new(BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new())
    }
}

/// Maximum number of items that `range` returns.
const RANGE_LIMIT: i64 = 1_000_000;

fn range(argument: &Value) -> Result<Value, String> {
    let end = argument.as_int().ok_or_else(|| format!("expected a whole number, found {}", argument.kind()))?;
    if !(0..=RANGE_LIMIT).contains(&end) {
        return Err(format!("expected a whole number from 0 to {RANGE_LIMIT}, found {end}"));
    }
    Ok(Value::List((0..end).map(Value::Int).collect()))
}

#[cfg(test)]
mod tests;
