//! The engine's interrupt, cheap enough to be called at each jump of a loop.
//!
//! The binding's own interrupt costs some fifty nanoseconds, ten times what a turn of a small loop
//! does. So it is called only now and then: a function of C stands before it, which counts down and
//! looks at the bytes of the machine. The count belongs to the thread, for it runs one machine at a
//! time, and whoever goes on with a machine sets it.
//!
//! The function of C does what the binding's does, or nothing. It holds nothing that would have to
//! be dropped when an error is thrown through it.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_int;

use mlua::{Lua, ffi};

type Interrupt = unsafe extern "C-unwind" fn(*mut ffi::lua_State, c_int);

thread_local! {
    /// Safepoints until the binding's interrupt is called.
    static LEFT: Cell<u32> = const { Cell::new(0) };
    /// Bytes of the machine when that was called last; where it was another machine, the next call
    /// comes early.
    static BYTES: Cell<usize> = const { Cell::new(0) };
    /// The binding's interrupt.
    static BINDING: Cell<Option<Interrupt>> = const { Cell::new(None) };
}

/// All categories of a machine's memory together.
const ALL: c_int = -1;

/// Bytes that memory may grow or shrink by before the binding's interrupt is called at once: the
/// script has just done something that takes long.
const LEAP_BYTES: usize = 256 * 1024;

/// Sets how many safepoints may pass before the binding's interrupt is called.
pub(super) fn arm(safepoints: u32) {
    LEFT.set(safepoints);
}

/// Puts the function of C before the interrupt of a machine, which must have been set.
pub(super) fn install(lua: &Lua) {
    lua.exec_raw_lua(|raw| {
        // SAFETY: a machine has its callbacks for as long as it lives, `lua` keeps it alive, and
        // nothing of it runs now.
        let callbacks = unsafe { &mut *ffi::lua_callbacks(raw.state()) };
        BINDING.set(callbacks.interrupt);
        callbacks.interrupt = Some(interrupt);
    });
}

/// Called by the engine at each call, return and jump back, and by its collector, which says so by
/// a number that is not negative.
unsafe extern "C-unwind" fn interrupt(state: *mut ffi::lua_State, collecting: c_int) {
    if collecting >= 0 {
        return;
    }
    let left = LEFT.get();
    // SAFETY: the engine passes a state of a machine that is running.
    let bytes = unsafe { ffi::lua_totalbytes(state, ALL) };
    if left > 0 && bytes.abs_diff(BYTES.get()) < LEAP_BYTES {
        LEFT.set(left - 1);
        return;
    }
    BYTES.set(bytes);
    if let Some(binding) = BINDING.get() {
        // SAFETY: the binding's interrupt was set on this machine, and every machine of a thread
        // has the same; it is called as the engine would call it.
        unsafe { binding(state, collecting) }
    }
}
