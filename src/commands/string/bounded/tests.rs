//! INCREX, by the documentation of Redis 8.8 and Valkey 9.2: neither is an oracle here.

use crate::testing::{Store, dialogue};

/// Runs lines in a new store, each with what it is to answer, the values in one line.
fn check(lines: &[(&str, &str)]) {
    let mut store = Store::new();
    for (line, expected) in lines {
        let reply = store.run(line);
        let words = reply.lines().map(|line| {
            let line = line.split_once(") ").map_or(line, |(_, rest)| rest);
            line.trim_start_matches("(integer) ").trim_matches('"')
        });
        let reply =
            if reply.starts_with("1) ") { words.collect::<Vec<_>>().join(" ") } else { reply };
        assert_eq!(reply, *expected, "{line}");
    }
}

#[test]
fn integers_stay_within_their_bounds() {
    check(&[
        ("INCREX k", "1 1"),
        ("INCREX k BYINT 9", "10 9"),
        ("INCREX k BYINT 5 UBOUND 15", "15 5"),
        ("INCREX k BYINT 1 UBOUND 15", "15 0"),
        ("INCREX k BYINT 5 UBOUND 18 SATURATE", "18 3"),
        ("INCREX k BYINT 5 UBOUND 8 SATURATE", "8 -10"),
        ("INCREX k BYINT -20 LBOUND 0", "8 0"),
        ("INCREX k BYINT -20 LBOUND 0 SATURATE", "0 -8"),
        ("INCREX k LBOUND 20", "0 0"),
        ("INCREX k LBOUND 20 SATURATE", "20 20"),
        ("INCREX k BYINT -15 UBOUND 10", "5 -15"),
        ("OBJECT ENCODING k", "\"int\""),
        ("INCREX new BYINT 15 UBOUND 10", "0 0"),
        ("EXISTS new", "(integer) 0"),
        ("INCREX new UBOUND 0 SATURATE", "0 0"),
        ("EXISTS new", "(integer) 1"),
    ]);
}

#[test]
fn integers_stay_within_their_type() {
    check(&[
        ("SET k 9223372036854775800", "OK"),
        ("INCREX k BYINT 9223372036854775807", "9223372036854775800 0"),
        ("INCREX k BYINT 9223372036854775807 SATURATE", "9223372036854775807 7"),
        (
            "INCREX k UBOUND -9223372036854775808 SATURATE",
            "(error) ERR applied increment would overflow",
        ),
        ("GET k", "\"9223372036854775807\""),
        ("SET k -10", "OK"),
        (
            "INCREX k BYINT -9223372036854775808 SATURATE",
            "-9223372036854775808 -9223372036854775798",
        ),
        ("INCREX k BYINT -9223372036854775808", "-9223372036854775808 0"),
    ]);
}

#[test]
fn floats_stay_within_their_bounds() {
    check(&[
        ("INCREX k BYFLOAT 0.1", "0.1 0.1"),
        ("INCREX k BYFLOAT 0.2", "0.3 0.2"),
        ("INCREX k BYFLOAT 5 UBOUND 2.5", "0.3 0"),
        ("INCREX k BYFLOAT 5 UBOUND 2.5 SATURATE", "2.5 2.2"),
        ("INCREX k BYFLOAT -5 LBOUND -.5 SATURATE", "-0.5 -3"),
        ("INCREX k BYFLOAT 1 UBOUND inf", "0.5 1"),
        ("INCREX k BYFLOAT 1 LBOUND -inf UBOUND -inf", "0.5 0"),
        (
            "INCREX k BYFLOAT 1 LBOUND -inf UBOUND -inf SATURATE",
            "(error) ERR applied increment would be Infinity",
        ),
        ("INCREX k", "(error) ERR value is not an integer or out of range"),
        ("SET k 5", "OK"),
        ("INCREX k BYFLOAT 2", "7 2"),
        ("INCREX k", "8 1"),
        ("SET k inf", "OK"),
        ("INCREX k BYFLOAT 1", "(error) ERR value cannot be Infinity"),
        ("SET k 1e4932", "OK"),
        ("INCREX k BYFLOAT 1e4932 NX", &format!("{} 0", big())),
        ("INCREX k BYFLOAT 1e4932 EX 10", &format!("{} 0", big())),
        ("TTL k", "(integer) -1"),
        ("SET k -1e4932", "OK"),
        (
            "INCREX k BYFLOAT 1 LBOUND 1e4932 SATURATE",
            "(error) ERR applied increment would be Infinity",
        ),
    ]);
}

/// The digits of the nearest float to 1e4932.
fn big() -> String {
    let mut text = Vec::new();
    crate::base::long_double::LongDouble::parse(b"1e4932").expect("a number").write(&mut text);
    String::from_utf8(text).expect("digits")
}

#[test]
fn every_option_once_and_none_against_another() {
    let mut store = Store::new();
    for options in [
        "FOO",
        "BYINT",
        "LBOUND",
        "BYINT 1 BYINT 1",
        "BYINT 1 BYFLOAT 1",
        "BYFLOAT 1 BYINT 1",
        "LBOUND 0 LBOUND 0",
        "UBOUND 0 UBOUND 0",
        "SATURATE SATURATE",
        "SAT",
        "ENX ENX EX 10",
        "EX 10 EX 10",
        "EX 10 PX 10",
        "EX 10 PERSIST",
        "PERSIST EX 10",
        "PERSIST PERSIST",
        "PERSIST ENX",
        "ENX PERSIST",
        "KEEPTTL",
        "NX XX",
        "NX NX",
        "EX",
    ] {
        let line = format!("INCREX k {options}");
        assert_eq!(store.run(&line), "(error) ERR syntax error", "{line}");
    }
    for (options, error) in [
        ("ENX", "ENX flag requires an expiration"),
        ("BYINT 1.5", "Increment is not an integer or out of range"),
        ("BYFLOAT nan", "Increment is not a valid float"),
        ("BYFLOAT 1e99999", "Increment is not a valid float"),
        ("BYFLOAT +inf", "BYFLOAT increment cannot be Infinity"),
        ("LBOUND inf", "LBOUND is not an integer or out of range"),
        ("UBOUND 1.5", "UBOUND is not an integer or out of range"),
        ("BYFLOAT 1 LBOUND abc", "LBOUND is not a valid float"),
        ("BYFLOAT 1 UBOUND \"\"", "UBOUND is not a valid float"),
        ("LBOUND 2 UBOUND 1", "LBOUND can't be greater than UBOUND"),
        ("BYFLOAT 1 UBOUND -inf", "LBOUND can't be greater than UBOUND"),
        ("BYFLOAT 1 LBOUND inf", "LBOUND can't be greater than UBOUND"),
        ("EX 0", "invalid expire time in 'increx' command"),
        ("PX -1", "invalid expire time in 'increx' command"),
        ("EX x", "value is not an integer or out of range"),
    ] {
        let line = format!("INCREX k {options}");
        assert_eq!(store.run(&line), format!("(error) ERR {error}"), "{line}");
    }
    assert_eq!(store.run("EXISTS k"), "(integer) 0");
}

#[test]
fn deadlines_are_set_kept_and_taken_away() {
    check(&[
        ("INCREX k EX 100 ENX", "1 1"),
        ("TTL k", "(integer) 100"),
        ("INCREX k EX 10 ENX", "2 1"),
        ("TTL k", "(integer) 100"),
        ("INCREX k", "3 1"),
        ("TTL k", "(integer) 100"),
        ("INCREX k UBOUND 3 PERSIST", "3 0"),
        ("TTL k", "(integer) 100"),
        ("INCREX k EXAT 1 ENX", "4 1"),
        ("INCREX k PERSIST", "5 1"),
        ("TTL k", "(integer) -1"),
        ("INCREX k UBOUND 5 EXAT 1", "5 0"),
        ("INCREX k EXAT 1", "6 1"),
        ("EXISTS k", "(integer) 0"),
        ("INCREX k PXAT 1", "1 1"),
        ("EXISTS k", "(integer) 0"),
    ]);
}

#[test]
fn nx_and_xx_keep_what_is_there() {
    check(&[
        ("INCREX k XX", "0 0"),
        ("EXISTS k", "(integer) 0"),
        ("INCREX k NX BYINT 3", "3 3"),
        ("INCREX k NX EX 10", "3 0"),
        ("TTL k", "(integer) -1"),
        ("INCREX k XX", "4 1"),
    ]);
}

#[test]
fn records_are_known_to_every_server() {
    let mut store = Store::new();
    for (line, record) in [
        ("INCREX k BYINT 7", "SET k 7 KEEPTTL"),
        ("INCREX k BYFLOAT .5", "SET k 7.5 KEEPTTL"),
        ("INCREX k BYFLOAT .5 EX 10", "SET k 8 PXAT 1700000010000"),
        ("INCREX k EX 5 ENX", "SET k 9 KEEPTTL"),
        ("INCREX k PERSIST", "SET k 10"),
        ("INCREX k UBOUND 10", ""),
        ("INCREX k BYINT 9 UBOUND 11 SATURATE", "SET k 11 KEEPTTL"),
        ("INCREX k PXAT 1", "DEL k"),
        ("INCREX k PXAT 1", ""),
    ] {
        store.run(line);
        assert_eq!(store.effects(), record, "{line}");
    }
}

#[test]
fn floats_are_floats_in_version_3() {
    let mut store = Store::new();
    store.run("HELLO 3");
    dialogue(
        &mut store,
        r#"
        > INCREX k BYFLOAT 2.5
        1) (double) 2.5
        2) (double) 2.5
        > INCREX n
        1) (integer) 1
        2) (integer) 1
        "#,
    );
}
