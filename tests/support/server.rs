//! The real server as a process: started on a free loopback port in a folder of its own, watched
//! through its log and `/proc`, ended by signal.
//!
//! Invariant: a `Server` that is dropped leaves no process and no folder behind. When a test
//! panics, the end of the log is printed first.
//!
//! `TROUPE_STAND_IN=redis-server` starts that program in place of `troupe` (options of ours are
//! left out): so the tests themselves can be tried against a server that is known to be right.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::client::Client;
use super::wait::{SOON, until, until_some};

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    shards: Option<usize>,
    file: Option<(String, Vec<u8>)>,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    command: Option<Vec<String>>,
    under: Vec<String>,
}

impl Options {
    /// A server with so many shards and nothing but defaults, no journal.
    pub fn shards(shards: usize) -> Options {
        Options { shards: Some(shards), ..Options::default() }
    }

    /// Another program than `troupe`: its command line, to which port and folder are added.
    pub fn program(command: &[String]) -> Options {
        Options { command: Some(command.to_vec()), ..Options::default() }
    }

    /// Run by another program, to whose command line it is added.
    pub fn under(self, command: &[String]) -> Options {
        Options { under: command.to_vec(), ..self }
    }

    /// Adds `--directive value...`, words separated by blanks.
    pub fn with(mut self, directive: &str) -> Options {
        let mut words = directive.split(' ').map(String::from);
        self.args.push(format!("--{}", words.next().unwrap_or_default()));
        self.args.extend(words);
        self
    }

    /// With a journal, fsynced as said: `always`, `everysec` or `no`.
    pub fn journal(self, appendfsync: &str) -> Options {
        self.with("appendonly yes").with(&format!("appendfsync {appendfsync}"))
    }

    /// DEBUG is allowed.
    pub fn debug(self) -> Options {
        self.with("enable-debug-command yes")
    }

    /// Settings file, written into the server's folder under that name (its ending tells the form).
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Options {
        self.file = Some((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// A variable of the server's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Options {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Under this limit of open files, which the server cannot raise.
    pub fn open_files(self, limit: u64) -> Options {
        let mut words = vec!["prlimit".to_owned(), format!("--nofile={limit}:{limit}")];
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            words.extend(["setpriv", "--bounding-set=-sys_resource"].map(String::from));
        }
        self.under(&words)
    }

    /// Starts it in a new folder and waits until it answers.
    pub fn start(&self) -> Server {
        let server = self.launch();
        server.wait_ready();
        server
    }

    /// Starts it in a new folder; whether it comes up is the test's question.
    pub fn launch(&self) -> Server {
        let folder = tempfile::Builder::new().prefix("troupe-test-").tempdir().unwrap();
        let port = free_port();
        let mut server = Server { options: self.clone(), folder, port, child: None };
        server.spawn();
        server
    }
}

/// A running (or just ended) server.
#[derive(Debug)]
pub struct Server {
    options: Options,
    folder: tempfile::TempDir,
    /// The port on the loopback.
    pub port: u16,
    child: Option<Child>,
}

/// The program, without the `TROUPE_...` variables of the tests: it would take them for settings.
pub fn troupe() -> Command {
    troupe_under(&[])
}

fn troupe_under(words: &[String]) -> Command {
    let mut words = words.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_troupe")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TROUPE_")) {
        command.env_remove(name);
    }
    command
}

/// A port that is free. No connection has it by chance: those have ports further up.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 14_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // Tests of other processes begin elsewhere.
        let port = FIRST + (std::process::id() * 101 + next) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port as u16)).is_ok() {
            return port as u16;
        }
    }
}

impl Server {
    fn command(&self) -> Command {
        let stand_in = std::env::var("TROUPE_STAND_IN").ok();
        let foreign = self.options.command.clone().or(stand_in.map(|program| vec![program]));
        let ours = foreign.is_none();
        let mut command = match &foreign {
            None => troupe_under(&self.options.under),
            Some(words) => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
        };
        if let Some((name, content)) = &self.options.file {
            let path = self.path(name);
            fs::write(&path, content).unwrap();
            command.arg(path);
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        if ours {
            command.arg("--dir").arg(self.folder.path());
            if let Some(shards) = self.options.shards {
                command.args(["--shards", &shards.to_string()]);
            }
        } else if self.options.command.is_none() {
            command.arg("--dir").arg(self.folder.path()).args(["--save", ""]);
        } else {
            // An oracle may live in a root of its own, where the test's folder does not exist.
            command.args(["--dir", "/tmp", "--save", "", "--appendonly", "no"]);
            command.args(["--dbfilename", &self.oracle_file()]);
        }
        command.args(&self.options.args);
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The name of an oracle's snapshot. Another test, or another run, must not find it.
    fn oracle_file(&self) -> String {
        let folder = self.folder.path().file_name().unwrap_or_default();
        format!("{}.rdb", folder.to_string_lossy())
    }

    /// Where a running oracle's snapshot is, seen from here.
    pub fn oracle_path(&self) -> PathBuf {
        format!("/proc/{}/root/tmp/{}", self.pid(), self.oracle_file()).into()
    }

    /// Starts the process; its output goes to the end of the log file.
    fn spawn(&mut self) {
        assert!(self.child.is_none(), "already running");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|err| panic!("{command:?}: {err}"));
        self.child = Some(child);
    }

    /// Waits until PING is answered with PONG (or refused for want of a password).
    pub fn wait_ready(&self) {
        until("the server answers PING", SOON * 3, || {
            assert!(self.is_alive(), "the server ended while starting");
            let Ok(mut client) = Client::connect(self.port) else { return false };
            match client.try_call(&["PING"]) {
                Ok(reply) => match reply.error() {
                    None => true,
                    Some(text) if text.starts_with("NOAUTH") => true,
                    Some(text) if text.starts_with("LOADING") => false,
                    Some(text) => panic!("PING is answered with {text}"),
                },
                Err(_) => false,
            }
        });
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        until_some("a connection is taken", SOON, || Client::connect(self.port).ok())
    }

    /// A file in the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log_path(&self) -> PathBuf {
        self.path("test.log")
    }

    /// All that the process has written to stdout and stderr since the folder was made.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// True while the process runs.
    pub fn is_alive(&self) -> bool {
        self.child.as_ref().is_some_and(|child| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()));
            stat.is_ok_and(|text| !text.rsplit(')').next().unwrap_or(" Z").starts_with(" Z"))
        })
    }

    /// Sends a signal by name (`TERM`, `INT`, `STOP`).
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &self.pid().to_string()]);
        assert!(kill.status().unwrap().success(), "kill -{name}");
    }

    /// kill -9, now.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// Waits until it ends by itself.
    pub fn wait_end(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        let status = until_some("the server ends", within, || child.try_wait().unwrap());
        println!("the server ended: {status}, signal {:?}", status.signal());
        status
    }

    /// SIGTERM; it must end by itself with 0.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait_end(SOON);
        assert!(status.success(), "a clean stop ends with {status}\n{}", self.log());
    }

    /// Starts it again; whether it comes up is the test's question.
    pub fn respawn(&mut self) {
        self.spawn();
    }

    /// Starts it again on the same folder and port and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts it again on the same folder with other options; whether it comes up is the test's
    /// question.
    pub fn respawn_with(&mut self, options: &Options) {
        self.options = options.clone();
        self.spawn();
    }

    /// Starts it again on the same folder with other options and waits until it answers.
    pub fn restart_with(&mut self, options: &Options) {
        self.respawn_with(options);
        self.wait_ready();
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// CPU time used so far, user and system, by all threads.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// How many file descriptors are open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() && self.options.command.is_some() {
            drop(fs::remove_file(self.oracle_path()));
        }
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.lines().count().saturating_sub(40);
            let tail: Vec<&str> = log.lines().skip(from).collect();
            eprintln!("--- end of the server's log\n{}\n---", tail.join("\n"));
        }
    }
}
