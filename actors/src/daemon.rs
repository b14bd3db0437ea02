//! The process around the server: background, pidfile, signals, service manager, exit status.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};
use troupe::commands::action::Shutdown;
use troupe::route::{self, ShardId};
use troupe::settings::{OnSignal, Settings, Supervision};

use crate::admin::Admin;
use crate::boot::{self, Launch, Server};
use crate::clock::Clock;
use crate::descriptors::{Descriptors, Shortage};
use crate::logging;
use crate::settings::{ConfigFile, Start};

/// The variable by which a process knows that it was started to go on in the background.
const IN_BACKGROUND: &str = "DAEMON_OF_TROUPE";

/// What it says to whoever has started it, once it has left the terminal.
const HAS_LEFT: &str = "in the background\n";

/// Runs the server until it is told to end. `input` is what the settings took from standard input.
pub fn run(start: Start, input: Option<Vec<u8>>) -> ExitCode {
    match serve(start, input) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("Troupe ends: {error:#}");
            // The terminal may have gone.
            let _ = writeln!(io::stderr(), "troupe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(start: Start, input: Option<Vec<u8>>) -> anyhow::Result<()> {
    let Start { mut settings, file, warnings } = start;
    let began_in = std::env::current_dir();
    enter_directory(&mut settings)?;
    logging::begin(&settings.logfile, logging::filter(settings.loglevel), settings.log_format)
        .with_context(|| format!("the log file {} cannot be opened", settings.logfile.display()))?;
    if settings.daemonize && !is_supervised(settings.supervised) {
        if std::env::var_os(IN_BACKGROUND).is_none() {
            let began_in = began_in.context("the directory of the start has no name")?;
            return start_in_background(began_in, input);
        }
        leave_terminal().context("the server cannot leave its terminal")?;
    }
    log_panics();
    info!("Troupe {} is starting", env!("CARGO_PKG_VERSION"));
    warnings.iter().for_each(|warning| warn!("{warning}"));
    let shards = count_shards(&settings);
    let descriptors = make_room(&mut settings, shards)?;
    let pidfile = write_pidfile(&settings.pidfile);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the event loop of the main thread cannot be made")?;
    let system = actix::System::with_tokio_rt(|| runtime);
    let ended = system.block_on(live(settings, shards, file, descriptors));
    if let Some(path) = pidfile
        && let Err(error) = fs::remove_file(&path)
    {
        warn!("the pid file {} could not be removed: {error}", path.display());
    }
    ended
}

/// From the first actor to the last.
async fn live(
    settings: Settings,
    shards: ShardId,
    file: Option<ConfigFile>,
    descriptors: Descriptors,
) -> anyhow::Result<()> {
    let (shutdown, may_end) = mpsc::unbounded_channel();
    let mut causes = Causes::new(may_end).context("signals cannot be heard")?;
    let port = settings.port;
    notify(&[NotifyState::Status("Loading the data set")]);
    let launch = Launch { settings, shards, file, clock: Clock::new(), shutdown, descriptors };
    let server = tokio::select! {
        server = boot::start(launch) => server?,
        cause = causes.wait() => {
            info!("{}", cause.words());
            info!("The data set is not loaded yet: there is nothing to write");
            return Ok(());
        }
    };
    info!("Ready to accept connections tcp");
    if port > 0 {
        info!("The server is now ready to accept connections on port {port}");
    }
    notify(&[NotifyState::Ready, NotifyState::Status("Ready to accept connections")]);
    actix::spawn(heartbeat());
    actix::spawn(server.admin().clone().take_samples());
    actix::spawn(server.admin().clone().save_now_and_then());
    actix::spawn(server.admin().clone().tend_replicas());
    actix::spawn(server.admin().clone().follow_primary());
    let admin = server.admin();
    let mut by_signal = false;
    loop {
        let cause = causes.wait().await;
        let (settings, is_ending) = (admin.settings(), admin.is_ending());
        by_signal &= is_ending;
        let OnSignal { save, nosave, now, force, .. } = match cause {
            Cause::MayEnd => break,
            Cause::Interrupt if by_signal => insist(admin).await,
            Cause::Interrupt => settings.shutdown.on_sigint,
            Cause::Terminate => settings.shutdown.on_sigterm,
        };
        info!("{}", cause.words());
        by_signal = true;
        let save = save.then_some(true).or(nosave.then_some(false));
        admin.begin_end(Shutdown { save, now, force, ..Shutdown::default() }, None);
    }
    notify(&[NotifyState::Stopping]);
    stop(server).await
}

/// Ends at once: a second SIGINT has come before the first one has ended the server.
async fn insist(admin: &Admin) -> ! {
    warn!("You insist... exiting now.");
    admin.drop_snapshot().await;
    std::process::exit(1)
}

/// Ends cleanly, unless a second SIGINT comes meanwhile.
async fn stop(server: Server) -> anyhow::Result<()> {
    let mut again = signal(SignalKind::interrupt())?;
    let admin = server.admin().clone();
    tokio::select! {
        stopped = server.stop() => {
            stopped?;
            info!("Troupe is now ready to exit, bye bye...");
            Ok(())
        }
        _ = again.recv() => insist(&admin).await,
    }
}

/// What ends the server.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Terminate,
    Interrupt,
    /// Somebody has asked for the end, and it may come.
    MayEnd,
}

impl Cause {
    fn words(self) -> &'static str {
        match self {
            Cause::Terminate => "Received SIGTERM scheduling shutdown...",
            Cause::Interrupt => "Received SIGINT scheduling shutdown...",
            Cause::MayEnd => "The server may end.",
        }
    }
}

/// What may end the server: signals, and what the server says of an end that is under way.
struct Causes {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    may_end: mpsc::UnboundedReceiver<()>,
}

impl Causes {
    /// From now on the process ends by none of the signals that Valkey survives.
    fn new(may_end: mpsc::UnboundedReceiver<()>) -> io::Result<Causes> {
        // A signal that was asked for once keeps its handler for good: it does nothing any more.
        for kind in [SignalKind::alarm(), SignalKind::user_defined2()] {
            drop(signal(kind)?);
        }
        Ok(Causes {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            may_end,
        })
    }

    /// Waits until the server is to end. A hang-up only opens the log anew.
    async fn wait(&mut self) -> Cause {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Cause::Terminate,
                _ = self.interrupt.recv() => return Cause::Interrupt,
                _ = self.may_end.recv() => return Cause::MayEnd,
                _ = self.hangup.recv() => {
                    logging::reopen();
                    info!("Received SIGHUP: the log is opened anew");
                }
            }
        }
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
        format!("Can't chdir to '{}': set `dir` to a directory that is there", dir.display())
    })?;
    let whole = std::env::current_dir().context("the directory of the process has no name")?;
    let set = settings.set("dir", &[whole.as_os_str().as_bytes()]);
    set.map_err(|error| anyhow::anyhow!("dir: {error}"))
}

/// Whether there is the service manager that the settings speak of.
fn is_supervised(supervision: Supervision) -> bool {
    let has = |name| std::env::var_os(name).is_some();
    let (systemd, upstart) = (has("NOTIFY_SOCKET"), has("UPSTART_JOB"));
    match supervision {
        Supervision::No => false,
        Supervision::Systemd => systemd,
        Supervision::Upstart => upstart,
        Supervision::Auto => systemd || upstart,
    }
}

/// Starts this program again as it was started, to go on in the background. Returns when that one
/// has left the terminal: a session whose leader ends takes its processes with it.
///
/// Nothing has been started yet: no thread, no socket.
fn start_in_background(directory: PathBuf, input: Option<Vec<u8>>) -> anyhow::Result<()> {
    use std::process::{Command, Stdio};
    let program = std::env::current_exe().context("the program does not find itself")?;
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut server = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(IN_BACKGROUND, "yes")
        .current_dir(directory)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the server cannot be started in the background")?;
    if let (Some(mut stdin), Some(input)) = (server.stdin.take(), input) {
        stdin.write_all(&input).context("the server in the background reads nothing")?;
    }
    let mut said = String::new();
    if let Some(mut stdout) = server.stdout.take() {
        stdout.read_to_string(&mut said).context("the server in the background says nothing")?;
    }
    if said != HAS_LEFT {
        let status = server.wait().context("the server in the background cannot be waited for")?;
        bail!("the server in the background has ended: {status}");
    }
    Ok(())
}

/// In the process that was started to go on in the background: begins a session of its own, and
/// tells who waits for that.
fn leave_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    io::stdout().write_all(HAS_LEFT.as_bytes())?;
    io::stdout().flush()?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(())
}

/// How many shards there will be. The log says it, and how to have more.
fn count_shards(settings: &Settings) -> ShardId {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = route::count_shards(settings.shards, cores);
    match settings.shards {
        0 => info!(
            "Shards: {count}, one for each four of {cores} cores. More pay when one thread is busy \
             and other cores are idle: set 'shards'"
        ),
        _ => info!("Shards: {count}, as 'shards' says, on {cores} cores"),
    }
    count
}

/// Makes room for `maxclients` clients, or lowers it to as many as there is room for.
fn make_room(settings: &mut Settings, shards: ShardId) -> anyhow::Result<Descriptors> {
    const REMEDY: &str = "raise it with `ulimit -n` or LimitNOFILE";
    let descriptors = Descriptors::count(usize::from(shards));
    let Err(shortage) = descriptors.make_room(settings) else { return Ok(descriptors) };
    let (Shortage { limit, reserve }, clients) = (shortage, shortage.clients());
    if clients == 0 {
        bail!(
            "the limit of open files is {limit}, and {} are needed to serve one client: {REMEDY}, \
             or set fewer `shards`",
            reserve + 1
        );
    }
    warn!(
        "maxclients is {clients} instead of {}: the limit of open files is {limit}, of which the \
         server itself needs {reserve}. To have more, {REMEDY}",
        settings.maxclients
    );
    let set = settings.set("maxclients", &[&clients.to_string()]);
    set.map_err(|error| anyhow::anyhow!("maxclients: {error}"))?;
    Ok(descriptors)
}

/// Writes the process id to a file where that is possible: nothing in the server depends on it.
fn write_pidfile(path: &Path) -> Option<PathBuf> {
    if path.as_os_str().is_empty() {
        return None;
    }
    match fs::write(path, format!("{}\n", std::process::id())) {
        Ok(()) => Some(path.to_owned()),
        Err(error) => {
            warn!("the pid file {} is not written: {error}", path.display());
            None
        }
    }
}

/// A panic goes to the log with its place and backtrace, wherever it is caught.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        error!("{panic}\n{backtrace}");
    }));
}
