//! Pipelines of other projects: each file is parsed, and has the number of pipelines and steps that another program
//! counted.

use std::fs;
use std::path::{Path, PathBuf};
use terrace_pipelines::spec;

/// Corpus next to the repository, if it exists.
fn corpus() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let candidates = [repository.join("../shared"), repository.join("../../shared")];
    candidates.into_iter().map(|shared| shared.join("pipelines/corpus")).find(|folder| folder.is_dir())
}

#[test]
fn corpus_has_expected_pipelines_and_steps() {
    let Some(corpus) = corpus() else { return };
    let index = fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let (mut files, mut pipelines, mut steps, mut schedules, mut dependencies) = (0, 0, 0, 0, 0);
    let mut wrong = Vec::new();
    for line in index.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (file, path) = (columns[0], columns[2]);
        let source = corpus.join(file);
        if !source.is_file() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let name = Path::new(path).file_name().unwrap();
        fs::copy(source, folder.path().join(name)).unwrap();
        let specs = spec::read(folder.path()).unwrap();
        // Programs and dependencies are not part of the corpus.
        let missing = ["no_processor", "missing_dependency"];
        let errors = specs.problems.iter().filter(|problem| problem.is_error() && !missing.contains(&problem.code));
        wrong.extend(errors.map(|problem| format!("{file}: {}", problem.in_one_line(&specs))));
        let counted: usize = specs.pipelines.iter().map(|pipeline| pipeline.steps.len()).sum();
        let expected = (columns[5].parse().unwrap(), columns[6].parse().unwrap());
        if !file.ends_with(".source-spec.yaml") {
            assert_eq!((specs.pipelines.len(), counted), expected, "{file}");
        } else {
            assert_eq!(specs.sources.len(), 1, "{file}");
            assert!(!specs.sources[0].keys.is_empty(), "{file}");
        }
        files += 1;
        pipelines += specs.pipelines.len();
        steps += counted;
        schedules += specs.pipelines.iter().filter(|pipeline| pipeline.schedule.is_some()).count();
        dependencies += specs.pipelines.iter().filter(|pipeline| !pipeline.dependencies.is_empty()).count();
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(
        files >= 22 && pipelines >= 38 && steps >= 118 && schedules >= 5 && dependencies >= 4,
        "{files} {pipelines} {steps} {schedules} {dependencies}"
    );
}
