//! MIGRATE, which keeps the slots of its keys while another server answers: alone and in a
//! transaction, on one shard and on several.

use crate::base::slot;
use crate::batch::Batch;
use crate::commands::action::Action;
use crate::commands::error::CommandError;
use crate::hook::Phase;
use crate::shard::letter::Letter;
use crate::testing::{Shards, printed};

const REFUSED: &[u8] = b"-ERR no\r\n";

/// Sends a request. Returns the batch that waits for the other server, and the shard where it is.
fn ask(shards: &mut Shards, line: &str) -> (Box<Batch>, usize) {
    shards.send(&[line]);
    assert!(shards.settle().is_none(), "{line}: it waits for the other server");
    let mut all = shards.shards.iter_mut().enumerate();
    let found = all.find_map(|(at, shard)| Some((shard.outbox.performs.pop()?, at)));
    found.expect("it has an action to be performed")
}

/// The request that is sent to the other server, without lengths.
fn request((batch, _): &(Box<Batch>, usize)) -> String {
    let Some(Action::Exchange(asked)) = &batch.action else { panic!("{:?}", batch.action) };
    let text = String::from_utf8_lossy(&asked.request).into_owned();
    let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
    words.collect::<Vec<_>>().join(" ")
}

/// The other server has answered. Returns what the client gets.
fn answer(
    shards: &mut Shards,
    (mut batch, at): (Box<Batch>, usize),
    said: Result<&[u8], CommandError>,
) -> String {
    batch.action = None;
    let mark = batch.replies.len();
    let result = said.map(|bytes| batch.replies.extend_from_slice(bytes));
    shards.shards[at].performed(&mut batch, mark, 5, result);
    shards.shards[at].receive(Letter::Visit(batch));
    let home = shards.settle().expect("it is answered");
    shards.session = home.session;
    printed(&home.replies)
}

/// What was journaled since the last question.
fn journaled(shards: &mut Shards) -> String {
    let mut said = Vec::new();
    for shard in &mut shards.shards {
        let (bytes, _) = shard.effects().take();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words = text.lines().filter(|line| !line.starts_with(['*', '$']));
        said.extend(words.map(str::to_owned));
    }
    said.join(" ")
}

/// Three keys, of several shards where there are some, and nothing to be journaled.
fn filled(count: u16) -> Shards {
    let mut shards = Shards::new(count);
    for line in ["SET a 1", "SET b 2", "SET c 3 PX 1000", "SET other 4"] {
        shards.run(line);
    }
    journaled(&mut shards);
    shards
}

const ALL: &str = "MIGRATE host 7 \"\" 2 10 REPLACE AUTH2 me pw KEYS a nokey b c";

#[test]
fn what_was_taken_is_gone_and_nobody_sees_it_before() {
    for count in [1, 2, 4] {
        let mut shards = filled(count);
        let asked = ask(&mut shards, ALL);
        let sent = request(&asked);
        assert!(sent.starts_with("AUTH me pw SELECT 2 RESTORE a 0 "), "{sent}");
        assert!(sent.contains(" REPLACE RESTORE b 0 ") && sent.contains(" RESTORE c 1000 "));
        assert!(!sent.contains("nokey"), "{sent}");
        shards.send(&["GET a"]);
        assert!(shards.settle().is_none(), "{count} shards: its slot is held");
        assert_eq!(shards.run("INCR other"), "(integer) 5", "other slots go on");
        let answers = [&b"+OK\r\n+OK\r\n+OK\r\n"[..], REFUSED, b"+OK\r\n"].concat();
        let mut got = answer_all(&mut shards, asked, &answers);
        got.sort();
        let error = "(error) ERR Target instance replied with error: ERR no";
        assert_eq!(got, [error, "(nil)"]);
        assert_eq!(shards.run("MGET a b c"), "1) (nil)\n2) \"2\"\n3) (nil)");
        let journal = journaled(&mut shards);
        assert!(journal.ends_with("DEL a c") || journal.starts_with("DEL a c"), "{journal}");
    }
}

/// As [`answer`], where another client waits for a slot.
fn answer_all(shards: &mut Shards, asked: (Box<Batch>, usize), said: &[u8]) -> Vec<String> {
    let (mut batch, at) = asked;
    batch.action = None;
    let mark = batch.replies.len();
    batch.replies.extend_from_slice(said);
    shards.shards[at].performed(&mut batch, mark, 5, Ok(()));
    shards.shards[at].receive(Letter::Visit(batch));
    let homes = shards.settle_all().0;
    homes.iter().map(|home| printed(&home.replies)).collect()
}

#[test]
fn what_was_not_taken_stays() {
    let line = "MIGRATE host 7 \"\" 0 10 KEYS a b";
    let reading = "(error) IOERR error or timeout reading to target instance";
    for (said, wanted, left) in [
        (&b""[..], reading, 2),
        (b"+OK\r\n+O", reading, 2),
        (b"+OK\r\n+OK\r\n+OK", reading, 1),
        (
            b"-NOAUTH x\r\n+OK\r\n+OK\r\n",
            "(error) ERR Target instance replied with error: NOAUTH x",
            2,
        ),
        (
            b"HTTP/1.1 400\r\n\r\nx\r\n",
            "(error) ERR Target instance replied with error: HTTP/1.1 400",
            2,
        ),
        (b"+OK\r\n+OK\r\n+OK\r\n", "OK", 0),
    ] {
        let mut shards = filled(2);
        let asked = ask(&mut shards, line);
        assert_eq!(answer(&mut shards, asked, Ok(said)), wanted);
        assert_eq!(shards.run("EXISTS a b"), format!("(integer) {left}"), "{wanted}");
    }
    let mut shards = filled(2);
    let asked = ask(&mut shards, line);
    let failed = CommandError::Text("IOERR x");
    assert_eq!(answer(&mut shards, asked, Err(failed)), "(error) IOERR x");
    let asked = ask(&mut shards, "MIGRATE host 7 a 0 10 COPY");
    assert_eq!(answer(&mut shards, asked, Ok(b"+OK\r\n+OK\r\n")), "OK");
    assert_eq!(
        (shards.run("EXISTS a b"), journaled(&mut shards)),
        ("(integer) 2".into(), "".into())
    );
}

/// Its changes are one record with those of the rest, also where it comes first.
#[test]
fn a_transaction_goes_on_behind_it() {
    for count in [1, 2] {
        let mut shards = filled(count);
        for line in ["MULTI", "MIGRATE host 7 a 0 10", "SET a new", "MIGRATE host 7 nokey 0 10"] {
            shards.run(line);
        }
        let asked = ask(&mut shards, "EXEC");
        assert_eq!(answer(&mut shards, asked, Ok(b"+OK\r\n+OK\r\n")), "1) OK\n2) OK\n3) NOKEY");
        assert_eq!(journaled(&mut shards), "MULTI DEL a SET a new EXEC");
    }
}

#[test]
fn a_shard_that_breaks_meanwhile_deletes_nothing() {
    for in_transaction in [false, true] {
        let mut shards = filled(2);
        shards.shards.iter_mut().for_each(|shard| shard.rebuilds(true));
        let line = "MIGRATE host 7 \"\" 0 10 KEYS a b c";
        let asked = if in_transaction {
            shards.run("MULTI");
            shards.run(line);
            ask(&mut shards, "EXEC")
        } else {
            ask(&mut shards, line)
        };
        shards.shards[asked.1].distrust();
        let got = answer(&mut shards, asked, Ok(b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n"));
        assert!(got.starts_with("(error) "), "{got}");
        assert_eq!(journaled(&mut shards), "");
        let here: usize = shards.shards.iter().map(|s| s.keyspace().slots_here()).sum();
        assert_eq!(here, usize::from(slot::SLOTS), "all slots are home");
    }
}

#[test]
fn a_batch_that_is_lost_gives_its_slots_back() {
    let mut shards = filled(2);
    drop(ask(&mut shards, ALL));
    shards.settle();
    let here: usize = shards.shards.iter().map(|shard| shard.keyspace().slots_here()).sum();
    assert_eq!(here, usize::from(slot::SLOTS));
    assert!(shards.shards.iter().any(|shard| shard.phase() == Phase::Suspect));
}

/// It waits for the slots that are away without any of its own, wherever it is.
#[test]
fn who_wants_everything_is_in_nobodys_way_meanwhile() {
    for count in [1, 2, 4] {
        for line in ["DBSIZE", "FLUSHALL", "KEYS *"] {
            let mut shards = filled(count);
            let asked = ask(&mut shards, "MIGRATE host 7 \"\" 0 10 KEYS a b");
            shards.send(&[line]);
            assert!(shards.settle().is_none(), "{line}: two slots are away");
            for number in 0..50 {
                let reply = shards.run(&format!("SET key:{number} 1"));
                assert_eq!(reply, "OK", "{line}, {count} shards");
            }
            assert!(shards.shards.iter().all(|shard| shard.waiting.len() <= 1));
            let got = answer_all(&mut shards, asked, b"+OK\r\n+OK\r\n+OK\r\n");
            assert_eq!(got.len(), 2, "{line} is answered too: {got:?}");
            let left = if line == "FLUSHALL" { 0 } else { 52 };
            assert_eq!(shards.run("DBSIZE"), format!("(integer) {left}"));
        }
    }
}
