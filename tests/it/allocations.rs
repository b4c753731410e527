//! Allocation counter: a global allocator that counts heap allocations per thread.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The number of allocations, and their bytes in total.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Allocations {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// Runs `work` and returns its result and what it allocated on this thread.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    let before = TAKEN.get();
    let outcome = work();
    let after = TAKEN.get();
    let (count, bytes) = (after.count - before.count, after.bytes - before.bytes);
    (outcome, Allocations { count, bytes })
}

thread_local! {
    static TAKEN: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0 }) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn take(bytes: usize) {
    // The thread-local is gone while its thread ends.
    let _ = TAKEN.try_with(|taken| {
        let Allocations { count, bytes: before } = taken.get();
        taken.set(Allocations { count: count + 1, bytes: before + bytes as u64 });
    });
}

// SAFETY: the system's allocator does all the work, under the caller's own promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[test]
fn allocations_are_counted() {
    let (boxed, taken) = counted(|| Box::new([0_u8; 100]));
    assert_eq!(taken, Allocations { count: 1, bytes: 100 });
    assert_eq!(counted(|| drop(boxed)).1, Allocations::default());
}
