//! The way to a machine that runs on a thread of its own: events in, views out.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// What the thread of a machine takes from its queue.
pub enum Input<E, V> {
    Event(E),
    /// Somebody wants to read: answer with the view as it stands. All who wait are answered with one view.
    View(oneshot::Sender<Arc<V>>),
}

/// A handle to a machine, cheap to clone. The queue has no bound of its own: a connection waits for the answer to its
/// request before its next one is read, hence there are at most as many inputs as connections (`Limits::connections`).
pub struct Machine<E, V> {
    inputs: mpsc::UnboundedSender<Input<E, V>>,
}

impl<E, V> Clone for Machine<E, V> {
    fn clone(&self) -> Self {
        Machine { inputs: self.inputs.clone() }
    }
}

impl<E, V> Machine<E, V> {
    pub fn new() -> (Machine<E, V>, mpsc::UnboundedReceiver<Input<E, V>>) {
        let (inputs, receiver) = mpsc::unbounded_channel();
        (Machine { inputs }, receiver)
    }

    /// Hands an event to the machine; it is lost when the program is ending.
    pub fn event(&self, event: E) {
        let _ = self.inputs.send(Input::Event(event));
    }

    /// The machine as it stands; None when the program is ending.
    pub async fn view(&self) -> Option<Arc<V>> {
        let (sender, receiver) = oneshot::channel();
        self.inputs.send(Input::View(sender)).ok()?;
        receiver.await.ok()
    }
}
