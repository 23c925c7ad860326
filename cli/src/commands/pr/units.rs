//! The products of a repository: which files make each of them, and on which others it depends.
//!
//! A product is planned from exactly its own files, so that the digest of its plan does not change with another product.

use crate::configuration::FILE_NAME;
use crate::context::Context;
use crate::failure::Failure;
use crate::input::{Input, entities_below, is_descriptor_file, is_spec_file};
use crate::planning::Copied;
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use terrace_engine::descriptor::{self, Descriptor};
use terrace_engine::source::{SourceId, Sources};
use terrace_engine::yaml::{Node, NodeKind};

/// Maximum depth of a file below the repository.
const DEEPEST: usize = 16;
/// Folders of other programs.
const SKIPPED: [&str; 2] = ["node_modules", "target"];
/// The file of an entity, the file with its values, and the folder with those of environments.
const CATALOG: &str = "catalog-info.yaml";
const PARAMETERS: &str = "parameters.yaml";
const CONFIGURATION: &str = "configurations.yaml";
const ENVIRONMENTS: &str = "environments";
/// Beginning of the URN of a component.
const COMPONENT: &str = "urn:dmb:cmp:";
/// Beginning of an expression that reads another stack.
const OTHER_STACK: &str = "stacks[";

/// A product or stack of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// The name of the stack without its environment; the path of a file that cannot be read.
    pub(super) stack: String,
    /// The environment that the descriptor names.
    pub(super) environment: Option<String>,
    /// The files to plan, relative to the repository.
    pub(super) paths: Vec<PathBuf>,
    /// The folder of pipeline specs, whose files all count.
    folder: Option<PathBuf>,
    /// The stacks that it depends on.
    pub(super) depends_on: BTreeSet<String>,
    /// Those of them whose outputs it reads.
    pub(super) reads: BTreeSet<String>,
}

impl Unit {
    /// False for a stack that names another environment.
    pub(super) fn is_in(&self, environment: &str) -> bool {
        self.environment.as_deref().is_none_or(|own| own == environment)
    }

    /// True for a folder of pipeline specs.
    pub(super) fn is_of_specs(&self) -> bool {
        self.folder.is_some()
    }

    /// The files to plan, with the values of entities in an environment. Some of them may not exist.
    pub(super) fn files(&self, environment: &str) -> BTreeSet<PathBuf> {
        let mut files: BTreeSet<PathBuf> = self.paths.iter().cloned().collect();
        for folder in self.paths.iter().filter(|path| path.ends_with(CATALOG)).filter_map(|path| path.parent()) {
            files.insert(folder.join(PARAMETERS));
            files.insert(folder.join(ENVIRONMENTS).join(environment).join(CONFIGURATION));
        }
        files
    }

    /// True if one of the changed files may change the plan for an environment.
    pub(super) fn is_touched_by(&self, changed: &BTreeSet<String>, environment: &str) -> bool {
        !self.touching(changed, environment).is_empty()
    }

    /// The changed files that may change the plan for an environment. A changed file has a text as its name, in which bytes
    /// that are not UTF-8 are replaced. A product with such a file is touched, too: its plan reports the name.
    pub(super) fn touching(&self, changed: &BTreeSet<String>, environment: &str) -> Vec<String> {
        let files: BTreeSet<String> =
            self.files(environment).iter().map(|file| file.to_string_lossy().into_owned()).collect();
        let within = self.folder.as_ref().map(|folder| match folder.as_os_str().is_empty() {
            true => String::new(),
            false => format!("{}/", folder.display()),
        });
        let is_within = |path: &str| within.as_ref().is_some_and(|within| path.starts_with(within));
        // Git lists a changed submodule instead of its files.
        let is_submodule = |path: &str| self.paths.iter().any(|file| file.starts_with(path));
        let is_own =
            |path: &String| files.contains(path) || is_submodule(path) || self.is_configuration(Path::new(path));
        changed.iter().filter(|path| is_within(path) || is_own(path)).cloned().collect()
    }

    /// True for a path of `terrace.yaml` in a folder above a file: the nearest one configures the plan, and a change may
    /// add or remove a nearer one.
    fn is_configuration(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == FILE_NAME)
            && path.parent().is_some_and(|folder| {
                self.paths.iter().any(|file| Path::new(file.to_string_lossy().as_ref()).starts_with(folder))
            })
    }
}

/// Finds the products in folders of the repository, as they are in an environment. `root` is the folder of the repository:
/// empty for the working directory. `copied` is set for files that are a copy.
///
/// # Errors
/// When an entity of a repository cannot be read, which is reported: the products without it would be incomplete.
pub(super) fn find(
    context: &Context<'_>,
    root: &Path,
    folders: &[PathBuf],
    copied: Option<Copied<'_>>,
) -> Result<Vec<Unit>, Failure> {
    let mut units: BTreeMap<(String, Option<String>), Unit> = BTreeMap::new();
    let mut catalogs = Vec::new();
    let mut files = Files::default();
    for folder in folders {
        let folder = root.join(folder);
        // The base may lack a folder that the request adds.
        if folder.is_dir() {
            catalogs.extend(entities_below(&folder, context.ui)?.into_iter().map(without_dot));
        }
        files.add(&folder, 0);
    }
    catalogs.sort();
    catalogs.dedup();
    let found = files.units(context, root)?.into_iter().chain(products(context, root, &catalogs, copied)?);
    for unit in found {
        match units.entry((unit.stack.clone(), unit.environment.clone())) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(unit)),
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.paths.extend(unit.paths);
                known.paths.sort();
                known.paths.dedup();
                known.depends_on.extend(unit.depends_on);
                known.reads.extend(unit.reads);
            }
        }
    }
    Ok(units.into_values().collect())
}

/// Sorts products so that each comes after those that it depends on. Products in a circle keep the order of their names.
pub(super) fn ordered(units: Vec<Unit>) -> Vec<Unit> {
    let mut left = units;
    let mut sorted: Vec<Unit> = Vec::new();
    while !left.is_empty() {
        let names: BTreeSet<String> = left.iter().map(|unit| unit.stack.clone()).collect();
        let is_ready = |unit: &Unit| unit.depends_on.iter().all(|name| *name == unit.stack || !names.contains(name));
        let (ready, waiting): (Vec<Unit>, Vec<Unit>) = left.into_iter().partition(is_ready);
        if ready.is_empty() {
            sorted.extend(waiting);
            break;
        }
        sorted.extend(ready);
        left = waiting;
    }
    sorted
}

/// The data products of entities.
fn products(
    context: &Context<'_>,
    root: &Path,
    catalogs: &[PathBuf],
    copied: Option<Copied<'_>>,
) -> Result<Vec<Unit>, Failure> {
    if catalogs.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = Input::read(catalogs, context.ui)?;
    let mut settings = context.settings(catalogs.first().map(PathBuf::as_path))?;
    if let Some(copied) = copied {
        copied.relocate(&mut settings);
    }
    let products = input.build_repositories(&mut settings, &[], context.ui)?;
    let known: BTreeSet<&PathBuf> = catalogs.iter().collect();
    let mut units = Vec::new();
    for product in &products {
        let mut sources = BTreeSet::new();
        add_sources(product, &mut sources);
        let (descriptors, _) = descriptor::read_tree(product, &input.sources);
        let Some(descriptor) = descriptors.first() else { continue };
        let folders = sources.into_iter().filter_map(|source| entity_folder(&input.sources, source));
        let paths: BTreeSet<PathBuf> =
            folders.map(|folder| folder.join(CATALOG)).filter(|path| known.contains(path)).collect();
        // A plan without files would have no changes.
        if paths.is_empty() {
            return Err(Failure::new(format!("terrace does not find the files of `{}`", descriptor.stack))
                .hint("this is a bug of terrace: report it; meanwhile use `terrace plan`"));
        }
        units.push(Unit {
            stack: descriptor.stack.clone(),
            environment: None,
            paths: paths.into_iter().map(|path| below(root, path)).collect(),
            folder: None,
            depends_on: other_products(descriptor),
            reads: BTreeSet::new(),
        });
    }
    Ok(units)
}

/// The sources of all nodes of a tree.
fn add_sources(node: &Node, sources: &mut BTreeSet<SourceId>) {
    sources.insert(node.span.source);
    match &node.kind {
        NodeKind::List(items) => items.iter().for_each(|item| add_sources(item, sources)),
        NodeKind::Map(entries) => entries.iter().for_each(|entry| add_sources(&entry.value, sources)),
        _ => {}
    }
}

/// The folder of the entity that a file belongs to.
fn entity_folder(sources: &Sources, source: SourceId) -> Option<PathBuf> {
    let path = Path::new(&sources.get(source)?.name).to_owned();
    let levels = if path.ends_with(CONFIGURATION) { 3 } else { 1 };
    path.ancestors().nth(levels).map(Path::to_owned)
}

/// The environment of a file with its values, next to the file of an entity.
pub(super) fn environment_of(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|_| path.ends_with(CONFIGURATION))?;
    let name = folder.file_name()?.to_str()?.to_owned();
    let environments = folder.parent().filter(|folder| folder.ends_with(ENVIRONMENTS))?;
    environments.parent()?.join(CATALOG).is_file().then_some(name)
}

/// The path relative to the repository.
fn below(root: &Path, path: PathBuf) -> PathBuf {
    without_dot(path.strip_prefix(root).map(Path::to_owned).unwrap_or(path))
}

/// The path as diagnostics name it: without `./` at its beginning.
fn without_dot(path: PathBuf) -> PathBuf {
    path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)
}

/// The data products whose components a descriptor depends on.
fn other_products(descriptor: &Descriptor) -> BTreeSet<String> {
    let outside = descriptor.components.iter().flat_map(|component| &component.depends_on);
    let outside = outside.filter(|dependency| dependency.key.is_none());
    let product = |text: &str| {
        let parts: Vec<&str> = text.strip_prefix(COMPONENT)?.split(':').take(3).collect();
        Some(parts.join("."))
    };
    outside.filter_map(|dependency| product(&dependency.text)).filter(|name| *name != descriptor.stack).collect()
}

/// Files of stacks, descriptors and pipeline specs.
#[derive(Debug, Default)]
struct Files {
    descriptors: Vec<PathBuf>,
    specs: Vec<PathBuf>,
}

impl Files {
    /// Adds the files of a path. Links are not followed: a request could lead them out of the repository.
    fn add(&mut self, path: &Path, depth: usize) {
        let Ok(metadata) = std::fs::symlink_metadata(if path.as_os_str().is_empty() { Path::new(".") } else { path })
        else {
            return;
        };
        if metadata.is_file() {
            return self.add_file(path);
        }
        if !metadata.is_dir() || depth > DEEPEST {
            return;
        }
        let folder = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut inner: Vec<PathBuf> = entries.flatten().map(|entry| path.join(entry.file_name())).collect();
        inner.sort();
        if let Some(spec) = inner.iter().find(|file| is_spec_file(file) && is_plain_file(file)) {
            // The spec stands for its folder and those below it.
            self.specs.push(spec.clone());
            return;
        }
        for entry in inner {
            let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                self.add(&entry, depth + 1);
            }
        }
    }

    fn add_file(&mut self, path: &Path) {
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && is_descriptor_file(path) {
            self.descriptors.push(path.to_owned());
        }
    }

    fn units(&self, context: &Context<'_>, root: &Path) -> Result<Vec<Unit>, Failure> {
        let mut units = Vec::new();
        for file in &self.descriptors {
            let silent = context.ui.silent();
            let path = below(root, file.clone());
            let descriptors = Input::read(std::slice::from_ref(file), &silent).map(|input| input.descriptors);
            let descriptors = descriptors.unwrap_or_default();
            for descriptor in &descriptors {
                let mut depends_on = other_products(descriptor);
                let mut reads = other_stacks(file);
                reads.remove(&descriptor.stack);
                depends_on.extend(reads.iter().cloned());
                depends_on.remove(&descriptor.stack);
                units.push(Unit {
                    stack: descriptor.stack.clone(),
                    environment: descriptor.environment.as_ref().map(|name| name.value.clone()),
                    paths: vec![path.clone()],
                    folder: None,
                    depends_on,
                    reads,
                });
            }
            if descriptors.is_empty() {
                units.push(Unit {
                    stack: path.display().to_string(),
                    environment: None,
                    paths: vec![path],
                    folder: None,
                    depends_on: BTreeSet::new(),
                    reads: BTreeSet::new(),
                });
            }
        }
        for spec in &self.specs {
            let settings: Settings = context.settings(Some(spec))?;
            let path = below(root, spec.clone());
            let input = Input::read(std::slice::from_ref(spec), &context.ui.silent()).map(|mut input| {
                input.name_folders(&settings);
                input.descriptors
            });
            let stack = input.ok().and_then(|descriptors| Some(descriptors.first()?.stack.clone()));
            units.push(Unit {
                stack: stack.unwrap_or_else(|| path.display().to_string()),
                environment: None,
                folder: path.parent().map(Path::to_owned),
                paths: vec![path],
                depends_on: BTreeSet::new(),
                reads: BTreeSet::new(),
            });
        }
        Ok(units)
    }
}

fn is_plain_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The stacks whose outputs the expressions of a file read: `stacks["NAME"]`.
fn other_stacks(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let name = |rest: &str| {
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        rest.get(1..)?.split(quote).next().map(str::to_owned)
    };
    text.split(OTHER_STACK).skip(1).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(stack: &str, depends_on: &[&str]) -> Unit {
        let depends_on = depends_on.iter().map(|name| (*name).to_owned()).collect();
        let paths = vec![PathBuf::from(stack).join(CATALOG)];
        Unit { stack: stack.to_owned(), environment: None, paths, folder: None, depends_on, reads: BTreeSet::new() }
    }

    #[test]
    fn dependencies_come_first() {
        let names = |units: Vec<Unit>| ordered(units).into_iter().map(|unit| unit.stack).collect::<Vec<_>>();
        assert_eq!(names(vec![unit("a", &["b", "x"]), unit("b", &["c"]), unit("c", &[])]), ["c", "b", "a"]);
        assert_eq!(names(vec![unit("a", &["b"]), unit("b", &["a"]), unit("c", &["a"])]), ["a", "b", "c"], "a circle");
        assert_eq!(names(vec![unit("a", &["a"])]), ["a"]);
    }

    #[test]
    fn every_file_next_to_a_pipeline_spec_touches_it() {
        let of = |folder: &str| Unit { folder: Some(PathBuf::from(folder)), paths: Vec::new(), ..unit("p", &[]) };
        let changed = |path: &str| BTreeSet::from([path.to_owned()]);
        assert!(of("pipes").is_touched_by(&changed("pipes/deep/step.py"), "dev"));
        assert!(!of("pipes").is_touched_by(&changed("pipes.md"), "dev"));
        assert!(of("").is_touched_by(&changed("a"), "dev"));
    }

    #[test]
    fn changed_file_touches_its_entity_and_environment() {
        let unit = unit("p", &[]);
        for (path, environment, is_touched) in [
            ("p/catalog-info.yaml", "dev", true),
            ("p/parameters.yaml", "dev", true),
            ("p/environments/dev/configurations.yaml", "dev", true),
            ("p/environments/prod/configurations.yaml", "dev", false),
            ("p/README.md", "dev", false),
            ("p/inner/parameters.yaml", "dev", false),
            // A submodule.
            ("p", "dev", true),
            ("terrace.yaml", "dev", true),
            ("p/terrace.yaml", "dev", true),
            ("p/inner/terrace.yaml", "dev", false),
            ("q/terrace.yaml", "dev", false),
            ("pp/parameters.yaml", "dev", false),
        ] {
            let changed = BTreeSet::from([path.to_owned(), "z".to_owned()]);
            assert_eq!(unit.is_touched_by(&changed, environment), is_touched, "{path}");
        }
    }
}
