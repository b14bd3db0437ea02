//! `troupe check` and `troupe convert` at files of Valkey 9.1, Redis 7.0 and Redis 8.0, and at
//! files that were torn or damaged: what they say, what they write, what they leave alone, and the
//! status that they end with.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::foreign::journal::Author;
use crate::loading::fill;
use crate::snapshots::peer_with;
use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::reply::words;
use crate::support::server::{Options, Server, troupe};
use crate::support::wait::SOON;

/// How a tool has ended.
struct Ended {
    status: i32,
    said: String,
    complained: String,
}

/// Runs the program in a folder with these words, and this on its standard input.
fn run_with(folder: &Path, line: &str, input: &str) -> Ended {
    let mut command = troupe();
    let words = words(line).unwrap();
    let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    command.args(words.iter().map(AsRef::as_ref)).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without a look at it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status.code().unwrap(),
        said: String::from_utf8(output.stdout).unwrap(),
        complained: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(folder: &Path, line: &str) -> Ended {
    run_with(folder, line, "")
}

/// Runs what has to end well.
fn run_well(folder: &Path, line: &str) -> String {
    let ended = run(folder, line);
    assert_eq!(ended.status, 0, "{line}: {}{}", ended.said, ended.complained);
    ended.said
}

fn json(folder: &Path, line: &str) -> (i32, Value) {
    let ended = run(folder, line);
    let document = serde_json::from_str(&ended.said);
    (ended.status, document.unwrap_or_else(|error| panic!("{error}: {}", ended.said)))
}

fn digest(server: &Server) -> String {
    server.client().line("DEBUG DIGEST").text()
}

/// Keys of each database.
fn sizes(client: &mut Client) -> Vec<u64> {
    let mut size = |db| {
        client.line(&format!("SELECT {db}"));
        client.line("DBSIZE").number().unwrap() as u64
    };
    (0..16).map(&mut size).collect()
}

/// The same, as a check has counted it.
fn counted(file: &Value) -> Vec<u64> {
    let mut counted = vec![0; 16];
    for database in file["rdb"]["databases"].as_array().unwrap() {
        let types = database["types"].as_object().unwrap().values();
        let keys = types.map(|amount| amount["count"].as_u64().unwrap()).sum();
        counted[database["number"].as_u64().unwrap() as usize] = keys;
    }
    counted
}

/// A peer whose journal has a snapshot as its base, and records behind it.
fn author(oracle: Oracle) -> Option<Author> {
    let author = Author::with_preamble(oracle, "yes")?;
    let mut client = author.server.client();
    fill(&mut client);
    author.rewrite();
    for line in ["SET after 1", "RPUSH l:one b", "MULTI", "SET a 1", "SET b 2", "EXEC"] {
        client.line(line);
    }
    Some(author)
}

/// A folder with the snapshot and the journal of the peer, as a server has them.
fn folder_of(author: &Author) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dump.rdb"), author.save()).unwrap();
    let inside = folder.path().join("appendonlydir");
    fs::create_dir(&inside).unwrap();
    for (name, bytes) in author.files() {
        fs::write(inside.join(name), bytes).unwrap();
    }
    folder
}

fn check_its_files(oracle: Oracle, family: &str, version: u64) {
    let Some(author) = author(oracle) else { return };
    let folder = folder_of(&author);
    let (status, report) = json(folder.path(), "check --json .");
    assert_eq!((status, &report["worst"]), (0, &Value::Null), "{report:#}");
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 4, "a manifest, a base, an increment, a snapshot");
    let (manifest, base, increment, snapshot) = (&files[0], &files[1], &files[2], &files[3]);
    assert_eq!(manifest["manifest"]["increments"].as_array().unwrap().len(), 1);
    for file in [base, snapshot] {
        assert_eq!(
            (&file["rdb"]["family"], &file["rdb"]["version"]),
            (&family.into(), &version.into())
        );
        assert_eq!(file["rdb"]["libraries"][0], "#!lua name=lib");
        assert_eq!(file["journal"], Value::Null);
    }
    assert_eq!(counted(snapshot), sizes(&mut author.server.client()), "{oracle:?}");
    assert_eq!(increment["journal"]["commands"]["set"]["count"], 3, "{increment:#}");
    assert_eq!(increment["journal"]["transactions"], 1);
    let text = run_well(folder.path(), "check .");
    let line = format!("an RDB file of {family} version {version}");
    for said in [&line, "4 records, 1 transactions", "#!lua name=lib", "All is sound."] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn files_of_valkey_are_sound() {
    check_its_files(Oracle::Valkey, "Valkey", 80);
}

#[test]
fn files_of_redis_7_are_sound() {
    check_its_files(Oracle::Redis, "Redis", 10);
}

#[test]
fn files_of_redis_8_are_sound() {
    check_its_files(Oracle::Redis8, "Redis", 12);
}

/// A server of ours that has ended, with a journal of some keys, and the name of its increment.
fn ended_server() -> (Server, &'static str) {
    let options = Options::shards(1).journal("always").with("aof-load-truncated no").debug();
    let mut server = options.start();
    for line in ["SET a 1", "SET b 2", "RPUSH l x y z"] {
        server.client().line(line);
    }
    server.stop();
    (server, "appendonlydir/appendonly.aof.1.incr.aof")
}

#[test]
fn a_torn_tail_is_cut_only_when_somebody_agrees() {
    let (mut server, name) = ended_server();
    let path = server.path(name);
    let whole = fs::read(&path).unwrap();
    let record = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for tail in ["*3\r\n$3\r\nSET\r\n$1".to_owned(), format!("*1\r\n$5\r\nMULTI\r\n{record}")] {
        fs::write(&path, [&whole[..], tail.as_bytes()].concat()).unwrap();
        let torn = fs::read(&path).unwrap();
        let (status, report) = json(server.folder(), "check --json .");
        assert_eq!(
            (status, &report["worst"], &report["mendable"]),
            (1, &"torn".into(), &true.into())
        );
        let finding = &report["files"][2]["findings"][0];
        assert_eq!(finding["offset"], whole.len());
        assert_eq!(finding["cut"]["drops"], tail.len());
        for (answer, line) in [("n\n", "check --fix ."), ("", "check --fix ."), ("y\n", "check .")]
        {
            let ended = run_with(server.folder(), line, answer);
            assert_eq!((ended.status, fs::read(&path).unwrap() == torn), (1, true), "{answer}");
            assert!(ended.said.ends_with("It is damaged, and --fix mends it.\n"), "{}", ended.said);
        }
        let ended = run_with(server.folder(), &format!("check --fix {name}"), "y\n");
        assert_eq!((ended.status, fs::read(&path).unwrap() == whole), (0, true));
        let question = format!("the last {} bytes are lost", tail.len());
        assert!(ended.complained.contains(&question), "{}", ended.complained);
        assert!(ended.said.ends_with("All is sound.\n"), "{}", ended.said);
    }
    server.restart();
    assert_eq!(server.client().line("LLEN l").number(), Some(3));
}

#[test]
fn damage_inside_is_named_and_cut_with_all_behind_it_where_that_is_asked_for() {
    let (mut server, name) = ended_server();
    let path = server.path(name);
    let mut bytes = fs::read(&path).unwrap();
    let set_b = bytes.windows(5).position(|part| part == b"\r\nb\r\n").unwrap();
    bytes[set_b + 4] = b'!';
    fs::write(&path, &bytes).unwrap();
    let (status, report) = json(server.folder(), "check --json appendonlydir");
    assert_eq!((status, &report["worst"]), (1, &"damaged".into()));
    let finding = &report["files"][2]["findings"][0];
    let kept = finding["cut"]["to"].as_u64().unwrap();
    assert!(kept > 0 && kept < set_b as u64, "{finding:#}");
    assert_eq!(kept + finding["cut"]["drops"].as_u64().unwrap(), bytes.len() as u64);
    server.respawn();
    assert!(!server.wait_end(SOON).success());
    assert!(server.log().contains("troupe check --fix"), "{}", server.log());
    let ended = run(server.folder(), "check --fix --yes --json appendonlydir");
    assert_eq!(ended.status, 0, "{}", ended.complained);
    assert_eq!(serde_json::from_str::<Value>(&ended.said).unwrap()["worst"], Value::Null);
    assert_eq!(fs::metadata(&path).unwrap().len(), kept);
    server.restart();
    assert_eq!(server.client().line("DBSIZE").number(), Some(1));
}

#[test]
fn what_is_no_damage_has_another_status() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("notes"), "hello").unwrap();
    fs::write(at("new.rdb"), "REDIS0099\u{1}").unwrap();
    fs::write(at("cut.rdb"), "REDIS0010\u{1}").unwrap();
    for (line, status) in [
        ("check", 2),
        ("check --nope .", 2),
        ("check --yes .", 2),
        ("check missing", 2),
        ("check notes", 2),
        ("check new.rdb", 2),
        ("check cut.rdb", 1),
        ("check --fix --yes cut.rdb", 1),
        ("check --help", 0),
        ("convert --help", 0),
        ("convert cut.rdb", 2),
        ("convert missing x.rdb", 2),
        ("convert cut.rdb x.rdb", 1),
        ("convert cut.rdb notes --as rdb", 2),
        ("convert cut.rdb x.aof --rdb-version 10", 2),
        ("convert cut.rdb x.rdb --rdb-version 13", 2),
    ] {
        let ended = run(folder.path(), line);
        assert_eq!(ended.status, status, "{line}: {}{}", ended.said, ended.complained);
        assert!(!(ended.said + &ended.complained).is_empty(), "{line}");
    }
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cut.rdb", "new.rdb", "notes"], "nothing was written");
    // The first word alone says it: these are files of settings.
    for name in ["check", "convert"] {
        fs::write(at(name), "maxclients 77\n").unwrap();
        let said = run_well(folder.path(), &format!("./{name} --check-config"));
        assert!(!said.contains("Usage"), "{said}");
    }
    let help = run_well(folder.path(), "--help");
    assert!(
        help.contains("troupe check PATH") && help.contains("troupe convert FROM TO"),
        "{help}"
    );
}

/// Converts in a folder, and compares what a peer has when it has loaded the result.
fn convert_for(folder: &Path, from: &str, to: &str, options: &str, peer: Oracle, wanted: &str) {
    run_well(folder, &format!("convert {from} {to} {options}"));
    let (status, report) = json(folder, &format!("check --json {to}"));
    assert_eq!(status, 0, "{to}: {report:#}");
    let file = fs::read(folder.join(to)).unwrap();
    let found = match to.ends_with(".rdb") {
        true => peer_with(peer, &file).map(|peer| digest(&peer)),
        false => Author::with_preamble(peer, "no").map(|peer| {
            peer.load(&file);
            digest(&peer.server)
        }),
    };
    let found = found.unwrap_or_else(|| wanted.to_owned());
    assert_eq!(found, wanted, "{from} to {to} {options} for {peer:?}");
}

/// What Valkey has written, fields with deadlines among it.
#[test]
fn files_of_valkey_are_converted_to_what_it_and_redis_8_load() {
    let Some(author) = author(Oracle::Valkey) else { return };
    let (folder, wanted) = (folder_of(&author), digest(&author.server));
    let folder = folder.path();
    convert_for(folder, "dump.rdb", "80.rdb", "--rdb-version 80", Oracle::Valkey, &wanted);
    convert_for(folder, "dump.rdb", "any.rdb", "", Oracle::Valkey, &wanted);
    convert_for(folder, "dump.rdb", "x.aof", "", Oracle::Valkey, &wanted);
    convert_for(folder, "appendonlydir", "y.rdb", "", Oracle::Valkey, &wanted);
    convert_for(folder, "appendonlydir", "y.aof", "", Oracle::Valkey, &wanted);
    let refused = run(folder, "convert dump.rdb 10.rdb --rdb-version 10");
    assert_eq!(refused.status, 1);
    assert!(refused.complained.contains("fields with deadlines"), "{}", refused.complained);
    run_well(folder, "convert dump.rdb 12.rdb --rdb-version 12");
    let Some(redis) = peer_with(Oracle::Redis8, &fs::read(folder.join("12.rdb")).unwrap()) else {
        return;
    };
    assert_eq!(sizes(&mut redis.client()), sizes(&mut author.server.client()));
    // And back again.
    run_well(folder, "convert 12.rdb back.rdb");
    let back = peer_with(Oracle::Valkey, &fs::read(folder.join("back.rdb")).unwrap());
    assert_eq!(back.map(|back| digest(&back)), Some(wanted));
}

#[test]
fn files_of_redis_7_are_converted_to_what_it_and_valkey_load() {
    let Some(author) = author(Oracle::Redis) else { return };
    let folder = folder_of(&author);
    let folder = folder.path();
    let original = fs::read(folder.join("dump.rdb")).unwrap();
    for peer in [Oracle::Redis, Oracle::Valkey] {
        // Their digests of the same keys differ.
        let Some(wanted) = peer_with(peer, &original).map(|peer| digest(&peer)) else { continue };
        convert_for(folder, "dump.rdb", "10.rdb", "--rdb-version 10 --force", peer, &wanted);
        convert_for(folder, ".", "y.rdb", "--force", peer, &wanted);
        convert_for(folder, "dump.rdb", "x.aof", "--force", peer, &wanted);
    }
    let wanted = digest(&author.server);
    let newer = run_well(folder, "convert dump.rdb 11.rdb --rdb-version 11");
    assert!(newer.contains("keys and 1 libraries of functions are written"), "{newer}");
    convert_for(folder, "11.rdb", "10.rdb", "--rdb-version 10 --force", Oracle::Redis, &wanted);
    let refused = run(folder, "convert dump.rdb 9.rdb --rdb-version 9");
    assert!(refused.complained.contains("libraries of functions"), "{}", refused.complained);
    author.server.client().line("FUNCTION FLUSH");
    fs::write(folder.join("dump.rdb"), author.save()).unwrap();
    convert_for(folder, "dump.rdb", "9.rdb", "--rdb-version 9", Oracle::Redis, &wanted);
}

/// A directory that was made is one that a server starts on, and goes on with.
#[test]
fn a_directory_that_was_made_is_served() {
    let mut server = Options::shards(2).debug().start();
    fill_plainly(&mut server.client());
    let wanted = digest(&server);
    assert!(server.client().line("SAVE").is_ok());
    server.stop();
    run_well(server.folder(), "convert dump.rdb appendonlydir");
    let refused = run(server.folder(), "convert dump.rdb appendonlydir");
    assert_eq!(refused.status, 2, "{}", refused.complained);
    run_well(server.folder(), "convert dump.rdb appendonlydir --force");
    server.restart_with(&Options::shards(2).debug().journal("always"));
    assert_eq!(digest(&server), wanted);
    server.client().line("SET more 1");
    let wanted = digest(&server);
    server.kill();
    server.restart();
    assert_eq!(digest(&server), wanted);
}

/// Some keys of every type, in two databases.
fn fill_plainly(client: &mut Client) {
    for db in [0, 9] {
        client.line(&format!("SELECT {db}"));
        for line in [
            "SET text value EX 100000",
            "RPUSH list a b c",
            "SADD set a b 3",
            "ZADD zset 1 a 2.5 b",
            "HSET hash f v g w",
            "HPEXPIRE hash 100000000 FIELDS 1 f",
            "XADD stream 1-1 f v",
            "XGROUP CREATE stream group 0",
            "XREADGROUP GROUP group consumer STREAMS stream >",
        ] {
            let reply = client.line(line);
            assert!(reply.error().is_none(), "{line}: {reply:?}");
        }
    }
}
