//! Hashes.
//!
//! A family a file. Expired fields are taken out before a command sees the hash.

pub(super) mod basic;
pub(super) mod counter;
pub(super) mod expiry;
pub(super) mod timed;
pub(super) mod whole;

use crate::commands::call::Call;
use crate::data::hash::Limits;

/// Up to where a hash is packed.
fn limits(call: &Call<'_>) -> Limits {
    let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        entries: number(call.settings.hash_max_listpack_entries),
        value_bytes: number(call.settings.hash_max_listpack_value),
    }
}
