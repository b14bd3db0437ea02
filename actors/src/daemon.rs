//! The process around the server: background, pidfile, signals, service manager, exit status.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};
use troupe::settings::{Settings, Supervision};

use crate::boot::{self, Given, Server};
use crate::clock::Clock;
use crate::logging;
use crate::settings::Start;

/// Descriptors that the server needs beside those of its clients.
const DESCRIPTORS_SPARE: u64 = 32;

/// Runs the server until it is told to end.
pub fn run(start: Start) -> ExitCode {
    match serve(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("Troupe ends: {error:#}");
            eprintln!("troupe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(start: Start) -> anyhow::Result<()> {
    let Start { mut settings, file, warnings } = start;
    enter_directory(&mut settings)?;
    if settings.daemonize && settings.supervised == Supervision::No {
        go_to_background()?;
    }
    logging::begin(&settings.logfile, logging::filter(settings.loglevel), settings.log_format)
        .with_context(|| format!("the log file {} cannot be opened", settings.logfile))?;
    log_panics();
    info!("Troupe {} is starting", env!("CARGO_PKG_VERSION"));
    warnings.iter().for_each(|warning| warn!("{warning}"));
    raise_descriptors(&mut settings);
    let pidfile = write_pidfile(&settings)?;
    let ended = actix::System::new().block_on(live(settings, file));
    if let Some(path) = pidfile
        && let Err(error) = fs::remove_file(&path)
    {
        warn!("the pid file {path} could not be removed: {error}");
    }
    ended
}

/// From the first actor to the last.
async fn live(settings: Settings, file: Option<crate::settings::ConfigFile>) -> anyhow::Result<()> {
    let (shutdown, mut asked) = mpsc::unbounded_channel();
    let port = settings.port;
    notify(&[NotifyState::Status("Loading the data set")]);
    let server = boot::start(Given { settings, file, clock: Clock::new(), shutdown }).await?;
    info!("Ready to accept connections tcp");
    if port > 0 {
        info!("The server is now ready to accept connections on port {port}");
    }
    notify(&[NotifyState::Ready, NotifyState::Status("Ready to accept connections")]);
    actix::spawn(heartbeat());
    actix::spawn(server.admin().clone().take_samples());
    let why = tokio::select! {
        why = wait_for_signal() => why?,
        _ = asked.recv() => "User requested shutdown...",
    };
    notify(&[NotifyState::Stopping]);
    info!("{why}");
    stop(server).await
}

/// Ends cleanly, unless a second SIGINT comes meanwhile.
async fn stop(server: Server) -> anyhow::Result<()> {
    let mut again = signal(SignalKind::interrupt())?;
    tokio::select! {
        stopped = server.stop() => {
            stopped?;
            info!("Troupe is now ready to exit, bye bye...");
            Ok(())
        }
        _ = again.recv() => {
            warn!("You insist... exiting now.");
            std::process::exit(1)
        }
    }
}

async fn wait_for_signal() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("Received SIGTERM scheduling shutdown..."),
        _ = interrupt.recv() => Ok("Received SIGINT scheduling shutdown..."),
    }
}

/// Tells the service manager that the main thread lives, twice as often as it asks for.
async fn heartbeat() {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        notify(&[NotifyState::Watchdog]);
        tokio::time::sleep(every / 2).await;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("the service manager could not be told: {error}");
    }
}

/// `dir` becomes the directory of the process, and is shown whole.
fn enter_directory(settings: &mut Settings) -> anyhow::Result<()> {
    let dir = settings.dir.clone();
    std::env::set_current_dir(&dir).with_context(|| {
        format!("Can't chdir to '{dir}': set `dir` to a directory that is there")
    })?;
    let whole = std::env::current_dir().context("the directory of the process has no name")?;
    if let Some(whole) = whole.to_str() {
        settings.set("dir", &[whole]).map_err(|error| anyhow::anyhow!("dir: {error}"))?;
    }
    Ok(())
}

/// Starts this program again as the leader of a session of its own, without a terminal, and ends.
///
/// Nothing has been started yet: no thread, no socket.
fn go_to_background() -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    let program = std::env::current_exe().context("the program does not find itself")?;
    Command::new(program)
        .args(std::env::args_os().skip(1))
        .args(["--daemonize", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("the server cannot be started in the background")?;
    std::process::exit(0)
}

/// Raises the limit of descriptors to what `maxclients` needs, or lowers `maxclients`.
fn raise_descriptors(settings: &mut Settings) {
    let wanted = u64::from(settings.maxclients) + DESCRIPTORS_SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted)).or(None);
    let raised = Rlimit { current: Some(wanted), maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return;
    }
    let most = limit.maximum.unwrap_or(wanted);
    let raised = Rlimit { current: Some(most), maximum: limit.maximum };
    let have = if setrlimit(Resource::Nofile, raised).is_ok() {
        most
    } else {
        limit.current.unwrap_or(most)
    };
    let maxclients = have.saturating_sub(DESCRIPTORS_SPARE).max(1);
    warn!(
        "maxclients is {maxclients} instead of {}: the limit of open files is {have}. Raise it \
         with `ulimit -n` or LimitNOFILE",
        settings.maxclients
    );
    let text = maxclients.to_string();
    if let Err(error) = settings.set("maxclients", &[&text]) {
        warn!("maxclients: {error}");
    }
}

fn write_pidfile(settings: &Settings) -> anyhow::Result<Option<String>> {
    if settings.pidfile.is_empty() {
        return Ok(None);
    }
    let path = settings.pidfile.clone();
    fs::write(Path::new(&path), format!("{}\n", std::process::id()))
        .with_context(|| format!("the pid file {path} cannot be written"))?;
    Ok(Some(path))
}

/// A panic goes to the log with its place and backtrace, wherever it is caught.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        error!("{panic}\n{backtrace}");
    }));
}
