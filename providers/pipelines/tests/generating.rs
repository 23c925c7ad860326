//! Pipelines from a plugin, which is part of the project and runs in the stand-in's Python.

use crate::harness::{Project, Recorder};
use terrace_pipelines::run::State;
use terrace_pipelines::spec::Specs;
use tokio_util::sync::CancellationToken;

const PLUGIN: &str = "\
import os
from datapackage_pipelines.generators import GeneratorBase, steps
print('output of a plugin is not part of its result')
class Generator(GeneratorBase):
    def generate_pipeline(self, source, base):
        for name, details in source.items():
            yield os.path.join(base, name), {
                'title': name, 'a mark of its own': True,
                'pipeline': steps(('made.rows', {'rows': details['rows']}), ('dump_to_path', {'out-path': 'data/' + name})),
            }
";

fn project(source: &str) -> Project {
    let project = Project::new("plain: {dependencies: [{pipeline: ./sub/one}], pipeline: [{run: noise}]}");
    project.write("datapackage_pipelines_made/__init__.py", PLUGIN);
    project.write("datapackage_pipelines_made/processors/rows.py", crate::harness::NOISE);
    project.write("sub/made.source-spec.yaml", source);
    project
}

async fn expand(project: &Project) -> (Specs, Vec<String>) {
    let unexpanded = project.runner.expand(&project.specs(), &Recorder::default(), &CancellationToken::new()).await;
    let messages =
        unexpanded.into_iter().map(|it| format!("{}; {}", it.message, it.hint.unwrap_or_default())).collect();
    (project.specs(), messages)
}

fn problems_of(specs: &Specs) -> Vec<String> {
    specs.problems.iter().map(|problem| problem.in_one_line(specs).to_string()).collect()
}

#[tokio::test]
async fn generated_pipelines_are_like_others() {
    let project = project("one: {rows: 7}\ntwo: {rows: 3}\n");
    let before = project.specs();
    assert_eq!((before.pipelines.len(), before.sources[0].generated_count), (1, None));
    let (specs, unexpanded) = expand(&project).await;
    assert_eq!((unexpanded, problems_of(&specs)), (vec![], vec![]));
    assert_eq!(specs.sources[0].generated_count, Some(2));
    let ids: Vec<&str> = specs.pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
    assert_eq!(ids, ["./plain", "./sub/one", "./sub/two"]);
    let record = project.run("./sub/one").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 7), "{record:?}");
    assert!(project.path("sub/data/one/datapackage.json").exists());
    assert_eq!(project.reasons("./sub/one"), Vec::<String>::new());
    // A change of the source invalidates the plugin's result.
    project.write("sub/made.source-spec.yaml", "one: {rows: 8}\n");
    assert_eq!(project.specs().sources[0].generated_count, None);
    expand(&project).await;
    assert_eq!(project.reasons("./sub/one"), ["the spec changed: step 1 (`made.rows`)"]);
    // A change of the plugin does so too.
    project.write("datapackage_pipelines_made/__init__.py", &format!("{PLUGIN}\n# other\n"));
    assert_eq!(project.specs().sources[0].generated_count, None);
}

#[tokio::test]
async fn rejected_source_is_reported_with_its_file() {
    let project = project("one: {row: 7}\n");
    let (specs, unexpanded) = expand(&project).await;
    assert_eq!(unexpanded, Vec::<String>::new());
    let problems = problems_of(&specs);
    assert!(
        problems.iter().any(|line| line.starts_with("sub/made.source-spec.yaml:1:1: the plugin rejects it")),
        "{problems:?}"
    );
    assert!(specs.has_unreadable_file());
}

#[tokio::test]
async fn missing_or_failing_plugin_is_reported_and_retried() {
    let project = project("one: {rows: 7}\n");
    project.write("nothing.source-spec.yaml", "a: {}\n");
    project.write("datapackage_pipelines_made/__init__.py", "from datapackage_pipelines.generators import GeneratorBase\nclass Generator(GeneratorBase):\n    def generate_pipeline(self, source, base):\n        raise ValueError('no such table')\n");
    let (specs, unexpanded) = expand(&project).await;
    assert_eq!(unexpanded.len(), 2, "{unexpanded:?}");
    assert!(unexpanded[0].contains("the plugin `datapackage_pipelines_nothing`"), "{unexpanded:?}");
    assert!(unexpanded[0].contains("name `datapackage-pipelines-nothing` in a `requirements.txt`"), "{unexpanded:?}");
    assert!(unexpanded[1].contains("the plugin fails: ValueError: no such table"), "{unexpanded:?}");
    assert!(specs.sources.iter().all(|source| source.generated_count.is_none()));
    project.write("datapackage_pipelines_made/__init__.py", PLUGIN);
    assert_eq!(expand(&project).await.0.sources[1].generated_count, Some(1));
}

#[tokio::test]
async fn malformed_result_of_plugin_is_rejected() {
    let project = project("one: {rows: 7}\n");
    for (answer, words) in [
        ("yield './a%', {'pipeline': [{'run': 'noise'}]}", "`./a%` is not allowed as the name of a pipeline"),
        ("yield './a\\n', {'pipeline': [{'run': 'noise'}]}", "is not allowed as the name of a pipeline"),
        ("yield './a', {'pipeline': [7]}", "a step is a number"),
        ("yield './a', {'pipeline': [{'run': 'nothing.such'}]}", "there is no processor `nothing.such`"),
        ("yield './a', {}", "the key `pipeline` is missing"),
        ("yield './plain', {'pipeline': [{'run': 'noise'}]}", "has the same id"),
        ("import os; os.write(1, b'x'); os._exit(0); yield", "the plugin's result is malformed"),
        ("import os; os._exit(9); yield", "the plugin ended with exit status: 9"),
        ("yield 7", "the plugin fails: TypeError"),
    ] {
        let plugin = format!(
            "from datapackage_pipelines.generators import GeneratorBase\nclass Generator(GeneratorBase):\n    def generate_pipeline(self, source, base):\n        {answer}\n"
        );
        project.write("datapackage_pipelines_made/__init__.py", &plugin);
        let (specs, mut messages) = expand(&project).await;
        messages.extend(problems_of(&specs));
        assert!(messages.iter().any(|line| line.contains(words)), "{answer}: {messages:?}");
    }
}
