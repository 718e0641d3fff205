//! The one file that starts tasks: each is owned by what it is started for.

use std::future::Future;

use kameo::actor::{Actor, ActorRef, PreparedActor, Spawn as _};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// How many messages wait for one of the store's own actors before its senders do.
const MAILBOX_CAPACITY: usize = 256;

/// An actor of which a store has one, and the way to wait for its end.
#[derive(Debug)]
pub(crate) struct Spawned<A: Actor> {
    pub(crate) actor: ActorRef<A>,
    /// Ends after the actor's state is dropped.
    pub(crate) task: JoinHandle<()>,
}

/// Starts an actor of which a store has one.
pub(crate) fn actor<A: Actor>(args: A::Args) -> Spawned<A> {
    let prepared: PreparedActor<A> =
        A::prepare_with_mailbox(kameo::mailbox::bounded(MAILBOX_CAPACITY));
    let actor = prepared.actor_ref().clone();
    let task = task(async move { drop(prepared.run(args).await) });
    Spawned { actor, task }
}

/// Starts a task that ends by itself, whether or not anybody waits for it.
pub(crate) fn task<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "this is the file for it")]
    tokio::spawn(future)
}

/// Starts a task that its owner waits for, among others.
pub(crate) fn owned_task<F>(tasks: &mut JoinSet<F::Output>, future: F) -> AbortHandle
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tasks.spawn(future)
}
