//! The objects that the operator sees, kept current by its watches.

use crate::kind::Kind;
use crate::pipeline_run::PipelineRun;
use crate::stack::Watched;
use kube::runtime::reflector::{ObjectRef, Store};
use std::sync::Arc;

/// The objects of all kinds.
#[derive(Clone)]
pub(crate) struct Objects {
    /// The objects that are stacks.
    pub(crate) described: Vec<(Kind, Store<Watched>)>,
    /// The runs.
    pub(crate) runs: Store<PipelineRun>,
}

impl Objects {
    /// The objects that are stacks, of all kinds.
    pub(crate) fn described(&self) -> Vec<(Kind, Arc<Watched>)> {
        let of_kind = |(kind, store): &(Kind, Store<Watched>)| {
            let kind = *kind;
            store.state().into_iter().map(move |object| (kind, object))
        };
        self.described.iter().flat_map(of_kind).collect()
    }

    /// The object of a kind with this name.
    pub(crate) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Watched>> {
        let (_, store) = self.described.iter().find(|(other, _)| *other == kind)?;
        store.get(&ObjectRef::new_with(name, kind).within(namespace))
    }
}
