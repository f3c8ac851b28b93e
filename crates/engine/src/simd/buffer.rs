//! Memory that starts on a cache line, in huge pages where it is large.
//!
//! A pass over an arena of a gigabyte in pages of 4 KB spends its time on looking up addresses: a run of one core through huge pages
//! was measured at 40 instead of 31 GB/s, and one that takes every third pair of cache lines at 30 instead of 18. Linux gives them to who asks.

use std::ops::{Deref, DerefMut};

/// Bytes from which huge pages, of 2 MB, are asked for.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// A cache line of floats.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

/// A zeroed buffer of f32 that starts on a 64-byte boundary (buffers off a cache line cost 6–8 %).
///
/// ```
/// let buffer = percept_engine::simd::AlignedBuf::zeroed(3);
/// assert_eq!(&*buffer, &[0.0; 3]);
/// assert_eq!(buffer.as_ptr() as usize % 64, 0);
/// ```
pub struct AlignedBuf {
    memory: Memory,
    len: usize,
}

enum Memory {
    Lines(Vec<Line>),
    #[cfg(target_os = "linux")]
    Huge(memmap2::MmapMut),
}

impl Memory {
    fn zeroed(len: usize) -> Self {
        #[cfg(target_os = "linux")]
        if len >= LARGE / 4
            && !cfg!(any(percept_asan, miri))
            && let Ok(map) = memmap2::MmapMut::map_anon(4 * len)
        {
            // Where the system has none, the pages are small.
            let _ = map.advise(memmap2::Advice::HugePage);
            return Self::Huge(map);
        }
        let lines = vec![Line([0.0; 16]); len.div_ceil(16)];
        forbid(lines.as_ptr().cast::<f32>().wrapping_add(len), 16 * lines.len() - len, true);
        Self::Lines(lines)
    }
}

impl AlignedBuf {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> AlignedBuf {
        AlignedBuf { memory: Memory::zeroed(len), len }
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> AlignedBuf {
        let mut other = AlignedBuf::zeroed(self.len);
        other.copy_from_slice(self);
        other
    }
}

/// Tells AddressSanitizer that `len` floats may not be touched, or may again; does nothing without `--cfg percept_asan`.
pub(crate) fn forbid(start: *const f32, len: usize, forbidden: bool) {
    #[cfg(percept_asan)]
    {
        unsafe extern "C" {
            fn __asan_poison_memory_region(start: *const f32, bytes: usize);
            fn __asan_unpoison_memory_region(start: *const f32, bytes: usize);
        }
        let mark = if forbidden { __asan_poison_memory_region } else { __asan_unpoison_memory_region };
        // SAFETY: the sanitizer notes the bytes in memory of its own; the addresses are not dereferenced.
        unsafe { mark(start, size_of::<f32>() * len) }
    }
    #[cfg(not(percept_asan))]
    let _ = (start, len, forbidden);
}

impl Deref for AlignedBuf {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        let start = match &self.memory {
            Memory::Lines(lines) => lines.as_ptr().cast(),
            #[cfg(target_os = "linux")]
            Memory::Huge(map) => map.as_ptr().cast(),
        };
        // SAFETY: lines and map hold `len` or more contiguous floats, initialised to zero, and start on a cache line or a page.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        let start = match &mut self.memory {
            Memory::Lines(lines) => lines.as_mut_ptr().cast(),
            #[cfg(target_os = "linux")]
            Memory::Huge(map) => map.as_mut_ptr().cast(),
        };
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start, self.len) }
    }
}
