//! A manifest: what is read is written as it was meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe::aof::manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(Manifest::parse(manifest.format().as_bytes()), Ok(manifest));
    }
});
