//! A manifest: what is read is written as it was meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe::aof::manifest::{Fault, Manifest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        match Manifest::parse(manifest.format().as_bytes()) {
            Ok(again) => assert_eq!(again, manifest),
            // A name of control characters grows when it is quoted.
            Err(error) => assert_eq!(error.fault, Fault::LineTooLong),
        }
    }
});
