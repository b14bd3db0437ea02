//! An RDB file in two pieces: it is cut up, and every value is made. The checksum is not looked at,
//! or nothing behind it would be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe::base::hash::Hasher;
use troupe::base::millis::Millis;
use troupe::rdb::{Cutter, Expired, Forms, Piece, Rules};
use troupe::settings::Settings;

fuzz_target!(|file: &[u8]| {
    let (settings, hasher) = (Settings::default(), Hasher::with_seeds([1, 2, 3, 4]));
    let forms = Forms::of(&settings, &hasher);
    let rules =
        Rules { databases: 16, checks: false, expired_by: Some(Expired::LeftOut(Millis(1 << 40))) };
    let mut cutter = Cutter::new(rules);
    let (first, mut rest) = file.split_at(file.len() / 2);
    cutter.feed(first);
    loop {
        match cutter.next_piece(rest.len() as u64) {
            Ok(Some(Piece::Keys(raw))) => {
                for key in &raw.keys {
                    if let Ok((head, value)) = raw.read(key, forms) {
                        assert_eq!(*head.name, raw.name_of(key));
                        drop(head.with(value));
                    }
                }
            }
            Ok(Some(Piece::End)) | Err(_) => return,
            Ok(Some(_)) => {}
            Ok(None) => cutter.feed(std::mem::take(&mut rest)),
        }
    }
});
