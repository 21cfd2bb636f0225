// SPDX-License-Identifier: GPL-2.0

//! Files of securityfs, without `unsafe` for those who implement one.
//!
//! C headers: `include/linux/fs.h` and `include/linux/security.h`

use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    ffi::{
        c_char,
        c_int, //
    },
    fs::{
        file::flags,
        File,
        LocalFile, //
    },
    new_mutex,
    prelude::*,
    str::CStrExt,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        Mutex, //
    },
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    },
};

/// An open file of securityfs.
///
/// Operations on one open file take turns. The file can only be opened for what is implemented,
/// whatever its mode says: EACCES, also for root.
#[vtable]
pub(crate) trait SecurityFile: Sized + Send + Unpin {
    /// Bytes that one write may have, else EINVAL.
    const MAX_COMMAND: usize = 256;

    /// Makes the state of a newly opened file.
    fn open(opening: &Opening<'_>) -> Result<Self>;

    /// Copies from byte `position` to `out` and returns the number of bytes, 0 at the end.
    fn read(&mut self, _position: u64, _out: &mut UserSliceWriter) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Carries out the command that one `write(2)` consists of, at most
    /// [`Self::MAX_COMMAND`] bytes.
    ///
    /// After it, the file is read from the start.
    fn write(&mut self, _command: &[u8]) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Registers for notification and tells what is ready now.
    fn poll(&mut self, _waiter: &Waiter<'_>) -> Ready {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A file that is being opened.
pub(crate) struct Opening<'a> {
    file: &'a LocalFile,
    data: usize,
}

impl Opening<'_> {
    /// The number that the file was created with.
    pub(crate) fn data(&self) -> usize {
        self.data
    }

    /// EPERM unless the opener has CAP_SYS_ADMIN in the initial user namespace.
    pub(crate) fn require_admin(&self) -> Result {
        // SAFETY: The file is valid, and the initial user namespace always exists.
        let capable = unsafe {
            bindings::file_ns_capable(
                self.file.as_ptr(),
                &raw mut bindings::init_user_ns,
                bindings::CAP_SYS_ADMIN as c_int,
            )
        };
        if capable {
            Ok(())
        } else {
            Err(EPERM)
        }
    }
}

/// Somebody who polls a file.
pub(crate) struct Waiter<'a> {
    file: &'a File,
    table: PollTable<'a>,
}

impl Waiter<'_> {
    /// Has the file polled again when `event` is notified.
    pub(crate) fn wait_for(&self, event: &PollCondVar) {
        self.table.register_wait(self.file, event);
    }
}

/// What a poll finds.
pub(crate) enum Ready {
    /// It can be read.
    Readable,
    /// It can be read, and something happened since it last was.
    Changed,
}

impl Ready {
    const fn mask(self) -> bindings::__poll_t {
        let readable = bindings::POLLIN | bindings::POLLRDNORM;
        match self {
            Self::Readable => readable,
            Self::Changed => readable | bindings::POLLERR | bindings::POLLPRI,
        }
    }
}

/// The state of an open file, as its `private_data` owns it.
type State<T> = Pin<KBox<Mutex<T>>>;

/// File operations, for files with a number as their inode's private data.
#[derive(Clone, Copy)]
pub(crate) struct Operations(&'static bindings::file_operations);

impl Operations {
    /// Those of a [`SecurityFile`].
    pub(crate) const fn of<T: SecurityFile>() -> Self {
        Self(Callbacks::<T>::TABLE)
    }

    /// For C.
    pub(crate) fn as_ptr(self) -> *const bindings::file_operations {
        self.0
    }
}

/// What C calls for a [`SecurityFile`].
struct Callbacks<T: SecurityFile>(PhantomData<T>);

impl<T: SecurityFile> Callbacks<T> {
    const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(bindings::no_seek_end_llseek),
        read: if T::HAS_READ { Some(Self::read) } else { None },
        write: if T::HAS_WRITE {
            Some(Self::write)
        } else {
            None
        },
        poll: if T::HAS_POLL { Some(Self::poll) } else { None },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `file` is being opened, with these operations, and `inode` is its inode.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            let opening = Opening {
                // SAFETY: The file is valid for the call, and nobody else knows it yet.
                file: unsafe { LocalFile::from_raw_file(file) },
                // SAFETY: The inode is valid, and its private data is never changed.
                data: unsafe { (*inode).i_private }.addr(),
            };
            let access = opening.file.flags() & flags::O_ACCMODE;
            if (access != flags::O_WRONLY && !T::HAS_READ)
                || (access != flags::O_RDONLY && !T::HAS_WRITE)
            {
                return Err(EACCES);
            }
            let state: State<T> =
                KBox::pin_init(new_mutex!(T::open(&opening)?, "SecurityFile"), GFP_KERNEL)?;
            // SAFETY: The private data of a file that is being opened is for its operations to set.
            unsafe { (*file).private_data = state.into_foreign() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// [`Self::open`] opened `file`, and this is the last use of it.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` stored what `into_foreign` gave, and nobody borrows it any more.
        drop(unsafe { State::<T>::from_foreign((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// [`Self::open`] opened `file`, which stays open for `'a`.
    unsafe fn state<'a>(file: *mut bindings::file) -> Pin<&'a Mutex<T>> {
        // SAFETY: `open` stored what `into_foreign` gave, and `release` comes after `'a`.
        unsafe { State::<T>::borrow((*file).private_data) }
    }

    /// # Safety
    ///
    /// [`Self::open`] opened `file`, which stays open for the call, and `position` can be read and
    /// written.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        buffer: *mut c_char,
        size: usize,
        position: *mut bindings::loff_t,
    ) -> isize {
        from_result(|| {
            // SAFETY: By the safety requirements.
            let (state, start) = unsafe { (Self::state(file), *position) };
            let start = u64::try_from(start).map_err(|_| EINVAL)?;
            let mut out = UserSlice::new(UserPtr::from_ptr(buffer.cast()), size).writer();
            let count = state.lock().read(start, &mut out)?;
            let end = start.saturating_add(count as u64);
            // SAFETY: By the safety requirements.
            unsafe { *position = end.try_into().unwrap_or(bindings::loff_t::MAX) };
            Ok(count as isize)
        })
    }

    /// # Safety
    ///
    /// [`Self::open`] opened `file`, which stays open for the call, and `position` can be written.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buffer: *const c_char,
        size: usize,
        position: *mut bindings::loff_t,
    ) -> isize {
        from_result(|| {
            if size > T::MAX_COMMAND {
                return Err(EINVAL);
            }
            let mut command = KVec::new();
            UserSlice::new(UserPtr::from_ptr(buffer.cast_mut().cast()), size)
                .reader()
                .read_all(&mut command, GFP_KERNEL)?;
            // SAFETY: By the safety requirements.
            unsafe { Self::state(file) }.lock().write(&command)?;
            // SAFETY: By the safety requirements.
            unsafe { *position = 0 };
            Ok(size as isize)
        })
    }

    /// # Safety
    ///
    /// [`Self::open`] opened `file`, which stays open for the call. `table` is null or valid.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        let waiter = Waiter {
            // SAFETY: The file stays open for the call, and poll does not come from a system call
            // that uses the file position.
            file: unsafe { File::from_raw_file(file) },
            // SAFETY: By the safety requirements.
            table: unsafe { PollTable::from_raw(table) },
        };
        // SAFETY: By the safety requirements.
        unsafe { Self::state(file) }.lock().poll(&waiter).mask()
    }
}

/// A directory that goes away with its files when dropped, unless it is kept.
///
/// # Invariants
///
/// The pointer is a directory of securityfs, which nobody else removes.
pub(crate) struct Directory(*mut bindings::dentry);

impl Directory {
    /// Creates a directory that everybody may enter.
    ///
    /// # Safety
    ///
    /// `parent` is a directory of securityfs.
    pub(crate) unsafe fn create(parent: *mut bindings::dentry, name: &CStr) -> Result<Self> {
        // SAFETY: The parent is valid by the safety requirements; the name is copied.
        let dentry = unsafe { bindings::securityfs_create_dir(name.as_char_ptr(), parent) };
        // INVARIANT: It was just created, and only this value's drop removes it.
        from_err_ptr(dentry).map(Self)
    }

    /// Adds a file with permissions `mode`.
    pub(crate) fn add<T: SecurityFile>(&self, name: &CStr, mode: bindings::umode_t) -> Result {
        // SAFETY: The parent is valid by the type invariant; the name is copied; the operations
        // live for ever.
        from_err_ptr(unsafe {
            bindings::securityfs_create_file(
                name.as_char_ptr(),
                mode,
                self.0,
                ptr::null_mut(),
                Operations::of::<T>().as_ptr(),
            )
        })?;
        Ok(())
    }

    /// Leaves the directory and its files for ever.
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This takes the files along.
        unsafe { bindings::securityfs_remove(self.0) };
    }
}
