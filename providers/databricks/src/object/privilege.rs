//! A single privilege of a principal on an object of Unity Catalog: <https://docs.databricks.com/api/workspace/grants>.
//! Several resources may grant different privileges to the same principal without a conflict.

use super::azure::{self, takes_existing};
use super::{Object, Place, Seen, grant};
use crate::attributes::text;
use crate::private::Kept;
use async_trait::async_trait;
use jiff::Timestamp;
use std::ops::RangeInclusive;
use terrace_provider::{Attributes, Path, ProviderError, Recorded, Value};

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
        place: &Place<'_>,
        named: &Attributes,
        like: &Attributes,
        kept: &Kept,
    ) -> Result<Option<Seen>, ProviderError> {
        let privilege = text(named, "privilege");
        if !grant::held(place, named).await?.contains(&privilege) {
            return Ok(None);
        }
        let names = ["workspaceUrl", "metastoreId", "securableType", "fullName", "principal", "privilege"];
        let mut seen: Attributes = names.map(|name| (name.to_owned(), text(named, name).into())).into_iter().collect();
        let (name, value) = azure::shown(like);
        seen.insert(name.to_owned(), value);
        Ok(Some(Seen { attributes: seen, kept: kept.clone(), held: vec![privilege], ..Seen::default() }))
    }

    fn takes_what_is_there(&self, planned: &Attributes) -> bool {
        takes_existing(planned)
    }

    fn is_told_by_what_was_there(&self) -> bool {
        true
    }

    async fn create(&self, place: &Place<'_>, planned: &Attributes) -> Result<(Attributes, Kept), ProviderError> {
        let before = match takes_existing(planned) {
            true => self.held(place, planned).await?,
            false => Vec::new(),
        };
        if before.is_empty() {
            grant::change(place, planned, "add", &[text(planned, "privilege")]).await?;
        }
        Ok((Attributes::default(), Kept { preexisting: before, ..Kept::default() }))
    }

    /// Only `takeExisting` can change, which has no effect on the remote object.
    async fn update(&self, _: &Place<'_>, prior: &Recorded, _: &Seen, _: &Attributes) -> Result<Kept, ProviderError> {
        Ok(Kept::of(&prior.private))
    }

    async fn delete(&self, place: &Place<'_>, prior: &Attributes, kept: &Kept, _: bool) -> Result<(), ProviderError> {
        let privilege = text(prior, "privilege");
        if !kept.preexisting.is_empty() || !grant::held(place, prior).await?.contains(&privilege) {
            return Ok(());
        }
        grant::change(place, prior, "remove", &[privilege]).await
    }

    /// Grants are idempotent, and the privilege was not held before.
    async fn is_ours(
        &self,
        _: &Place<'_>,
        _: &Seen,
        _: &Attributes,
        _: &RangeInclusive<Timestamp>,
    ) -> Result<bool, ProviderError> {
        Ok(true)
    }
}
