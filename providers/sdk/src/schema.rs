//! Declarations of a provider: settings, resource types with their attributes, lookups and embedded blueprints.
//!
//! The planner works from these. A provider overrides planning only if they are not enough.

use crate::names::NameRule;
use crate::normal::{Fold, Normal};
use crate::{Map, Principal, Private, Value};
use std::time::Duration;

/// Everything that the engine knows of a provider without a connection.
#[derive(Debug, Clone, Default)]
pub struct ProviderSchema {
    /// The name of the provider, and the prefix of all its type names: `local`, `sqlite`.
    pub name: &'static str,
    /// The version for plans.
    pub version: &'static str,
    /// True if calls go to another system, which may accept them and never answer. Sessions of such a provider report
    /// answers by [`crate::wrap::silence::answered`], so that a plan can distinguish a slow system from a silent one.
    pub is_remote: bool,
    /// The technology, in one sentence.
    pub doc: &'static str,
    /// The closed set of settings of an instance.
    pub settings: Object,
    /// The resource types.
    pub resources: Vec<ResourceType>,
    /// The lookups: read-only data by name.
    pub lookups: Vec<Lookup>,
    /// Blueprints and their JSON Schemas.
    pub blueprints: Vec<EmbeddedFile>,
    /// The result of `sqlType("<provider>", column)` in expressions.
    pub sql_type: Option<SqlType>,
    /// The result of `sqlReads("<provider>", query, defaults)` in expressions.
    pub sql_reads: Option<SqlReader>,
    /// The result of `identity(ref, "<provider>")` in expressions; without a rule every principal maps to itself.
    pub identity: Option<IdentityRule>,
    /// Environment variables besides those of settings that name the system or the caller, for the instance with the
    /// provider's name.
    pub own_variables: &'static [&'static str],
    /// Environment variables that name files with secrets, also those of the vendor's own clients. Descriptors cannot
    /// reach these files.
    pub secret_files: &'static [&'static str],
    /// The settings of an environment that imitates the adapter which the provider replaces.
    pub adapter_settings: Option<AdapterSettings>,
}

/// Converts an OpenMetadata column (`dataType, dataLength, precision, scale, …`) to the technology's type. The error
/// lists the known types.
pub type SqlType = fn(&Map) -> Result<String, String>;

/// Finds the reads of a query: `{reads, refused}`, as `SqlReads::to_value` writes them. The defaults complete partial
/// names.
pub type SqlReader = fn(&str, &[&str]) -> Value;

/// Maps a principal of a descriptor (`user:jane.roe_example.com`, `group:dev`) to the technology's principal.
pub type IdentityRule = fn(&str) -> Result<Principal, String>;

/// The defaults of a replaced adapter, by path below `settings`, from the settings and the name of the environment.
pub type AdapterSettings = fn(&Value, &str) -> Vec<(&'static str, Value)>;

impl ProviderSchema {
    /// The environment variables that configure the instance with the provider's name.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> {
        let of_settings = self.settings.0.iter().filter_map(|setting| setting.variable);
        of_settings.chain(self.own_variables.iter().copied())
    }

    /// Name and version, for plans: `sqlite 0.1.0`.
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
    /// Increases when the stored form of attributes changes. The engine passes older rows to
    /// [`crate::Session::upgrade`].
    pub schema_version: u32,
    /// The attributes.
    pub attributes: Object,
    /// The attributes that identify the remote object, in the order of an import id.
    pub identity: &'static [&'static str],
    /// How a configuration determines the identity, if the identity attributes are computed. Without it, only a
    /// configured identity is known before [`crate::Session::plan`].
    pub derived_identity: Option<DerivedIdentity>,
    /// The namespace of the identity. Types of one instance with the same namespace cannot have objects of the same
    /// name: a file and a folder cannot share a path. The default is a namespace per type.
    pub identity_space: &'static str,
    /// True if objects hold user data: a removal is `retain` unless the user requests the removal of data.
    pub holds_data: bool,
    /// With `holds_data`: which objects hold data, by their attributes. `None` if all of them do. See
    /// [`ResourceType::is_holding_data`].
    pub data_holders: Option<fn(&Map) -> bool>,
    /// True if a delete keeps the data unless [`crate::Call::removes_data`] is set. Unlike with `holds_data`, a removal
    /// always calls the provider.
    pub keeps_data_on_delete: bool,
    /// An attribute that protects objects with content from a delete, its protecting value, and the value that also
    /// deletes the content.
    pub only_empty: Option<[&'static str; 3]>,
    /// True if objects exist in the state only: no call needs a journaled intent.
    pub state_only: bool,
    /// True if objects can be read. The engine never refreshes other types.
    pub readable: bool,
    /// Number of objects that one request of [`crate::Session::read_batch`] reads in the time of one; 1 if each further
    /// object takes longer.
    pub reads_at_once: usize,
    /// True if [`crate::Session::read_batch`] lists all objects of a scope. The engine then passes all objects of an
    /// instance in one call: each call would repeat the list.
    pub reads_lists: bool,
    /// For a grant: the attributes that name the principal. [`crate::Session::grantees`] then finds external grants to
    /// the same object. Empty if it cannot.
    pub grantee: &'static [&'static str],
    /// True if some change can be made in place; otherwise every change replaces.
    pub updatable: bool,
    /// True if two generations of an object may exist at once (create before destroy).
    pub can_coexist: bool,
    /// The time limits of calls.
    pub timeouts: Timeouts,
    /// True if, by the recorded attributes and the provider's bytes, the object existed before and has another owner. A
    /// removal then forgets it without a call. The engine calls [`crate::Session::delete`] only if a part of the object
    /// is managed.
    pub is_adopted: fn(&Map, &Private) -> bool,
    /// True if a found object carries the mark of another resource, by the resource's address and the object's private
    /// bytes. A removal without a row leaves it.
    pub is_marked_by_another: fn(&str, &Private) -> bool,
    /// The objects that an object needs as long as it exists, such as its container and its owner.
    pub needs: &'static [Need],
    /// Alternative names of an object for lookups, if only the server knows its identity after creation. Computed from
    /// an object's attributes or from a lookup's arguments. A lookup of an object that the plan creates runs after its
    /// creation.
    pub lookup_names: fn(&Map) -> Vec<String>,
    /// Removes configured values that the system does not store because other attributes imply them.
    pub fold: Fold,
    /// Time in which a call may still take effect after its reply was lost. Zero if it cannot take effect after the
    /// call, or its process, has ended.
    pub settle: Duration,
}

impl ResourceType {
    /// A type with the usual properties: readable, updatable, one generation at a time, 10 minutes per call.
    #[must_use]
    pub fn new(name: &'static str, doc: &'static str, identity: &'static [&'static str], attributes: Object) -> Self {
        Self {
            name,
            doc,
            schema_version: 1,
            attributes,
            identity,
            derived_identity: None,
            identity_space: name,
            holds_data: false,
            data_holders: None,
            keeps_data_on_delete: false,
            only_empty: None,
            state_only: false,
            readable: true,
            reads_at_once: 1,
            reads_lists: false,
            grantee: &[],
            updatable: true,
            can_coexist: false,
            timeouts: Timeouts::default(),
            is_adopted: |_, _| false,
            is_marked_by_another: |_, _| false,
            needs: &[],
            lookup_names: |_| Vec::new(),
            fold: |_, _| {},
            settle: Duration::from_secs(30),
        }
    }

    /// The identity part of the attributes; `None` while an identity attribute is absent or unknown.
    #[must_use]
    pub fn identity_of(&self, attributes: &Map) -> Option<Map> {
        let part = |name: &&str| {
            let value = attributes.get(*name).filter(|value| !value.has_unknown() && !value.is_null())?;
            Some(((*name).to_owned(), value.clone()))
        };
        self.identity.iter().map(part).collect()
    }

    /// A configuration with the identity attributes that follow from it, or have a default.
    #[must_use]
    pub fn with_identity(&self, config: &Map) -> Map {
        let mut config = config.clone();
        let defaults = self.attributes.0.iter().filter(|attribute| self.identity.contains(&attribute.name));
        for attribute in defaults {
            if let Some(default) = &attribute.default
                && config.get(attribute.name).is_none_or(Value::is_null)
            {
                config.insert(attribute.name.to_owned(), default.clone());
            }
        }
        if let Some(derived) = &self.derived_identity {
            (derived.derive)(&mut config);
        }
        config
    }

    /// True if an object with these attributes holds user data.
    #[must_use]
    pub fn is_holding_data(&self, attributes: &Map) -> bool {
        self.holds_data && self.data_holders.is_none_or(|is_holder| is_holder(attributes))
    }

    /// An identity in the form in which the system compares names. Equal forms are the same object.
    #[must_use]
    pub fn compared(&self, identity: &Map) -> Map {
        let form = |name: &str, value: &Value| {
            self.attributes.get(name).map_or_else(|| value.clone(), |attribute| attribute.compared.form_of(value))
        };
        identity.iter().map(|(name, value)| (name.clone(), form(name, value))).collect()
    }

    /// The object of a grant: its identity without the principal. `None` while it is unknown, and for types without a
    /// grantee.
    #[must_use]
    pub fn access_of(&self, attributes: &Map) -> Option<Map> {
        let part = |name: &&str| {
            let value = attributes.get(*name).filter(|value| !value.has_unknown() && !value.is_null())?;
            Some(((*name).to_owned(), value.revealed()))
        };
        let names = self.identity.iter().filter(|name| !self.grantee.contains(name));
        if self.grantee.is_empty() { None } else { names.map(part).collect() }
    }

    /// The reason that an object with these attributes is not deleted while it has content, and the solution.
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

/// An identity that follows from configured attributes: a manifest names its object.
#[derive(Debug, Clone, Copy)]
pub struct DerivedIdentity {
    /// Adds the identity attributes to a configuration, which may be wrong or have unknown parts.
    pub derive: fn(&mut Map),
    /// The paths of the configured values that name the object.
    pub named_by: &'static [&'static [&'static str]],
}

/// The objects of one type that an object needs as long as it exists.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// The type of the needed objects.
    pub ty: &'static str,
    /// The identities of the needed objects by the attributes of the object; unknown identities are left out.
    pub identities: fn(&Map) -> Vec<Map>,
}

impl Need {
    /// Builds one identity from attributes: each pair names an attribute of the identity and the attribute with its
    /// value.
    #[must_use]
    pub fn named(attributes: &Map, pairs: &[(&str, &str)]) -> Vec<Map> {
        let part = |(identity, attribute): &(&str, &str)| {
            let value = attributes.get(*attribute).filter(|value| !value.has_unknown() && !value.is_null())?;
            Some(((*identity).to_owned(), value.clone()))
        };
        pairs.iter().map(part).collect::<Option<Map>>().into_iter().collect()
    }
}

/// Time limits by kind of call.
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

/// A closed set of attributes by name, in display order.
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
    /// A sentence for people.
    pub doc: &'static str,
    /// The type of its values.
    pub ty: AttributeType,
    /// True if it must be configured.
    pub required: bool,
    /// True if the provider computes the value when it is not configured.
    pub computed: bool,
    /// True if it may be configured; false if only the provider sets it.
    pub configurable: bool,
    /// The value if it is not configured.
    pub default: Option<Value>,
    /// Redacted everywhere, sealed at rest.
    pub sensitive: bool,
    /// Sent, never stored, never read back.
    pub write_only: bool,
    /// True if a change requires a replacement.
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
    /// True if it describes only the path to the object, not the object.
    pub access_path: bool,
    /// The environment variable for a setting without a configured value.
    pub variable: Option<&'static str>,
    /// The rule by which the system compares an identity attribute.
    pub compared: NameRule,
    /// The stored form of the value, if it differs from the configured form.
    pub normal: Option<Normal>,
    /// An example for a text that looks like a number without its unit.
    pub example: Option<&'static str>,
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
            access_path: false,
            variable: None,
            compared: NameRule::Exact,
            normal: None,
            example: None,
        }
    }

    /// Requires a configured value.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Only the provider sets the value. [`Attribute::follows`], [`Attribute::volatile`] or [`Attribute::stable`]
    /// declares how updates affect it.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self.configurable = false;
        self
    }

    /// The provider computes the value when it is not configured. With a default, a plan without provider calls shows
    /// the default. [`Attribute::follows`] or [`Attribute::volatile`] declares how updates affect it;
    /// [`Attribute::or_kept`] is the usual case.
    #[must_use]
    pub fn or_computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// The provider computes the value when it is not configured; an update that does not configure it keeps it.
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

    /// Only the provider sets the value, once; updates keep it.
    #[must_use]
    pub fn stable(mut self) -> Self {
        self.stable = true;
        self.computed()
    }

    /// Declares that the attribute describes only the path to the object. Owners of a shared object may differ in
    /// it. The recorded path takes precedence over the configured one, unless the provider plans otherwise.
    #[must_use]
    pub fn access_path(mut self) -> Self {
        self.access_path = true;
        self
    }

    /// A change requires a replacement.
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

    /// Sets the value for an attribute that is not configured.
    #[must_use]
    pub fn default_value(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// For a setting: an environment variable that supplies the value if the configuration has none. Only for the
    /// instance with the name of its provider.
    #[must_use]
    pub fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    /// The rule by which the system compares names in this attribute. Two identities of equal form are one object. By a
    /// rule of spellings ([`NameRule::is_of_spellings`]), a new spelling changes nothing, in any attribute.
    #[must_use]
    pub fn compared(mut self, rule: NameRule) -> Self {
        self.compared = rule;
        self
    }

    /// Sets the stored form of the value: values with the same form mean the same.
    #[must_use]
    pub fn normal(mut self, normal: fn(&Value) -> Value) -> Self {
        self.normal = Some(Normal(normal));
        self
    }

    /// Sets the example for the hint about a number: `512Mi`. Quotes alone would not correct it.
    #[must_use]
    pub fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }

    /// The vendor's own JSON.
    #[must_use]
    pub fn vendor_json(mut self) -> Self {
        self.vendor_json = true;
        self
    }
}

/// The type of an attribute's values.
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

    /// The name of the type for people, in the words of YAML: "text", "list of maps".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::String => "text".to_owned(),
            Self::Int => "whole number".to_owned(),
            Self::Float => "number".to_owned(),
            Self::Bool => "true/false".to_owned(),
            Self::Any => "any value".to_owned(),
            Self::List(item) => format!("list of {}", item.describe_many()),
            Self::Map(item) => format!("map of {}", item.describe_many()),
            Self::Object(_) => "map".to_owned(),
        }
    }

    /// The same for several values: "lists of text".
    fn describe_many(&self) -> String {
        match self {
            Self::String | Self::Bool | Self::Any => self.describe(),
            Self::Int | Self::Float | Self::Object(_) => format!("{}s", self.describe()),
            Self::List(item) => format!("lists of {}", item.describe_many()),
            Self::Map(item) => format!("maps of {}", item.describe_many()),
        }
    }
}

/// Read-only data that a stack or a blueprint may query.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// `<provider>_<noun>`.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// The arguments.
    pub arguments: Object,
    /// The result: always all attributes, null for missing ones.
    pub result: Object,
    /// The resource types of the objects that it reads. Their identity is among the arguments, and common attributes
    /// have the same name in the result. The plan answers for an object that does not exist yet.
    pub objects: &'static [&'static str],
}
