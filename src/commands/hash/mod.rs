//! Hashes.
//!
//! A family a file. A field that is due is not there: who reads looks as of
//! [`Keys::elements_now`], who writes takes out what it names first ([`Keys::expire_named`]).

pub(super) mod basic;
pub(super) mod counter;
pub(super) mod expiry;
pub(super) mod timed;
pub(super) mod whole;

use crate::commands::call::Call;
use crate::data::hash::{Limits, Lookup};
use crate::keyspace::keys::Keys;

/// Up to where a hash is packed.
fn limits(call: &Call<'_>) -> Limits {
    let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        entries: number(call.settings.hash_max_listpack_entries),
        value_bytes: number(call.settings.hash_max_listpack_value),
    }
}

/// How fields are found by this call.
fn lookup<'a>(call: &Call<'a>, keys: &Keys<'_>) -> Lookup<'a> {
    Lookup { hasher: call.hasher, now: keys.elements_now() }
}
