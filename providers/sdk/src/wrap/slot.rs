//! A slot that is taken before a step begins, and kept until its last call is over.

use super::Guarded;
use super::gate::{Permit, Waits};
use super::limits::Rate;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the calls of one type go in, as long as it is had.
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

    fn is_had(&self) -> bool {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Guarded {
    /// Waits until the limits of a type allow so many calls, and answers with the same session, of which the next ones do
    /// not wait any more: they go one after the other in a slot that it keeps until it is dropped, or a call of it pauses
    /// before another attempt. `waits` is told once, in words, when there is a token to wait for.
    pub async fn admitted(self: &Arc<Self>, ty: &str, calls: usize, waits: impl FnOnce(String) + Send) -> Arc<Self> {
        let told = |rate: Rate, of: Option<&str>| {
            let of = of.map(|ty| format!("`{ty}` of ")).unwrap_or_default();
            waits(format!("waiting (limit of {rate} of {of}`{}`)", self.instance));
        };
        let permit = self.gates.admit(ty, calls, &mut Waits::new(told)).await;
        let admitted = if permit.is_ok() { calls } else { 0 };
        Arc::new(Self {
            instance: self.instance.clone(),
            session: Arc::clone(&self.session),
            gates: Arc::clone(&self.gates),
            limits: self.limits.clone(),
            admitted: AtomicUsize::new(admitted),
            slot: Some(Slot { ty: ty.to_owned(), permit: Mutex::new(permit.ok()) }),
            is_away: Arc::clone(&self.is_away),
            is_remote: self.is_remote,
        })
    }

    /// Leaves the slot to others; the calls keep their tokens.
    pub fn leave_slot(&self) {
        self.slot.iter().for_each(|slot| slot.set(None));
    }

    /// Takes a slot again where one is free now; false when there is none.
    pub fn take_slot(&self) -> bool {
        let Some(slot) = self.slot.as_ref().filter(|slot| !slot.is_had()) else { return true };
        slot.set(self.gates.slot_now(&slot.ty));
        slot.is_had()
    }

    /// Waits until a slot is free, and takes it.
    pub async fn wait_for_slot(&self) {
        if let Some(slot) = self.slot.as_ref().filter(|slot| !slot.is_had()) {
            slot.set(self.gates.enter_with_tokens(&slot.ty).await.ok());
        }
    }

    /// The slot that was taken for a call of that type.
    pub(super) fn own_slot(&self, ty: &str) -> Option<Permit> {
        self.slot.as_ref().filter(|slot| slot.ty == ty)?.take()
    }

    /// Keeps the slot of a call for the next one, where this goes on in one slot.
    pub(super) fn keep_slot(&self, ty: &str, permit: Option<Permit>) {
        if let Some(slot) = self.slot.as_ref().filter(|slot| slot.ty == ty && permit.is_some()) {
            slot.set(permit);
        }
    }
}
