//! The files of a repository, as callers read them.

use crate::source::SourceId;

/// The files of a catalog entity.
#[derive(Debug, Clone, Default)]
pub struct EntityFiles {
    /// `catalog-info.yaml`.
    pub catalog: SourceId,
    /// `parameters.yaml` in the same folder.
    pub parameters: Option<SourceId>,
    /// `environments/<env>/configurations.yaml` of the requested environment.
    pub configuration: Option<SourceId>,
    /// The names of the folders in `environments`.
    pub environments: Vec<String>,
    /// True if the user asks for this entity. Other entities only complete data products.
    pub is_requested: bool,
}
