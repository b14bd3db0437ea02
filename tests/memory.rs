//! What INFO says of memory is what the process takes: `used_memory` is what `maxmemory` and every
//! operator go by, so it must not tell of less.

use crate::support::client::Client;
use crate::support::server::Options;

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
