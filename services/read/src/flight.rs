//! One attempt for everyone who needs the same thing at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

type Attempt<T> = Shared<BoxFuture<'static, Option<T>>>;

/// The attempts that may be joined. Each runs as a task of its own, so that it survives its first caller's hang-up.
#[derive(Debug)]
pub(crate) struct Flights<K, T>(Arc<Mutex<HashMap<K, Attempt<T>>>>);

/// What a caller got from an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Landed<T> {
    /// `None` if the attempt panicked.
    pub(crate) outcome: Option<T>,
    /// Whether somebody else had begun the attempt.
    pub(crate) is_collapsed: bool,
}

impl<K, T> Flights<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Joins the attempt for `key` that is under way, or begins `attempt`, which must end by itself.
    pub(crate) async fn join(&self, key: K, attempt: impl Future<Output = T> + Send + 'static) -> Landed<T> {
        self.board(key, |listed| async move {
            let _listed = listed;
            attempt.await
        })
        .await
    }

    /// Joins the attempt for `key` that has not begun yet, or makes one that waits for `leave` and then begins: so
    /// whatever it reads, it reads after all its callers had come.
    pub(crate) async fn join_before<L, A>(
        &self,
        key: K,
        leave: impl Future<Output = L> + Send + 'static,
        attempt: impl FnOnce(L) -> A + Send + 'static,
    ) -> Landed<T>
    where
        L: Send,
        A: Future<Output = T> + Send,
    {
        self.board(key, |listed| async move {
            let left = leave.await;
            drop(listed);
            attempt(left).await
        })
        .await
    }

    /// Joins the attempt that is on the list under `key`, or puts one there.
    async fn board<A>(&self, key: K, attempt: impl FnOnce(Listed<K, T>) -> A) -> Landed<T>
    where
        A: Future<Output = T> + Send + 'static,
    {
        let (shared, is_collapsed) = {
            let mut list = lock(&self.0);
            if let Some(shared) = list.get(&key) {
                (shared.clone(), true)
            } else {
                let attempt = attempt(Listed { list: Arc::clone(&self.0), key });
                // Begun by whoever waits first, when the list is free: a runtime that shuts down drops the attempt at
                // once, and with it the attempt's place on the list.
                let shared = async { tokio::spawn(attempt).await.ok() }.boxed().shared();
                list.insert(key, shared.clone());
                (shared, false)
            }
        };
        Landed { outcome: shared.await, is_collapsed }
    }
}

/// Takes an attempt off the list when nobody may join it any more, also by a panic.
struct Listed<K: Eq + Hash, T> {
    list: Arc<Mutex<HashMap<K, Attempt<T>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Listed<K, T> {
    fn drop(&mut self) {
        lock(&self.list).remove(&self.key);
    }
}

fn lock<K, T>(list: &Mutex<HashMap<K, Attempt<T>>>) -> MutexGuard<'_, HashMap<K, Attempt<T>>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn many_callers_share_one_attempt_that_survives_the_first() {
        let (flights, attempts) = (Flights::new(), Arc::new(AtomicUsize::new(0)));
        let (finish, finished) = oneshot::channel::<u32>();
        let attempt = |finished: Option<oneshot::Receiver<u32>>| {
            let attempts = Arc::clone(&attempts);
            async move {
                attempts.fetch_add(1, Ordering::Relaxed);
                finished.expect("only the first attempt runs").await.expect("it is finished")
            }
        };

        let mut first = Box::pin(flights.join(7, attempt(Some(finished))));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let second = flights.join(7, attempt(None));
        drop(first);
        finish.send(42).expect("the attempt still runs");

        assert_eq!(second.await, Landed { outcome: Some(42), is_collapsed: true });
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        let third = flights.join(7, async { 43 }).await;
        assert_eq!(third, Landed { outcome: Some(43), is_collapsed: false });
    }

    #[tokio::test]
    async fn whoever_comes_after_an_attempt_has_begun_waits_for_the_next_one() {
        let (flights, begun) = (Flights::new(), Arc::new(AtomicUsize::new(0)));
        let (leave, left) = oneshot::channel::<()>();
        let (finish, finished) = oneshot::channel::<()>();
        let attempt = |finished: Option<oneshot::Receiver<()>>| {
            let begun = Arc::clone(&begun);
            async move |_| {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                if let Some(finished) = finished {
                    finished.await.expect("it is finished");
                }
                number
            }
        };

        let mut first = Box::pin(flights.join_before(7, left, attempt(Some(finished))));
        let mut second = Box::pin(flights.join_before(7, std::future::pending(), attempt(None)));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        leave.send(()).expect("it waits to leave");
        while begun.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let third = flights.join_before(7, std::future::ready(Ok(())), attempt(None)).await;

        assert_eq!(third, Landed { outcome: Some(1), is_collapsed: false }, "its reading is a later one");
        finish.send(()).expect("the first still runs");
        assert_eq!(first.await.outcome, Some(0));
        assert_eq!(second.await, Landed { outcome: Some(0), is_collapsed: true });
    }

    #[tokio::test]
    async fn an_attempt_that_panics_is_not_joined_for_ever() {
        let flights = Flights::new();
        let failed = flights.join(7, async { panic!("as planned") }).await;
        assert_eq!(failed, Landed { outcome: None::<u32>, is_collapsed: false });
        assert_eq!(flights.join(7, async { 1 }).await.outcome, Some(1));
    }

    #[test]
    fn an_attempt_that_cannot_begin_any_more_holds_up_nobody() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let landed = Flights::new().join(7, async { 1 }).now_or_never();
        assert_eq!(landed, Some(Landed { outcome: None, is_collapsed: false }));
    }
}
