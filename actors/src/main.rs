//! The program `troupe`: the daemon (settings, log, start, wait for the end), and tools for files.

use std::io::Read;
use std::process::ExitCode;

use troupe_actors::settings::{self, Invocation};
use troupe_actors::{daemon, tools};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::print_stdout, reason = "what --version and --help ask for")]
fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if tools::are_asked_for(&words) {
        return tools::run(words);
    }
    let mut input = None;
    let stdin = || {
        let mut content = Vec::new();
        std::io::stdin().read_to_end(&mut content)?;
        Ok(input.insert(content).clone())
    };
    match settings::read(words, std::env::vars_os(), stdin) {
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
