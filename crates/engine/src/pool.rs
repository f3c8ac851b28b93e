//! The threads that run kernels.
//!
//! A job is a number of independent tasks. Which thread runs a task is left to chance, so a job's result must not depend on
//! it; how the work is cut into tasks is decided by its size alone, never by the number of threads. Between jobs a worker spins
//! for some microseconds, because the next layer follows at once, and then parks: a worker whose core is taken away holds
//! up nobody but the tasks that it has begun. A worker that finds itself on the caller's processor moves to another ([`cpu`]).

use crate::{Error, cpu};
use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

type Task = dyn Fn(usize, usize) + Sync;

/// Spins of a few nanoseconds each before a thread parks.
const SPINS: usize = 4000;
/// Tasks of one job at most: the counter of tasks has 24 bits.
const MAX_TASKS: usize = (1 << 24) - 1;

/// A fixed number of threads, the caller's among them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held during a job: jobs of several callers follow one another.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Shared {
    /// Job number (16 bits), tasks (24 bits), tasks begun (24 bits): one word, so that a task is claimed with one exchange.
    state: AtomicU64,
    /// The job's function. Written while no task is under way, read only by who has claimed a task.
    job: UnsafeCell<Option<*const Task>>,
    done: AtomicUsize,
    sleepers: AtomicUsize,
    /// The processor that the caller runs on, which workers leave to it; `usize::MAX` if they need not.
    caller: AtomicUsize,
    /// Whether there is a processor for each thread.
    apart: bool,
    /// Whether the caller has parked until the last task is done; waking somebody is a call of the system.
    waiting: AtomicBool,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    lock: Mutex<()>,
    wake: Condvar,
    finished: Condvar,
}

// SAFETY: `job` is the only part that is not `Sync` by itself. It is written by `Pool::run`, which holds `turn`, after all
// tasks of the job before are done, and read by a thread that has claimed a task and not yet counted it as done; the claim
// (acquire) comes after the publication of `state` (release).
unsafe impl Sync for Shared {}
// SAFETY: as for `Sync`; the pointer is to something `Sync`.
unsafe impl Send for Shared {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks of a job, and how many of them have begun.
fn counts(state: u64) -> (usize, usize) {
    ((state >> 24) as usize & MAX_TASKS, state as usize & MAX_TASKS)
}

impl Shared {
    /// Begins a task, if one is left.
    fn claim(&self) -> Option<(usize, usize)> {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (tasks, begun) = counts(state);
            if begun >= tasks {
                return None;
            }
            match self.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some((begun, tasks)),
                Err(now) => state = now,
            }
        }
    }

    /// Runs tasks until none is left to begin.
    fn work(&self, worker: usize) {
        while let Some((task, tasks)) = self.claim() {
            // SAFETY: a claimed task keeps the job alive until it is counted as done: see `Shared`'s `Sync`.
            let job = unsafe { (*self.job.get()).map(|job| &*job) };
            if let Some(job) = job
                && let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(task, worker)))
            {
                *lock(&self.panic) = Some(payload);
            }
            if self.done.fetch_add(1, Ordering::SeqCst) + 1 == tasks && self.waiting.load(Ordering::SeqCst) {
                let _guard = lock(&self.lock);
                self.finished.notify_all();
            }
        }
    }

    fn has_work(&self) -> bool {
        let (tasks, begun) = counts(self.state.load(Ordering::SeqCst));
        begun < tasks
    }

    fn worker(&self, index: usize) {
        crate::simd::flush_denormals();
        let mut spins = 0;
        while !self.stop.load(Ordering::Acquire) {
            if self.has_work() {
                if let Some(here) = cpu::current().filter(|&here| here == self.caller.load(Ordering::Relaxed)) {
                    cpu::leave(here);
                }
                self.work(index);
                spins = 0;
            } else if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                let mut guard = lock(&self.lock);
                self.sleepers.fetch_add(1, Ordering::SeqCst);
                while !self.has_work() && !self.stop.load(Ordering::Acquire) {
                    guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                self.sleepers.fetch_sub(1, Ordering::SeqCst);
                spins = 0;
            }
        }
    }
}

impl Pool {
    /// A pool of `threads` threads in all; an error if the system refuses them.
    pub fn new(threads: usize) -> Result<Self, Error> {
        let caller = AtomicUsize::new(usize::MAX);
        let apart = std::thread::available_parallelism().is_ok_and(|processors| threads <= processors.get());
        let shared = Arc::new(Shared { caller, apart, ..Shared::default() });
        let mut pool = Self { shared, workers: Vec::new(), turn: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new().name(format!("percept-{index}"));
            let worker = worker.spawn(move || shared.worker(index));
            pool.workers.push(worker.map_err(|e| Error::Setting(format!("cannot start {threads} threads: {e}")))?);
        }
        Ok(pool)
    }

    /// The pool that everything uses unless told otherwise: a thread for each core that this process may use, or as many as
    /// `PERCEPT_THREADS` says. An error if that is not a number from 1 to 1024.
    pub fn global() -> Result<Arc<Self>, Error> {
        static GLOBAL: OnceLock<Arc<Pool>> = OnceLock::new();
        if let Some(pool) = GLOBAL.get() {
            return Ok(Arc::clone(pool));
        }
        let threads = match std::env::var("PERCEPT_THREADS") {
            Ok(text) => text.parse().ok().filter(|n| (1..=1024).contains(n)).ok_or_else(|| {
                Error::Setting(format!("PERCEPT_THREADS is \"{text}\": give a number of threads from 1 to 1024"))
            })?,
            Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let pool = Arc::new(Self::new(threads)?);
        Ok(Arc::clone(GLOBAL.get_or_init(|| pool)))
    }

    /// How many threads take part, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job(task, thread)` for each task in `0..tasks` and returns when all are done.
    ///
    /// `thread` is below [`threads`](Self::threads) and belongs to one task of the job at a time, so it can index scratch memory of the job. A panic in
    /// a task is passed on to the caller after all tasks are done. A job must not start another on the same pool. From then on the
    /// calling thread, like the workers, treats denormal floats as zero.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// let sum = AtomicUsize::new(0);
    /// percept_engine::Pool::new(3)?.run(100, &|task, _| {
    ///     sum.fetch_add(task, Ordering::Relaxed);
    /// });
    /// assert_eq!(sum.into_inner(), 4950);
    /// # Ok::<(), percept_engine::Error>(())
    /// ```
    pub fn run(&self, tasks: usize, job: &(dyn Fn(usize, usize) + Sync)) {
        if self.workers.is_empty() || tasks <= 1 {
            crate::simd::flush_denormals();
            return (0..tasks).for_each(|task| job(task, 0));
        }
        assert!(tasks <= MAX_TASKS, "{tasks} tasks in one job");
        let _turn = lock(&self.turn);
        crate::simd::flush_denormals();
        self.publish(tasks, job);
        self.shared.work(0);
        self.wait(tasks);
        if let Some(payload) = lock(&self.shared.panic).take() {
            resume_unwind(payload);
        }
    }

    fn publish(&self, tasks: usize, job: &(dyn Fn(usize, usize) + Sync)) {
        let shared = &self.shared;
        // SAFETY: the pointer is used until `wait` has seen all tasks done, which is before `job` goes out of scope; `turn` is
        // held, so nobody else writes, and no task is under way, so nobody reads.
        unsafe {
            *shared.job.get() = Some(std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync), *const Task>(job));
        }
        if shared.apart {
            shared.caller.store(cpu::current().unwrap_or(usize::MAX), Ordering::Relaxed);
        }
        shared.done.store(0, Ordering::Relaxed);
        let number = (shared.state.load(Ordering::Relaxed) >> 48).wrapping_add(1);
        shared.state.store(number << 48 | (tasks as u64) << 24, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = lock(&shared.lock);
            shared.wake.notify_all();
        }
    }

    fn wait(&self, tasks: usize) {
        let done = || self.shared.done.load(Ordering::SeqCst) == tasks;
        for _ in 0..SPINS {
            if done() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.shared.lock);
        self.shared.waiting.store(true, Ordering::SeqCst);
        while !done() {
            guard = self.shared.finished.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.shared.waiting.store(false, Ordering::SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        drop(lock(&self.shared.lock));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so it ends well.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_and_threads_have_their_own_index() {
        let pool = Pool::new(4).unwrap();
        for tasks in [0, 1, 2, 3, 17, 1000] {
            let runs: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            let busy: Vec<_> = (0..pool.threads()).map(|_| AtomicUsize::new(0)).collect();
            pool.run(tasks, &|task, thread| {
                assert_eq!(busy[thread].fetch_add(1, Ordering::SeqCst), 0);
                runs[task].fetch_add(1, Ordering::SeqCst);
                busy[thread].fetch_sub(1, Ordering::SeqCst);
            });
            assert!(runs.iter().all(|n| n.load(Ordering::SeqCst) == 1));
        }
    }

    #[test]
    fn many_small_jobs_from_several_callers() {
        let (pool, jobs) = (Pool::new(3).unwrap(), if cfg!(miri) { 20 } else { 2000 });
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    (0..jobs).for_each(|_| {
                        pool.run(5, &|_, _| {
                            sum.fetch_add(1, Ordering::Relaxed);
                        })
                    })
                });
            }
        });
        assert_eq!(sum.into_inner(), 3 * jobs * 5);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|task, _| assert_ne!(task, 3, "three"))));
        assert!(caught.is_err());
        let runs = AtomicUsize::new(0);
        pool.run(8, &|_, _| {
            runs.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(runs.into_inner(), 8);
    }
}
