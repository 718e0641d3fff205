//! Work on many small things, on as many threads as the disk is worth.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::Disk;

/// Fewer than this for each thread are not worth starting one.
const LEAST_SHARE: usize = 64;

/// What `work` gives for each item, in no particular order; what gives nothing is left out.
/// `share` is how many items are worth a thread of their own.
pub(super) fn filter_map<T: Sync, R: Send>(
    disk: &dyn Disk,
    items: &[T],
    share: usize,
    work: impl Fn(&T) -> Option<R> + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let stride = share.clamp(1, LEAST_SHARE);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(stride, Ordering::Relaxed);
            let Some(rest) = items.get(at..).filter(|rest| !rest.is_empty()) else {
                return done;
            };
            done.extend(rest.iter().take(stride).filter_map(&work));
        }
    };
    let helpers = disk
        .concurrency()
        .min(items.len() / share.max(1))
        .saturating_sub(1);
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for (count, share) in [(0, 1), (1, 1), (63, 8), (1000, 1), (1000, 300)] {
            let items: Vec<usize> = (0..count).collect();
            let mut done = filter_map(&crate::disk::RealDisk, &items, share, |item| {
                (item % 3 > 0).then_some(*item)
            });
            done.sort_unstable();
            let expected: Vec<usize> = (0..count).filter(|item| item % 3 > 0).collect();
            assert_eq!(done, expected);
        }
    }
}
