//! A single privilege of a principal on an object of Unity Catalog: <https://docs.databricks.com/api/workspace/grants>.
//! Several resources may grant different privileges to the same principal without a conflict.

use super::azure::{self, takes_existing};
use super::{Context, Object, Observation, grant};
use crate::attributes::text;
use crate::private::PrivateData;
use async_trait::async_trait;
use jiff::Timestamp;
use std::ops::RangeInclusive;
use terrace_provider::{Attributes, Path, ProviderError, Value};

pub(crate) struct Privilege;

#[async_trait]
impl Object for Privilege {
    fn check(&self, planned: &Attributes) -> Result<(), ProviderError> {
        grant::check_securable(planned)?;
        match planned.get("privilege").and_then(Value::as_str) {
            Some(privilege) => grant::check_privilege(privilege, Path::attribute("privilege")),
            None => Ok(()),
        }
    }

    async fn read(
        &self,
        context: &Context<'_>,
        named: &Attributes,
        like: &Attributes,
        private: &PrivateData,
    ) -> Result<Option<Observation>, ProviderError> {
        let privilege = text(named, "privilege");
        if !grant::held(context, named).await?.contains(&privilege) {
            return Ok(None);
        }
        let names = ["workspaceUrl", "metastoreId", "securableType", "fullName", "principal", "privilege"];
        let mut observed: Attributes =
            names.map(|name| (name.to_owned(), text(named, name).into())).into_iter().collect();
        let (name, value) = azure::shown(like);
        observed.insert(name.to_owned(), value);
        Ok(Some(Observation {
            attributes: observed,
            private: private.clone(),
            held: vec![privilege],
            ..Observation::default()
        }))
    }

    fn adopts_existing(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn needs_prior_content(&self) -> bool {
        true
    }

    async fn create(
        &self,
        context: &Context<'_>,
        planned: &Attributes,
    ) -> Result<(Attributes, PrivateData), ProviderError> {
        let before = match takes_existing(planned) {
            true => self.held(context, planned).await?,
            false => Vec::new(),
        };
        if before.is_empty() {
            grant::change(context, planned, "add", &[text(planned, "privilege")]).await?;
        }
        Ok((Attributes::default(), PrivateData { preexisting: before, ..PrivateData::default() }))
    }

    async fn delete(
        &self,
        context: &Context<'_>,
        prior: &Attributes,
        private: &PrivateData,
        _: bool,
    ) -> Result<(), ProviderError> {
        let privilege = text(prior, "privilege");
        if !private.preexisting.is_empty() || !grant::held(context, prior).await?.contains(&privilege) {
            return Ok(());
        }
        grant::change(context, prior, "remove", &[privilege]).await
    }

    /// Grants are idempotent, and the privilege was not held before.
    async fn is_from_attempt(
        &self,
        _: &Context<'_>,
        _: &Observation,
        _: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(true)
    }
}
