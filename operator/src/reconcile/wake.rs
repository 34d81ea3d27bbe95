//! Telling the controller to look at a run for a reason that no watch brings.

use crds::v1alpha1::E2ETest;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::{core::DeserializeGuard, runtime::reflector::ObjectRef};

/// Tells the controller.
#[derive(Clone, Debug)]
pub struct Wake {
    sender: UnboundedSender<ObjectRef<DeserializeGuard<E2ETest>>>,
}

/// Runs to look at.
pub type Woken = UnboundedReceiver<ObjectRef<DeserializeGuard<E2ETest>>>;

impl Wake {
    /// Both ends. The controller takes a run up once, however often it is named meanwhile.
    pub fn channel() -> (Self, Woken) {
        let (sender, receiver) = unbounded();
        (Self { sender }, receiver)
    }

    /// Has a run looked at.
    pub(super) fn up(&self, run: ObjectRef<DeserializeGuard<E2ETest>>) {
        // Without a controller there is nobody to look, and nothing to look for.
        let _ = self.sender.unbounded_send(run);
    }
}
