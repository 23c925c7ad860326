//! The repository front end: builds Witboost descriptors from the files that people edit in Git.
//!
//! Callers read the files ([`EntityFiles`]); [`build`] renders, merges and combines them to the tree of a descriptor,
//! which [`read_tree`](crate::descriptor::read_tree) reads as any other. The nodes of the tree have places in the edited
//! files, so every later diagnostic points there: to the parameter, the line of a configuration, or the expression of a
//! template.
//!
//! Read the modules in this order: `entity` (one `catalog-info.yaml`), `parameters`, `template` and `source_map`
//! (skeletons), `merge` (environments), `product` (the descriptor), [`platform`] (what Git does not know), `write_back`
//! (values for the edited files).

mod entity;
mod files;
mod limits;
mod merge;
mod parameters;
pub mod platform;
mod product;
mod source_map;
mod template;
mod write_back;

pub use files::EntityFiles;
pub use write_back::{Written, template_of, write_back};

use crate::diagnostic::{Diagnostic, has_errors, remove_repeated};
use crate::source::Sources;
use crate::yaml::Node;
use entity::Entity;
use platform::Platform;
use terrace_provider::value::OtherFormat;

/// Builds the tree of each requested data product for an environment.
///
/// Returns trees even if there are errors; check for errors before using them. An entity that cannot be read returns no
/// trees: without it, the data product would be incomplete.
#[must_use]
pub fn build(
    sources: &Sources,
    files: &[EntityFiles],
    environment: &str,
    platform: &Platform,
) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let entities: Vec<Entity> =
        files.iter().filter_map(|files| Entity::read(sources, files, environment, &mut diagnostics)).collect();
    if has_errors(&diagnostics) {
        return (Vec::new(), diagnostics);
    }
    let products = product::assemble(&entities, sources, (environment, platform), &mut diagnostics);
    remove_repeated(&mut diagnostics);
    (products, diagnostics)
}

/// The text of a tree.
///
/// # Errors
/// When the tree cannot be written as YAML.
pub fn write(node: &Node) -> Result<String, String> {
    serde_saphyr::to_string(&OtherFormat(&node.to_json())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
