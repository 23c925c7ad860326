//! Cached specs of folders: each resource of a plan is one pipeline, but a read covers all pipelines of a folder.

use super::attributes::Name;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use terrace_pipelines::spec::{self, Pipeline, Specs};
use terrace_provider::names::{closest, listed};
use terrace_provider::{Path as AttributePath, ProviderError};

/// Lifetime of a cached folder, as long as the file of the requested pipeline is unchanged.
const CACHE_LIFETIME: Duration = Duration::from_secs(1);
/// Number of pipelines that the hint for an unknown one lists.
const MOST: usize = 10;

/// Specs of a folder, with indexes for lookups of a pipeline.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) specs: Specs,
    broken: BTreeSet<String>,
    positions: HashMap<String, usize>,
    /// Stamp of each file when it was read.
    stamps: Vec<Option<Stamp>>,
}

/// Time of the last change, and size.
type Stamp = (SystemTime, u64);

impl Folder {
    /// Reads the folder of a name, relative to the project.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(project: &Path, name: &Name) -> Result<Self, ProviderError> {
        let at = || Some(AttributePath::attribute("folder"));
        let place = project.join(&name.folder);
        // Links are resolved: their target must be inside the project.
        let found = place.canonicalize().and_then(|place| match place.starts_with(project) {
            true => spec::read(&place).map(|specs| Some(specs.with_display_root(Path::new(&name.folder)))),
            false => Ok(None),
        });
        let specs = found.map_err(|error| {
            ProviderError::invalid(at(), format!("`folder` is `{}`, which cannot be read: {error}", name.folder))
        })?;
        let specs = specs.ok_or_else(|| {
            let message = format!("`folder` is `{}`, which is outside of the project folder", name.folder);
            let hint = "name a folder inside the project folder, which holds `terrace.yaml`, or else the descriptor";
            ProviderError::invalid(at(), message).solution(hint)
        })?;
        let broken = specs.broken().into_iter().map(str::to_owned).collect();
        let mut positions = HashMap::with_capacity(specs.pipelines.len());
        for (position, pipeline) in specs.pipelines.iter().enumerate() {
            positions.entry(pipeline.id.clone()).or_insert(position);
        }
        let stamps = specs.files.iter().map(|file| stamp(&specs.root.join(&file.path)).ok()).collect();
        Ok(Self { specs, broken, positions, stamps })
    }

    /// Returns a pipeline by name.
    ///
    /// # Errors
    /// When it does not exist, or it or one of its dependencies has an error.
    pub(super) fn pipeline(&self, name: &Name) -> Result<&Pipeline, ProviderError> {
        let position = self.positions.get(&name.name);
        if let (Some(pipeline), false) = (position.and_then(|it| self.specs.pipelines.get(*it)), self.is_broken(name)) {
            return match pipeline.pipelines_before().find(|id| !self.positions.contains_key(*id)) {
                None => Ok(pipeline),
                Some(missing) => Err(missing_dependency(name, missing)),
            };
        }
        let problems = self.specs.problems.iter().filter(|problem| problem.is_error());
        let problems = problems.filter(|problem| problem.pipeline.as_deref().is_none_or(|id| self.broken.contains(id)));
        let problems = problems.map(|problem| problem.in_one_line(&self.specs).to_string());
        let at = Some(AttributePath::attribute("name"));
        let error = if self.is_broken(name) {
            ProviderError::invalid(at, format!("the pipeline `{}` cannot be run", name.name))
        } else {
            let ids: Vec<&str> = self.specs.pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
            let hint = match closest(&name.name, ids.iter().copied()) {
                Some(id) => format!("did you mean `{id}`?"),
                None => format!("available pipelines: {}", listed(ids.get(..MOST).unwrap_or(&ids))),
            };
            let message = format!("there is no pipeline `{}` in `{}`", name.name, name.folder);
            ProviderError::invalid(at, message).solution(hint)
        };
        Err(problems.fold(error, ProviderError::problem))
    }

    fn is_broken(&self, name: &Name) -> bool {
        self.broken.contains(&name.name)
    }

    /// Returns true if the pipeline's file changed since it was read. A missing pipeline may exist by now.
    fn is_stale_for(&self, name: &Name) -> bool {
        let file = self.positions.get(&name.name).and_then(|it| self.specs.pipelines.get(*it)).map(|it| it.file);
        let of_file = |file: usize| Some((self.specs.files.get(file)?, self.stamps.get(file)?));
        file.and_then(of_file).is_none_or(|(file, was)| stamp(&self.specs.root.join(&file.path)).ok() != *was)
    }
}

/// Error for a dependency that a plugin has not generated yet.
fn missing_dependency(name: &Name, missing: &str) -> ProviderError {
    let message = format!("`{}` depends on `{missing}`, and there is no such pipeline yet", name.name);
    ProviderError::invalid(Some(AttributePath::attribute("name")), message)
        .solution("run `terrace pipelines run`: it asks the plugins of source specs, which may generate it")
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

/// Folders that were read recently.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    cached: Mutex<HashMap<PathBuf, (Instant, Arc<Folder>)>>,
}

impl Folders {
    /// Returns a folder that is at most [`CACHE_LIFETIME`] old: good enough for a plan, since apply reads it again.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get(&self, project: &Path, name: &Name) -> Result<Arc<Folder>, ProviderError> {
        let place = project.join(&name.folder);
        // The lock is held during a read, so that concurrent calls wait for its result.
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, folder)) = cached.get(&place)
            && read.elapsed() < CACHE_LIFETIME
            && !folder.is_stale_for(name)
        {
            return Ok(folder.clone());
        }
        let folder = Arc::new(Folder::read(project, name)?);
        cached.insert(place, (Instant::now(), folder.clone()));
        Ok(folder)
    }
}
