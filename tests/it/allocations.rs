//! Counts what a piece of code takes from the heap, thread by thread.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// How often, and how many bytes in all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Allocations {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// Runs it, and counts.
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
    // A thread that ends may have lost it.
    let _ = TAKEN.try_with(|taken| {
        let Allocations { count, bytes: before } = taken.get();
        taken.set(Allocations { count: count + 1, bytes: before + bytes as u64 });
    });
}

// SAFETY: all is done by the system's allocator, under the caller's own promises.
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
fn what_is_taken_is_counted() {
    let (boxed, taken) = counted(|| Box::new([0_u8; 100]));
    assert_eq!(taken, Allocations { count: 1, bytes: 100 });
    assert_eq!(counted(|| drop(boxed)).1, Allocations::default());
}
