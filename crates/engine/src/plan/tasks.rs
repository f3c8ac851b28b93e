//! How the work of a step is cut into tasks: by its size, never by the number of threads.

use crate::Pool;
use crate::kernels::Out;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The `i`th of `parts` almost equal parts of `0..total`, cut at multiples of `unit`.
pub(super) fn part(total: usize, unit: usize, parts: usize, i: usize) -> Range<usize> {
    let units = total.div_ceil(unit);
    let at = |i: usize| (units * i / parts * unit).min(total);
    at(i)..at(i + 1)
}

/// How many tasks `work` is worth, `grain` being enough for one.
pub(super) fn tasks(work: usize, grain: usize) -> usize {
    (work / grain).clamp(1, 96)
}

/// How many tasks a product of so many floating-point operations is worth: a small one few, so that a small network keeps some threads busy.
pub(super) fn product_tasks(flops: usize) -> usize {
    tasks(flops, GRAIN).max((flops / FINE).min(FEW))
}

/// Floating-point operations that are worth a task: some tens of microseconds.
pub(super) const GRAIN: usize = 4_000_000;
/// Floating-point operations that are worth one of a few tasks: more than it costs to hand it to another thread.
const FINE: usize = 400_000;
/// Tasks that keep a few threads busy.
const FEW: usize = 4;
/// Rows of the register tile of products.
pub(super) const TILE: usize = 14;
/// Elements of memory traffic that are worth a task.
pub(super) const ELEMENTS: usize = 16_384;

/// Cuts a grid of `rows` (at multiples of `row_unit`) and `columns` into about `wish` parts, along the rows first.
///
/// More than two parts along the rows are a multiple of four, or of two where there are no more rows, and many parts along the columns as many as
/// there are units, so that a few threads get equally many.
pub(super) fn grid(rows: usize, row_unit: usize, columns: usize, column_unit: usize, wish: usize) -> (usize, usize) {
    let most = rows.div_ceil(row_unit).max(1);
    let row_parts = match if wish > 2 { wish.next_multiple_of(4) } else { wish.max(1) } {
        even if even <= most => even,
        _ if most > 2 => most / 2 * 2,
        _ => most,
    };
    let units = columns.div_ceil(column_unit).max(1);
    let column_parts = (wish / row_parts).clamp(1, units);
    (row_parts, if column_parts > 1 && 2 * column_parts > units { units } else { column_parts })
}

/// Cuts a product of `rows` and `panels` into about `wish` parts: how many along the rows, of [`TILE`] rows, and along the panels.
///
/// Panels of weights pass by for each part along the rows, so these are some tiles unless the product is small; with `copies`, input is copied for each
/// part along the panels, so these are few.
pub(super) fn product_grid(rows: usize, panels: usize, wish: usize, copies: bool) -> (usize, usize) {
    let unit = if wish > FEW { 4 * TILE } else { TILE };
    let (across, down) = grid(rows, unit, panels, 1, wish);
    (across, if copies { down.min(FEW.div_ceil(across)) } else { down })
}

/// Has the panels of packed weights of `len` floats filled anew.
pub(super) fn fill<P: Send>(pool: &Pool, len: usize, panels: impl Iterator<Item = P>, fill: impl Fn(&mut P) + Sync) {
    each(pool, tasks(len, ELEMENTS), panels, fill);
}

/// Does something with each of the panels, by at most so many tasks.
pub(super) fn each<P: Send>(pool: &Pool, wish: usize, panels: impl Iterator<Item = P>, run: impl Fn(&mut P) + Sync) {
    let panels: Vec<_> = panels.map(Mutex::new).collect();
    let parts = wish.min(panels.len());
    pool.run(parts, &|task, _| {
        let part = &panels[part(panels.len(), 1, parts, task)];
        part.iter().for_each(|panel| run(&mut panel.lock().unwrap_or_else(PoisonError::into_inner)));
    });
}

type Write<'a> = &'a (dyn Fn(Range<usize>, &mut [f32]) + Sync);

/// Has the elements of `out` written in so many parts, cut at multiples of `unit`: `write` gets a range and its elements.
pub(super) fn in_parts(pool: &Pool, out: Out<'_>, parts: usize, unit: usize, write: Write<'_>) {
    pool.run(parts, &|task, _| {
        let range = part(out.len(), unit, parts, task);
        // SAFETY: the parts are disjoint.
        write(range.clone(), unsafe { out.slice_mut(range) });
    });
}
