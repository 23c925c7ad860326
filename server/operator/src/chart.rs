//! The chart that installs the operator, as part of the program: an installation needs no checkout.

/// A file of the chart: its path in the chart's folder, and its text.
pub type ChartFile = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../deploy/helm/operator/", $path)))),+]
    };
}

/// The files of `deploy/helm/operator` that helm reads.
pub const CHART: [ChartFile; 15] = files![
    "Chart.yaml",
    "values.yaml",
    "values.schema.json",
    "crds/databases.yaml",
    "crds/pipelineruns.yaml",
    "crds/pipelines.yaml",
    "crds/stacks.yaml",
    "crds/workers.yaml",
    "templates/NOTES.txt",
    "templates/_helpers.tpl",
    "templates/configmap.yaml",
    "templates/deployment.yaml",
    "templates/networkpolicy.yaml",
    "templates/rbac.yaml",
    "templates/serviceaccount.yaml",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn chart_has_all_files_of_its_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/operator");
        let mut found = BTreeSet::new();
        for below in ["", "crds", "templates"] {
            for entry in std::fs::read_dir(folder.join(below)).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    found.insert(entry.path().strip_prefix(&folder).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        assert_eq!(CHART.map(|(path, _)| path.to_owned()).into_iter().collect::<BTreeSet<_>>(), found);
    }
}
