//! Values of the chart `deploy/helm/pipeline` for a site, whose templates render the objects of [`super::manifest`] from them.

use super::super::pod::PodSite;
use super::content::Packed;
use super::{SiteFiles, SiteSpec, failed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use terrace_provider::ProviderError;

/// The values of a site that shows a folder of a claim. Other settings of the site are left to other files of values.
///
/// # Errors
/// When a file cannot be read, or a Secret cannot hold the files.
pub fn values(spec: &SiteSpec, files: &SiteFiles) -> Result<Json, ProviderError> {
    let packed = Packed::of(spec, files)?;
    let site: PodSite = serde_json::from_slice(&packed.record).map_err(|error| failed(format!("the site: {error}")))?;
    let overlay = json!({"pages": site.files, "archive": STANDARD.encode(&packed.archive)});
    Ok(json!({"enabled": true, "folder": site.claim_folder, "overlay": overlay}))
}
