//! What a script sees and what is said to it, where Valkey says the same.

use super::*;

#[test]
fn values_become_replies() {
    let mut bench = Bench::new();
    for (body, reply) in [
        ("return 1", ":1\r\n"),
        ("return 1.9", ":1\r\n"),
        ("return 'x'", "$1\r\nx\r\n"),
        ("return nil", "$-1\r\n"),
        ("return false", "$-1\r\n"),
        ("return true", ":1\r\n"),
        ("return {1,'a',{2,nil,3}}", "*3\r\n:1\r\n$1\r\na\r\n*1\r\n:2\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='My Err'}", "-My Err\r\n"),
        ("return redis.error_reply('x')", "-ERR x\r\n"),
        ("return redis.status_reply('a\\r\\nb')", "+a  b\r\n"),
        ("return {double=3.5}", "$3\r\n3.5\r\n"),
        ("return redis.call('ping')", "+PONG\r\n"),
        ("return {KEYS[1], ARGV[1], #KEYS, #ARGV}", "*2\r\n:0\r\n:0\r\n"),
    ] {
        let reply = if body.contains("KEYS") { "*0\r\n" } else { reply };
        assert_eq!(bench.eval(body), reply, "{body}");
    }
    let reply = bench.eval_with("return {KEYS[1], ARGV[2], #KEYS, #ARGV}", &["k"], &["a", "b"]);
    assert_eq!(reply, "*4\r\n$1\r\nk\r\n$1\r\nb\r\n:1\r\n:2\r\n");
    assert_eq!(bench.eval("return redis.call('set', 'k', 5)"), "+OK\r\n");
    assert_eq!(bench.eval("return redis.call('get', 'k') + 1"), ":6\r\n");
    assert_eq!(bench.eval("return redis.call('get', 'none')"), "$-1\r\n");
    assert_eq!(bench.eval("return redis.call('echo', 1.5)"), "$3\r\n1.5\r\n");
}

#[test]
fn a_command_that_fails_fails_the_script() {
    let mut bench = Bench::new();
    let reply = bench.eval("local _, e = pcall(redis.call, 'nosuch') return e");
    assert_eq!(reply, "$38\r\nERR Unknown command called from script\r\n");
    let reply = bench.eval("return redis.pcall('nosuch')");
    assert_eq!(reply, "-ERR Unknown command called from script\r\n");
    let reply = bench.eval("redis.call('nosuch') return 1");
    let place = "script: on @user_script:1.";
    assert_eq!(reply, format!("-ERR Unknown command called from script {place}\r\n"));
    assert_eq!(bench.eval("return redis.acl_check_cmd('get', 'x')"), ":1\r\n");
    assert_eq!(bench.eval("return redis.acl_check_cmd('set', 'x')"), "$-1\r\n");
    let refused = bench.eval("return (");
    assert!(refused.starts_with("-ERR Error compiling script (new function): user_script:1: "));
}

#[test]
fn both_protocols_go_both_ways() {
    let mut bench = Bench::new();
    bench.facts.protocol = Protocol::Three;
    for (reply, value, comes_back) in [
        ("_\r\n", "type(v)", "nil"),
        ("#t\r\n", "tostring(v)", "true"),
        (",1.5\r\n", "v.double", "1.5"),
        ("(123\r\n", "v.big_number", "123"),
        ("=6\r\ntxt:ab\r\n", "v.verbatim_string.format .. v.verbatim_string.string", "txtab"),
        ("%1\r\n$1\r\na\r\n:1\r\n", "v.map.a", "1"),
        ("~1\r\n$1\r\na\r\n", "tostring(v.set.a)", "true"),
        ("|1\r\n+a\r\n+b\r\n:7\r\n", "v", "7"),
    ] {
        let asked = "redis.setresp(3) local v = redis.call('raw', ARGV[1])";
        let text = bench.eval_with(&format!("{asked} return tostring({value})"), &[], &[reply]);
        assert_eq!(text, format!("${}\r\n{comes_back}\r\n", comes_back.len()));
        if !reply.starts_with('|') {
            assert_eq!(bench.eval_with(&format!("{asked} return v"), &[], &[reply]), reply);
        }
    }
    assert_eq!(bench.eval("return true"), ":1\r\n");
    assert_eq!(bench.eval("return nil"), "_\r\n");
}

#[test]
fn nothing_is_left_for_the_next_run() {
    let mut bench = Bench::new();
    for attack in [
        "rawset(_G, 'x', 1)",
        "_G.print = 1",
        "string.x = 1",
        "getmetatable('').__index = function() return 1 end",
        "setmetatable(_G, {})",
        "rawset(redis, 'call', nil)",
        "table.insert(redis, 1)",
        "getmetatable(_G).__index = nil",
        "getmetatable(_G).x = nil",
        "cjson.encode = 1",
        "KEYS = 1",
    ] {
        let said = bench.eval(attack);
        assert!(said.contains("Attempt to modify a readonly table"), "{attack}: {said}");
    }
    bench.eval("cjson.encode_invalid_numbers(true) redis.setresp(3) math.randomseed(7)");
    assert!(bench.eval("return cjson.encode(1/0)").contains("must not be NaN or Inf"));
    let first = bench.eval("return tostring(math.random())");
    assert_eq!(bench.eval("return tostring(math.random())"), first);
    assert_eq!(bench.eval_with("return #KEYS", &["a"], &[]), ":1\r\n");
    assert_eq!(bench.eval("return #KEYS"), ":0\r\n");
    for hidden in [
        "buffer", "vector", "utf8", "bit32", "debug", "require", "getfenv", "newproxy", "typeof",
        "print", "dofile", "loadfile",
    ] {
        let said = bench.eval(&format!("return {hidden}"));
        assert!(said.contains("nonexistent global"), "{hidden}: {said}");
    }
    for absent in ["table.freeze", "table.clone", "string.split", "os.time", "coroutine.close"] {
        assert_eq!(bench.eval(&format!("return type({absent})")), "$3\r\nnil\r\n");
    }
}

#[test]
fn functions_of_a_library_are_called() {
    let mut bench = Bench::new();
    let library = bench
        .load(
            "#!lua name=lib\n\
             local count = 0\n\
             redis.register_function('f', function(keys, args)\n\
               count = count + 1 return {count, args[1]} end)\n\
             server.register_function{function_name='g', description='d', flags={'no-writes'},\n\
               callback=function() return redis.call('ping') end}\n\
             redis.register_function('bad', function() return foo end)",
        )
        .unwrap();
    let names: Vec<_> = library.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["f", "g", "bad"]);
    assert_eq!(library.functions[1].flags.names().collect::<Vec<_>>(), ["no-writes"]);
    assert_eq!(library.functions[1].description.as_deref(), Some(&b"d"[..]));
    assert_eq!(bench.call(&library, "f", &["x"]), "*2\r\n:1\r\n$1\r\nx\r\n");
    assert_eq!(bench.call(&library, "f", &["x"]), "*2\r\n:2\r\n$1\r\nx\r\n");
    assert_eq!(bench.call(&library, "g", &[]), "+PONG\r\n");
    assert_eq!(
        bench.call(&library, "bad", &[]),
        "-ERR user_function:7: Script attempted to access nonexistent global variable 'foo' \
         script: on @user_function:7.\r\n",
    );
}

#[test]
fn a_library_that_fails_is_refused() {
    let mut bench = Bench::new();
    let failures = include_str!("failing_libraries.txt").lines();
    for (said, code) in failures.filter_map(|line| line.split_once('\t')) {
        let refused = bench.load(&format!("#!lua name=lib\n{code}")).unwrap_err();
        assert_eq!(refused, said, "{code}");
    }
    let timeout = bench.engine.load(b"#!lua name=lib\nwhile true do end", &|| true).unwrap_err();
    assert!(timeout.to_string().contains("FUNCTION LOAD timeout"), "{timeout}");
    let timeout = b"#!lua name=lib\nlocal a = 0 for i = 1, 1e12 do a = a + i end";
    assert!(bench.engine.load(timeout, &|| true).is_err());
}

#[test]
fn lines_go_to_the_log() {
    let mut bench = Bench::new();
    bench.eval("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')");
    assert_eq!(bench.log, [(Level::Warning, "a 1 b".to_owned())]);
    assert!(bench.eval("redis.log(9, 'x')").contains("ERR Invalid log level."));
}

#[test]
fn code_of_5_1_runs() {
    let mut bench = Bench::new();
    for (expression, text) in [
        ("select('#', unpack({}, 1, 7999))", "7999"),
        ("type(collectgarbage('count'))", "number"),
        ("type(gcinfo())", "number"),
        ("type(redis.debug)", "function"),
    ] {
        let reply = bench.eval(&format!("return tostring({expression})"));
        assert_eq!(reply, format!("${}\r\n{text}\r\n", text.len()), "{expression}");
    }
    assert!(bench.eval("return loadstring(string.char(27) .. 'Lua')").starts_with("$-1"));
    assert!(bench.eval("return coroutine.yield(1)").contains("attempt to yield"));
}
