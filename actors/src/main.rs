//! The daemon `troupe`: settings, log, start, wait for the end.

use std::io::Read;
use std::process::ExitCode;

use troupe_actors::daemon;
use troupe_actors::settings::{self, Invocation};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::print_stdout, reason = "what --version and --help ask for")]
fn main() -> ExitCode {
    let mut input = None;
    let stdin = || {
        let mut content = Vec::new();
        std::io::stdin().read_to_end(&mut content)?;
        Ok(input.insert(content).clone())
    };
    match settings::read(std::env::args_os().skip(1), std::env::vars_os(), stdin) {
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
