//! Lines about a run besides its results: cluster, pods and destinations of data. This module defines the words and the
//! order of these lines; callers report a line as soon as they know it.
//!
//! Results come between [`Slot::Database`] and [`Slot::Packages`].

use super::kinds::Words;
use crate::args::ClusterKind;
use crate::program_name::with_own_commands;
use crate::report::harmless;
use crate::ui::Ui;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::time::Duration;

/// A line. The order is that of the document of dppctl.
#[derive(Debug, Clone)]
pub(super) enum Line {
    /// The cluster, and a warning about it.
    Using(ClusterKind),
    /// No worker is free; the run may need a database too.
    Waiting {
        /// The cluster has databases.
        with_databases: bool,
    },
    /// The worker of the run.
    AssignedWorker(String),
    /// The database of the run.
    AssignedDatabase(String),
    /// The address of its tables and the sign-in, printed once.
    OfDatabase(SecretString),
    /// A data package was copied.
    Package(Copied),
    /// A website was copied.
    Site(Copied),
    /// The worker is free again.
    Unassigned,
    /// The lifetime of the database after the run, in words.
    Keeping(String),
}

/// A copied result.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    /// The source, as the pipeline names it.
    pub(super) from: String,
    /// The address for users.
    pub(super) to: String,
    /// True if everyone can read it there.
    pub(super) is_public: bool,
}

/// Positions of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// `Using …`.
    Using,
    /// `Waiting …`.
    Waiting,
    /// `Assigned Worker Pod: …`.
    Worker,
    /// `Assigned DB Pod: …`, and details of that database.
    Database,
    /// `Syncing Data Packages …`.
    Packages,
    /// `Syncing Static Website …`.
    Site,
    /// `Unassigned Worker Pod`.
    Unassigned,
    /// `Keeping …`.
    Keeping,
}

impl Line {
    const fn slot(&self) -> Slot {
        match self {
            Self::Using(_) => Slot::Using,
            Self::Waiting { .. } => Slot::Waiting,
            Self::AssignedWorker(_) => Slot::Worker,
            Self::AssignedDatabase(_) | Self::OfDatabase(_) => Slot::Database,
            Self::Package(_) => Slot::Packages,
            Self::Site(_) => Slot::Site,
            Self::Unassigned => Slot::Unassigned,
            Self::Keeping(_) => Slot::Keeping,
        }
    }

    /// The words.
    fn text(&self) -> String {
        match self {
            Self::Using(kind) => using(*kind),
            Self::Waiting { with_databases: true } => "Waiting for available worker and DB pods".to_owned(),
            Self::Waiting { with_databases: false } => "Waiting for available worker pods".to_owned(),
            Self::AssignedWorker(worker) => format!("Assigned Worker Pod: {worker}"),
            Self::AssignedDatabase(database) => format!("Assigned DB Pod: {database}"),
            Self::OfDatabase(line) => line.expose_secret().to_owned(),
            Self::Package(Copied { from, to, .. }) | Self::Site(Copied { from, to, .. }) => format!("{from} > {to}"),
            Self::Unassigned => "Unassigned Worker Pod".to_owned(),
            Self::Keeping(words) => words.clone(),
        }
    }

    /// The title before copies, printed once.
    const fn title(&self) -> Option<&'static str> {
        Some(match self {
            Self::Package(Copied { is_public: true, .. }) => "Syncing Data Packages to Public Storage",
            Self::Package(_) => "Syncing Data Packages to Storage",
            Self::Site(Copied { is_public: true, .. }) => "Syncing Static Website to Public Storage",
            Self::Site(_) => "Syncing Static Website to Storage",
            _ => return None,
        })
    }
}

fn using(kind: ClusterKind) -> String {
    let words = Words::of(kind);
    let using = format!("Using {}", words.using);
    if !words.is_public {
        return using;
    }
    let help = "Run terrace pipelines init --help for cluster initialization and configuration options";
    format!("{using}\n{NOT_PRIVATE}\n{}", with_own_commands(help))
}

/// The warning about pods that others can see.
pub(super) const NOT_PRIVATE: &str = "do not use for private data!";

/// A duration for people: in whole hours if possible.
pub(super) fn in_words(time: Duration) -> String {
    let counted = |number: u64, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    match time.as_secs() {
        seconds if seconds > 0 && seconds % 3600 == 0 => counted(seconds / 3600, "hour"),
        seconds if seconds >= 60 => counted(seconds / 60, "minute"),
        seconds => counted(seconds, "second"),
    }
}

/// The lines of a command.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// Lines that are not printed yet.
    waiting: Vec<Line>,
    /// Workers and databases that have a line.
    pods: BTreeSet<String>,
    /// True if a worker has a line.
    has_workers: bool,
    /// Titles that were printed.
    titles: BTreeSet<&'static str>,
}

impl Transcript {
    /// Adds a line. A pod has one line, even with several runs.
    pub(super) fn push(&mut self, line: Line) {
        self.has_workers |= matches!(line, Line::AssignedWorker(_));
        if let Line::AssignedWorker(pod) | Line::AssignedDatabase(pod) = &line
            && !self.pods.insert(pod.clone())
        {
            return;
        }
        self.waiting.push(line);
    }

    /// True if a worker has a line.
    pub(super) const fn has_workers(&self) -> bool {
        self.has_workers
    }

    /// The lines up to a slot, in their order.
    fn take_until(&mut self, until: Slot) -> Vec<String> {
        let (mut ready, waiting): (Vec<Line>, Vec<Line>) =
            self.waiting.drain(..).partition(|line| line.slot() <= until);
        self.waiting = waiting;
        ready.sort_by_key(Line::slot);
        let mut lines = Vec::with_capacity(ready.len());
        for line in ready {
            let title = line.title().filter(|title| self.titles.insert(title));
            lines.extend(title.map(str::to_owned));
            lines.push(line.text());
        }
        lines
    }

    /// Prints the lines up to a slot.
    pub(super) fn print(&mut self, ui: &Ui, until: Slot) {
        for line in self.take_until(until) {
            ui.print_note(&harmless(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn copied(from: &str, to: &str) -> Copied {
        Copied { from: from.to_owned(), to: to.to_owned(), is_public: true }
    }

    #[test]
    fn lines_are_printed_in_the_order_of_the_document() {
        let worker = || Line::AssignedWorker("dppctl-worker-dkofij848dhiu".to_owned());
        let sign_in = "System: PostgreSQL, Server: localhost, Username: postgres, Password: idjnmfkjnfur29hr";
        let of_database = |line: &str| Line::OfDatabase(SecretString::from(line));
        assert!(!format!("{:?}", of_database(sign_in)).contains("idjnmfkjnfur29hr"));
        let mut transcript = Transcript::default();
        for line in [
            Line::Keeping("Keeping the DB and Web UI running for 1 hour".to_owned()),
            Line::Unassigned,
            Line::Site(copied("data/index.html", "https://host/worker/")),
            Line::Package(copied("data/committees", "https://host/worker/committees/")),
            worker(),
            Line::AssignedDatabase("dppctl-db-koejijdif48joi".to_owned()),
            of_database("DB Web UI is available at http://127.0.0.1/dppctl-db-koejijdif48joi/"),
            of_database(sign_in),
            Line::Waiting { with_databases: true },
            Line::Using(ClusterKind::Public),
            worker(),
        ] {
            transcript.push(line);
        }
        let before = "\
Using the public dppctl cluster
do not use for private data!
Run terrace pipelines init --help for cluster initialization and configuration options
Waiting for available worker and DB pods
Assigned Worker Pod: dppctl-worker-dkofij848dhiu
Assigned DB Pod: dppctl-db-koejijdif48joi
DB Web UI is available at http://127.0.0.1/dppctl-db-koejijdif48joi/
System: PostgreSQL, Server: localhost, Username: postgres, Password: idjnmfkjnfur29hr";
        assert_eq!(transcript.take_until(Slot::Database).join("\n"), before);
        transcript.push(worker());
        let packages = "\
Syncing Data Packages to Public Storage
data/committees > https://host/worker/committees/";
        assert_eq!(transcript.take_until(Slot::Packages).join("\n"), packages);
        // Lines of a later print do not repeat the title.
        transcript.push(Line::Package(copied("data/votes", "https://host/worker/votes/")));
        let after = "\
data/votes > https://host/worker/votes/
Syncing Static Website to Public Storage
data/index.html > https://host/worker/
Unassigned Worker Pod
Keeping the DB and Web UI running for 1 hour";
        assert_eq!(transcript.take_until(Slot::Keeping).join("\n"), after);
        assert!(transcript.take_until(Slot::Keeping).is_empty());
    }

    #[test]
    fn clusters_have_the_names_of_the_document() {
        let lines: Vec<String> =
            ClusterKind::value_variants().iter().map(|kind| Line::Using(*kind).text().replace('\n', " / ")).collect();
        let public = "do not use for private data! / \
                      Run terrace pipelines init --help for cluster initialization and configuration options";
        let expected = [
            "Using local private cluster".to_owned(),
            format!("Using the public dppctl cluster / {public}"),
            "Using local minikube cluster".to_owned(),
            format!("Using local minikube cluster with public publishing / {public}"),
            "Using kamatera private cluster".to_owned(),
            "Using gcloud private cluster".to_owned(),
            "Using helm private cluster".to_owned(),
            "Using kubernetes private cluster".to_owned(),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn durations_are_printed_in_whole_units() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(
            [3600, 7200, 5400, 60, 1, 0].map(words),
            ["1 hour", "2 hours", "90 minutes", "1 minute", "1 second", "0 seconds"]
        );
    }
}
