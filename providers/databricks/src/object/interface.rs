//! The operations of a resource type, and their results.

use crate::context::Context;
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::ops::RangeInclusive;
use terrace_provider::{Attributes, DataAmount, PlannedChange, ProposedChange, ProviderError, Recorded};

/// An observed object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observation {
    /// All attributes except the id.
    pub(crate) attributes: Attributes,
    pub(crate) private: PrivateData,
    /// The creator, if known.
    pub(crate) created_by: Option<String>,
    /// Creation time, if known.
    pub(crate) created_at: Option<Timestamp>,
    /// The privileges or the permission level of the principal.
    pub(crate) held: Vec<String>,
    /// The mark of the resource that created it.
    pub(crate) mark: Option<String>,
}

/// An object that an attempt may have created.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The identifying attributes.
    pub(crate) identity: Attributes,
    /// True if it carries the mark of the resource.
    pub(crate) is_marked: bool,
}

/// The operations of a resource type. `named` always has the identifying attributes and `workspaceUrl`.
#[async_trait]
pub(crate) trait Object: Send + Sync {
    /// Refuses an invalid plan without any request.
    fn check(&self, _planned: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Adjusts the plan that follows from the schema.
    fn plan(&self, _change: &ProposedChange<'_>, _planned: &mut PlannedChange) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Reads the object. `like` selects the managed attributes of types that manage only configured ones.
    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError>;

    /// Finds objects that attributes may mean, for types whose objects get their identity from the server.
    async fn search(&self, _context: &Context<'_>, _planned: &Attributes) -> Result<Vec<Candidate>, ProviderError> {
        Ok(Vec::new())
    }

    /// Returns true if [`Object::create`] checks for an existing object itself, and adopts it.
    fn adopts_existing(&self, _planned: &Attributes) -> bool {
        false
    }

    /// Returns true if only the prior content reveals the effect of a lost call: the object has no creator or time.
    fn needs_prior_content(&self) -> bool {
        false
    }

    /// The privileges or level that the planned grantee holds now.
    async fn held(&self, context: &Context<'_>, planned: &Attributes) -> Result<Vec<String>, ProviderError> {
        let observed = self.read(context, planned, planned, &PrivateData::default()).await?;
        Ok(observed.map(|observed| observed.held).unwrap_or_default())
    }

    /// For types that adopt existing objects: returns true if the observed object surely existed before.
    fn existed_before(&self, _observed: &Observation, _planned: &Attributes) -> bool {
        true
    }

    /// Waits until no operation runs on the object, for types whose creation takes long.
    async fn settle(&self, _context: &Context<'_>, _named: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Creates the object. Returns the identifying attributes that the server chose.
    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError>;

    /// Updates the object. By default nothing but `takeExisting` can change, which has no effect on the remote object.
    async fn update(
        &self,
        _context: &Context<'_>,
        prior: &Recorded,
        _present: &Observation,
        _planned: &Attributes,
    ) -> Result<PrivateData, ProviderError> {
        Ok(PrivateData::of(&prior.private))
    }

    /// Deletes the object. A missing object is a success.
    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        removes_data: bool,
    ) -> Result<(), ProviderError>;

    /// Returns true if an object that is present after a deletion is the deleted one, and not another owner's.
    fn is_deleted_object(&self, _prior: &Attributes, _observed: &Observation) -> bool {
        true
    }

    /// Counts the data of the object.
    async fn count(&self, _context: &Context<'_>, _named: &Attributes) -> Result<DataAmount, ProviderError> {
        Ok(DataAmount::Empty)
    }

    /// Returns true if an existing object comes from an attempt in the given time range.
    async fn is_from_attempt(
        &self,
        context: &Context<'_>,
        observed: &Observation,
        _planned: &Attributes,
        window: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        let is_own = match &observed.created_by {
            Some(by) if !by.is_empty() => by == context.workspace.me(&context.within).await?,
            _ => false,
        };
        Ok(is_own && observed.created_at.is_some_and(|at| window.contains(&at)))
    }
}

/// A time field of an answer, in milliseconds.
pub(crate) fn time_of(json: &Json, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(json.get(name)?.as_i64()?).ok()
}
