//! A bounded queue from tasks to threads: tasks wait for room, threads wait for work.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;

pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    filled: Condvar,
    room: Semaphore,
}

struct State<J> {
    jobs: VecDeque<J>,
    is_closed: bool,
}

impl<J> Queue<J> {
    pub(super) fn new(jobs_max: usize) -> Self {
        let state = Mutex::new(State { jobs: VecDeque::new(), is_closed: false });
        Self { state, filled: Condvar::new(), room: Semaphore::new(jobs_max) }
    }

    /// Waits for room, and adds a job; `false` when the queue is closed.
    pub(super) async fn push(&self, job: J) -> bool {
        let Ok(room) = self.room.acquire().await else { return false };
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        room.forget();
        state.jobs.push_back(job);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Waits for a job; `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.room.add_permits(1);
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a job, and takes with it what else waits, at most `jobs_max`.
    pub(super) fn pop_many(&self, jobs_max: usize) -> Vec<J> {
        let Some(first) = self.pop() else { return Vec::new() };
        let mut state = self.lock();
        let more = state.jobs.len().min(jobs_max.saturating_sub(1));
        let jobs = std::iter::once(first).chain(state.jobs.drain(..more)).collect();
        self.room.add_permits(more);
        jobs
    }

    /// Takes no more jobs; those that wait are still done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.room.close();
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
