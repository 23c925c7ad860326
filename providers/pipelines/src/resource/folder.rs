//! The specs of a folder, as resources ask for them: each resource of a plan is about one pipeline, and all of a folder are
//! read at once. So what was read is kept for a moment.

use super::attributes::Name;
use crate::spec::{self, Pipeline, Specs};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use terrace_provider::names::{closest, listed};
use terrace_provider::{Path as AttributePath, ProviderError};

/// How long what was read is taken for what is there, while the file of the pipeline that is asked for is the same.
const MOMENT: Duration = Duration::from_secs(1);
/// So many pipelines are named where one is meant that is not there.
const MOST: usize = 10;

/// The specs of a folder, with what each resource asks them for.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) specs: Specs,
    broken: BTreeSet<String>,
    positions: HashMap<String, usize>,
    /// What each file was when it was read.
    stamps: Vec<Option<Stamp>>,
}

/// What a file looks like from outside.
type Stamp = (SystemTime, u64);

impl Folder {
    /// Reads the folder that a name says, below this project.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(project: &Path, name: &Name) -> Result<Self, ProviderError> {
        let at = || Some(AttributePath::attribute("folder"));
        let place = project.join(&name.folder);
        // Links are followed: what they lead to is what counts.
        let found = place.canonicalize().and_then(|place| match place.starts_with(project) {
            true => spec::read(&place).map(|specs| Some(specs.seen_by(Path::new(&name.folder)))),
            false => Ok(None),
        });
        let specs = found.map_err(|error| {
            ProviderError::invalid(at(), format!("`folder` is `{}`, which cannot be read: {error}", name.folder))
        })?;
        let specs = specs.ok_or_else(|| {
            let message = format!("`folder` is `{}`, which leads out of the project folder", name.folder);
            let hint = "name a folder within it; the project folder is that of `terrace.yaml`, else of the descriptor";
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

    /// The pipeline of that name.
    ///
    /// # Errors
    /// When there is none, or something is wrong with it or with what comes before it.
    pub(super) fn pipeline(&self, name: &Name) -> Result<&Pipeline, ProviderError> {
        let position = self.positions.get(&name.name);
        if let (Some(pipeline), false) = (position.and_then(|it| self.specs.pipelines.get(*it)), self.is_broken(name)) {
            return match pipeline.pipelines_before().find(|id| !self.positions.contains_key(*id)) {
                None => Ok(pipeline),
                Some(missing) => Err(not_made(name, missing)),
            };
        }
        let told = self.specs.problems.iter().filter(|problem| problem.is_error());
        let told = told.filter(|problem| problem.pipeline.as_deref().is_none_or(|id| self.broken.contains(id)));
        let told = told.map(|problem| problem.in_one_line(&self.specs).to_string());
        let at = Some(AttributePath::attribute("name"));
        let error = if self.is_broken(name) {
            ProviderError::invalid(at, format!("the pipeline `{}` cannot be run", name.name))
        } else {
            let ids: Vec<&str> = self.specs.pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
            let hint = match closest(&name.name, ids.iter().copied()) {
                Some(id) => format!("did you mean `{id}`?"),
                None => format!("the pipelines there are {}", listed(ids.get(..MOST).unwrap_or(&ids))),
            };
            let message = format!("there is no pipeline `{}` in `{}`", name.name, name.folder);
            ProviderError::invalid(at, message).solution(hint)
        };
        Err(told.fold(error, ProviderError::problem))
    }

    fn is_broken(&self, name: &Name) -> bool {
        self.broken.contains(&name.name)
    }

    /// True when the file of this pipeline is another than was read; a pipeline that is not there may have come.
    fn is_stale_for(&self, name: &Name) -> bool {
        let file = self.positions.get(&name.name).and_then(|it| self.specs.pipelines.get(*it)).map(|it| it.file);
        let of_file = |file: usize| Some((self.specs.files.get(file)?, self.stamps.get(file)?));
        file.and_then(of_file).is_none_or(|(file, was)| stamp(&self.specs.root.join(&file.path)).ok() != *was)
    }
}

/// What is told of a pipeline that depends on one that a plugin may make, and has not made.
fn not_made(name: &Name, missing: &str) -> ProviderError {
    let message = format!("`{}` depends on `{missing}`, and there is no such pipeline yet", name.name);
    ProviderError::invalid(Some(AttributePath::attribute("name")), message)
        .solution("`terrace run` asks the plugins of source specs, which may make it")
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

/// Folders that were read a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    kept: Mutex<HashMap<PathBuf, (Instant, Arc<Folder>)>>,
}

impl Folders {
    /// The folder that a name says, as it is or was a moment ago: good enough to plan with, for applying looks again.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn planned(&self, project: &Path, name: &Name) -> Result<Arc<Folder>, ProviderError> {
        let place = project.join(&name.folder);
        // Held while one reads: the others wait for what it reads.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, folder)) = kept.get(&place)
            && read.elapsed() < MOMENT
            && !folder.is_stale_for(name)
        {
            return Ok(folder.clone());
        }
        let folder = Arc::new(Folder::read(project, name)?);
        kept.insert(place, (Instant::now(), folder.clone()));
        Ok(folder)
    }
}
