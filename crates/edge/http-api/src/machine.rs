//! The way to a machine that runs on a thread of its own: events in, views out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

/// What the thread of a machine takes from its queue.
pub enum Input<E, V> {
    Event(E),
    /// An event that an HTTP request is: it is counted among requests while it waits.
    Request(E),
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

/// The machine's end of the queue.
pub struct Inputs<E, V> {
    receiver: mpsc::UnboundedReceiver<Input<E, V>>,
    /// Of what waits, so many are HTTP requests.
    requests: Arc<AtomicUsize>,
}

impl<E, V> Inputs<E, V> {
    pub async fn recv(&mut self) -> Option<Input<E, V>> {
        let input = self.receiver.recv().await;
        self.taken(input)
    }

    /// The next input, if there is one already.
    pub fn try_recv(&mut self) -> Option<Input<E, V>> {
        let input = self.receiver.try_recv().ok();
        self.taken(input)
    }

    fn taken(&self, input: Option<Input<E, V>>) -> Option<Input<E, V>> {
        if matches!(input, Some(Input::Request(_) | Input::View(_))) {
            self.requests.fetch_sub(1, Ordering::Relaxed);
        }
        input
    }

    /// How many events and how many HTTP requests wait.
    pub fn waiting(&self) -> (usize, usize) {
        let requests = self.requests.load(Ordering::Relaxed);
        (self.receiver.len().saturating_sub(requests), requests)
    }
}

impl<E, V> Clone for Machine<E, V> {
    fn clone(&self) -> Self {
        Machine { send: Arc::clone(&self.send) }
    }
}

impl<E: std::marker::Send + 'static, V: std::marker::Send + Sync + 'static> Machine<E, V> {
    pub fn new() -> (Machine<E, V>, Inputs<E, V>) {
        let (inputs, receiver) = mpsc::unbounded_channel();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let send = move |input| {
            // Before it is there to be taken, or the count could fall below nothing.
            let is_request = matches!(input, Input::Request(_) | Input::View(_));
            if is_request {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            let sent = inputs.send(input).is_ok();
            if is_request && !sent {
                counted.fetch_sub(1, Ordering::Relaxed);
            }
            sent
        };
        (Machine { send: Arc::new(send) }, Inputs { receiver, requests })
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
                Input::Request(event) => send(Input::Request(event.into())),
                Input::View(reader) => send(Input::View(reader)),
            }),
        }
    }

    /// Hands an event to the machine; it is lost when the program is ending.
    pub fn event(&self, event: E) {
        (self.send)(Input::Event(event));
    }

    /// The same for what came as an HTTP request.
    pub fn request(&self, event: E) {
        (self.send)(Input::Request(event));
    }

    /// The machine as it stands; None when the program is ending.
    pub async fn view(&self) -> Option<Arc<V>> {
        let (sender, receiver) = oneshot::channel();
        (self.send)(Input::View(sender)).then_some(())?;
        receiver.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_by_kind() {
        let (machine, mut inputs) = Machine::<u8, ()>::new();
        machine.event(1);
        machine.request(2);
        machine.of_part::<u8>().request(3);
        assert_eq!(inputs.waiting(), (1, 2));
        assert!(matches!(inputs.try_recv(), Some(Input::Event(1))));
        assert!(matches!(inputs.try_recv(), Some(Input::Request(2))));
        assert_eq!(inputs.waiting(), (0, 1));
        assert!(matches!(inputs.try_recv(), Some(Input::Request(3))));
        assert!(inputs.try_recv().is_none());
        assert_eq!(inputs.waiting(), (0, 0));
    }
}
