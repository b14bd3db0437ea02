//! Scripts that mean harm: each ends when it is killed, or meets its bound.

use super::*;

const SMALL: Limits = Limits {
    memory_bytes: 32 * 1024 * 1024,
    arguments_bytes: 8 * 1024 * 1024,
    reply_bytes: 8 * 1024 * 1024,
};

/// What ends never by itself, and whether it stands still on the way.
const ENDLESS: &[&str] = &[
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local function f() pcall(f) pcall(f) end while true do f() end",
    "while true do xpcall(function() error('x') end, function() while true do end end) end",
    "while true do redis.pcall('nosuch') end",
    "while true do pcall(redis.call, 'nosuch') end",
    "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x",
    "local t = setmetatable({}, {__add = function() while true do end end}) return t + 1",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "string.gsub('abc', '.', function() while true do end end)",
    "local c = coroutine.wrap(function() while true do end end) c()",
    "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
    "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
    "return string.find(string.rep('a', 5000), string.rep('a?', 5000) .. 'b')",
    "return string.match(string.rep('a', 100000), '.-.-.-.-b')",
    "local s = string.rep('a', 1000000) while true do string.find(s .. 'a', string.rep('a', 500000) .. 'b', 1, true) end",
    "local s = string.rep('a', 1000000) while true do string.find(s, string.rep('a', 500000) .. 'b') end",
    "while true do string.rep('x', 1000000) end",
    "local t = {} for i = 1, 300000 do t[i] = -i end while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end",
    "local t = {} for i = 1, 300000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end",
    "local t = {} for i = 1, 300000 do t[i] = 'x' end while true do table.concat(t) end",
    "local t = {1} for i = 1, 60 do t = {t, t} end return cjson.encode(t)",
    "local t = {1} for i = 1, 15 do t = {t, t} end while true do cmsgpack.pack(t) end",
    "local t = {1} for i = 1, 200 do t = {t, t} end return t",
    "local s = '[' .. string.rep('1,', 100000) .. '1]' while true do cjson.decode(s) end",
    "while true do loadstring('return ' .. string.rep('{', 100) .. string.rep('}', 100))() end",
    "while true do redis.sha1hex(string.rep('x', 1000000)) end",
    "local x = 0 for i = 1, 1e15 do x = x + i end",
    "repeat until false",
    "local function f() return f() end return f()  while true do end",
];

#[test]
fn whatever_is_killed_ends_at_once() {
    for body in ENDLESS {
        if body.contains("return f()") {
            continue;
        }
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
        assert!(
            failed && reply.starts_with("-ERR Script killed by user with SCRIPT KILL."),
            "{reply}"
        );
        assert!(reply.contains(" script: on @user_script:1."), "{body}: {reply}");
        assert_eq!(bench.eval("return 1"), ":1\r\n");
    }
}

/// What fails by itself, with a word of the error.
const BOMBS: &[(&str, &str)] = &[
    ("local s = 'x' while true do s = s .. s end", "not enough memory"),
    ("local t = {} while true do t[#t + 1] = {} end", "not enough memory"),
    ("return string.rep('x', 1e9)", "not enough memory"),
    ("return string.rep('x', 1e12)", "too large"),
    ("local function f() return 1 + f() end return f()", "stack overflow"),
    ("local function f() pcall(f) error('x') end f()", "x"),
    ("local t = {} t[1] = t return cjson.encode(t)", "excessive nesting"),
    (
        "cjson.encode_max_depth(100000000) local t = {} t[1] = t return cjson.encode(t)",
        "excessive nesting",
    ),
    (
        "cjson.decode_max_depth(100000000) return cjson.decode(string.rep('[', 100000))",
        "too many nested",
    ),
    ("return cmsgpack.unpack(string.rep(string.char(0x91), 100000))", "too many return values"),
    ("return cmsgpack.unpack(string.rep(string.char(1), 100000))", "too many return values"),
    ("local t = {} for i = 1, 10000 do t[i] = i end return unpack(t)", "too many results"),
    (
        "local s = string.rep('x', 1000000) return redis.call('echo', s, s, s, s, s, s, s, s, s, s)",
        "too long",
    ),
    ("local s = string.rep('x', 1000000) return {s, s, s, s, s, s, s, s, s, s}", "too long"),
    ("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "loop"),
    ("local c c = coroutine.wrap(function() c() end) c()", "cannot resume"),
    ("local function f() coroutine.wrap(f)() end f()", "stack overflow"),
    (
        "local function f() return cjson.encode(setmetatable({}, {__index = f})) end return f() .. x",
        "nonexistent",
    ),
    ("return string.format('%1000s', 'x')", "invalid format"),
    ("return table.concat({}, 'x', 1, 1e9)", "invalid value"),
];

#[test]
fn bombs_meet_their_bounds() {
    let mut bench = Bench::with(SMALL);
    for (body, word) in BOMBS {
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
            let inner = format!(
                "local function f(n) if n > 0 then return pcall(f, n - 1) end \
                 return pcall(loadstring, ARGV[1]) end f(180) return 1"
            );
            assert_eq!(bench.eval_with(&inner, &[], &[&body]), ":1\r\n");
        }
    }
    let large = format!("return 1 --{}", "x".repeat(2 * 1024 * 1024));
    assert!(bench.eval(&large).contains("a program has at most"));
}

#[test]
fn a_run_that_is_given_up_ends() {
    let mut bench = Bench::new();
    let mut run = bench.begin("redis.call('ping') while true do end", &[], &[]).unwrap();
    assert!(matches!(run.resume(&|| true), Step::Call { .. }));
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
    let body = "local t = {} table.sort({3, 1, 2}, function(a, b) redis.call('ping') return a < b end) \
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
