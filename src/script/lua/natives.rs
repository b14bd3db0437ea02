//! What the functions of Rust keep for the run that they are in.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use mlua::Function as LuaFunction;

use super::cjson::Settings;
use crate::script::libraries::Function;

/// Functions that a library may register.
const FUNCTIONS_MAX: usize = 10_000;

/// A function that a library has registered.
pub(super) struct Registered {
    pub(super) about: Function,
    pub(super) callback: LuaFunction,
}

/// The state of one run.
#[derive(Default)]
pub(super) struct Natives {
    /// Where the random numbers are: 48 bits.
    random: Cell<u64>,
    /// How JSON is read and written.
    pub(super) json: Settings,
    /// What has been registered, while a library is loaded.
    registering: RefCell<Option<Vec<Registered>>>,
}

impl Natives {
    /// As at the start of a run.
    pub(super) fn reset(&self) {
        self.json.reset();
        self.registering.replace(None);
    }

    /// Sets where random numbers begin, as `srand48` does.
    pub(super) fn seed(&self, seed: u64) {
        self.random.set((seed & 0xffff_ffff) << 16 | 0x330e);
    }

    /// The next of the numbers of `drand48`, from zero up to but not including one.
    pub(super) fn random(&self) -> f64 {
        let next = self.random.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb);
        let next = next & ((1 << 48) - 1);
        self.random.set(next);
        // As `lrand48` gives them: the upper 31 bits.
        let upper = (next >> 17) as u32 & 0x7fff_ffff;
        f64::from(upper % 0x7fff_ffff) / f64::from(0x7fff_ffff)
    }

    /// From now on a library registers its functions.
    pub(super) fn begin_registering(&self) {
        self.registering.replace(Some(Vec::new()));
    }

    /// What it has registered.
    pub(super) fn end_registering(&self) -> Vec<Registered> {
        self.registering.replace(None).unwrap_or_default()
    }

    /// Registers a function.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn register(&self, registered: Registered) -> Result<(), &'static str> {
        let mut registering = self.registering.borrow_mut();
        let Some(known) = registering.as_mut() else {
            return Err("server.register_function can only be called on FUNCTION LOAD command");
        };
        if known.len() >= FUNCTIONS_MAX {
            return Err("too many functions in the library");
        }
        known.push(registered);
        Ok(())
    }

    /// Whether a library is being loaded.
    pub(super) fn is_registering(&self) -> bool {
        self.registering.borrow().is_some()
    }
}

/// What a function says about itself, from what it was registered with.
pub(super) fn described(
    name: String,
    description: Option<Bytes>,
    flags: crate::script::Flags,
) -> Function {
    Function { name, description, flags }
}
