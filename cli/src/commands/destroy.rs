//! `terrace destroy`: plans the removal, asks and applies. Needs only the state.

use super::run::{Run, State};
use crate::args::DestroyArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::Removal;
use crate::signals::Signals;
use std::collections::BTreeSet;
use terrace_engine::address::Address;
use terrace_engine::driver::{self, Approval, Planning};
use terrace_engine::plan::compute::Computed;

/// The question before any removal.
const QUESTION: &str = "Do you really want to destroy these resources?\n  terrace will destroy the objects shown above. \
                        There is no undo.";

/// Destroys the objects of descriptors or stacks.
///
/// # Errors
/// When nothing was changed, or the state could no longer be written.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &DestroyArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let arguments = &arguments.applying();
    let planning = &arguments.planning;
    let removal = Removal::read(context, &arguments.files, &planning.choice, planning.plaintext_secrets).await?;
    let state = State::open(&removal.settings, Run::can_proceed(context, arguments)).await?;
    let (settings, env_context) = (&removal.settings, &removal.env_context);
    let run = Run { context, arguments, signals, settings, env_context, is_saved: false, state };
    driver::change(&Destroy { run: &run, removal: &removal }, &run).await
}

/// A removal of stacks or components.
struct Destroy<'a> {
    run: &'a Run<'a>,
    removal: &'a Removal,
}

impl Planning for Destroy<'_> {
    type Error = Failure;

    async fn recover(&self, _: BTreeSet<Address>) -> Result<bool, Failure> {
        let stacks = self.removal.stacks(self.run.state.get().as_ref()).await?;
        let all = BTreeSet::new();
        self.run.recover(stacks.iter().map(|stack| (stack, &all))).await
    }

    async fn plan(&self) -> Result<Computed, Failure> {
        self.removal.plan(self.run.state.get().as_ref(), &self.run.arguments.planning).await
    }

    async fn approve(&self, computed: &Computed) -> Result<Approval, Failure> {
        self.run.show(computed, &self.removal.sources)?;
        self.run.consent(&computed.plan, QUESTION)
    }
}
