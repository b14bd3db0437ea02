//! A file of settings, in both syntaxes: every directive is tried.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe::settings::{Settings, conf, toml};

fuzz_target!(|bytes: &[u8]| {
    let include = |_: &[u8]| Err("nothing is included".to_owned());
    let mut settings = Settings::default();
    for directive in conf::parse("x.conf", bytes, &include).unwrap_or_default() {
        let _ = settings.set(&directive.name, &directive.words);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for entry in toml::entries(text) {
        for words in toml::lines(entry.value, false).unwrap_or_default() {
            let _ = settings.set(entry.key, &words);
        }
    }
});
