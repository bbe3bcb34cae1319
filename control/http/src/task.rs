//! Tasks behind one pointer.

use crate::Boxed;
use hyper::rt::Executor;
use tokio::task::JoinHandle;

/// `tokio::spawn`, with the machine of a task compiled once for each kind of result and not for each future.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let future: Boxed<T> = Box::pin(future);
    tokio::spawn(future)
}

/// Most tasks have no result: the machine for those is compiled here.
fn spawn_unit(future: Boxed<()>) {
    drop(tokio::spawn(future));
}

/// Where hyper spawns what belongs to a connection of HTTP/2.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spawner;

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        spawn_unit(Box::pin(async move { drop(future.await) }));
    }
}
