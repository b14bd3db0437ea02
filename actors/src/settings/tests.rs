//! The start from files, environment and command line.

use super::*;

fn start(words: &[&str], environment: &[(&str, &str)]) -> Result<Start, Fatal> {
    let words = words.iter().map(OsString::from);
    let environment =
        environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    match read(words, environment, || Ok(b"timeout 77\n".to_vec()))? {
        Invocation::Serve(start) => Ok(*start),
        Invocation::Print(text) => panic!("it prints {text}"),
    }
}

/// A start from one file of this name and text.
fn from_file(name: &str, text: impl AsRef<[u8]>) -> Result<Start, Fatal> {
    with_file(name, text, &[], &[])
}

fn with_file(
    name: &str,
    text: impl AsRef<[u8]>,
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
    assert_eq!(it.unwrap().settings.slowlog_max_len, 2);
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
    assert!(one.settings.passwords.accept(b"a B") && !one.settings.passwords.accept(b"a"));
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
        assert_eq!(it.shown("save"), points, "{words:?}");
    }
    assert_eq!(start(&["--save", "100", "200"], &[]).unwrap().settings.shown("save"), "100 200");
}

#[test]
fn a_class_in_one_layer_leaves_the_others() {
    let conf = "client-output-buffer-limit replica 1 2 3\n";
    let words = ["--client-output-buffer-limit", "normal", "4", "5", "6"];
    let it = with_file("a.conf", conf, &words, &[]).unwrap().settings;
    assert_eq!(
        it.shown("client-output-buffer-limit"),
        "normal 4 5 6 slave 1 2 3 pubsub 33554432 8388608 60"
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
fn directives_without_effect_are_gathered_by_reason() {
    let it = from_file(
        "a.conf",
        "activedefrag yes\nactivedefrag yes\nhz 11\ntimeout 3\ntls-port 0\nmasterauth \"\"\n\
         dynamic-hz no\nrdbcompression yes\nlazyfree-lazy-expire no\n",
    );
    let warnings = it.unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("a.conf:7), 'hz' ("), "{warnings:?}");
    assert!(warnings[0].contains("a.conf:3) are accepted but have no effect"), "{warnings:?}");
    assert!(
        warnings[1].contains("'activedefrag'") && warnings[1].contains("a.conf:2"),
        "{warnings:?}"
    );
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
        ("a.conf", "rename-command GET \"\"\nrename-command get x\n", 2, "No such command"),
        ("a.conf", "rename-command GET set\n", 1, "Target command name already exists"),
        ("a.conf", "rename-command GET\n", 1, "wrong number of arguments"),
        ("a.conf", "port 1\nuser default on nopass\n", 2, "every right"),
        ("a.conf", "user default off nopass ~* &* +@all\n", 1, "every right"),
        ("a.conf", "user default on ~* &* +@all\n", 1, "nobody could log in"),
        ("a.conf", "user alice on nopass ~* &* +@all\n", 1, "one user"),
        ("a.conf", "user default on nopass ~* &* +@all\nuser default off\n", 2, "every right"),
        ("a.conf", "dir /\ndir /none/such\n", 2, "Can't chdir to '/none/such': No such file"),
        ("a.conf", "dir /dev/null\n", 1, "Can't chdir to '/dev/null': Not a directory"),
        ("a.conf", "aclfile /none/such\n", 1, "no such file"),
        ("a.conf", "timeout 007\n", 1, "parsed into an integer"),
        ("a.conf", "loadmodule /x.so\n", 1, "loads no modules"),
        ("a.conf", "tls-port 6380\n", 1, "TLS proxy"),
        ("a.conf", "cluster-enabled yes\n", 1, "no cluster mode yet"),
        ("a.conf", "syslog-enabled yes\n", 1, "syslog"),
        ("a.toml", "# x\n\nport = \"abc\"\n", 3, "parsed into an integer"),
        ("a.toml", "timeout = 1\nbogus-name = 1\n", 2, "Bad directive"),
        ("a.toml", "timeout = 1\nport = \n", 2, "not TOML"),
        ("a.toml", "timeout = 1\ntimeout = 2\n", 2, "not TOML"),
        ("a.toml", "timeout = 1\n[network]\nport = 1\n", 2, "Bad directive"),
        ("a.toml", "timeout = 1\nfoo.bar = 1\n", 2, "Bad directive"),
        ("a.toml", "port = { a = 1 }\n", 1, "wrong number"),
        ("a.toml", "appendfsync = 1.5\n", 1, "everysec, always, no"),
        ("a.toml", "user = [[\"default\", \"on\"]]\n", 1, "every right"),
        ("a.toml", "user = [\"default on nopass ~* &* -@all\"]\n", 1, "every right"),
        ("a.toml", "\nrename-command = [\"get set\"]\n", 2, "already exists"),
    ] {
        let fatal = from_file(name, text).expect_err(text);
        let DirectivePlace::File { line: at, name: file } = &fatal.place else { panic!("{fatal}") };
        assert!(file.ends_with(name) && *at == line, "{text:?}: {fatal}");
        assert!(fatal.to_string().contains(said), "{text:?}: {fatal}");
    }
}

#[test]
fn the_environment_and_the_command_line_are_checked_as_well() {
    let fatal = start(&[], &[("TROUPE_PORT", "http://10.0.0.1:6379")]).unwrap_err();
    assert_eq!(fatal.place, DirectivePlace::Environment);
    assert_eq!(fatal.text, "TROUPE_PORT=http://10.0.0.1:6379");
    let fatal = start(&[], &[("TROUPE_SERVICE", "x")]).unwrap_err();
    assert!(fatal.remedy.contains("Unset the variable"), "{fatal}");
    let fatal = start(&["--port", "many"], &[]).unwrap_err();
    assert_eq!(
        (&fatal.place, fatal.text.as_str()),
        (&DirectivePlace::CommandLine, "port \"many\"")
    );
    let fatal = start(&["--port"], &[]).unwrap_err();
    assert_eq!(fatal.problem, "wrong number of arguments");
    for words in [&["-x"] as &[&str], &["/dev/null", "b.conf"]] {
        let fatal = start(words, &[]).unwrap_err();
        assert!(fatal.problem.starts_with("Bad directive"), "{fatal}");
    }
    let fatal = start(&["/none/such.toml"], &[]).unwrap_err();
    assert!(fatal.to_string().contains("/none/such.toml"), "{fatal}");
    let it = start(&[], &[("TROUPE_BGSAVE_CPULIST", "1"), ("TROUPE_SAVE", "")]).unwrap();
    assert_eq!(it.settings.shown("bgsave-cpulist"), "1");
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
    let words = ["--check-config", "--hz", "11"].map(OsString::from);
    let Ok(Invocation::Print(said)) = read(words, [], || Ok(Vec::new())) else { panic!() };
    assert!(said.starts_with("warning: 'hz' (command line)") && said.contains("right"), "{said}");
    let words = ["--check-config", "--dir", "/none/such"].map(OsString::from);
    let fatal = read(words, [], || Ok(Vec::new())).unwrap_err();
    assert_eq!(
        (fatal.place, fatal.text.as_str()),
        (DirectivePlace::CommandLine, "dir \"/none/such\"")
    );
}

#[test]
fn service_links_of_kubernetes_give_one_line() {
    let links = [
        ("TROUPE_PORT", "tcp://10.0.0.1:6379"),
        ("TROUPE_SERVICE_HOST", "10.0.0.1"),
        ("TROUPE_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("TROUPE_REDIS_SERVICE_PORT", "6379"),
        ("TROUPE_TIMEOUT", "3"),
    ];
    let it = start(&[], &links).unwrap();
    assert_eq!((it.settings.port, it.settings.timeout), (6379, 3));
    let [warning] = &it.warnings[..] else { panic!("{:?}", it.warnings) };
    assert!(warning.starts_with("environment: TROUPE_PORT, TROUPE_PORT_6379_TCP, "), "{warning}");
    assert!(warning.contains("enableServiceLinks"), "{warning}");
}

#[test]
fn bytes_are_taken_as_they_are() {
    let text = b"# caf\xe9 \xc4\xe3\r\nrequirepass \xe9\xff\ndir \"/\"\n";
    let it = from_file("a.conf", text).unwrap().settings;
    assert!(it.passwords.accept(b"\xe9\xff") && !it.passwords.accept(b"\xe9"));
    let word = OsString::from_vec(b"\xff".to_vec());
    let words = [OsString::from("--requirepass"), word.clone()];
    let Ok(Invocation::Serve(it)) = read(words, [], || Ok(Vec::new())) else { panic!() };
    assert_eq!(it.settings.get("requirepass"), Some(&b"\xff"[..]));
    let variable = [(OsString::from("TROUPE_REQUIREPASS"), word)];
    let Ok(Invocation::Serve(it)) = read([], variable, || Ok(Vec::new())) else { panic!() };
    assert_eq!(it.settings.get("requirepass"), Some(&b"\xff"[..]));
    let fatal = from_file("a.toml", b"# x\n# \xe9\nport = 1\n").unwrap_err();
    let DirectivePlace::File { line: 2, .. } = fatal.place else { panic!("{fatal}") };
    assert!(fatal.problem.contains("not UTF-8"), "{fatal}");
}

#[test]
fn the_user_of_a_rewritten_file_is_taken() {
    for (name, text) in [
        ("a.conf", "user default on nopass sanitize-payload ~* &* +@all\n"),
        ("a.toml", "user = [\"default on nopass ~* &* +@all\"]\n"),
        ("a.toml", "user = \"default on nopass ~* &* +@all\"\n"),
        ("a.toml", "user = \"\"\nrename-command = []\n"),
    ] {
        let it = from_file(name, text).unwrap();
        assert!(it.settings.passwords.is_none_needed() && it.warnings.is_empty(), "{text}");
    }
    let it = from_file("a.conf", "requirepass a\nuser default +@all on ~* &* >b >c\n").unwrap();
    let accepts = |password: &[u8]| it.settings.passwords.accept(password);
    assert!(accepts(b"b") && accepts(b"c") && !accepts(b"a"));
    let user = [("TROUPE_USER", "default on >b ~* &* +@all")];
    assert!(start(&[], &user).unwrap().settings.passwords.accept(b"b"));
}

#[test]
fn an_aclfile_gives_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let with = |users: &str, more: &str| {
        std::fs::write(folder.path().join("users.acl"), users).unwrap();
        from_file("a.conf", format!("dir {dir}\naclfile users.acl\n{more}"))
    };
    let it = with("\nuser default on >b ~* &* +@all\n", "").unwrap().settings;
    assert!(it.passwords.accept(b"b") && !it.passwords.accept(b""));
    assert_eq!(it.shown("aclfile"), "users.acl");
    assert!(with("", "").unwrap().settings.passwords.is_none_needed());
    for (users, line, said) in [
        ("\nuser default off\n", 2, "every right"),
        ("user alice on\n", 1, "one user"),
        ("port 1\n", 1, "does not define a user"),
    ] {
        let fatal = with(users, "").expect_err(users);
        let DirectivePlace::File { name, line: at } = &fatal.place else { panic!("{fatal}") };
        assert!(name.ends_with("users.acl") && *at == line, "{fatal}");
        assert!(fatal.to_string().contains(said), "{fatal}");
    }
    let fatal = with("", "user default on nopass ~* &* +@all\n").unwrap_err();
    assert!(matches!(fatal.place, DirectivePlace::File { line: 3, .. }), "{fatal}");
}

#[test]
fn the_command_line_includes_files_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("1.conf", "port 1\ntimeout 1\nrename-command FLUSHALL \"\"\n"),
        ("2.conf", "timeout 2\nrename-command KEYS \"\"\n"),
        ("3.toml", "maxclients = 3\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (one, all, toml) = (path("1.conf"), path("*.conf"), path("3.toml"));
    let port = |words: &[&str]| start(words, &[]).unwrap().settings.port;
    assert_eq!(port(&["--port", "9", "--include", &one]), 1);
    assert_eq!(port(&["--include", &one, "--port", "9"]), 9);
    let it = start(&["--include", &all, "--include", &toml], &[]).unwrap().settings;
    assert_eq!((it.port, it.timeout, it.maxclients), (1, 2, 3));
    let calls = |name: &str| it.rename_command.declared(name.as_bytes()).is_some();
    assert!(!calls("flushall") && !calls("keys") && calls("get"));
    let with = with_file("a.conf", "rename-command GET \"\"\nport 7\n", &["--include", &one], &[]);
    let it = with.unwrap();
    let calls = |name: &str| it.settings.rename_command.declared(name.as_bytes()).is_some();
    assert!(!calls("flushall") && !calls("get") && it.settings.port == 1 && it.file.is_some());
    for words in [&["--include", "/none/such"] as &[&str], &["--include"], &["--include", "a", "b"]]
    {
        let fatal = start(words, &[]).unwrap_err();
        assert_eq!(fatal.place, DirectivePlace::CommandLine, "{words:?}: {fatal}");
    }
}
