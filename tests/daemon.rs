//! The daemon from the outside: settings and their files, signals, sockets, the service manager.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server, free_port, troupe};
use crate::support::tests_folder;
use crate::support::wait::{SOON, until, until_some};

/// A start that must fail: its log.
fn refused(options: &Options) -> String {
    let mut server = options.launch();
    let status = server.wait_end(SOON);
    assert!(!status.success(), "it ended as if all were well:\n{}", server.log());
    server.log()
}

/// The file, the line and the remedy are named.
fn says(log: &str, file: &str, line: usize, words: &[&str]) {
    assert!(log.contains(file), "no file name in: {log}");
    let number = line.to_string();
    let named = log.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == number);
    assert!(named, "no line {line} in: {log}");
    for word in words {
        assert!(log.contains(word), "no {word:?} in: {log}");
    }
}

#[test]
fn an_unknown_directive_stops_the_start() {
    let log = refused(&Options::default().file("own.toml", "# one\ntimeout = 3\nbogus-name = 1\n"));
    says(&log, "own.toml", 3, &["bogus-name"]);
    let log = refused(&Options::default().file("own.conf", "timeout 3\n\n# x\nbogus-name 1\n"));
    says(&log, "own.conf", 4, &["bogus-name"]);
}

#[test]
fn a_bad_value_stops_the_start() {
    let log = refused(&Options::default().file("own.toml", "\ntimeout = \"soon\"\n"));
    says(&log, "own.toml", 2, &["timeout", "soon"]);
    let log = refused(&Options::default().file("own.conf", "maxclients 0\n"));
    says(&log, "own.conf", 1, &["maxclients"]);
    let log = refused(&Options::default().with("appendfsync sometimes"));
    assert!(log.contains("appendfsync") && log.contains("always"), "{log}");
}

#[test]
fn a_missing_file_stops_the_start() {
    let output = troupe().arg("/nonexistent/troupe.toml").output().unwrap();
    assert!(!output.status.success());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("/nonexistent/troupe.toml"), "{said}");
}

#[test]
fn harmless_directives_are_taken_with_a_warning() {
    let server = Options::default().file("own.conf", "activedefrag yes\ntimeout 7\n").start();
    assert!(server.log().contains("activedefrag"), "no warning");
    assert_eq!(config(&server, "timeout"), "7");
}

fn config(server: &Server, name: &str) -> String {
    let reply = server.client().call(&["CONFIG", "GET", name]);
    match reply.members().get(1) {
        Some(value) => value.text(),
        None => panic!("CONFIG GET {name}: {reply:?}"),
    }
}

/// A TOML value as CONFIG GET writes it.
fn as_config(value: &toml::Value) -> String {
    match value {
        toml::Value::Boolean(yes) => if *yes { "yes" } else { "no" }.to_string(),
        toml::Value::Array(values) => values.iter().map(as_config).collect::<Vec<_>>().join(" "),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `1gb` and the like as bytes; other texts as they are.
fn without_unit(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let factor: u64 = match &lower[split..] {
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return lower,
    };
    lower[..split].parse::<u64>().map_or(lower, |number| (number * factor).to_string())
}

/// The log says how many shards there are, and how to have more where nobody chose the number.
#[test]
fn the_log_says_how_many_shards_there_are() {
    let log = Options::shards(3).start().log();
    assert!(log.contains("Shards: 3, as 'shards' says"), "{log}");
    let log = Options::default().start().log();
    let cores = std::thread::available_parallelism().unwrap().get();
    let count = (cores / 4).max(1);
    assert!(log.contains(&format!("Shards: {count}, one for each four of {cores} cores")), "{log}");
    assert!(log.contains("set 'shards'"), "{log}");
}

/// `config/troupe.toml` names every setting that is served, with its default; the server agrees,
/// setting by setting. That no name is missing is a test of the table beside it.
#[test]
fn every_setting_of_the_file_is_read_back() {
    let path = tests_folder().join("../config/troupe.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert!(table.len() > 30, "only {} settings in the file", table.len());
    // What the test itself must choose to run at all.
    let own = ["port", "bind", "dir", "daemonize", "pidfile", "logfile", "shards"];
    let server = Options::default().file("troupe.toml", &text).start();
    let words = |text: &str| text.split(' ').map(without_unit).collect::<Vec<_>>();
    for (name, value) in table.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        assert_eq!(words(&config(&server, name)), words(&as_config(value)), "{name}");
    }
}

/// File, then environment, then command line: the later wins.
#[test]
fn the_command_line_wins_over_environment_and_file() {
    let file = "timeout = 1\ntcp-keepalive = 11\nmaxclients = 101\n";
    let options = Options::default().file("own.toml", file);
    let options = options.environment("TROUPE_TCP_KEEPALIVE", "22");
    let options = options.environment("TROUPE_MAXCLIENTS", "202").with("maxclients 303");
    let server = options.start();
    assert_eq!(config(&server, "timeout"), "1");
    assert_eq!(config(&server, "tcp-keepalive"), "22");
    assert_eq!(config(&server, "maxclients"), "303");
}

#[test]
fn config_rewrite_keeps_comments_and_other_lines() {
    let file = "# my server\ntimeout = 1 # seconds\n\n# how many\nmaxclients = 100\n";
    let server = Options::default().file("own.toml", file).start();
    let mut client = server.client();
    assert!(client.line("CONFIG SET timeout 9").is_ok());
    assert!(client.line("CONFIG REWRITE").is_ok());
    let text = std::fs::read_to_string(server.path("own.toml")).unwrap();
    for kept in ["# my server", "# seconds", "# how many", "maxclients = 100", "timeout = 9"] {
        assert!(text.contains(kept), "{kept:?} is not in:\n{text}");
    }
}

#[test]
fn check_config_version_and_help_end_at_once() {
    let run = |args: &[&str]| {
        let output = troupe().args(args).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (good, said) = run(&["--version"]);
    assert!(good && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    let (good, said) = run(&["--help"]);
    assert!(good && said.contains("--check-config"), "{said}");
    let file = tests_folder().join("../config/troupe.toml");
    let (good, said) = run(&[&file.to_string_lossy(), "--check-config"]);
    assert!(good, "{said}");
    let (good, _) = run(&["--port", "many", "--check-config"]);
    assert!(!good);
}

/// The service manager hears of READY after loading, and of STOPPING.
#[test]
fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut server = Options::shards(2)
        .journal("always")
        .with("supervised systemd")
        .environment("NOTIFY_SOCKET", &path.to_string_lossy())
        .environment("WATCHDOG_USEC", "400000")
        .start();
    let mut heard = String::new();
    let mut hear = |wanted: &str| {
        until(&format!("the service manager hears {wanted}"), SOON, || {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap();
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
            heard.push('\n');
            heard.lines().any(|line| line.starts_with(wanted))
        });
        heard.clone()
    };
    let first = hear("READY=1");
    hear("STATUS=");
    hear("WATCHDOG=1");
    assert!(!first.contains("STOPPING=1"), "{first}");
    server.stop();
    hear("STOPPING=1");
}

#[test]
fn a_second_sigint_ends_at_once() {
    // So that what is answered is in the file, however soon the end comes.
    let mut server = Options::shards(2).journal("always").start();
    server.client().line("SET k v");
    server.signal("INT");
    if server.is_alive() {
        server.signal("INT");
    }
    server.wait_end(Duration::from_secs(5));
    server.restart();
    assert_eq!(server.client().line("GET k").text(), "v");
}

#[test]
fn shutdown_ends_the_process_and_keeps_the_journal() {
    let mut server = Options::shards(2).journal("everysec").start();
    let mut client = server.client();
    client.line("SET k v");
    assert!(client.line("SHUTDOWN BOGUS").error().is_some());
    client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    assert!(client.read_to_end().unwrap().is_empty(), "SHUTDOWN has no reply");
    assert!(server.wait_end(SOON).success());
    server.restart();
    assert_eq!(server.client().line("GET k").text(), "v");
}

#[test]
fn the_pidfile_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("troupe.pid");
    let mut server = Options::shards(1).with(&format!("pidfile {}", path.display())).start();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim(), server.pid().to_string());
    server.stop();
    assert!(!path.exists(), "the pidfile is still there");
}

/// As with Debian's redis.conf where there is no /run/redis.
#[test]
fn a_pidfile_that_cannot_be_written_is_done_without() {
    for path in ["/nonexistent/troupe.pid", "/dev/null/troupe.pid", "/"] {
        let mut server = Options::shards(1).with(&format!("pidfile {path}")).start();
        let log = server.log();
        assert!(log.contains(&format!("# the pid file {path} is not written: ")), "{log}");
        assert_eq!(config(&server, "pidfile"), path);
        server.stop();
        assert!(!server.log().contains("could not be removed"), "{}", server.log());
    }
}

/// What the server cannot do without ends the start, as with Valkey.
#[test]
fn a_log_or_socket_that_cannot_be_opened_ends_the_start() {
    for directive in ["logfile /nonexistent/troupe.log", "unixsocket /nonexistent/troupe.sock"] {
        let log = refused(&Options::shards(1).with(directive));
        assert!(log.contains("/nonexistent/troupe.") && log.contains("No such file"), "{log}");
    }
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("troupe.sock");
    let options = Options::shards(2).with(&format!("unixsocket {}", path.display()));
    let mut server = options.with("unixsocketperm 700").start();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o700);
    let mut client = Client::connect_unix(&path).unwrap();
    assert!(client.line("SET k v").is_ok());
    assert_eq!(server.client().line("GET k").text(), "v");
    server.stop();
    assert!(!path.exists(), "the socket is still there");
}

#[test]
fn a_password_is_asked_for() {
    let server = Options::shards(2).with("requirepass secret").start();
    let mut client = server.client();
    let refused = |reply: Reply, start: &str| {
        assert!(reply.error().is_some_and(|text| text.starts_with(start)), "{reply:?}");
    };
    refused(client.line("GET k"), "NOAUTH");
    refused(client.line("PING"), "NOAUTH");
    refused(client.line("AUTH wrong"), "WRONGPASS");
    refused(client.line("HELLO 3"), "NOAUTH");
    refused(client.line("HELLO 3 AUTH default wrong"), "WRONGPASS");
    refused(client.line("GET k"), "NOAUTH");
    // As in Redis, which looks a command up before it asks who calls.
    refused(client.line("BOGUS"), "ERR unknown command");
    assert!(client.line("AUTH default secret").is_ok());
    assert!(client.line("SET k v").is_ok());
    let mut other = server.client();
    assert!(matches!(other.line("HELLO 3 AUTH default secret"), Reply::Map(_)));
    assert_eq!(other.line("GET k").text(), "v");
    assert_eq!(client.line("RESET").text(), "RESET");
    refused(client.line("GET k"), "NOAUTH");
}

/// Strangers may not announce much.
#[test]
fn limits_before_authentication_are_narrow() {
    let server = Options::shards(2).with("requirepass secret").start();
    let cases: [(&[u8], &str); 2] = [
        (b"*11\r\n", "unauthenticated multibulk length"),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"),
    ];
    for (bytes, text) in cases {
        let mut client = server.client();
        client.send_raw(bytes).unwrap();
        let rest = String::from_utf8_lossy(&client.read_to_end().unwrap()).into_owned();
        assert!(rest.contains("Protocol error") && rest.contains(text), "{rest:?}");
    }
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Options::shards(2).with("timeout 1").start();
    let mut client = server.client();
    client.line("PING");
    client.read_within(SOON);
    assert!(client.read_to_end().unwrap().is_empty());
}

/// The three forms of a log line.
#[test]
fn the_log_is_text_logfmt_or_json() {
    for (format, sign) in [("text", " * "), ("logfmt", "level="), ("json", "{\"")] {
        let server = Options::shards(1).with(&format!("log-format {format}")).start();
        let log = server.log();
        assert!(log.contains(sign) && log.contains("Ready to accept connections"), "{log}");
    }
}

const LINE: &str = "The append only file is off";

/// Makes the server log [`LINE`], which is written when this returns.
fn log_a_line(client: &mut Client) {
    assert!(client.line("CONFIG SET appendonly yes").is_ok());
    assert!(client.line("CONFIG SET appendonly no").is_ok());
}

/// How often [`LINE`] is in a file of the server's folder.
fn lines(server: &Server, name: &str) -> usize {
    std::fs::read_to_string(server.path(name)).unwrap_or_default().matches(LINE).count()
}

/// Whoever rotates logs renames or removes them, and tells nobody.
#[test]
fn the_log_goes_on_under_its_name() {
    let server = Options::shards(2).with("logfile own.log").start();
    let mut client = server.client();
    log_a_line(&mut client);
    std::fs::rename(server.path("own.log"), server.path("own.log.1")).unwrap();
    log_a_line(&mut client);
    assert_eq!((lines(&server, "own.log.1"), lines(&server, "own.log")), (1, 1));
    std::fs::remove_file(server.path("own.log")).unwrap();
    log_a_line(&mut client);
    log_a_line(&mut client);
    assert_eq!((lines(&server, "own.log.1"), lines(&server, "own.log")), (1, 2));
}

/// The file that is open takes the lines, and standard error is told once.
#[test]
fn a_log_that_cannot_be_opened_anew_is_kept() {
    let server = Options::shards(2).with("logfile own.log").start();
    let mut client = server.client();
    for round in 1..=2 {
        std::fs::rename(server.path("own.log"), server.path("kept.log")).unwrap();
        std::fs::create_dir(server.path("own.log")).unwrap();
        log_a_line(&mut client);
        log_a_line(&mut client);
        assert_eq!(lines(&server, "kept.log"), round + 1);
        assert_eq!(server.log().matches("the log at own.log: ").count(), round, "{}", server.log());
        std::fs::remove_dir(server.path("own.log")).unwrap();
        log_a_line(&mut client);
        assert_eq!((lines(&server, "kept.log"), lines(&server, "own.log")), (round + 1, 1));
    }
}

#[test]
fn signals_that_valkey_survives_are_survived() {
    let server = Options::shards(2).with("logfile own.log").start();
    let mut client = server.client();
    client.line("SET k v");
    for name in ["HUP", "ALRM", "USR2", "PIPE", "WINCH", "URG"] {
        server.signal(name);
        assert_eq!(client.line("GET k").text(), "v", "after SIG{name}");
    }
    std::fs::rename(server.path("own.log"), server.path("own.log.1")).unwrap();
    server.signal("HUP");
    until("the log is opened anew", SOON, || server.path("own.log").exists());
    assert!(server.is_alive());
}

/// The journal is a pipe that nobody writes to: it is being loaded for ever.
#[test]
fn a_start_that_loads_ends_when_it_is_told_to() {
    let mut server = Options::shards(2).journal("everysec").start();
    server.stop();
    let folder = server.path("appendonlydir");
    let increment = folder.join("appendonly.aof.1.incr.aof");
    std::fs::remove_file(&increment).unwrap();
    assert!(Command::new("mkfifo").arg(&increment).status().unwrap().success());
    server.respawn();
    let loads = || {
        let client = Client::connect(server.port);
        let reply = client.and_then(|mut client| client.try_call(&["GET", "k"]));
        reply.is_ok_and(|reply| reply.error().is_some_and(|text| text.starts_with("LOADING")))
    };
    until("the server loads", SOON, loads);
    server.signal("HUP");
    server.stop();
}

/// A server in the background, which is no child of this process: ended when this goes.
struct Daemon(String);

impl Daemon {
    /// The one whose pid file this is.
    fn of(pidfile: &Path) -> Daemon {
        let read = || std::fs::read_to_string(pidfile).ok().filter(|text| text.ends_with('\n'));
        Daemon(until_some("the pid file is written", SOON, read).trim().to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-KILL", &self.0]).status());
    }
}

/// Started by a relative name, with a directory of its own, from a file and from standard input: at
/// a terminal that hangs up as soon as the command is done.
#[test]
fn the_background_is_free_of_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for words in ["own.conf", "- < own.conf", "own.conf --supervised auto"] {
        let port = free_port();
        let text = format!(
            "daemonize yes\nport {port}\nbind 127.0.0.1\ndir data\npidfile own.pid\nshards 2\n"
        );
        std::fs::write(folder.path().join("own.conf"), text).unwrap();
        let command = format!("exec {} {words}", troupe().get_program().display());
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        terminal.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET").env_remove("UPSTART_JOB");
        assert!(terminal.current_dir(folder.path()).status().unwrap().success());
        let pidfile = folder.path().join("data/own.pid");
        let daemon = Daemon::of(&pidfile);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.0)).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let (group, session, terminal) = (fields[2], fields[3], fields[4]);
        assert_eq!((group, session, terminal), (&*daemon.0, &*daemon.0, "0"));
        let connect = || Client::connect(port).ok();
        let mut client = until_some("the server in the background listens", SOON, connect);
        until("it has started", SOON, || client.line("PING").error().is_none());
        assert_eq!(client.line("CONFIG GET daemonize").members()[1].text(), "yes");
        client.send(&["SHUTDOWN"]).unwrap();
        until("the pid file is removed", SOON, || !pidfile.exists());
    }
}

/// Nobody sees what a process in the background says.
#[test]
fn what_is_wrong_is_said_before_the_background() {
    for directive in [["--logfile", "/nonexistent/troupe.log"], ["--dir", "/nonexistent"]] {
        let output = troupe().args(["--daemonize", "yes"]).args(directive).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("/nonexistent"), "{said}");
    }
}

/// A client whose command is paused is not silent: the server is.
#[test]
fn paused_clients_outlast_the_timeout() {
    let server = Options::shards(2).with("timeout 1").start();
    let mut paused = server.client();
    server.client().line("CLIENT PAUSE 3500 WRITE");
    assert_eq!(paused.line("SET a 1").text(), "OK");
    assert_eq!(paused.line("GET a").text(), "1");
}
