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
    send: Send<E, V>,
}

/// False when the program is ending.
type Send<E, V> = Arc<dyn Fn(Input<E, V>) -> bool + std::marker::Send + Sync>;

impl<E, V> Clone for Machine<E, V> {
    fn clone(&self) -> Self {
        Machine { send: Arc::clone(&self.send) }
    }
}

impl<E: std::marker::Send + 'static, V: std::marker::Send + Sync + 'static> Machine<E, V> {
    pub fn new() -> (Machine<E, V>, mpsc::UnboundedReceiver<Input<E, V>>) {
        let (inputs, receiver) = mpsc::unbounded_channel();
        (Machine { send: Arc::new(move |input| inputs.send(input).is_ok()) }, receiver)
    }

    /// The same machine for those who know only some of its events.
    pub fn of_part<P>(&self) -> Machine<P, V>
    where
        E: From<P>,
    {
        let send = Arc::clone(&self.send);
        Machine {
            send: Arc::new(move |input| match input {
                Input::Event(event) => send(Input::Event(event.into())),
                Input::View(reader) => send(Input::View(reader)),
            }),
        }
    }

    /// Hands an event to the machine; it is lost when the program is ending.
    pub fn event(&self, event: E) {
        (self.send)(Input::Event(event));
    }

    /// The machine as it stands; None when the program is ending.
    pub async fn view(&self) -> Option<Arc<V>> {
        let (sender, receiver) = oneshot::channel();
        (self.send)(Input::View(sender)).then_some(())?;
        receiver.await.ok()
    }
}
