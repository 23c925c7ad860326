//! A slot that a step takes before it begins, and keeps until its last call ends.

use super::Guarded;
use super::gate::{Permit, WaitReporter};
use super::limits::Rate;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// The slot of one type's calls, while the step holds it.
pub(super) struct Slot {
    ty: String,
    permit: Mutex<Option<Permit>>,
}

impl Slot {
    fn set(&self, permit: Option<Permit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    fn take(&self) -> Option<Permit> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_held(&self) -> bool {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Guarded {
    /// Waits until the limits allow this number of calls of a type. Returns the same session with their tokens: the
    /// calls run one after the other in one slot. The session keeps the slot until it is dropped or a call pauses
    /// before a retry. `waits` gets one message if there is a token to wait for.
    pub async fn admitted(self: &Arc<Self>, ty: &str, calls: usize, waits: impl FnOnce(String) + Send) -> Arc<Self> {
        let report = |rate: Rate, of: Option<&str>| {
            let of = of.map(|ty| format!("`{ty}` of ")).unwrap_or_default();
            waits(format!("waiting (limit of {rate} of {of}`{}`)", self.instance));
        };
        let permit = self.gates.admit(ty, calls, &mut WaitReporter::new(report)).await;
        let admitted = if permit.is_ok() { calls } else { 0 };
        Arc::new(Self {
            instance: self.instance.clone(),
            session: Arc::clone(&self.session),
            gates: Arc::clone(&self.gates),
            limits: self.limits.clone(),
            admitted: AtomicUsize::new(admitted),
            slot: Some(Slot { ty: ty.to_owned(), permit: Mutex::new(permit.ok()) }),
            is_unavailable: Arc::clone(&self.is_unavailable),
            is_remote: self.is_remote,
        })
    }

    /// Frees the slot; the calls keep their tokens.
    pub fn release_slot(&self) {
        self.slot.iter().for_each(|slot| slot.set(None));
    }

    /// Takes a slot again if one is free now; otherwise returns false.
    pub fn take_slot(&self) -> bool {
        let Some(slot) = self.slot.as_ref().filter(|slot| !slot.is_held()) else { return true };
        slot.set(self.gates.slot_now(&slot.ty));
        slot.is_held()
    }

    /// Waits until a slot is free, and takes it.
    pub async fn wait_for_slot(&self) {
        if let Some(slot) = self.slot.as_ref().filter(|slot| !slot.is_held()) {
            slot.set(self.gates.enter_with_tokens(&slot.ty).await.ok());
        }
    }

    /// The slot of this session, for a call of its type.
    pub(super) fn own_slot(&self, ty: &str) -> Option<Permit> {
        self.slot.as_ref().filter(|slot| slot.ty == ty)?.take()
    }

    /// Keeps the slot of a call for the next one, if this session has its own slot.
    pub(super) fn keep_slot(&self, ty: &str, permit: Option<Permit>) {
        if let Some(slot) = self.slot.as_ref().filter(|slot| slot.ty == ty && permit.is_some()) {
            slot.set(permit);
        }
    }
}
