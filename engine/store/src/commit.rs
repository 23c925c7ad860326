//! Records that a store writes: journal entries, changes of the state, and the versions a plan depends on.

use super::read::{ComponentRead, Generation, Read};
use super::{
    ComponentRow, Intent, OperationStatus, OwnerRow, Ownership, ResealedRequest, Row, Sealed, StepAction, StepResult,
};
use terrace_language::address::{Address, ComponentKey, StackId};
use uuid::Uuid;

/// One record of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Marks a plan as applied. The store refuses the whole commit with [`super::StoreError::PlanSpent`] when the plan
    /// was applied before, with [`super::StoreError::Stale`] when a row in `reads` has another generation, and with
    /// [`super::StoreError::StaleOutputs`] when a component has another version.
    SpendPlan {
        /// The plan.
        plan: Uuid,
        /// The rows that it was computed from.
        reads: Vec<Read>,
        /// The components whose outputs it reads or writes.
        components: Vec<ComponentRead>,
    },
    /// Opens a step.
    Intent(Box<Intent>),
    /// Adds partial results of the running call to an open step.
    Partial {
        /// The operation.
        operation: Uuid,
        /// The step.
        step: u32,
        /// The identity.
        identity: Option<Sealed>,
        /// The provider's bytes, sealed.
        private: Option<Vec<u8>>,
    },
    /// Closes a step. A step without an intent (no remote effect) is opened and closed at once.
    Outcome {
        /// The operation.
        operation: Uuid,
        /// The step.
        step: u32,
        /// The stack of the resource.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The kind of the step.
        action: StepAction,
        /// The outcome.
        result: StepResult,
        /// The changes of the state.
        writes: Vec<Write>,
    },
    /// Writes rows outside steps: state commands, components, owners.
    Write {
        /// The operation to record in the history.
        operation: Uuid,
        /// The change.
        write: Write,
    },
    /// Adds a line to an operation's log.
    Log {
        /// The operation.
        operation: Uuid,
        /// The level; the store sets the time of the line.
        level: String,
        /// The phase: `plan`, `apply`, `recover`.
        phase: String,
        /// The message.
        message: String,
    },
    /// Ends an operation. An ended operation stays as it is, without an error. The operation of a request also stays as
    /// it is: it ends together with its request, which a claim guards. Until then it may be replanned, or another
    /// worker may claim it.
    End {
        /// The operation.
        operation: Uuid,
        /// The final status.
        status: OperationStatus,
        /// A summary in one sentence.
        summary: String,
    },
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Writes a row. Its new generation is one more than the highest that its address ever had. Fails with
    /// [`super::StoreError::Stale`] when the row's generation is not `expected`.
    Put {
        /// The row.
        row: Box<Row>,
        /// The row's current generation; 0 for an absent row.
        expected: Generation,
    },
    /// Drops a row.
    Delete {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The key of the deposed object, if the row is for one.
        deposed: Option<String>,
        /// The row's current generation.
        expected: Generation,
    },
    /// Drops a row that other rows may depend on. After the last row of the address, dependents inherit its
    /// dependencies; a dependency on all instances is dropped with the last instance. Dependents keep their
    /// generations.
    Forget {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The key of the deposed object, if the row is for one.
        deposed: Option<String>,
        /// The row's current generation.
        expected: Generation,
    },
    /// Stores the current row of an address under a deposed key, with the same generation. The successor takes the
    /// address.
    Depose {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The deposed key.
        key: String,
        /// The row's current generation.
        expected: Generation,
    },
    /// Changes the address of a row and of its deposed objects. The dependencies of other rows change with it; for a
    /// shared row, so do its owners and its dependents in every stack of the environment.
    Move {
        /// The stack.
        stack: StackId,
        /// The old address.
        from: Address,
        /// The new address, which must have no row.
        to: Address,
        /// The row's current generation.
        expected: Generation,
    },
    /// Adds a dependency to the rows that depend on all instances of a resource: the address that an instance moved to.
    /// Drops the dependency on the instances after the last one is gone.
    Follow {
        /// The stack.
        stack: StackId,
        /// All instances of a resource: `type.name[*]`.
        block: Address,
        /// The new address of the instance.
        to: Address,
    },
    /// Adds a component to the recorded reads of every component, in any stack, that reads `from`: objects of `from`
    /// moved to it. The added one comes first.
    FollowReads {
        /// The stack.
        stack: StackId,
        /// The component whose outputs are read.
        from: ComponentKey,
        /// The component that the objects moved to.
        to: ComponentKey,
    },
    /// Replaces the sealed texts of a version of a row, current or not: the same values under another key, or for the
    /// row's new address after [`Write::Move`]. Skips a missing version.
    Reseal {
        /// The version; generation 0 means the row that is current at the time of writing.
        row: Box<Row>,
    },
    /// Replaces the outputs of a version of a component: the same values under another key. Skips a missing version.
    ResealComponent {
        /// The stack.
        stack: StackId,
        /// The version.
        version: u64,
        /// The outputs.
        outputs: Sealed,
    },
    /// Replaces the stored body and digest of a request: the same content under another key. Skips a request whose
    /// digest has changed, and an ended request without a stored body.
    ResealRequest {
        /// The new body and digest.
        request: Box<ResealedRequest>,
    },
    /// Writes the record of a component.
    Component {
        /// The stack.
        stack: StackId,
        /// The record.
        component: ComponentRow,
    },
    /// Drops the record of a component; its rows must be deleted or retained before.
    DropComponent {
        /// The stack.
        stack: StackId,
        /// The component's key.
        key: ComponentKey,
    },
    /// Adds an owner to a shared row, or replaces the owner's declaration of the resource.
    PutOwner(OwnerRow),
    /// Removes an owner from a shared row. Skips an owner that does not exist.
    DropOwner {
        /// The owner and the shared row.
        ownership: Ownership,
        /// Also removes the last owner. Otherwise the last owner stays, because one owner must be left to delete the
        /// object: owners that leave at the same time each expect the other to stay.
        may_be_last: bool,
    },
}
