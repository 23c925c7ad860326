//! A project that is configured for a stand-in of the platform.

use std::ops::Deref;
use terrace_test_witboost::StandIn;
use terrace_tests::{Project, Ran};

/// Checks of texts that may be broken between words.
pub(super) trait Says {
    /// Checks that the output has a text, wherever its lines are broken.
    fn says(&self, text: &str) -> &Self;
}

impl Says for Ran {
    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let output = words(&format!("{} {}", self.stdout, self.stderr));
        assert!(output.contains(&words(text)), "`{text}` is missing in the output:\n{self}");
        self
    }
}

/// A project and its platform.
pub(super) struct Platform {
    pub(super) project: Project,
    pub(super) stand_in: StandIn,
}

impl Deref for Platform {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl Platform {
    /// A project with the environments `development` and `production` and one template.
    pub(super) fn new() -> Self {
        let platform = Self { project: Project::new(), stand_in: StandIn::start() };
        platform.configure("url: 'http://terrace:8091', templates: ['urn:dmb:itm:terrace:0']");
        platform
    }

    /// Writes the configuration with these fields of the adapter.
    pub(super) fn configure(&self, adapter: &str) {
        let url = self.stand_in.url();
        self.project.write(
            "terrace.yaml",
            format!(
                "environments:\n  development: {{overlay: embedded}}\n  production: {{overlay: embedded}}\n\
                 witboost:\n  url: {url}\n  token: {{secret: '${{{{ env.WITBOOST_TOKEN }}}}'}}\n  adapter: {{{adapter}}}\n"
            ),
        );
    }

    /// Runs a command of the group with the token.
    pub(super) fn witboost(&self, words: &[&str]) -> Ran {
        self.with_token(StandIn::TOKEN, words)
    }

    /// Runs a command of the group with another token. No output may contain it.
    #[track_caller]
    pub(super) fn with_token(&self, token: &str, words: &[&str]) -> Ran {
        let ran = self
            .project
            .run_with(&[("WITBOOST_TOKEN", token)], std::iter::once("witboost").chain(words.iter().copied()));
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(token) && !text.contains("eyJ."), "a token is shown: {text}");
        }
        ran
    }

    /// The ids and environments of the registered adapters.
    pub(super) fn registered(&self) -> Vec<(String, String)> {
        let text = |json: &serde_json::Value, name: &str| json[name].as_str().unwrap().to_owned();
        self.stand_in.adapters().iter().map(|it| (text(it, "id"), text(it, "environment"))).collect()
    }

    /// Checks that the client made no call that a correct one does not make.
    #[track_caller]
    pub(super) fn check_calls(&self) {
        assert_eq!(self.stand_in.complaints(), Vec::<String>::new());
    }
}
