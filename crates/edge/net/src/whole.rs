//! Work that is done to its end: when its owner gives it up, a task goes on with it. As long as nobody does that, no task is
//! made for it, and no other thread is woken. It must not know what the work is.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The work panicked. What it said is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

pub(crate) struct Whole<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>)
where
    T: Send + 'static;

impl<T: Send + 'static> Whole<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Whole<T> {
        Whole(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Whole<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        // As a task would have it. The work is not touched again after a panic.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => Ok(outcome),
            Err(_) => Err(Panicked),
        };
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl<T: Send + 'static> Drop for Whole<T> {
    fn drop(&mut self) {
        // Without a runtime the program is at its end.
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_is_done_whether_its_owner_waits_or_not() {
        assert_eq!(Whole::new(async { 1 }).await, Ok(1));
        // Given up before it began, and in its midst.
        for polled in [false, true] {
            let (go, may_go) = oneshot::channel();
            let (done, is_done) = oneshot::channel();
            let mut work = Whole::new(async move {
                may_go.await.unwrap();
                done.send(7).unwrap();
            });
            if polled {
                let once = tokio::time::timeout(std::time::Duration::ZERO, &mut work).await;
                assert!(once.is_err(), "it waits");
            }
            drop(work);
            go.send(()).unwrap();
            assert_eq!(is_done.await, Ok(7));
        }
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        let work: Whole<()> = Whole::new(async { panic!("as it should") });
        assert_eq!(work.await, Err(Panicked));
    }
}
