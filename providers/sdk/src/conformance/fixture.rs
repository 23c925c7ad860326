//! Input of the suite for one resource type.

use crate::{Attributes, Recorded, Value};
use futures_util::future::BoxFuture;
use std::future::Future;

/// A change to an object outside terrace.
pub type Hook = Box<dyn Fn(Recorded) -> BoxFuture<'static, ()> + Send + Sync>;

/// One resource type for the suite: configurations, and ways to change the object outside terrace.
///
/// The object of `config` must not exist when the suite begins. It does not exist when the suite ends.
pub struct Fixture {
    pub(super) type_name: &'static str,
    pub(super) label: &'static str,
    pub(super) config: Attributes,
    pub(super) update: Option<Attributes>,
    pub(super) replace: Option<Attributes>,
    pub(super) tamper: Option<Hook>,
    pub(super) remove: Option<Hook>,
    pub(super) fill: Option<Hook>,
    pub(super) spellings: Vec<(&'static str, Vec<Value>)>,
    pub(super) verbatim: &'static [&'static str],
    pub(super) concealed: &'static [&'static str],
    pub(super) is_importable: bool,
    pub(super) is_findable: bool,
    pub(super) is_readable: bool,
    pub(super) is_adoptable: bool,
}

impl Fixture {
    /// A fixture of a type, with a configuration that creates an object. The label distinguishes fixtures of one type.
    #[must_use]
    pub fn new(type_name: &'static str, label: &'static str, config: Attributes) -> Self {
        Self {
            type_name,
            label,
            config,
            update: None,
            replace: None,
            tamper: None,
            remove: None,
            fill: None,
            spellings: Vec::new(),
            verbatim: &[],
            concealed: &[],
            is_importable: true,
            is_findable: true,
            is_readable: true,
            is_adoptable: true,
        }
    }

    /// A configuration that changes the object of `config` in place.
    #[must_use]
    pub fn update(mut self, config: Attributes) -> Self {
        self.update = Some(config);
        self
    }

    /// A configuration that replaces the object of `config`.
    #[must_use]
    pub fn replace(mut self, config: Attributes) -> Self {
        self.replace = Some(config);
        self
    }

    /// Changes the object outside terrace: a read must report the drift.
    #[must_use]
    pub fn tamper<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Recorded) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.tamper = Some(Box::new(move |recorded| Box::pin(hook(recorded))));
        self
    }

    /// Removes the object outside terrace.
    #[must_use]
    pub fn remove<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Recorded) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.remove = Some(Box::new(move |recorded| Box::pin(hook(recorded))));
        self
    }

    /// Puts data into an object of a type that holds data. The suite removes the object with `remove` afterwards.
    #[must_use]
    pub fn fill<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Recorded) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.fill = Some(Box::new(move |recorded| Box::pin(hook(recorded))));
        self
    }

    /// Values with the same meaning at a path such as `/columns/0/type`. An object with any of them must plan no change
    /// for any other one.
    #[must_use]
    pub fn spelled<V: Into<Value>>(mut self, path: &'static str, values: impl IntoIterator<Item = V>) -> Self {
        self.spellings.push((path, values.into_iter().map(Into::into).collect()));
        self
    }

    /// Attributes that the suite does not respell, such as the commands that read the object.
    #[must_use]
    pub fn verbatim(mut self, attributes: &'static [&'static str]) -> Self {
        self.verbatim = attributes;
        self
    }

    /// Attributes that only this configuration makes sensitive. The plan and the provider's results must mark their
    /// values.
    #[must_use]
    pub fn conceals(mut self, attributes: &'static [&'static str]) -> Self {
        self.concealed = attributes;
        self
    }

    /// Objects of this type cannot be imported.
    #[must_use]
    pub fn not_importable(mut self) -> Self {
        self.is_importable = false;
        self
    }

    /// An object of this configuration cannot be found after a lost call.
    #[must_use]
    pub fn not_findable(mut self) -> Self {
        self.is_findable = false;
        self
    }

    /// Only objects of the provider's own calls can be found: the provider cannot tell whether another object exists.
    #[must_use]
    pub fn not_adoptable(mut self) -> Self {
        self.is_adoptable = false;
        self
    }

    /// An object of this configuration cannot be read, although other objects of its type can.
    #[must_use]
    pub fn not_readable(mut self) -> Self {
        self.is_readable = false;
        self
    }
}
