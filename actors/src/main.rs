//! The daemon `troupe`.

use troupe_actors::clock::Clock;
use troupe_actors::{boot, logging};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let mut settings = troupe::settings::Settings::default();
    let args: Vec<String> = std::env::args().skip(1).collect();
    for pair in args.chunks(2) {
        settings
            .set(pair[0].trim_start_matches("--"), &[&pair[1]])
            .map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    logging::begin("", logging::filter("notice"), logging::Form::Text)?;
    actix::System::new().block_on(async {
        let server = boot::start(settings, Clock::new()).await?;
        tracing::info!("Ready to accept connections tcp");
        actix::clock::sleep(std::time::Duration::from_secs(100000)).await;
        server.stop().await
    })
}
