//! What a provider declares: its settings, resource types with their attributes, lookups and embedded blueprints.
//!
//! The planner works from these; a provider overrides planning only where they cannot say it.

use crate::names::NameRule;
use crate::normal::{Fold, Normal};
use crate::{Map, Principal, Private, Value};
use std::time::Duration;

/// Everything the engine knows of a provider without connecting to it.
#[derive(Debug, Clone, Default)]
pub struct ProviderSchema {
    /// The crate's name for itself, and the prefix of all its type names: `local`, `sqlite`.
    pub name: &'static str,
    /// The version that is recorded in plans.
    pub version: &'static str,
    /// Whether calls go to another system, which may accept them and never answer. Sessions of such a provider report answers by
    /// [`crate::wrap::silence::answered`], so that a plan tells a slow system from a silent one.
    pub is_remote: bool,
    /// One sentence: which technology this is.
    pub doc: &'static str,
    /// The closed set of settings that an environment may give.
    pub settings: Object,
    /// The resource types.
    pub resources: Vec<ResourceType>,
    /// Read-only data by name.
    pub lookups: Vec<Lookup>,
    /// Blueprints and the JSON Schemas that they refer to.
    pub blueprints: Vec<EmbeddedFile>,
    /// What `sqlType("<provider>", column)` answers in expressions.
    pub sql_type: Option<SqlType>,
    /// What `sqlReads("<provider>", query, defaults)` returns in expressions.
    pub sql_reads: Option<SqlReader>,
    /// What `identity(ref, "<provider>")` answers in expressions; without a rule every principal maps to itself.
    pub identity: Option<IdentityRule>,
}

/// Writes the technology's type of an OpenMetadata column (`dataType, dataLength, precision, scale, …`); the error says
/// which types there are.
pub type SqlType = fn(&Map) -> Result<String, String>;

/// Finds the reads of a query: `{reads, refused}`, as `SqlReads::to_value` writes them. The defaults go before a name that is
/// not whole.
pub type SqlReader = fn(&str, &[&str]) -> Value;

/// Maps a principal of a descriptor (`user:jane.roe_example.com`, `group:dev`) to the technology's.
pub type IdentityRule = fn(&str) -> Result<Principal, String>;

impl ProviderSchema {
    /// Which provider this is, as plans name it: `sqlite 0.1.0`.
    #[must_use]
    pub fn name_and_version(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The resource type of that name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&ResourceType> {
        self.resources.iter().find(|ty| ty.name == name)
    }

    /// The lookup of that name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&Lookup> {
        self.lookups.iter().find(|lookup| lookup.name == name)
    }
}

/// A file compiled into the provider.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedFile {
    /// The path within the crate's `blueprints` folder, for messages and for references between files.
    pub path: &'static str,
    /// The text.
    pub text: &'static str,
}

/// One kind of remote object.
#[derive(Debug, Clone)]
pub struct ResourceType {
    /// `<provider>_<noun>`.
    pub name: &'static str,
    /// One sentence for `terrace providers schema`.
    pub doc: &'static str,
    /// Grows when the stored form of attributes changes; older rows go through [`crate::Session::upgrade`].
    pub schema_version: u32,
    /// The attributes.
    pub attributes: Object,
    /// The attributes that name the remote object, in the order of an import id.
    pub identity: &'static [&'static str],
    /// Where that names an object: types of one instance that say the same word here cannot have objects of one name, as
    /// a file and a folder cannot have one path. Unless it is said, each type has names of its own.
    pub identity_space: &'static str,
    /// Objects hold data that a person would miss: removing one is `retain` unless the removal of data is asked for.
    pub holds_data: bool,
    /// Deleting an object leaves its data where it is unless [`crate::Call::removes_data`] says otherwise: a removal is
    /// called for whether or not the data may go, unlike that of what `holds_data`.
    pub spares_data: bool,
    /// What keeps an object that is not empty from being deleted: an attribute, its value that does, and the one that
    /// deletes the object with all it holds.
    pub only_empty: Option<[&'static str; 3]>,
    /// Objects live in state only: there is no call to journal an intent for.
    pub state_only: bool,
    /// Objects can be read; a type that cannot be is never refreshed.
    pub readable: bool,
    /// So many objects [`crate::Session::read_batch`] reads by one question, in the time of one; 1 where it takes longer for
    /// more of them.
    pub reads_at_once: usize,
    /// Of an object that lets somebody in: the attributes that say whom. [`crate::Session::grantees`] tells who else was let
    /// in to the same thing by others; empty where it cannot.
    pub grantee: &'static [&'static str],
    /// A change can be made in place at all; without, every change replaces.
    pub updatable: bool,
    /// Two generations of an object may exist at once (create before destroy).
    pub can_coexist: bool,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// Tells by the recorded attributes and the provider's bytes that an object was there before and is somebody else's: a
    /// removal lets go of it, without a call. [`crate::Session::delete`] is asked only where a part of it is ours.
    pub is_borrowed: fn(&Map, &Private) -> bool,
    /// Tells by the resource's address, and by the provider's bytes of an object that was found, that the object carries the
    /// mark of another resource: a removal without a row leaves it.
    pub is_of_another: fn(&str, &Private) -> bool,
    /// The objects that an object needs as long as it exists, such as its container and its owner.
    pub needs: &'static [Need],
    /// What lookups may ask for an object by whose identity only the server knows, once it is there: of the attributes of an
    /// object, or of the arguments of a lookup. Whoever asks for what the plan makes is answered after that.
    pub called: fn(&Map) -> Vec<String>,
    /// Removes configured values that the system does not store because other attributes imply them.
    pub fold: Fold,
    /// How long a call whose reply was lost may still take effect. Zero says that it cannot once the call has ended,
    /// or the process that made it has.
    pub settle: Duration,
}

impl ResourceType {
    /// A type with the usual answers: readable, updatable, one generation at a time, 10 minutes a call.
    #[must_use]
    pub fn new(name: &'static str, doc: &'static str, identity: &'static [&'static str], attributes: Object) -> Self {
        Self {
            name,
            doc,
            schema_version: 1,
            attributes,
            identity,
            identity_space: name,
            holds_data: false,
            spares_data: false,
            only_empty: None,
            state_only: false,
            readable: true,
            reads_at_once: 1,
            grantee: &[],
            updatable: true,
            can_coexist: false,
            timeouts: Timeouts::default(),
            is_borrowed: |_, _| false,
            is_of_another: |_, _| false,
            needs: &[],
            called: |_| Vec::new(),
            fold: |_, _| {},
            settle: Duration::from_secs(30),
        }
    }

    /// The identity attributes among the given ones; `None` while one of them is absent or unknown.
    #[must_use]
    pub fn identity_of(&self, attributes: &Map) -> Option<Map> {
        let part = |name: &&str| {
            let value = attributes.get(*name).filter(|value| !value.has_unknown() && !value.is_null())?;
            Some(((*name).to_owned(), value.clone()))
        };
        self.identity.iter().map(part).collect()
    }

    /// An identity in the form in which the system compares names: two objects of one form are one.
    #[must_use]
    pub fn compared(&self, identity: &Map) -> Map {
        let form = |name: &str, value: &Value| {
            self.attributes.get(name).map_or_else(|| value.clone(), |attribute| attribute.compared.form_of(value))
        };
        identity.iter().map(|(name, value)| (name.clone(), form(name, value))).collect()
    }

    /// What an object that lets somebody in lets them in to: its identity without whom. `None` while that is not known, and
    /// of a type that lets nobody in.
    #[must_use]
    pub fn access_of(&self, attributes: &Map) -> Option<Map> {
        let part = |name: &&str| {
            let value = attributes.get(*name).filter(|value| !value.has_unknown() && !value.is_null())?;
            Some(((*name).to_owned(), value.revealed()))
        };
        let names = self.identity.iter().filter(|name| !self.grantee.contains(name));
        if self.grantee.is_empty() { None } else { names.map(part).collect() }
    }

    /// Why an object of these attributes is not deleted while it holds anything, and what helps.
    #[must_use]
    pub fn kept_unless_empty(&self, attributes: &Map) -> Option<String> {
        let [attribute, kept, removed] = self.only_empty?;
        (attributes.get(attribute).and_then(Value::as_str) == Some(kept)).then(|| {
            format!(
                "`{attribute}: {kept}` deletes it only once it is empty; empty it, or apply `{attribute}: {removed}` first"
            )
        })
    }
}

/// The objects of a single type that an object needs as long as it exists.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Their type.
    pub ty: &'static str,
    /// The identities of the needed objects by the attributes of the object; unknown identities are left out.
    pub identities: fn(&Map) -> Vec<Map>,
}

impl Need {
    /// The one identity that attributes name: each pair has an attribute of the identity, and the attribute that says it.
    #[must_use]
    pub fn named(attributes: &Map, pairs: &[(&str, &str)]) -> Vec<Map> {
        let part = |(identity, attribute): &(&str, &str)| {
            let value = attributes.get(*attribute).filter(|value| !value.has_unknown() && !value.is_null())?;
            Some(((*identity).to_owned(), value.clone()))
        };
        pairs.iter().map(part).collect::<Option<Map>>().into_iter().collect()
    }
}

/// How long each kind of call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Timeouts {
    /// For creating.
    pub create: Duration,
    /// For updating.
    pub update: Duration,
    /// For deleting.
    pub delete: Duration,
    /// For reading and finding.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let long = Duration::from_secs(600);
        Self { create: long, update: long, delete: long, read: Duration::from_secs(60) }
    }
}

/// A closed set of attributes by name, in the order in which they are shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(pub Vec<Attribute>);

impl Object {
    /// The attribute of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|attribute| attribute.name)
    }
}

/// One attribute of a resource, of an object inside one, or of a provider's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// camelCase.
    pub name: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// What it holds.
    pub ty: AttributeType,
    /// It must be configured.
    pub required: bool,
    /// The provider gives the value when it is not configured.
    pub computed: bool,
    /// It may be configured; false for what only the provider gives.
    pub configurable: bool,
    /// Taken when it is not configured.
    pub default: Option<Value>,
    /// Redacted everywhere, sealed at rest.
    pub sensitive: bool,
    /// Sent, never stored, never read back.
    pub write_only: bool,
    /// A change needs a new object.
    pub replaces: bool,
    /// The value is the vendor's own JSON: keys are not checked.
    pub vendor_json: bool,
    /// A computed value that survives an update (an id): known in the plan of an update.
    pub stable: bool,
    /// An update that does not configure the computed value keeps it, so the plan knows it.
    pub kept: bool,
    /// Source attributes of a computed value: updates that leave them unchanged keep it.
    pub follows: &'static [&'static str],
    /// Why any update may change the computed value: an update plans it as unknown.
    pub volatile: Option<&'static str>,
    /// It says by which way the object is reached, and nothing of the object.
    pub way: bool,
    /// The environment variable that a setting is taken from where the configuration does not say it.
    pub variable: Option<&'static str>,
    /// Of a part of an identity: how the system compares it.
    pub compared: NameRule,
    /// The form in which the system stores the value, where it differs from the written one.
    pub normal: Option<Normal>,
}

impl Attribute {
    /// An optional attribute.
    #[must_use]
    pub fn new(name: &'static str, ty: AttributeType, doc: &'static str) -> Self {
        Self {
            name,
            doc,
            ty,
            required: false,
            computed: false,
            configurable: true,
            default: None,
            sensitive: false,
            write_only: false,
            replaces: false,
            vendor_json: false,
            stable: false,
            kept: false,
            follows: &[],
            volatile: None,
            way: false,
            variable: None,
            compared: NameRule::Exact,
            normal: None,
        }
    }

    /// It must be configured.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Only the provider gives the value. [`Attribute::follows`], [`Attribute::volatile`] or [`Attribute::stable`] declares
    /// how updates affect it.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self.configurable = false;
        self
    }

    /// The provider gives the value when it is not configured. With a default, a plan that asks no provider shows that.
    /// [`Attribute::follows`] or [`Attribute::volatile`] declares how updates affect it; [`Attribute::or_kept`] is the usual case.
    #[must_use]
    pub fn or_computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// The provider gives the value when it is not configured; an update that does not configure it keeps it.
    #[must_use]
    pub fn or_kept(mut self) -> Self {
        self.kept = true;
        self.or_computed()
    }

    /// Only a change of these attributes changes the computed value.
    #[must_use]
    pub fn follows(mut self, attributes: &'static [&'static str]) -> Self {
        self.follows = attributes;
        self
    }

    /// Any update may change the computed value, for this reason.
    #[must_use]
    pub fn volatile(mut self, reason: &'static str) -> Self {
        self.volatile = Some(reason);
        self
    }

    /// Only the provider gives the value, once; updates keep it.
    #[must_use]
    pub fn stable(mut self) -> Self {
        self.stable = true;
        self.computed()
    }

    /// It says by which way the object is reached, and nothing of the object: owners of a shared one need not say it alike, and
    /// the way that is on record is planned instead of the one that is configured, unless the provider plans otherwise.
    #[must_use]
    pub fn way(mut self) -> Self {
        self.way = true;
        self
    }

    /// A change needs a new object.
    #[must_use]
    pub fn replaces(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// Redacted everywhere, sealed at rest.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Sent, never stored, never read back; redacted everywhere.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.write_only = true;
        self.sensitive = true;
        self
    }

    /// Taken when it is not configured.
    #[must_use]
    pub fn default_value(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Of a setting: taken from this well-known environment variable where the configuration does not say it, by the
    /// instance that is called as its provider.
    #[must_use]
    pub fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    /// It names an object, and the system compares it by this rule.
    #[must_use]
    pub fn compared(mut self, rule: NameRule) -> Self {
        self.compared = rule;
        self
    }

    /// The system stores the value in this form: values with the same form mean the same.
    #[must_use]
    pub fn normal(mut self, normal: fn(&Value) -> Value) -> Self {
        self.normal = Some(Normal(normal));
        self
    }

    /// The vendor's own JSON.
    #[must_use]
    pub fn vendor_json(mut self) -> Self {
        self.vendor_json = true;
        self
    }
}

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// True or false.
    Bool,
    /// Anything.
    Any,
    /// Items of one type, in order.
    List(Box<AttributeType>),
    /// Values of one type by free keys.
    Map(Box<AttributeType>),
    /// A closed set of attributes.
    Object(Object),
}

impl AttributeType {
    /// A list of that type.
    #[must_use]
    pub fn list(item: Self) -> Self {
        Self::List(Box::new(item))
    }

    /// A map to that type.
    #[must_use]
    pub fn map(item: Self) -> Self {
        Self::Map(Box::new(item))
    }

    /// The name of the type in words: "text", "list of text".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::String => "text".to_owned(),
            Self::Int => "whole number".to_owned(),
            Self::Float => "number".to_owned(),
            Self::Bool => "true/false".to_owned(),
            Self::Any => "any value".to_owned(),
            Self::List(item) => format!("list of {}", item.describe()),
            Self::Map(item) => format!("map of {}", item.describe()),
            Self::Object(_) => "object".to_owned(),
        }
    }
}

/// Read-only data that a stack or a blueprint may ask for.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// `<provider>_<noun>`.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// What it is asked with.
    pub arguments: Object,
    /// What it answers: always all of it, null where there is nothing to say.
    pub result: Object,
    /// The resource types whose objects it looks at: their identity is among the arguments, and what they have in
    /// common with the result has the same name. An object that is only planned answers from its plan.
    pub objects: &'static [&'static str],
}
