//! Batches drawn ahead by a thread of their own, so that decoding and augmentation run while the network computes.
//!
//! Its pool is as large as the network's: the system shares the cores between them, and whoever has to wait for the other leaves them to
//! it. What a batch holds depends on its place alone, so running ahead changes nothing.

use super::feed::Batch;
use super::views::shuffled;
use super::{Recipe, Task};
use crate::{Error, Result};
use percept_engine::Pool;
use percept_learn::mix::{beta, mixup};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Batches that wait at most.
const WAITING: usize = 2;

/// A batch and what the losses take for it: lists of photos × numbers.
pub(super) type Step = (Batch, Vec<Vec<f32>>);

/// The steps of a training, in order.
pub(super) struct Steps(Receiver<Result<Step>>);

impl Steps {
    /// The next step.
    pub(super) fn next(&self) -> Result<Step> {
        self.0.recv().unwrap_or_else(|_| Err(Error::Setting("no more batches are drawn".into())))
    }
}

impl Task<'_> {
    /// Photos in a step.
    pub(crate) fn batch(&self, recipe: &Recipe) -> usize {
        recipe.batch.min(self.photos.len()).max(1)
    }

    /// Steps in an epoch.
    pub(super) fn in_epoch(&self, recipe: &Recipe) -> u64 {
        (self.photos.len() / self.batch(recipe)) as u64
    }

    /// Begins to draw the steps from this number on.
    pub(super) fn ahead<'s>(&'s self, scope: &'s Scope<'s, '_>, recipe: &'s Recipe, from: u64) -> Result<Steps> {
        let pool = Pool::new(self.settings.pool.threads())?;
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || self.draw(&pool, recipe, from, &sender));
        Ok(Steps(receiver))
    }

    /// Draws until all is drawn, something fails, or nobody listens any more.
    fn draw(&self, pool: &Pool, recipe: &Recipe, from: u64, sender: &SyncSender<Result<Step>>) {
        let in_epoch = self.in_epoch(recipe);
        for epoch in (from / in_epoch) as u32..recipe.epochs {
            let order = shuffled(self.data, self.photos, self.seed, epoch);
            let first = u64::from(epoch) * in_epoch;
            for (step, chosen) in (first..).zip(order.chunks_exact(self.batch(recipe))) {
                if step < from {
                    continue;
                }
                let drawn = self.step(pool, recipe, epoch, step, chosen);
                let failed = drawn.is_err();
                if sender.send(drawn).is_err() || failed {
                    return;
                }
            }
        }
    }

    /// What a step learns from.
    pub(super) fn step(&self, pool: &Pool, recipe: &Recipe, epoch: u32, step: u64, photos: &[usize]) -> Result<Step> {
        let mut batch = self.feed.batch(pool, photos, Some(epoch + 1))?;
        let mut targets = self.answers.lists(photos, recipe.label_smoothing);
        if recipe.mixup > 0.0 || recipe.cutmix > 0.0 {
            let drawn = beta(recipe.mixup.max(recipe.cutmix), self.seed, step)?;
            let share = match recipe.cutmix > 0.0 {
                true => batch.cut(drawn, self.seed, step)?,
                false => batch.mix(drawn)?,
            };
            targets.iter_mut().try_for_each(|list| mixup(list, photos.len(), share))?;
        }
        Ok((batch, targets))
    }
}
