//! A convolution and the maximum pooling that follows it, depth first.
//!
//! The first layer of a network writes its largest map, and pooling reads all of it back to keep a quarter. Here a band of lines of that map
//! stays in cache until it is pooled; lines that the next band needs too are kept.

use super::conv::Conv;
use super::pool::{Pool, PoolKind, pool};
use super::{Out, Window, check_range};
use std::ops::Range;

/// Floats that a band of the convolution's lines aims at: 256 KB, a part of the L2 cache.
const BAND: usize = 64 << 10;

/// The arguments of [`conv_pool`].
#[derive(Clone, Copy)]
pub struct ConvPool<'a> {
    /// The convolution; its `ldc` counts its own outputs.
    pub conv: Conv<'a>,
    /// How the maximum's window slides over what the convolution gives.
    pub pool: Window,
}

impl ConvPool<'_> {
    /// Floats of scratch that [`conv_pool`] needs.
    pub fn scratch_len(&self) -> usize {
        self.conv.weights.scratch_len(&self.conv.window) + self.most() * self.line()
    }

    /// Floats of a line of the convolution's result.
    fn line(&self) -> usize {
        self.pool.input[1] * self.conv.weights.outputs()
    }

    /// Lines of the pooled map that a band makes.
    fn rows(&self) -> usize {
        let lines = (BAND / self.line().max(1)).saturating_sub(self.pool.kernel[0]);
        (lines / self.pool.stride[0] + 1).min(self.pool.output[0].max(1))
    }

    /// Lines of the convolution's result in a band.
    fn most(&self) -> usize {
        self.pool.span(0, self.rows()).min(self.pool.input[0])
    }
}

/// Computes the pooled lines `rows`, counted over all pictures.
///
/// # Safety
/// Of calls that run at the same time no two have a common element of `out`, and nobody reads what they write.
pub unsafe fn conv_pool(c: &ConvPool<'_>, out: Out<'_>, rows: Range<usize>, scratch: &mut [f32]) {
    let (conv, w, n) = (&c.conv, &c.pool, c.conv.weights.outputs());
    check_range(&rows, w.rows(), "rows");
    assert_eq!((w.batch, w.input), (conv.window.batch, conv.window.output), "the pooled map");
    assert!(conv.ldc == n && conv.epilogue.residual.is_none(), "dense outputs without a residual");
    assert!(scratch.len() >= c.scratch_len(), "scratch of {}", scratch.len());
    conv.check();
    let (scratch, map) = scratch.split_at_mut(conv.weights.scratch_len(&conv.window));
    let (line, mut kept) = (c.line(), 0..0);
    let mut row = rows.start;
    while row < rows.end {
        let picture = row / w.output[0];
        let begin = picture * w.output[0];
        let end = rows.end.min(row + c.rows()).min(begin + w.output[0]);
        let here = w.seen(&(row - begin..end - begin));
        let lines = picture * w.input[0] + here.start..picture * w.input[0] + here.end;
        // What is there already of these lines.
        let old = lines.start.clamp(kept.start, kept.end)..kept.end.min(lines.end);
        let has = if old.start == lines.start { old.len() } else { 0 };
        if has > 0 {
            map.copy_within((old.start - kept.start) * line..(old.start - kept.start + has) * line, 0);
        }
        let pixels = (lines.start + has) * w.input[1]..lines.end * w.input[1];
        let map = &mut map[..lines.len() * line];
        if !pixels.is_empty() {
            let y = map.as_mut_ptr().wrapping_sub(lines.start * line);
            // SAFETY: the map has room for these lines, whose first lies at its start; the arguments were checked.
            unsafe { conv.run(y, pixels, 0..conv.weights.panels(), scratch) }
        }
        let pad = (w.pad[0] + here.start).saturating_sub((row - begin) * w.stride[0]);
        let window = Window {
            batch: 1,
            input: [lines.len(), w.input[1]],
            output: [end - row, w.output[1]],
            pad: [pad, w.pad[1]],
            ..*w
        };
        let args = Pool { window, kind: PoolKind::Max, channels: n, x: map };
        let out = out.slice(row * w.output[1] * n..end * w.output[1] * n);
        // SAFETY: passed on from the caller.
        unsafe { pool(conv.weights.isa(), &args, out, 0..window.pixels()) }
        (kept, row) = (lines, end);
    }
}
