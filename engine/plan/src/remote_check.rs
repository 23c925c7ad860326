//! Questions to remote systems about planned values: dry runs, as far as a provider has them.
//!
//! The plan asks all of them together after its walk, because no other decision depends on the answers: thousands of
//! new objects cost few round trips one after the other.

use futures_util::StreamExt;
use std::sync::Arc;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::Template;
use terrace_language::source::Span;
use terrace_provider::{Attributes, Finding, ResourceType, Session, Severity};

/// Dry runs at once.
const CONCURRENCY: usize = 16;

/// A question about an instance of a resource.
pub(crate) struct RemoteCheck<'a> {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) ty: &'a ResourceType,
    /// The planned values.
    pub(crate) planned: Attributes,
    /// The address with its stack, for texts.
    pub(crate) address: String,
    /// The places of the values.
    pub(crate) template: &'a Template,
    /// The place of the resource.
    pub(crate) span: Span,
}

impl RemoteCheck<'_> {
    /// The system's findings as diagnostics. A timeout is a warning.
    pub(crate) async fn run(&self) -> Vec<Diagnostic> {
        let Some(dry_run) = self.session.validate_remote(self.ty, &self.planned) else { return Vec::new() };
        let limit = self.ty.timeouts.read;
        let findings = tokio::time::timeout(limit, dry_run).await.unwrap_or_else(|_| {
            let message = format!("the dry run of `{}` did not answer within {limit:?}", self.ty.name);
            vec![Finding { severity: Severity::Warning, path: None, message, hint: None }]
        });
        findings.into_iter().map(|finding| self.diagnostic(finding)).collect()
    }

    fn diagnostic(&self, finding: Finding) -> Diagnostic {
        let at = finding.path.as_ref().map_or(self.span, |path| self.template.span_at(path));
        let found = Diagnostic::error("remote_finding", finding.message).at(at).about(&self.address);
        Diagnostic { severity: finding.severity, ..found }.maybe_hint(finding.hint).on(finding.path)
    }
}

/// The answers to all questions, in their order.
pub(crate) async fn run_all(checks: &[RemoteCheck<'_>]) -> Vec<Vec<Diagnostic>> {
    let answers: Vec<_> = checks.iter().map(RemoteCheck::run).collect();
    futures_util::stream::iter(answers).buffered(CONCURRENCY).collect().await
}
