//! The daemon `troupe`: settings, log, start, wait for the end.

use std::process::ExitCode;

use troupe_actors::daemon;
use troupe_actors::settings::{self, Invocation};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::print_stdout, reason = "what --version and --help ask for")]
fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let variables = std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    let mut input = None;
    let stdin = || Ok(input.insert(std::io::read_to_string(std::io::stdin())?).clone());
    match settings::read(words, variables, stdin) {
        Ok(Invocation::Print(text)) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Invocation::Serve(start)) => daemon::run(*start, input),
        Err(fatal) => {
            eprintln!("{fatal}");
            ExitCode::FAILURE
        }
    }
}
