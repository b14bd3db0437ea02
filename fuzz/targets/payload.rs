//! The payload of RESTORE, whose checksum is put right first; what it makes is dumped, and comes
//! back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe::base::hash::Hasher;
use troupe::rdb::{Dialect, Forms, crc64, dump, restore};
use troupe::settings::Settings;

fuzz_target!(|body: &[u8]| {
    let (settings, hasher) = (Settings::default(), Hasher::with_seeds([1, 2, 3, 4]));
    let forms = Forms::of(&settings, &hasher);
    let mut payload = body.to_vec();
    payload.extend(crc64(body).to_le_bytes());
    let Ok(loaded) = restore(&payload, false, forms) else { return };
    let entry = loaded.into_entry(b"k", None);
    // Deadlines of members, say, have no place in a payload.
    let Ok(again) = dump(&entry, true, Dialect::TIMED) else { return };
    restore(&again, false, forms).expect("what is dumped can be restored");
});
