// SPDX-License-Identifier: GPL-2.0

//! The settings as boot parameters, `ima_checkpoint.SETTING=VALUE`, which are also shown in
//! `/sys/module/ima_checkpoint/parameters/`.
//!
//! `module!` has no parameters with a rule of their own for what is a value, nor any that sysfs
//! shows. This table is made of the settings, so that each is declared once.

use crate::config::{
    self,
    CONFIG, //
};
use core::{
    fmt::Write,
    ptr,
    slice, //
};
use kernel::{
    bindings,
    error::from_result,
    ffi::{
        c_char,
        c_int, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter, //
};

const PREFIX: &str = "ima_checkpoint.";
/// Bytes for the prefix, a name and the NUL after it. A longer name does not compile.
const ROOM: usize = 64;

/// The names of the parameters, each with at least one NUL after it.
static NAMES: [[u8; ROOM]; config::COUNT] = {
    let mut names = [[0; ROOM]; config::COUNT];
    let mut at = 0;
    while at < config::COUNT {
        let name = config::name(at).as_bytes();
        assert!(PREFIX.len() + name.len() < ROOM);
        let mut byte = 0;
        while byte < PREFIX.len() + name.len() {
            names[at][byte] = if byte < PREFIX.len() {
                PREFIX.as_bytes()[byte]
            } else {
                name[byte - PREFIX.len()]
            };
            byte += 1;
        }
        at += 1;
    }
    names
};

static OPERATIONS: bindings::kernel_param_ops = bindings::kernel_param_ops {
    // Without a value it comes to `set` as well, and is not taken.
    flags: bindings::KERNEL_PARAM_OPS_FL_NOARG,
    set: Some(set),
    get: Some(get),
    free: None,
};

/// Entries of the kernel's table of parameters.
#[repr(transparent)]
struct Parameters([bindings::kernel_param; config::COUNT]);

// SAFETY: The kernel only reads the entries.
unsafe impl Sync for Parameters {}

#[link_section = "__param"]
#[used(compiler)]
static PARAMETERS: Parameters = {
    let parameter = bindings::kernel_param {
        name: ptr::null(),
        mod_: ptr::null_mut(),
        ops: ptr::from_ref(&OPERATIONS),
        perm: 0o400,
        level: -1,
        flags: 0,
        __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
            arg: ptr::null_mut(),
        },
    };
    let mut parameters = [parameter; config::COUNT];
    let mut at = 0;
    while at < config::COUNT {
        parameters[at].name = NAMES[at].as_ptr().cast();
        at += 1;
    }
    Parameters(parameters)
};

/// The setting that a parameter stands for.
///
/// # Safety
///
/// `parameter` is one of [`PARAMETERS`].
unsafe fn name<'a>(parameter: *const bindings::kernel_param) -> &'a [u8] {
    // SAFETY: By the safety requirements; the name is one of `NAMES`, which end with NUL.
    let name = unsafe { CStr::from_char_ptr((*parameter).name) }.to_bytes();
    name.strip_prefix(PREFIX.as_bytes()).unwrap_or(name)
}

/// # Safety
///
/// `value` is null, or a string that ends with NUL, and `parameter` is one of [`PARAMETERS`].
unsafe extern "C" fn set(value: *const c_char, parameter: *const bindings::kernel_param) -> c_int {
    // SAFETY: By the safety requirements.
    let name = unsafe { name(parameter) };
    let value = if value.is_null() {
        &[]
    } else {
        // SAFETY: By the safety requirements.
        unsafe { CStr::from_char_ptr(value) }.to_bytes()
    };
    from_result(|| CONFIG.set(name, value).map(|()| 0))
}

/// # Safety
///
/// `buffer` is writable for a page, and `parameter` is one of [`PARAMETERS`].
unsafe extern "C" fn get(buffer: *mut c_char, parameter: *const bindings::kernel_param) -> c_int {
    // SAFETY: By the safety requirements.
    let (name, buffer) = unsafe {
        (
            name(parameter),
            slice::from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE),
        )
    };
    let mut text = Formatter::new(buffer);
    from_result(|| {
        CONFIG.write_value(name, &mut text)?;
        text.write_char('\n').map_err(|_| EINVAL)?;
        Ok(text.bytes_written() as c_int)
    })
}
