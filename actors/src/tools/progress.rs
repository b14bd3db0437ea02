//! A bar that says how far the reading of a long file is: on the standard error, if that is a
//! terminal.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// Bytes from which on a bar is worth it.
const LONG: u64 = 64 * 1024 * 1024;

const STYLE: &str = "{bar:40} {bytes} of {total_bytes}, {eta} left";

/// The bar; it goes when it is dropped.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// One that nobody sees where there is no terminal.
    pub(super) fn new() -> Bar {
        let style = ProgressStyle::with_template(STYLE);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Bar(stderr().is_terminal().then(|| ProgressBar::no_length().with_style(style)))
    }

    /// So many bytes of a file of this length were read.
    pub(super) fn reached(&self, at: u64, length: u64) {
        if let Some(bar) = self.0.as_ref().filter(|_| length >= LONG) {
            bar.set_length(length);
            bar.set_position(at);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}
