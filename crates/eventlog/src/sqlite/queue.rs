//! A queue from async callers to blocking threads. Its bound is the callers' semaphore.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    /// Threads that sleep: waking nobody would cost a system call too.
    sleeping: usize,
    closed: bool,
}

/// The queue takes nothing more.
#[derive(Debug)]
pub(super) struct Closed;

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { items: VecDeque::new(), sleeping: 0, closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new() }
    }

    pub(super) fn push(&self, item: T) -> Result<(), Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.items.push_back(item);
        let wake = state.sleeping > 0;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// The next item; `None` when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<T> {
        self.wait().items.pop_front()
    }

    /// Everything that waits, until `enough` of an item breaks; nothing when closed and empty.
    pub(super) fn take_group(&self, into: &mut Vec<T>, mut enough: impl FnMut(&T) -> ControlFlow<()>) {
        let mut state = self.wait();
        while let Some(item) = state.items.pop_front() {
            let flow = enough(&item);
            into.push(item);
            if flow.is_break() {
                break;
            }
        }
    }

    /// Takes nothing more; what waits is still worked on.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Takes nothing more and lets go of what waits.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let abandoned = std::mem::take(&mut state.items);
        drop(state);
        drop(abandoned);
        self.ready.notify_all();
    }

    fn wait(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state.sleeping += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
