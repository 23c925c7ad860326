//! What is written: the journal's records, changes of recorded facts, and what a plan was computed from.

use super::{
    AskedAnew, ComponentRow, Generation, Intent, OperationStatus, OwnerRow, Ownership, Row, StepAction, StepResult,
};
use crate::address::{Address, StackId};
use uuid::Uuid;

/// One thing to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Refuses the whole commit with [`super::StoreError::PlanSpent`] when the plan was spent before, with
    /// [`super::StoreError::Stale`] when a row it was computed from has another generation now, with
    /// [`super::StoreError::OtherOutputs`] when a component has another version.
    SpendPlan {
        /// The plan.
        plan: Uuid,
        /// What it was computed from.
        reads: Vec<Read>,
        /// The components whose outputs it reads or writes.
        components: Vec<ComponentRead>,
    },
    /// Opens a step.
    Intent(Box<Intent>),
    /// Adds to an open step what its call knows so far.
    Partial {
        /// The operation.
        operation: Uuid,
        /// The step.
        step: u32,
        /// The identity as sealed JSON.
        identity: Option<String>,
        /// The provider's bytes, sealed.
        private: Option<Vec<u8>>,
    },
    /// Closes a step. A step without an intent before it (no remote effect) is opened and closed at once.
    Outcome {
        /// The operation.
        operation: Uuid,
        /// The step.
        step: u32,
        /// What the step is about.
        stack: StackId,
        /// What the step is about.
        address: Address,
        /// What it did.
        action: StepAction,
        /// How it ended.
        result: StepResult,
        /// What it leaves behind.
        writes: Vec<Write>,
    },
    /// Writes rows outside steps: state surgery, components, owners.
    Write {
        /// The operation that the history names.
        operation: Uuid,
        /// What.
        write: Write,
    },
    /// Adds a line to an operation's log.
    Log {
        /// The operation.
        operation: Uuid,
        /// The line; its time is the store's.
        level: String,
        /// `plan`, `apply`, `recover`.
        phase: String,
        /// What.
        message: String,
    },
    /// Ends an operation. One that has ended stays as it is, which is no error. So does that of a request: it ends with its
    /// request, which its claim guards, for until then it may be planned again, or be taken up by somebody else.
    End {
        /// The operation.
        operation: Uuid,
        /// How.
        status: OperationStatus,
        /// One sentence.
        summary: String,
    },
}

/// A change of recorded facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Records an object; its new generation is one more than the newest that its address ever had.
    /// Fails with [`super::StoreError::Stale`] when the row's generation is not `expected`.
    Put {
        /// The row.
        row: Box<Row>,
        /// The generation that is there now; 0 for none.
        expected: Generation,
    },
    /// Drops a row.
    Delete {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The deposed object of it.
        deposed: Option<String>,
        /// The generation that is there now.
        expected: Generation,
    },
    /// Drops a row while others may still depend on it. Once nothing is recorded of its address any more, those come after
    /// what it was made after instead; a dependency on all instances goes with the last of them. Dependents keep their
    /// generations.
    Forget {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The deposed object of it.
        deposed: Option<String>,
        /// The generation that is there now.
        expected: Generation,
    },
    /// Keeps the current row of an address beside its successor, under a deposed key and with the generation it has.
    Depose {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The deposed key.
        key: String,
        /// The generation that is there now.
        expected: Generation,
    },
    /// Gives a row another address, and the deposed objects beside it. Dependencies of other rows on it follow; of a
    /// shared row its owners do too, and what depends on it in any stack of the environment.
    Move {
        /// The stack.
        stack: StackId,
        /// The address it has.
        from: Address,
        /// The address it gets; nothing may be there.
        to: Address,
        /// The generation that is there now.
        expected: Generation,
    },
    /// Lets what depends on all instances of a resource depend on another address too, where an instance went to. The
    /// dependency on the instances goes once there are none.
    Follow {
        /// The stack.
        stack: StackId,
        /// All instances of a resource: `type.name[*]`.
        block: Address,
        /// Where an instance of it went.
        to: Address,
    },
    /// Lets what reads outputs of a component, in whichever stack, be recorded as reading another one of that stack too,
    /// where objects of it went: it goes before those.
    FollowReads {
        /// The stack.
        stack: StackId,
        /// The component that is read; empty for the stack's own outputs.
        from: String,
        /// Where objects of it went.
        to: String,
    },
    /// Replaces the sealed texts of a version of a row, current or not: the same values under another key, or for the
    /// address that the row has since [`Write::Move`]. Skips a missing version.
    Reseal {
        /// The version; of the generation 0 the row that is current when this is written.
        row: Box<Row>,
    },
    /// Replaces the outputs of one version of a component: the same values under another key. A version that is not there
    /// is no error.
    ResealComponent {
        /// The stack.
        stack: StackId,
        /// The version.
        version: u64,
        /// The outputs.
        outputs: String,
    },
    /// Replaces what is stored of a request that tells what it asks: the same under another key. That it has another digest
    /// by now, or has ended and nobody needs it later, is no error.
    ResealRequest {
        /// What.
        asked: Box<AskedAnew>,
    },
    /// Records what is known of a component beside its rows.
    Component {
        /// The stack.
        stack: StackId,
        /// What.
        component: ComponentRow,
    },
    /// Forgets a component; its rows must be gone or retained.
    DropComponent {
        /// The stack.
        stack: StackId,
        /// Which.
        key: String,
    },
    /// Adds an owner to a shared row; of one that is there already it records anew how it declares the resource.
    PutOwner(OwnerRow),
    /// Takes an owner from a shared row; one that is not there is no error.
    DropOwner {
        /// Who owns what.
        ownership: Ownership,
        /// It may go also where no other owner is left. Otherwise the last one stays, for somebody has to be there who
        /// removes the object one day: owners that leave at the same time each take the other for the one that stays.
        may_be_last: bool,
    },
}

/// A row that a plan was computed from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Read {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The deposed object of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposed: Option<String>,
    /// The generation that was there; 0 for none.
    pub generation: Generation,
}

/// A component whose outputs a plan stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRead {
    /// The stack.
    pub stack: StackId,
    /// The component; empty for the stack's own outputs.
    pub component: String,
    /// The newest version of what was recorded of it; 0 when nothing ever was.
    pub generation: Generation,
}

impl Read {
    /// A resource that has no row.
    #[must_use]
    pub fn absent(stack: &StackId, address: &Address) -> Self {
        Self { stack: stack.clone(), address: address.clone(), deposed: None, generation: 0 }
    }
}

/// A row that is not as a writer believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleRead {
    /// What the writer believed.
    pub read: Read,
    /// The generation that is there now.
    pub now: Generation,
}
