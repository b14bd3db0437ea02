//! Scripts that mean harm: each ends when it is killed, or meets its bound.

use super::*;

const SMALL: Limits = Limits {
    memory_bytes: 32 * 1024 * 1024,
    arguments_bytes: 8 * 1024 * 1024,
    reply_bytes: 8 * 1024 * 1024,
};

/// What never ends by itself, one script a line.
const ENDLESS: &str = include_str!("endless.txt");

/// What fails by itself: a word of the error, a tab, the script.
const BOMBS: &str = include_str!("bombs.txt");

#[test]
fn whatever_is_killed_ends_at_once() {
    for body in ENDLESS.lines() {
        let mut bench = Bench::with(SMALL);
        let mut run = bench.begin(body, &[], &[]).unwrap();
        let mut step = run.resume(&|| true);
        let mut slices = 0;
        while slices < 50 {
            step = match step {
                Step::Slice => run.resume(&|| true),
                Step::Call { arguments, .. } => {
                    let answer = bench.command(&arguments, Protocol::Two);
                    run.answer(&answer, &|| true)
                }
                Step::Done { reply, .. } => {
                    panic!("{body}: ended: {}", String::from_utf8_lossy(&reply))
                }
                other => panic!("{body}: {other:?}"),
            };
            slices += 1;
        }
        run.kill("ERR Script killed by user with SCRIPT KILL.");
        let ended = match step {
            Step::Call { .. } => run.answer(b"+OK\r\n", &|| true),
            _ => run.resume(&|| true),
        };
        let Step::Done { reply, failed } = ended else { panic!("{body}: {ended:?}") };
        let reply = String::from_utf8(reply).unwrap();
        assert!(failed && reply.starts_with("-ERR Script killed by user"), "{reply}");
        // Where the reply was being written, the script is nowhere.
        let has_place = reply.contains(" script: on @user_script:1.");
        assert!(has_place || body.ends_with("return t"), "{body}: {reply}");
        assert_eq!(bench.eval("return 1"), ":1\r\n");
    }
}

#[test]
fn bombs_meet_their_bounds() {
    let mut bench = Bench::with(SMALL);
    for (word, body) in BOMBS.lines().filter_map(|line| line.split_once('\t')) {
        let said = bench.eval(body);
        let start: String = said.chars().take(300).collect();
        assert!(said.starts_with('-') && said.contains(word), "{body}: {start}");
        assert_eq!(bench.eval("return 1"), ":1\r\n");
    }
    let deep = bench.eval("local t = {} t[1] = t return t");
    assert!(deep.contains("reached lua stack limit"));
}

#[test]
fn programs_that_nest_too_deep_are_refused() {
    let mut bench = Bench::new();
    let nested = |open: &str, close: &str, times: usize| {
        format!("return {}1{}", open.repeat(times), close.repeat(times))
    };
    for times in [100, 900, 100_000] {
        for (open, close) in [
            ("(", ")"),
            ("{", "}"),
            ("-", ""),
            ("not ", ""),
            ("function() return ", " end"),
            ("1 + (", ")"),
            ("1 .. ", ""),
            ("f{", "}"),
            ("2^", ""),
        ] {
            let body = nested(open, close, times);
            let said = bench.eval(&body);
            assert!(said.len() < 100_000, "{open}");
            // The same from within a script, deep in its stack.
            let inner = "local function f(n) if n > 0 then return pcall(f, n - 1) end \
                         return pcall(loadstring, ARGV[1]) end f(180) return 1";
            assert_eq!(bench.eval_with(inner, &[], &[&body]), ":1\r\n");
        }
    }
    let large = format!("return 1 --{}", "x".repeat(2 * 1024 * 1024));
    assert!(bench.eval(&large).contains("a program has at most"));
}

#[test]
fn a_run_that_is_given_up_ends() {
    let mut bench = Bench::new();
    let mut run = bench.begin("redis.call('ping') while true do end", &[], &[]).unwrap();
    assert!(matches!(run.resume(&|| false), Step::Call { .. }));
    assert_eq!(bench.engine.running(), 1);
    drop(run);
    let unbegun = bench.begin("return 1", &[], &[]).unwrap();
    drop(unbegun);
    assert_eq!(bench.engine.running(), 0);
    assert_eq!(bench.eval("return 1"), ":1\r\n");
}

#[test]
fn runs_stand_beside_each_other() {
    let mut bench = Bench::new();
    let body = "table.sort({3, 1, 2}, function(a, b) redis.call('ping') return a < b end) \
                return ARGV[1]";
    let names: Vec<String> = (0..40).map(|number| format!("n{number}")).collect();
    let mut runs: Vec<_> =
        names.iter().map(|name| bench.begin(body, &[], &[name]).unwrap()).collect();
    let mut steps: Vec<_> = runs.iter_mut().map(|run| run.resume(&|| true)).collect();
    assert_eq!(bench.engine.running(), 40);
    let mut left = 40;
    while left > 0 {
        for (at, run) in runs.iter_mut().enumerate().rev() {
            steps[at] = match &steps[at] {
                Step::Call { .. } => run.answer(b"+PONG\r\n", &|| true),
                Step::Slice => run.resume(&|| true),
                _ => continue,
            };
            if let Step::Done { reply, .. } = &steps[at] {
                let name = &names[at];
                assert_eq!(*reply, format!("${}\r\n{name}\r\n", name.len()).into_bytes());
                left -= 1;
            }
        }
    }
    assert_eq!(bench.engine.running(), 0);
    assert!(bench.engine.memory() > 0);
}

#[test]
fn a_slice_is_asked_for_often_and_not_always() {
    let mut bench = Bench::new();
    let count = Cell::new(0);
    let mut run = bench.begin("for i = 1, 100000 do end", &[], &[]).unwrap();
    assert!(matches!(run.resume(&counted(&count)), Step::Done { .. }));
    assert!((1_000..50_000).contains(&count.get()), "{}", count.get());
    let mut run = bench.begin("while true do end", &[], &[]).unwrap();
    assert!(matches!(killed_after(&mut *run, 3), Step::Done { failed: true, .. }));
}
