//! Scripts whose replies were recorded from Valkey 9.1.2, in `recorded.txt`.
//!
//! Each was sent as EVAL with the key `key1` and the argument `arg1`. The file has a line for the
//! script, a line with a tab for Valkey's reply, and where ours differs a line with two tabs for
//! ours: those lines are the list of all differences that are known. The longer part of the file
//! was made at random.

use super::*;

/// The text of a reply with everything escaped that is no character of ASCII.
fn escaped(reply: &[u8]) -> String {
    let mut text = String::new();
    for byte in reply {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text
}

fn reply_bytes(bench: &mut Bench, script: &str) -> Vec<u8> {
    let mut run = match bench.begin(script, &["key1"], &["arg1"]) {
        Ok(run) => run,
        Err(refusal) => return refusal.into_bytes(),
    };
    let mut step = run.resume(&|| false);
    loop {
        step = match step {
            Step::Call { arguments, .. } => {
                let answer = bench.command(&arguments, run.protocol());
                run.answer(&answer, &|| false)
            }
            Step::MayCall { arguments } => {
                let answer: &[u8] = if arguments[0] == b"get" { b":1\r\n" } else { b"-ERR no\r\n" };
                run.answer(answer, &|| false)
            }
            Step::Slice | Step::Log { .. } => run.resume(&|| false),
            Step::Done { reply, .. } => return reply,
        };
    }
}

#[test]
fn replies_are_those_of_valkey() {
    let mut bench = Bench::new();
    let mut lines = include_str!("recorded.txt").lines().peekable();
    let (mut said, mut count) = (String::new(), 0);
    while let Some(script) = lines.next() {
        let recorded = lines.next().and_then(|line| line.strip_prefix('\t')).unwrap();
        let ours = lines.next_if(|line| line.starts_with("\t\t")).map(|line| &line[2..]);
        let reply = escaped(&reply_bytes(&mut bench, script));
        if reply != ours.unwrap_or(recorded) {
            said += &format!("{script}\n\t{recorded}\n\t\t{reply}\n");
        }
        count += 1;
    }
    assert!(count > 500);
    assert!(said.is_empty(), "\n{said}");
}
