//! Options of a pipeline's execution: the executor, and the image and resources of pods. A spec, settings and attributes have
//! them under the same names.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use terrace_provider::names::closest;

/// Options by name. Those of a pipeline replace those of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionOptions(BTreeMap<ExecutionOption, String>);

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionOption {
    /// The executor: `local` or `kubernetes`.
    Executor,
    /// Image of the pod with its digest.
    Image,
    /// CPU of the pod, as a quantity of Kubernetes: `500m`.
    Cpu,
    /// Memory of the pod, as a quantity of Kubernetes: `1Gi`.
    Memory,
    /// Disk of the pod's own folders, as a quantity of Kubernetes: `10Gi`.
    Disk,
    /// PersistentVolumeClaim for results, and a folder in it: `results`, `results/shop`.
    Claim,
}

/// The place of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// This machine.
    Local,
    /// A Kubernetes cluster.
    Kubernetes,
}

impl ExecutorKind {
    /// Words in specs, settings and attributes.
    pub const WORDS: [(&'static str, Self); 2] = [("local", Self::Local), ("kubernetes", Self::Kubernetes)];
}

/// A wrong value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongOption {
    /// Message with the name of the option.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

/// The ways to an image.
pub const IMAGE_HINT: &str = "write a `Dockerfile` and the setting `imageRepository: REGISTRY/NAME`, then run \
     `terrace pipelines image`; or write `image: REGISTRY/NAME@sha256:DIGEST`; docs/pipelines-on-kubernetes.md shows both ways";

/// The message for a missing image, and its remedy.
pub(crate) const NEEDS_IMAGE: (&str, &str) = ("the executor `kubernetes` needs `image`", IMAGE_HINT);

impl ExecutionOptions {
    /// The value of an option.
    #[must_use]
    pub fn get(&self, option: ExecutionOption) -> Option<&str> {
        self.0.get(&option).map(String::as_str)
    }

    /// Returns true without any option.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets an option.
    pub fn set(&mut self, option: ExecutionOption, value: impl Into<String>) {
        self.0.insert(option, value.into());
    }

    /// Removes an option.
    pub fn remove(&mut self, option: ExecutionOption) {
        self.0.remove(&option);
    }

    /// These options, completed by others.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        let mut all = others.0.clone();
        all.extend(self.0.clone());
        Self(all)
    }

    /// Name of the claim for results, and the folder in it.
    #[must_use]
    pub fn claim(&self) -> Option<(&str, &str)> {
        self.get(ExecutionOption::Claim).map(claim_parts)
    }

    /// The executor; nothing without a valid option.
    #[must_use]
    pub fn executor(&self) -> Option<ExecutorKind> {
        let word = self.get(ExecutionOption::Executor)?;
        ExecutorKind::WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }

    /// Checks the values. Asks neither a registry nor a cluster.
    ///
    /// # Errors
    /// The first option that cannot work, or is probably a mistake.
    pub fn check(&self) -> Result<(), (ExecutionOption, WrongOption)> {
        self.0.iter().try_for_each(|(option, text)| option.check(text).map_err(|wrong| (*option, wrong)))
    }

    /// Checks that pods can be created.
    ///
    /// # Errors
    /// When the image is missing.
    pub fn check_image(&self) -> Result<(), (ExecutionOption, WrongOption)> {
        let (message, hint) = NEEDS_IMAGE;
        let missing = WrongOption { message: message.to_owned(), hint: Some(hint.to_owned()) };
        self.get(ExecutionOption::Image).map(drop).ok_or((ExecutionOption::Image, missing))
    }
}

/// Units of memory in bytes: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
const UNITS: [(&str, f64); 13] = [
    ("", 1.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];
/// Longest name of an object of Kubernetes.
const LONGEST_NAME: usize = 253;
/// Least memory in bytes with which a container starts, and least disk.
const LEAST_BYTES: f64 = 6_291_456.0;

type Checked = Result<(), (&'static str, Option<String>)>;

impl ExecutionOption {
    /// All options.
    pub const ALL: [Self; 6] = [Self::Executor, Self::Image, Self::Cpu, Self::Memory, Self::Disk, Self::Claim];

    /// Its name in specs, settings and attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Image => "image",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Claim => "claim",
        }
    }

    /// Checks a value. Asks neither a registry nor a cluster.
    ///
    /// # Errors
    /// When the value cannot work, or is probably a mistake.
    pub fn check(self, text: &str) -> Result<(), WrongOption> {
        let checked = match self {
            Self::Executor => check_executor(text),
            Self::Image => check_image(text),
            Self::Cpu => check_cpu(text),
            Self::Memory | Self::Disk => check_bytes(text),
            Self::Claim => check_claim(text),
        };
        checked
            .map_err(|(message, hint)| WrongOption { message: format!("`{}` is `{text}`{message}", self.name()), hint })
    }
}

fn check_executor(text: &str) -> Checked {
    let words = ExecutorKind::WORDS.map(|(word, _)| word);
    if words.contains(&text) {
        return Ok(());
    }
    let hint = match closest(text, words) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "write `local` or `kubernetes`".to_owned(),
    };
    Err((": expected `local` or `kubernetes`", Some(hint)))
}

fn check_image(text: &str) -> Checked {
    let is_digest = |digest: &str| digest.len() == 64 && digest.chars().all(|digit| digit.is_ascii_hexdigit());
    const MISSING: &str = ", without a digest: a tag may later name another image";
    let (message, hint) = match text.split_once("@sha256:").filter(|(name, _)| !name.is_empty()) {
        Some((_, digest)) if is_digest(digest) => return Ok(()),
        Some((_, "DIGEST")) => (MISSING, "replace the placeholder: `skopeo inspect docker://IMAGE` shows the digest"),
        Some(_) => (
            ": a digest has 64 digits from `0` to `f`",
            "copy the whole digest: `skopeo inspect docker://IMAGE` shows it",
        ),
        None => {
            (MISSING, "write `image: REGISTRY/NAME@sha256:DIGEST`; `skopeo inspect docker://IMAGE` shows the digest")
        }
    };
    Err((message, Some(hint.to_owned())))
}

fn check_cpu(text: &str) -> Checked {
    // Settings are texts, and YAML reads `2` as a number.
    let hint = "write thousandths of a core, as in `500m`, or `2000m` for two cores";
    let wrong = |message| Err((message, Some(hint.to_owned())));
    let thousandths = match quantity(text) {
        Some((number, "")) => number * 1000.0,
        Some((number, "m")) => number,
        _ => return wrong(": expected a number of cores"),
    };
    if thousandths < 1.0 { wrong(": a pod needs at least a thousandth of a core") } else { Ok(()) }
}

fn check_bytes(text: &str) -> Checked {
    let message = ": expected a number of bytes with a unit";
    match (bytes(text), quantity(text)) {
        (Some(bytes), _) if bytes >= LEAST_BYTES => Ok(()),
        (Some(_), Some((number, _))) => {
            Err((": no container starts with less than 6 MiB", Some(suggestion(number, &["Mi", "Gi"]))))
        }
        // `512MB`, `1gb`, `2 GiB`. Memory is counted in powers of two.
        (_, Some((number, unit))) => {
            let letter = |unit: &str| unit.trim_start().chars().next().map(|letter| letter.to_ascii_uppercase());
            let known = UNITS.iter().rev().map(|(known, _)| *known);
            let meant: Vec<&str> = known.filter(|known| letter(known) == letter(unit)).collect();
            Err((message, Some(suggestion(number, &meant))))
        }
        _ => Err((message, Some(suggestion(0.0, &[])))),
    }
}

/// Number of bytes; nothing for other text.
fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = quantity(text)?;
    UNITS.iter().find(|(known, _)| *known == unit).map(|(_, factor)| number * factor)
}

/// The hint with a number in these units, as far as the values are valid; else with examples.
fn suggestion(number: f64, units: &[&str]) -> String {
    let values = units.iter().map(|unit| format!("{number}{unit}"));
    let values = values.filter(|value| bytes(value).is_some_and(|bytes| bytes >= LEAST_BYTES));
    let values: Vec<String> = values.map(|value| format!("`{value}`")).collect();
    match values.is_empty() {
        true => "write it as in `512Mi` or `1Gi`".to_owned(),
        false => format!("write {}", values.join(" or ")),
    }
}

/// Name and folder of the claim for results.
pub(crate) fn claim_parts(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((text, ""))
}

fn check_claim(text: &str) -> Checked {
    let (name, folder) = claim_parts(text);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = name.len() <= LONGEST_NAME
        && name.starts_with(is_plain)
        && name.ends_with(is_plain)
        && name.chars().all(|c| is_plain(c) || "-.".contains(c));
    let is_folder = !text.contains('/') || folder.split('/').all(|part| !["", ".", ".."].contains(&part));
    if is_name && is_folder && !text.contains('\0') {
        return Ok(());
    }
    let hint = "write the name in small letters, digits, `-` and `.`, as in `results`, or a folder in it without `..`, as in \
                `results/shop`";
    Err((": expected a PersistentVolumeClaim", Some(hint.to_owned())))
}

/// Number and unit of a quantity without a sign; nothing for other text.
fn quantity(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    // `1e9`
    let exponent = unit.strip_prefix(['e', 'E']).and_then(|rest| rest.parse::<i32>().ok());
    Some(exponent.map_or((number, unit), |exponent| (number * 10_f64.powi(exponent), "")))
}

/// Returns true for two forms of the same CPU or number of bytes, such as `1000m` and `1`.
pub(crate) fn is_same_quantity(one: &str, other: &str) -> bool {
    let amount = |text: &str| {
        let (number, unit) = quantity(text)?;
        let factor = match unit {
            "m" => 1e-3,
            unit => UNITS.iter().find(|(known, _)| *known == unit)?.1,
        };
        Some(number * factor)
    };
    match (amount(one), amount(other)) {
        (Some(one), Some(other)) => (one - other).abs() <= one.abs().max(other.abs()) * 1e-9,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExecutionOption::{Claim, Cpu, Disk, Executor, Image, Memory};

    #[track_caller]
    fn refused(option: ExecutionOption, text: &str, message: &str, hint: &str) {
        let wrong = option.check(text).unwrap_err();
        assert!(wrong.message.starts_with(&format!("`{}` is `{text}`", option.name())), "{wrong:?}");
        assert!(wrong.message.contains(message), "{wrong:?}");
        assert!(wrong.hint.as_ref().is_some_and(|found| found.contains(hint)), "{wrong:?}");
        // The suggested quantities are accepted.
        if [Cpu, Memory, Disk].contains(&option) {
            for value in wrong.hint.iter().flat_map(|hint| hint.split('`').skip(1).step_by(2)) {
                assert_eq!(option.check(value), Ok(()), "{wrong:?}");
            }
        }
    }

    #[test]
    fn quantities_of_kubernetes_are_accepted() {
        for text in ["1", "0.5", "500m", "1m", "1.5", "0.001", "2e0"] {
            assert_eq!(Cpu.check(text), Ok(()), "{text}");
        }
        for text in ["512Mi", "1Gi", "1.5Gi", "128974848", "129e6", "129M", "7000Ki", "1E", "1Ei", "2T"] {
            assert_eq!(Memory.check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn other_quantities_are_refused_with_a_remedy() {
        for text in ["", "half", "-1", "1 core", "1Gi", "50%", "1,5", ".5", "1k"] {
            refused(Cpu, text, "expected a number of cores", "`500m`");
        }
        refused(Cpu, "0", "at least a thousandth", "`2000m`");
        for (text, hint) in [
            ("1GB", "write `1Gi` or `1G`"),
            ("2 GB", "write `2Gi` or `2G`"),
            ("512mb", "write `512Mi` or `512M`"),
            ("7000 kb", "write `7000Ki` or `7000k`"),
            ("0.5 GiB", "write `0.5Gi` or `0.5G`"),
            ("1 KB", "as in `512Mi` or `1Gi`"),
            ("5x", "as in `512Mi` or `1Gi`"),
            ("1,5Gi", "as in `512Mi` or `1Gi`"),
            ("lots", "as in `512Mi` or `1Gi`"),
            ("400m", "write `400Mi` or `400M`"),
        ] {
            refused(Memory, text, "expected a number of bytes with a unit", hint);
        }
        refused(Disk, "512", "less than 6 MiB", "write `512Mi` or `512Gi`");
        refused(Disk, "1", "less than 6 MiB", "write `1Gi`");
    }

    #[test]
    fn image_needs_a_digest_and_executor_a_known_word() {
        for image in ["r/pipelines:1", "@sha256:"] {
            refused(Image, image, "without a digest", "@sha256:DIGEST");
        }
        refused(Image, "r/pipelines@sha256:00", "a digest has 64 digits", "skopeo");
        refused(Image, "r/pipelines@sha256:DIGEST", "without a digest", "replace the placeholder");
        assert_eq!(Image.check(&format!("r/pipelines@sha256:{}", "0a".repeat(32))), Ok(()));
        refused(Executor, "kubernets", "expected `local` or `kubernetes`", "did you mean `kubernetes`?");
        refused(Executor, "docker", "expected `local` or `kubernetes`", "write `local` or `kubernetes`");
        assert!(ExecutionOptions::default().check_image().is_err());
    }

    #[test]
    fn claim_has_a_name_and_a_plain_folder() {
        for text in ["results", "results/shop", "results.v2/shop/eu"] {
            assert_eq!(Claim.check(text), Ok(()), "{text}");
        }
        for text in ["", "Results", "results/", "results/../x", "/results", "-results", "results//x"] {
            refused(Claim, text, "expected a PersistentVolumeClaim", "`results/shop`");
        }
        let mut options = ExecutionOptions::default();
        options.set(Claim, "results/shop/eu");
        assert_eq!(options.claim(), Some(("results", "shop/eu")));
    }

    #[test]
    fn options_of_a_pipeline_replace_those_of_the_settings() {
        let options = |values: &[(ExecutionOption, &str)]| {
            let mut options = ExecutionOptions::default();
            values.iter().for_each(|(option, value)| options.set(*option, *value));
            options
        };
        let settings = options(&[(Executor, "local"), (Cpu, "2"), (Memory, "1Gi")]);
        let both = options(&[(Executor, "kubernetes"), (Cpu, "1")]).or(&settings);
        assert_eq!(both, options(&[(Executor, "kubernetes"), (Cpu, "1"), (Memory, "1Gi")]));
        assert_eq!(both.executor(), Some(ExecutorKind::Kubernetes));
    }
}
