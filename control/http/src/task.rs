//! Tasks behind one pointer.

use hyper::rt::Executor;
use std::pin::Pin;
use tokio::task::JoinHandle;

/// `tokio::spawn`, with the machine of a task compiled once for each kind of result and not for each future.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let future: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(future);
    tokio::spawn(future)
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
        drop(spawn(async move { drop(future.await) }));
    }
}
