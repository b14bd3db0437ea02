//! The start from files, environment and command line.

use super::*;

fn start(words: &[&str], environment: &[(&str, &str)]) -> Result<Start, Fatal> {
    let words = words.iter().map(|word| (*word).to_owned());
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match read(words, environment, || Ok("timeout 77\n".to_owned()))? {
        Invocation::Serve(start) => Ok(*start),
        Invocation::Print(text) => panic!("it prints {text}"),
    }
}

/// A start from one file of this name and text.
fn from_file(name: &str, text: &str) -> Result<Start, Fatal> {
    with_file(name, text, &[], &[])
}

fn with_file(
    name: &str,
    text: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> Result<Start, Fatal> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mut all = vec![path.to_str().unwrap()];
    all.extend(words);
    start(&all, environment)
}

#[test]
fn later_layers_go_over_earlier_ones() {
    let conf = "port 1\ntimeout 1\nmaxclients 1\nhz 1\n";
    let environment = [("TROUPE_TIMEOUT", "3"), ("TROUPE_TCP_KEEPALIVE", "3"), ("HOME", "/")];
    let words = ["-", "--maxclients", "4", "--TCP-keepalive", "4"];
    let it = with_file("a.conf", conf, &words, &environment).unwrap().settings;
    assert_eq!((it.port, it.timeout, it.maxclients, it.tcp_keepalive), (1, 3, 4, 4));
    let it = with_file("a.conf", conf, &["-"], &[]).unwrap().settings;
    assert_eq!(it.timeout, 77);
    let it = with_file(
        "a.toml",
        "slowlog-max-len = 1",
        &["--commandlog-slow-execution-max-len", "2"],
        &[],
    );
    assert_eq!(it.unwrap().settings.commandlog_slow_execution_max_len, 2);
}

#[test]
fn both_syntaxes_say_the_same() {
    let conf = "bind 127.0.0.1 ::1\nsave 60 1\nsave 30 2\nappendonly yes\nmaxmemory 1gb\n\
                client-output-buffer-limit normal 1mb 2 3\nrequirepass \"a \\x42\"\n\
                client-output-buffer-limit pubsub 4 5 6\n\
                 latency-tracking-info-percentiles 50 99.9\n";
    let toml = "bind = [\"127.0.0.1\", \"::1\"]\nsave = [\"60 1\", \"30 2\"]\nappendonly = true\n\
                maxmemory = \"1gb\"\nrequirepass = \"a B\"\n\
                client-output-buffer-limit = [\"normal 1mb 2 3\", \"pubsub 4 5 6\"]\n\
                latency-tracking-info-percentiles = [50, 99.9]\n";
    let one = from_file("a.conf", conf).unwrap();
    let other = from_file("b.toml", toml).unwrap();
    assert_eq!(one.settings, other.settings);
    assert_eq!(one.settings.save, [(60, 1), (30, 2)]);
    assert_eq!(one.settings.requirepass, "a B");
    assert_eq!(one.file.unwrap().syntax, Syntax::Conf);
    assert_eq!(other.file.unwrap().syntax, Syntax::Toml);
}

#[test]
fn save_points_of_the_command_line_add_to_those_of_the_file() {
    let conf = "save 900 1\n";
    for (words, environment, points) in [
        (&["--save", "100", "200"] as &[&str], &[] as &[(&str, &str)], "900 1 100 200"),
        (&["--save", "--save", "10", "1", "--save", "20 2"], &[], "10 1 20 2"),
        (&["--save"], &[], ""),
        (&["--save", ""], &[("TROUPE_SAVE", "5 5")], ""),
        (&["--save", "10", "1"], &[("TROUPE_SAVE", "5 5")], "5 5 10 1"),
        (&[], &[("TROUPE_SAVE", "5 5")], "5 5"),
    ] {
        let it = with_file("a.conf", conf, words, environment).unwrap().settings;
        assert_eq!(it.get("save"), Some(points), "{words:?}");
    }
    assert_eq!(
        start(&["--save", "100", "200"], &[]).unwrap().settings.get("save"),
        Some("100 200")
    );
}

#[test]
fn a_class_in_one_layer_leaves_the_others() {
    let conf = "client-output-buffer-limit replica 1 2 3\n";
    let words = ["--client-output-buffer-limit", "normal", "4", "5", "6"];
    let it = with_file("a.conf", conf, &words, &[]).unwrap().settings;
    assert_eq!(
        it.get("client-output-buffer-limit"),
        Some("normal 4 5 6 slave 1 2 3 pubsub 33554432 8388608 60")
    );
}

#[test]
fn the_files_of_the_project_are_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
    let read = |name: &str| start(&[&format!("{folder}/{name}")], &[]).unwrap();
    let it = read("troupe.toml");
    assert_eq!((it.settings, it.warnings), (Settings::default(), vec![]));
    let it = read("durable.toml");
    assert!(it.settings.appendonly && it.warnings.is_empty());
    let it = read("cache.toml");
    assert!(!it.settings.appendonly && it.settings.save.is_empty() && it.warnings.is_empty());
}

#[test]
fn harmless_directives_give_one_warning_each() {
    let it = from_file(
        "a.conf",
        "save 60 1\nsave 30 2\nhz 10\ntimeout 3\ntls-port 0\nmasterauth \"\"\n",
    );
    let warnings = it.unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("a.conf:3: 'hz' is accepted but has no effect"), "{warnings:?}");
    assert!(warnings[1].contains("'save'"), "{warnings:?}");
}

#[test]
fn the_report_has_the_shape_of_redis() {
    let fatal = from_file("a.conf", "# one\n\nport abc\n").unwrap_err().to_string();
    let lines: Vec<&str> = fatal.lines().collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(lines[0], format!("*** FATAL CONFIG FILE ERROR (Troupe {version}) ***"));
    assert!(lines[1].starts_with("Reading the configuration file, at line 3 of "), "{fatal}");
    assert_eq!(lines[2], ">>> 'port abc'");
    assert_eq!(lines[3], "argument couldn't be parsed into an integer");
    assert!(lines[4].starts_with("'port' takes a whole number from 0 to 65535"), "{fatal}");
}

/// Where and how starts end that must not go on: file, text, line, words of the report.
#[test]
fn what_stops_the_start() {
    for (name, text, line, said) in [
        ("a.conf", "timeout 3\nmaxclient 3\n", 2, "Did you mean 'maxclients'?"),
        ("a.conf", "foo.bar 3\n", 1, "Bad directive or wrong number of arguments"),
        ("a.conf", "port 1 2\n", 1, "wrong number of arguments"),
        ("a.conf", "dir \"x\n", 1, "Unbalanced quotes"),
        ("a.conf", "\ninclude /none/such\n", 2, "no such file"),
        ("a.conf", "port 70000\nport 7000\n", 1, "between 0 and 65535"),
        ("a.conf", "rename-command FLUSHALL \"\"\n", 1, "renames no commands yet"),
        ("a.conf", "user default on nopass\n", 1, "'user' is not supported"),
        ("a.conf", "loadmodule /x.so\n", 1, "loads no modules"),
        ("a.conf", "tls-port 6380\n", 1, "TLS proxy"),
        ("a.conf", "cluster-enabled yes\n", 1, "no cluster mode yet"),
        ("a.conf", "replicaof 10.0.0.1 6379\n", 1, "cannot be a replica yet"),
        ("a.conf", "syslog-enabled yes\n", 1, "syslog"),
        ("a.toml", "# x\n\nport = \"abc\"\n", 3, "parsed into an integer"),
        ("a.toml", "timeout = 1\nbogus-name = 1\n", 2, "Bad directive"),
        ("a.toml", "timeout = 1\nport = \n", 2, "not TOML"),
        ("a.toml", "timeout = 1\ntimeout = 2\n", 2, "not TOML"),
        ("a.toml", "timeout = 1\n[network]\nport = 1\n", 2, "Bad directive"),
        ("a.toml", "timeout = 1\nfoo.bar = 1\n", 2, "Bad directive"),
        ("a.toml", "port = { a = 1 }\n", 1, "wrong number"),
        ("a.toml", "appendfsync = 1.5\n", 1, "everysec, always, no"),
        ("a.toml", "user = [[\"default\", \"on\"]]\n", 1, "'user' is not supported"),
    ] {
        let fatal = from_file(name, text).expect_err(text);
        let Place::File { line: at, name: file } = &fatal.place else { panic!("{fatal}") };
        assert!(file.ends_with(name) && *at == line, "{text:?}: {fatal}");
        assert!(fatal.to_string().contains(said), "{text:?}: {fatal}");
    }
}

#[test]
fn the_environment_and_the_command_line_are_checked_as_well() {
    let fatal = start(&[], &[("TROUPE_PORT", "tcp://10.0.0.1:6379")]).unwrap_err();
    assert_eq!(fatal.place, Place::Environment);
    assert_eq!(fatal.text, "TROUPE_PORT=tcp://10.0.0.1:6379");
    let fatal = start(&[], &[("TROUPE_SERVICE_HOST", "x")]).unwrap_err();
    assert!(fatal.remedy.contains("enableServiceLinks"), "{fatal}");
    let fatal = start(&["--port", "many"], &[]).unwrap_err();
    assert_eq!((&fatal.place, fatal.text.as_str()), (&Place::CommandLine, "port \"many\""));
    let fatal = start(&["--port"], &[]).unwrap_err();
    assert_eq!(fatal.problem, "wrong number of arguments");
    for words in [&["-x"] as &[&str], &["/dev/null", "b.conf"]] {
        let fatal = start(words, &[]).unwrap_err();
        assert!(fatal.problem.starts_with("Bad directive"), "{fatal}");
    }
    let fatal = start(&["/none/such.toml"], &[]).unwrap_err();
    assert!(fatal.to_string().contains("/none/such.toml"), "{fatal}");
    let it = start(&[], &[("TROUPE_BGSAVE_CPULIST", "1"), ("TROUPE_SAVE", "")]).unwrap();
    assert_eq!(it.settings.get("bgsave-cpulist"), Some("1"));
    assert!(it.settings.save.is_empty());
}

#[test]
fn secrets_stay_out_of_reports() {
    let fatal = start(&["--requirepass", "a b", "--requirepass"], &[]).unwrap_err().to_string();
    assert!(!fatal.contains("a b"), "{fatal}");
    for (name, text) in [
        ("a.conf", "requirepass hidden word\n"),
        ("a.conf", "  RequirePass \"hidden\n"),
        ("a.toml", "requirepass = [\"hidden\", \"hidden\"]\n"),
        ("a.toml", "requirepass = \"hidden\n"),
        ("a.toml", "user = \"default on >hidden\"\n"),
    ] {
        let fatal = from_file(name, text).unwrap_err().to_string();
        assert!(!fatal.contains("hidden"), "{fatal}");
    }
    let fatal = start(&[], &[("TROUPE_USER", "default \"hidden")]).unwrap_err().to_string();
    assert!(!fatal.contains("hidden"), "{fatal}");
}

#[test]
fn a_higher_layer_can_undo_a_refused_directive() {
    let it = with_file("a.conf", "cluster-enabled yes\n", &["--cluster-enabled", "no"], &[]);
    assert!(it.is_ok());
}

#[test]
fn checking_says_so_and_warns() {
    let words = ["--check-config", "--hz", "10"].map(str::to_owned);
    let Ok(Invocation::Print(said)) = read(words, [], || Ok(String::new())) else { panic!() };
    assert!(said.starts_with("warning: command line: 'hz'") && said.contains("right"), "{said}");
}
