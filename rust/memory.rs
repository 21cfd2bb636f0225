// SPDX-License-Identifier: GPL-2.0

//! Memory that may run out: the kernel's vectors and boxes, whose allocations a test can make fail
//! one after the other. Without KUnit they are the kernel's own.

#[cfg(not(CONFIG_KUNIT = "y"))]
pub(crate) use kernel::alloc::{
    KBox,
    KVVec,
    KVec, //
};

#[cfg(CONFIG_KUNIT = "y")]
pub(crate) use failing::{
    KBox,
    KVVec,
    KVec, //
};

/// Fails if a test has the next allocation fail. What allocates an `Arc` asks first.
#[inline(always)]
pub(crate) fn ask() -> kernel::error::Result {
    #[cfg(CONFIG_KUNIT = "y")]
    if failing::strikes() {
        return Err(kernel::prelude::ENOMEM);
    }
    Ok(())
}

#[cfg(CONFIG_KUNIT = "y")]
pub(crate) mod failing {
    //! Allocations of one task that fail.

    use core::{
        alloc::Layout,
        marker::PhantomData,
        ptr::NonNull, //
    };
    use kernel::{
        alloc::{
            allocator::{
                KVmalloc,
                Kmalloc, //
            },
            AllocError,
            Allocator,
            Box,
            Flags,
            NumaNode,
            Vec, //
        },
        prelude::*,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
    };

    pub(crate) type KBox<T> = Box<T, Failing<Kmalloc>>;
    pub(crate) type KVec<T> = Vec<T, Failing<Kmalloc>>;
    pub(crate) type KVVec<T> = Vec<T, Failing<KVmalloc>>;

    /// The task whose allocations are counted, by its address; 0 if none is.
    static TASK: Atomic<usize> = Atomic::new(0);
    /// Allocations of it so far.
    static COUNT: Atomic<u64> = Atomic::new(0);
    /// Number of the one that fails.
    static VICTIM: Atomic<u64> = Atomic::new(u64::MAX);

    fn this_task() -> usize {
        let current: &kernel::task::Task = kernel::current!();
        core::ptr::from_ref(current).addr()
    }

    /// Runs `work` of which allocation number `victim` fails, from 0 on. Returns what `work` did,
    /// and whether it came so far.
    pub(crate) fn failing_at<R>(victim: u64, work: impl FnOnce() -> R) -> (R, bool) {
        COUNT.store(0, Relaxed);
        VICTIM.store(victim, Relaxed);
        TASK.store(this_task(), Relaxed);
        let result = work();
        TASK.store(0, Relaxed);
        (result, COUNT.load(Relaxed) > victim)
    }

    /// Runs `work`, whose allocations do not count.
    pub(crate) fn never<R>(work: impl FnOnce() -> R) -> R {
        let task = TASK.load(Relaxed);
        TASK.store(0, Relaxed);
        let result = work();
        TASK.store(task, Relaxed);
        result
    }

    /// Counts an allocation, and tells whether it is the one that is to fail.
    pub(super) fn strikes() -> bool {
        let task = TASK.load(Relaxed);
        task != 0 && task == this_task() && COUNT.fetch_add(1, Relaxed) == VICTIM.load(Relaxed)
    }

    /// An allocator that fails when a test wants it to.
    pub(crate) struct Failing<A>(PhantomData<A>);

    // SAFETY: All memory is of `A`, which fulfils the requirements; failing is always allowed.
    unsafe impl<A: Allocator> Allocator for Failing<A> {
        const MIN_ALIGN: usize = A::MIN_ALIGN;

        unsafe fn realloc(
            ptr: Option<NonNull<u8>>,
            layout: Layout,
            old_layout: Layout,
            flags: Flags,
            nid: NumaNode,
        ) -> Result<NonNull<[u8]>, AllocError> {
            if layout.size() > old_layout.size() && strikes() {
                return Err(AllocError);
            }
            // SAFETY: The caller keeps the same requirements.
            unsafe { A::realloc(ptr, layout, old_layout, flags, nid) }
        }
    }
}
