//! The kinds of custom resources whose objects are stacks of the state.

/// A kind of custom resource that the operator plans and applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A descriptor.
    #[default]
    Stack,
    /// A data pipeline, with its schedule.
    Pipeline,
    /// A database that pipelines write into.
    Database,
    /// A pool of workers that run pipelines.
    Worker,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Stack, Self::Pipeline, Self::Database, Self::Worker];

    /// The name in `kind`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stack => "Stack",
            Self::Pipeline => "Pipeline",
            Self::Database => "Database",
            Self::Worker => "Worker",
        }
    }

    /// The name in URLs.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Stack => "stacks",
            Self::Pipeline => "pipelines",
            Self::Database => "databases",
            Self::Worker => "workers",
        }
    }
}
