//! What the tests share: a server to start, a client to talk to it, the script runner, the oracle.
//!
//! `reply` and `client` are a second, independent reading of the wire: they must not use the
//! server's own codec, or a mistake made there would be made twice and seen by nobody.

pub mod client;
pub mod load;
pub mod oracle;
pub mod over_tcp;
pub mod played;
pub mod queues;
pub mod replicated;
pub mod reply;
pub mod samples;
pub mod scatter;
pub mod script;
pub mod server;
pub mod wait;
pub mod wire;

/// A number from the environment, or what stands here. A value that is no number stops the test.
pub fn env_number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// The seed of this run: `TROUPE_SEED`, or a new one. Printed, so that a failure can be repeated.
pub fn seed(test: &str) -> u64 {
    let seed = env_number("TROUPE_SEED", fastrand::u64(..));
    println!("{test}: TROUPE_SEED={seed}");
    seed
}

/// True on the machine that decides: there nothing may be skipped.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Lets this process, and the servers that it starts, open as many sockets as the machine allows.
pub fn allow_many_files() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard = line.split_whitespace().nth(4).unwrap();
    let pid = std::process::id().to_string();
    let limit = format!("--nofile={hard}:{hard}");
    let done = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit is needed for many sockets");
}

/// The folder `tests/` of the checkout.
pub fn tests_folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}
