//! Which processor a thread runs on.
//!
//! A worker that is woken begins where its waker runs, and on a small machine the two were seen to share one processor for tens of milliseconds
//! while another was idle, at two thirds of the speed. So a worker that finds itself there moves; it is not bound to any processor, because
//! another program may need that one. Other systems than Linux are left to themselves, and so is Miri.

/// The processor that the calling thread runs on, if the system says.
pub(crate) fn current() -> Option<usize> {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // SAFETY: the call has no arguments and touches no memory.
        usize::try_from(unsafe { libc::sched_getcpu() }).ok()
    }
    #[cfg(any(not(target_os = "linux"), miri))]
    None
}

/// Moves the calling thread to any other processor that it may use; it may come back later.
pub(crate) fn leave(processor: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: a set is a field of bits, of which all zero is a value; the calls read and write sets of the size given, of this thread.
    unsafe {
        let size = size_of::<libc::cpu_set_t>();
        let mut all: libc::cpu_set_t = std::mem::zeroed();
        if processor >= 8 * size || libc::sched_getaffinity(0, size, &mut all) != 0 {
            return;
        }
        let mut others = all;
        libc::CPU_CLR(processor, &mut others);
        if libc::CPU_COUNT(&others) > 0 && libc::sched_setaffinity(0, size, &others) == 0 {
            libc::sched_setaffinity(0, size, &all);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = processor;
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_leaves_may_still_use_all_processors() {
        let before = std::thread::available_parallelism().unwrap();
        for _ in 0..10 {
            leave(current().unwrap());
        }
        leave(usize::MAX);
        assert_eq!(std::thread::available_parallelism().unwrap(), before);
    }
}
