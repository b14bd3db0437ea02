//! What INFO says of memory is what the process takes: `used_memory` is what `maxmemory` and every
//! operator go by, so it must not tell of less. And what is not used any more, the process gives
//! back.

use std::fs;

use crate::support::client::Client;
use crate::support::seed;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Commands of one pipeline.
const PIPELINE: usize = 500;

/// Bytes of a value, and how many of them: enough for what is fixed to be a small part.
const SIZES: [(usize, usize); 4] =
    [(8, 1_000_000), (64, 400_000), (1_000, 50_000), (10_000, 8_000)];

/// Writes so many keys of the given name with values of the same length.
fn fill(client: &mut Client, name: &str, count: usize, value: &str) {
    for start in (0..count).step_by(PIPELINE) {
        let commands: Vec<Vec<String>> = (start..count.min(start + PIPELINE))
            .map(|number| ["SET", &format!("{name}:{number}"), value].map(String::from).to_vec())
            .collect();
        let replies = client.pipeline(&commands).unwrap();
        assert!(replies.iter().all(|reply| reply.is_ok()));
    }
}

fn used_memory(client: &mut Client) -> u64 {
    let info = client.line("INFO memory").text();
    let field = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    field.expect("INFO has used_memory").trim().parse().unwrap()
}

/// In a fresh process, since what an old one has freed and kept is in its RSS as well.
#[test]
fn used_memory_grows_as_the_resident_memory_does() {
    for (bytes, count) in SIZES {
        let server = Options::shards(2).start();
        let mut client = server.client();
        let value = "v".repeat(bytes);
        // Buffers are there before it counts.
        fill(&mut client, "warm", PIPELINE, &value);
        let (used, rss) = (used_memory(&mut client), server.rss_bytes());
        fill(&mut client, "key", count, &value);
        let used = used_memory(&mut client).saturating_sub(used) as f64;
        let rss = server.rss_bytes().saturating_sub(rss) as f64;
        let per_key = |grown: f64| grown / count as f64;
        println!(
            "{count} values of {bytes} bytes: used_memory grew by {:.1} bytes a key, RSS by {:.1}",
            per_key(used),
            per_key(rss)
        );
        let off = (used - rss).abs() / rss;
        assert!(off <= 0.15, "{bytes} bytes: used_memory is off by {:.0} %", off * 100.0);
    }
}

/// Writes values of many sizes over one another, most of them with a deadline.
fn churn(client: &mut Client, random: &mut fastrand::Rng) {
    const KEYS: u32 = 60_000;
    let value = "v".repeat(900);
    for _ in 0..2 * KEYS as usize / PIPELINE {
        let commands: Vec<Vec<String>> = (0..PIPELINE)
            .map(|_| {
                let (key, size) = (random.u32(..KEYS), random.usize(20..=900));
                let mut words = vec!["SET".into(), format!("key:{key}"), value[..size].into()];
                if random.u8(..4) > 0 {
                    words.extend(["PX".into(), random.u32(1_000..1_000_000).to_string()]);
                }
                words
            })
            .collect();
        client.pipeline(&commands).unwrap();
    }
}

/// Nobody sends anything meanwhile, and nobody asks for a purge.
#[test]
fn an_idle_server_gives_back_what_it_has_freed() {
    let mut random = fastrand::Rng::with_seed(seed("churn"));
    let servers = [1, 2, 4].map(|shards| Options::shards(shards).start());
    let grown = servers.each_ref().map(|server| {
        let before = server.rss_bytes();
        let mut client = server.client();
        churn(&mut client, &mut random);
        let grown = server.rss_bytes() - before;
        client.line("FLUSHALL");
        (before, grown)
    });
    for (server, (before, grown)) in servers.iter().zip(grown) {
        let what = format!("of {} MB more a third is left at the most", grown >> 20);
        until(&what, SOON, || server.rss_bytes() <= before + grown / 3);
    }
}

/// Bytes of the server's memory that are in huge pages.
fn huge_bytes(server: &Server) -> u64 {
    let sums = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid())).unwrap();
    let line = sums.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<u64>().ok()).expect("the kernel counts them") << 10
}

/// Needs Linux 6.1, as they do.
#[test]
fn memory_in_use_is_put_into_huge_pages_and_comes_back_from_there() {
    let [with, without] = ["yes", "no"].map(|value| {
        let server = Options::shards(2).with(&format!("huge-pages {value}")).start();
        let before = server.rss_bytes();
        fill(&mut server.client(), "key", 300_000, &"v".repeat(100));
        (server, before)
    });
    let (server, before) = &with;
    let grown = server.rss_bytes() - before;
    let what = format!("of {} MB half are in huge pages", grown >> 20);
    until(&what, SOON, || huge_bytes(server) >= grown / 2);
    let now = server.rss_bytes() - before;
    assert!(now <= grown + grown / 16, "{grown} bytes have become {now}");
    server.client().line("FLUSHALL");
    until("a third is left at the most", SOON, || server.rss_bytes() <= before + grown / 3);
    assert_eq!(huge_bytes(&without.0), 0);
}

/// Whether the allocator has a thread of its own in the server.
fn has_allocator_thread(server: &Server) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.into_iter().any(|name| name.starts_with("jemalloc"))
}

#[test]
fn the_allocators_thread_follows_its_setting() {
    let server = Options::shards(2).with("jemalloc-bg-thread no").start();
    let mut client = server.client();
    assert!(!has_allocator_thread(&server));
    for (value, is_there) in [("yes", true), ("no", false), ("yes", true)] {
        let set = client.line(&format!("CONFIG SET jemalloc-bg-thread {value}"));
        assert_eq!(set.text(), "OK");
        until("the thread follows", SOON, || has_allocator_thread(&server) == is_there);
    }
    assert_eq!(client.line("MEMORY PURGE").text(), "OK");
    let server = Options::shards(1).start();
    until("by default there is one", SOON, || has_allocator_thread(&server));
}
