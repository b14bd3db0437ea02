//! What a client sees of counting, and what the journal does.

use crate::testing::{Shards, Store, dialogue};

#[test]
fn elements_are_counted_once() {
    dialogue(
        &mut Store::new(),
        r#"
        > PFADD h a b c
        (integer) 1
        > PFADD h a c
        (integer) 0
        > PFCOUNT h
        (integer) 3
        > PFADD {h}2 c d
        (integer) 1
        > PFCOUNT h {h}2 nothing
        (integer) 4
        > PFCOUNT nothing
        (integer) 0
        > PFMERGE {h}3 h {h}2
        OK
        > PFCOUNT {h}3
        (integer) 4
        > PFMERGE {h}4
        OK
        > PFCOUNT {h}4
        (integer) 0
        > PFADD new
        (integer) 1
        > PFADD new
        (integer) 0
        > OBJECT ENCODING new
        "raw"
        > TYPE h
        string
        "#,
    );
}

#[test]
fn a_value_has_the_bytes_that_redis_gives_it() {
    let mut store = Store::new();
    for (line, value) in [
        ("PFADD h", r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff""#),
        ("PFCOUNT h", r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff""#),
        ("PFADD h x", r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xf5\x84\x08""#),
        ("PFCOUNT h", r#""HYLL\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x7f\xf5\x84\x08""#),
    ] {
        store.run(line);
        assert_eq!(store.run("GET h"), value, "{line}");
    }
}

#[test]
fn what_is_no_value_and_what_does_not_add_up_are_refused() {
    let mut store = Store::new();
    store.run("SET s x");
    store.run(r#"SET c "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f""#);
    store.effects();
    let no_value = "(error) WRONGTYPE Key is not a valid HyperLogLog string value.";
    let corrupted = "(error) INVALIDOBJ Corrupted HLL object detected";
    for (line, reply) in [
        ("PFADD s x", no_value),
        ("PFADD s", no_value),
        ("PFCOUNT s", no_value),
        ("PFCOUNT nothing s", no_value),
        ("PFMERGE s", no_value),
        ("PFMERGE d s", no_value),
        ("PFADD c x", corrupted),
        ("PFADD c a x", corrupted),
        ("PFCOUNT c", corrupted),
        ("PFCOUNT nothing c", corrupted),
        ("PFMERGE c", corrupted),
        ("PFMERGE d c", corrupted),
        ("PFADD c", "(integer) 0"),
        ("EXISTS d", "(integer) 0"),
        ("GET c", r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f""#),
    ] {
        assert_eq!(store.run(line), reply, "{line}");
    }
    assert_eq!(store.effects(), "");
}

#[test]
fn the_setting_says_when_a_value_becomes_dense() {
    let mut store = Store::new();
    store.configure("hll-sparse-max-bytes", "20");
    store.run("PFADD h x");
    assert_eq!(store.run("PFDEBUG ENCODING h"), "sparse");
    store.run("PFADD h y");
    assert_eq!(store.run("PFDEBUG ENCODING h"), "dense");
    store.configure("hll-sparse-max-bytes", "3000");
    store.run("PFADD {h}2 a b c");
    store.run("PFMERGE {h}2 h");
    assert_eq!(store.run("PFDEBUG ENCODING {h}2"), "dense");
    assert_eq!(store.run("STRLEN {h}2"), "(integer) 12304");
    assert_eq!(store.run("PFCOUNT {h}2"), "(integer) 5");
}

#[test]
fn records_say_what_changed_and_nothing_else() {
    let mut store = Store::new();
    let merged = r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xf5\x84\x08""#;
    for (line, record) in [
        ("PFADD h x", "PFADD h x".to_owned()),
        ("PFADD h x", String::new()),
        ("PFCOUNT h", "PFCOUNT h".to_owned()),
        ("PFCOUNT h", String::new()),
        ("PFCOUNT h nothing", String::new()),
        ("PFMERGE {h}2 h", "PFMERGE {h}2 h".to_owned()),
        ("PFMERGE d h", format!("SET d {merged} KEEPTTL")),
    ] {
        store.run(line);
        assert_eq!(store.effects(), record, "{line}");
    }
}

#[test]
fn the_values_may_lie_on_several_shards() {
    let (mut shards, mut late) = (Shards::new(4), Shards::new(2));
    for number in 0..200 {
        for line in [
            format!("PFADD a:{} x{number} y{number}", number % 7),
            format!("PFMERGE b:{} a:{} a:{}", number % 3, number % 5, number % 7),
            format!("PFCOUNT b:{}", number % 3),
        ] {
            assert!(!shards.run(&line).contains("error"), "{line}");
            late.load(&shards.records());
        }
    }
    assert_eq!(shards.run("DEBUG DIGEST"), late.run("DEBUG DIGEST"));
    let all: Vec<String> = (0..7).map(|number| format!("a:{number}")).collect();
    let count = shards.run(&format!("PFCOUNT {}", all.join(" ")));
    let count: i64 = count.trim_start_matches("(integer) ").parse().expect("a number");
    assert!((390..=410).contains(&count), "{count}");
}
