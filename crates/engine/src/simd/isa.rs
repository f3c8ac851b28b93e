//! Which instruction set runs: chosen once, forced by `PERCEPT_ISA`.

use super::scalar::Scalar;
use super::{Kernel, Simd};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// An instruction set that the kernels are instantiated for.
///
/// A value other than [`Isa::SCALAR`] exists only where the CPU has it, because the constructors check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Why an instruction set cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IsaError {
    /// There is none of that name.
    #[error("{0:?} is no instruction set: choose one of {valid}", valid = Isa::names())]
    Unknown(String),
    /// The CPU has no such instructions.
    #[error("this CPU does not have {0:?}: choose one of {valid}", valid = Isa::names())]
    Unavailable(String),
}

impl Isa {
    /// Portable code, on every CPU.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// The instruction set named by the environment variable `PERCEPT_ISA`, or the best that the CPU has.
    ///
    /// # Errors
    /// The variable's value is unknown, or the CPU lacks what it asks for.
    pub fn detect() -> Result<Isa, IsaError> {
        match std::env::var_os("PERCEPT_ISA") {
            Some(name) => Isa::named(&name.to_string_lossy()),
            None => Ok(*Isa::available().last().unwrap_or(&Isa::SCALAR)),
        }
    }

    /// The instruction set of that name (`scalar`, `avx2`, `avx512`), if the CPU has it.
    ///
    /// # Errors
    /// As [`Isa::detect`].
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        match Isa::available().into_iter().find(|isa| isa.name() == name) {
            Some(isa) => Ok(isa),
            None if ["avx2", "avx512"].contains(&name) => Err(IsaError::Unavailable(name.into())),
            None => Err(IsaError::Unknown(name.into())),
        }
    }

    /// What this CPU can run, slowest first.
    pub fn available() -> Vec<Isa> {
        let levels = [
            (Level::Scalar, true),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")),
            #[cfg(target_arch = "x86_64")]
            (
                Level::Avx512,
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma"),
            ),
        ];
        levels.into_iter().filter(|&(_, here)| here).map(|(level, _)| Isa(level)).collect()
    }

    /// The name that `PERCEPT_ISA` takes.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    fn names() -> String {
        Isa::available().into_iter().map(Isa::name).collect::<Vec<_>>().join(", ")
    }

    /// Lanes of a vector.
    pub fn lanes(self) -> usize {
        self.facts().1
    }

    /// Whether there are 32 registers, enough for wide tiles.
    pub(crate) fn wide(self) -> bool {
        self.facts().2 == 32
    }

    /// Name, lanes of a vector, and registers.
    fn facts(self) -> (&'static str, usize, usize) {
        match self.0 {
            Level::Scalar => ("scalar", Scalar::LANES, Scalar::REGISTERS),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => ("avx2", Avx2::LANES, Avx2::REGISTERS),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => ("avx512", Avx512::LANES, Avx512::REGISTERS),
        }
    }

    /// Runs a kernel with this instruction set.
    ///
    /// # Safety
    /// The pointers inside `kernel` are valid for what it reads and writes.
    pub(crate) unsafe fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: an `Isa` exists only where the CPU has it; the caller vouches for the pointers.
        unsafe {
            match self.0 {
                Level::Scalar => Scalar::enter(kernel),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => Avx2::enter(kernel),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => Avx512::enter(kernel),
            }
        }
    }
}

/// Makes the calling thread treat denormal floats as zero, in operands and results.
///
/// Arithmetic on denormals is up to 160 times slower; no network needs them. The setting belongs to the thread, so every worker calls this once.
pub fn flush_denormals() {
    // Miri runs no inline assembly, and its arithmetic knows no such setting.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        let mut mxcsr = 0u32;
        // SAFETY: SSE is part of x86_64; only the two denormal bits of the thread's own control register change.
        unsafe {
            std::arch::asm!("stmxcsr [{0}]", in(reg) &mut mxcsr, options(nostack));
            mxcsr |= FLUSH_TO_ZERO | DENORMALS_ARE_ZERO;
            std::arch::asm!("ldmxcsr [{0}]", in(reg) &mxcsr, options(nostack));
        }
    }
}
