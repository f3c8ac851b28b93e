//! What the machine can do at most, measured with the threads and the instruction set that a plan runs on: the roof under which a
//! step's speed is judged (Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009).

use crate::Settings;
use crate::kernels::Out;
use crate::simd::{AlignedBuf, Kernel, Simd};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each figure is measured.
const TIME: Duration = Duration::from_millis(200);
/// Tasks a thread: one whose core is taken away for a moment holds up nobody.
const TASKS: usize = 8;
/// Multiply-adds that depend on one another in a task.
const STEPS: usize = 20_000;
/// Sums side by side: enough to hide the latency of a multiply-add, few enough for 16 registers.
const SUMS: usize = 12;
/// Floats of the buffer that is read and written: 256 MB, many times a cache.
const FLOATS: usize = 64 << 20;

/// What the machine can do at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Billions of floating-point operations a second, all threads together, in multiply-adds that never leave the registers.
    pub gflops: f64,
    /// Billions of bytes a second that all threads together read from memory.
    pub read_gb: f64,
    /// Billions of bytes a second that all threads together write to memory, through the caches as kernels do.
    pub write_gb: f64,
}

impl Machine {
    /// Measures for about half a second; medians.
    ///
    /// ```
    /// # fn main() -> Result<(), percept_engine::Error> {
    /// let machine = percept_engine::Machine::measure(&percept_engine::Settings::detect()?);
    /// assert!(machine.gflops > 0.0 && machine.read_gb > 0.0 && machine.write_gb > 0.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn measure(settings: &Settings) -> Self {
        let (pool, isa) = (&settings.pool, settings.isa);
        let tasks = TASKS * pool.threads();
        // SAFETY: the kernel has no pointers.
        let compute = rate(|| pool.run(tasks, &|_, _| unsafe { isa.run(MultiplyAdd) }));
        let mut buffer = AlignedBuf::zeroed(FLOATS);
        let part = |task: usize| task * FLOATS / tasks..(task + 1) * FLOATS / tasks;
        let write = {
            let out = Out::new(&mut buffer);
            // SAFETY: the parts are disjoint, and the kernel's slice is its own.
            rate(|| pool.run(tasks, &|task, _| unsafe { isa.run(Write(out.slice_mut(part(task)))) }))
        };
        // SAFETY: the kernel's slice is valid.
        let read = rate(|| pool.run(tasks, &|task, _| unsafe { isa.run(Read(&buffer[part(task)])) }));
        let operations = 2 * tasks * STEPS * SUMS * isa.lanes();
        let [gflops, read_gb, write_gb] =
            [(operations, compute), (4 * FLOATS, read), (4 * FLOATS, write)].map(|(n, rate)| n as f64 * rate / 1e9);
        Self { gflops, read_gb, write_gb }
    }
}

/// How many times a second `run` can run: the median after the first time.
fn rate(run: impl Fn()) -> f64 {
    run();
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || begin.elapsed() < TIME {
        let start = Instant::now();
        run();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    1.0 / times[times.len() / 2].as_secs_f64().max(1e-9)
}

struct MultiplyAdd;

impl Kernel for MultiplyAdd {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: arithmetic only; the caller vouches for the instruction set.
        unsafe {
            let (a, b) = (black_box(S::splat(0.5)), black_box(S::splat(1.0)));
            let mut sums = [S::splat(0.0); SUMS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = S::mul_add(a, *sum, b);
                }
            }
            black_box(sums);
        }
    }
}

struct Write<'a>(&'a mut [f32]);

impl Kernel for Write<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for line in self.0.chunks_exact_mut(S::LANES) {
            // SAFETY: a chunk has as many floats as a vector.
            unsafe { S::store(line.as_mut_ptr(), S::splat(1.0)) }
        }
    }
}

struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: a chunk has as many floats as `SUMS` vectors.
        unsafe {
            let mut sums = [S::splat(0.0); SUMS];
            for lines in self.0.chunks_exact(SUMS * S::LANES) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = S::add(*sum, S::load(lines.as_ptr().add(i * S::LANES)));
                }
            }
            black_box(sums);
        }
    }
}
