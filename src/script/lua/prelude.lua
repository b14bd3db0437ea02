-- What scripts see: Lua 5.1 with the libraries of Redis, put together from the engine's own
-- functions and from those of Rust, which come as `native`.
--
-- A function of Rust never raises: it returns true and its results, or false and a text. It is
-- raised here, with the place of whoever called. This chunk is compiled without line numbers, so
-- no message ever names it.

local native = ...

local type, select, error, rawget, rawset = type, select, error, rawget, rawset
local next, floor, format, find, gsub = next, math.floor, string.format, string.find, string.gsub
local gmatch, concat, sort = string.gmatch, table.concat, table.sort
local insert, remove = table.insert, table.remove
local engine_tostring, engine_xpcall = tostring, xpcall
local debug_info, invoke = debug.info, native.call

-- Elements of a table, or bytes of a text, from which on an operation that cannot be interrupted
-- asks first whether its time is over, or is done in another way.
local LARGE = 16384

-- The words of 5.1 for an error of the engine. `name` is that of the function that raised it.
local function worded(problem, name)
  if type(problem) == "userdata" then problem = engine_tostring(problem) end
  if type(problem) ~= "string" or #problem > 4096 then return problem end
  problem = gsub(problem, "attempt to modify a readonly", "Attempt to modify a readonly")
  problem = gsub(problem, "invalid argument (#%d+ to ')", "bad argument %1")
  problem = gsub(problem, "missing argument (#%d+ to '[^']*') %((.-) expected%)",
    "bad argument %1 (%2 expected, got no value)")
  problem = gsub(problem, "(%(string/function/table expected), got [^)]*%)", "%1)")
  problem = gsub(problem, "(%(nil or table expected), got [^)]*%)", "%1)")
  problem = gsub(problem, "(invalid capture index) %%%d in replacement string", "%1")
  problem = gsub(problem, "(invalid capture index) %%%d", "%1")
  local what = name == "format" and "no value" or "value expected"
  problem = gsub(problem, "missing argument (#%d+)$",
    "bad argument %1 to '" .. (name or "?") .. "' (" .. what .. ")")
  problem = gsub(problem, "invalid option '%%$", "%0' to 'format'")
  problem = gsub(problem, "malformed pattern %(missing arguments to '%%b'%)", "unbalanced pattern")
  problem = gsub(problem, "invalid ('for' [%a ]+) %(number expected, got %a+%)",
    "%1 must be a number")
  problem = gsub(problem, "attempt to iterate over a (%a+) value$", "attempt to call a %1 value")
  local two_operands = "attempt to perform arithmetic %(%a+%) on (%a+) and (%a+)$"
  problem = gsub(problem, two_operands, function(one, other)
    -- The first that is no number. A string may be one; it is more often so than not.
    local is_other_wrong = other ~= "number" and other ~= "string"
    local takes_other = one == "number" or one == "string" and is_other_wrong
    return "attempt to perform arithmetic on a " .. (takes_other and other or one) .. " value"
  end)
  problem = gsub(problem, "attempt to perform arithmetic %(%a+%) on (%a+)$",
    "attempt to perform arithmetic on a %1 value")
  problem = gsub(problem, "attempt to concatenate (%a+) with (%a+)$", function(one, other)
    local ok = one == "string" or one == "number"
    return "attempt to concatenate a " .. (ok and other or one) .. " value"
  end)
  problem = gsub(problem, "attempt to compare (%a+) <=? (%a+)$", function(one, other)
    if one == other then return "attempt to compare two " .. one .. " values" end
    return "attempt to compare " .. one .. " with " .. other
  end)
  return problem
end

-- Results of a function of Rust, or the error of the one who called it.
local function deliver(ok, ...)
  if ok then return ... end
  error((...), 3)
end

local function lift(raw)
  return function(...) return deliver(raw(...)) end
end

local function library(raws, more)
  local lifted = more or {}
  for name, raw in next, raws do
    lifted[name] = lift(raw)
  end
  return lifted
end

-- Whether the engine writes a number as 5.1 does.
local function is_plain(number)
  return number == floor(number) and number > -1e14 and number < 1e14
end

local function text_of(value)
  if type(value) == "number" and not is_plain(value) then return format("%.14g", value) end
  return engine_tostring(value)
end

-- Whether C takes a value for a string.
local function is_text(value)
  return type(value) == "string" or type(value) == "number"
end

local function to_string(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'tostring' (value expected)", 2) end
  return text_of((...))
end

local function wrong_argument(at, name, what)
  error("bad argument #" .. at .. " to '" .. name .. "' (" .. what .. ")", 3)
end

---------------------------------------------------------------------------------------- errors

-- The place that an error of a function of the engine lacks. The engine says where that function
-- was called; if it was called by one of ours, which have no lines, it is where ours was called.
-- `level` is that of the function of the engine, counted from whoever calls this.
local function missing_place(level)
  local source, line = debug_info(level + 2, "sl")
  if source ~= "prelude" then return "" end
  repeat
    level = level + 1
    source, line = debug_info(level + 2, "sl")
  until source ~= "prelude"
  return line and line > 0 and source .. ":" .. line .. ": " or ""
end

-- What an error says, with the words and the place of 5.1. `level` is that of who raised it,
-- counted from whoever calls this.
local function said(problem, level)
  local raiser, source, name = debug_info(level + 1, "fsn")
  -- The script's own words, or ours.
  if raiser == error then return problem end
  local text = worded(problem, name)
  if source ~= "[C]" or type(problem) ~= "string" then return text end
  -- These have no place in 5.1 either.
  if find(text, "^[Aa]ttempt to ") or text == "not enough memory" then return text end
  return missing_place(level + 1) .. text
end

-- A table that is an error is caught as its text, as it was before errors were tables.
local function caught(problem)
  if type(problem) ~= "table" then return said(problem, 2) end
  local text = problem.err
  return is_text(text) and text or problem
end

local function pcall(body, ...)
  return engine_xpcall(body, caught, ...)
end

local function xpcall(body, handler)
  return engine_xpcall(body, function(problem) return handler(said(problem, 2)) end)
end

-- What ends a run: an error becomes a table with its text and where it was raised.
local function err_handler(problem)
  local level, source, line = 2, debug_info(2, "sl")
  while source and line <= 0 do
    level = level + 1
    source, line = debug_info(level, "sl")
  end
  if type(problem) ~= "table" then
    problem = { err = "ERR " .. text_of(said(problem, 2)) }
  end
  if source then
    problem.source = "@" .. source
    problem.line = line
  end
  return problem
end

local function run(body, ...)
  return engine_xpcall(body, err_handler, ...)
end

-------------------------------------------------------------------------------------- builtins

-- The engine's own writes more digits of a number. With this one there is a level more.
local function raise_error(problem, level)
  local at = level == nil and 1 or tonumber(level)
  if not at then wrong_argument(2, "error", "number expected, got " .. type(level)) end
  if at < 1 then error(problem, 0) end
  error(type(problem) == "number" and text_of(problem) or problem, at + 1)
end

local function load_text(text, name)
  if type(text) ~= "string" then
    wrong_argument(1, "loadstring", "string expected, got " .. type(text))
  end
  return native.compile(text, type(name) == "string" and name or text)
end

local function load_pieces(piece, name)
  if type(piece) ~= "function" then
    wrong_argument(1, "load", "function expected, got " .. type(piece))
  end
  local pieces, bytes = {}, 0
  while true do
    local text = piece()
    if text == nil or text == "" then break end
    if type(text) ~= "string" then return nil, "reader function must return a string" end
    bytes = bytes + #text
    if bytes > native.SOURCE_BYTES_MAX then break end
    pieces[#pieces + 1] = text
  end
  return native.compile(concat(pieces), type(name) == "string" and name or "=(load)")
end

local function collectgarbage(option)
  if option == "count" then return native.kilobytes() end
  if option == "step" then return true end
  if option == nil or option == "collect" or option == "stop" or option == "restart"
    or option == "setpause" or option == "setstepmul" then
    return 0
  end
  wrong_argument(1, "collectgarbage", "invalid option '" .. text_of(option) .. "'")
end

---------------------------------------------------------------------------------------- string

local strings = {}
for _, name in next, { "byte", "char", "gmatch", "len", "lower", "match", "rep", "reverse",
  "sub", "upper" } do
  strings[name] = string[name]
end
strings.gfind = gmatch

function strings.dump()
  error("unable to dump given function", 2)
end

-- A search from behind the end is one at the end. The engine looks for a plain text in a way that
-- takes the product of both lengths.
function strings.find(text, pattern, from, is_plain_text)
  if type(from) == "number" and type(text) == "string" and from > #text + 1 then
    from = #text + 1
  end
  if type(text) == "string" and #text > LARGE and type(pattern) == "string"
    and (is_plain_text or not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]")) then
    native.pause()
    return native.find(text, pattern, from)
  end
  return find(text, pattern, from, is_plain_text)
end

-- Behind a `%` in a replacement anything but a digit stands for itself, and the end for a zero, as
-- it ends a text of C. To the engine both are errors.
local function escaped(following)
  if following == "" then return "\0" end
  return find(following, "[%d%%]") and "%" .. following or following
end

function strings.gsub(...)
  local text, pattern, with, count = ...
  if type(with) ~= "string" or not find(with, "%", 1, true) then return gsub(...) end
  return gsub(text, pattern, gsub(with, "%%(.?)", escaped), count)
end

-- `%s` and `%q` write a number with 14 digits; `%*` is the engine's own.
function strings.format(pattern, ...)
  if type(pattern) ~= "string" or not find(pattern, "%%[-+ #0-9.]*[sq*]") then
    return format(pattern, ...)
  end
  local count, values, at = select("#", ...), { ... }, 0
  for kind in gmatch(pattern, "%%[-+ #0-9.]*(.)") do
    if kind == "*" then error("invalid option '%*' to 'format'", 2) end
    if kind ~= "%" then
      at = at + 1
      if (kind == "s" or kind == "q") and type(values[at]) == "number" then
        values[at] = text_of(values[at])
      end
    end
  end
  return format(pattern, unpack(values, 1, count))
end

----------------------------------------------------------------------------------------- table

local tables = {}
for _, name in next, { "foreach", "foreachi", "getn", "maxn" } do
  tables[name] = table[name]
end

function tables.setn()
  error("'setn' is obsolete", 2)
end

function tables.concat(list, separator, from, to)
  if type(separator) ~= "string" and separator ~= nil then
    if type(separator) ~= "number" then
      wrong_argument(2, "concat", "string expected, got " .. type(separator))
    end
    separator = text_of(separator)
  end
  if type(list) ~= "table" then return concat(list, separator, from, to) end
  local first, last = from or 1, to or #list
  if type(first) ~= "number" or type(last) ~= "number" then
    return concat(list, separator, from, to)
  end
  local is_odd = false
  for at = first, last do
    local value = rawget(list, at)
    if type(value) == "number" then
      is_odd = is_odd or not is_plain(value)
    elseif type(value) ~= "string" then
      local place = ") at index " .. text_of(at) .. " in table for 'concat'"
      error("invalid value (" .. type(value) .. place, 2)
    end
  end
  if is_odd then
    local texts = {}
    for at = first, last do texts[at] = text_of(rawget(list, at)) end
    list = texts
  end
  return concat(list, separator, first, last)
end

function tables.insert(list, ...)
  if type(list) == "table" and #list > LARGE then native.pause() end
  insert(list, ...)
end

function tables.remove(list, ...)
  if type(list) == "table" and #list > LARGE then native.pause() end
  return remove(list, ...)
end

function tables.sort(list, is_before)
  if is_before == nil and type(list) == "table" and #list > LARGE then
    is_before = function(one, other) return one < other end
  end
  sort(list, is_before)
end

------------------------------------------------------------------------------------------ math

local maths = {}
for _, name in next, { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp",
  "floor", "fmod", "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow",
  "rad", "sin", "sinh", "sqrt", "tan", "tanh" } do
  maths[name] = math[name]
end
maths.mod = math.fmod

local function whole(value, at, name)
  local number = tonumber(value)
  if not number then
    error("bad argument #" .. at .. " to '" .. name .. "' (number expected, got "
      .. (value == nil and "no value" or type(value)) .. ")", 3)
  end
  return number - number % 1
end

function maths.random(...)
  local count, random = select("#", ...), native.random()
  if count == 0 then return random end
  if count > 2 then error("wrong number of arguments", 2) end
  local low, high = ...
  if count == 1 then low, high = 1, low end
  low, high = whole(low, 1, "random"), whole(high, count, "random")
  if low > high then wrong_argument(count, "random", "interval is empty") end
  return floor(random * (high - low + 1)) + low
end

function maths.randomseed(seed)
  native.seed(whole(seed, 1, "randomseed"))
end

----------------------------------------------------------------------------------------- server

local server = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
}
for name, value in next, native.versions do
  server[name] = value
end

local function raise(text)
  error({ err = "ERR " .. text })
end

-- What a command answered; with `is_raised` it is an error.
local function answered(reply, is_raised)
  if is_raised then error(reply) end
  return reply
end

function server.call(...)
  return answered(invoke(false, ...))
end

function server.pcall(...)
  return (invoke(true, ...))
end

function server.acl_check_cmd(...)
  return answered(native.may_call(...))
end

function server.error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  return { err = native.error_text(text) }
end

function server.status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  return { ok = text }
end

function server.sha1hex(...)
  if select("#", ...) ~= 1 then raise("wrong number of arguments") end
  local text = ...
  return native.sha1hex(is_text(text) and text_of(text) or "")
end

function server.log(...)
  local count, level = select("#", ...), tonumber((...))
  if count < 2 then raise("server.log() requires two arguments or more.") end
  if not level then raise("First argument must be a number (log level).") end
  level = level - level % 1
  if level < 0 or level > 3 then raise("Invalid log level.") end
  local words = {}
  for _, value in next, { select(2, ...) } do
    if is_text(value) then words[#words + 1] = text_of(value) end
  end
  native.log(level, concat(words, " "))
end

function server.setresp(...)
  if select("#", ...) ~= 1 then raise("server.setresp() requires one argument.") end
  local version = tonumber((...)) or 0
  version = version - version % 1
  if version ~= 2 and version ~= 3 then raise("RESP version must be 2 or 3.") end
  native.setresp(version)
end

function server.set_repl(...)
  if select("#", ...) ~= 1 then raise("server.set_repl() requires one argument.") end
  local flags = tonumber((...)) or 0
  if flags < 0 or flags > 3 then
    raise("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
  native.set_repl(flags - flags % 1)
end

-- Functions have all but these three.
local eval_server = table.clone(server)

function eval_server.breakpoint() return false end
function eval_server.debug() end
function eval_server.replicate_commands() return true end

------------------------------------------------------------------------------ register_function

-- What is registered is read in Rust; only the function itself stays here.
local function read_named(named, registered)
  for key, value in next, named do
    if not is_text(key) then
      return "named argument key given to server.register_function is not a string"
    end
    key = string.lower(key)
    if key == "function_name" then
      if not is_text(value) then
        return "function_name argument given to server.register_function must be a string"
      end
      registered.name = text_of(value)
    elseif key == "description" then
      if not is_text(value) then
        return "description argument given to server.register_function must be a string"
      end
      registered.description = text_of(value)
    elseif key == "callback" then
      if type(value) ~= "function" then
        return "callback argument given to server.register_function must be a function"
      end
      registered.callback = value
    elseif key == "flags" then
      if type(value) ~= "table" then
        return "flags argument to server.register_function must be a table representing "
          .. "function flags"
      end
      registered.flags = value
    else
      return "unknown argument given to server.register_function"
    end
  end
  if not registered.name then
    return "server.register_function must get a function name argument"
  end
  if not registered.callback then
    return "server.register_function must get a callback argument"
  end
end

local function register_function(...)
  local count, first, second = select("#", ...), ...
  local registered, problem = {}, nil
  if count < 1 or count > 2 then
    problem = "wrong number of arguments to server.register_function"
  elseif count == 1 and type(first) ~= "table" then
    problem = "calling server.register_function with a single argument is only applicable to Lua "
      .. "table (representing named arguments)."
  elseif count == 1 then
    problem = read_named(first, registered)
  elseif not is_text(first) then
    problem = "first argument to server.register_function must be a string"
  elseif type(second) ~= "function" then
    problem = "second argument to server.register_function must be a function"
  else
    registered.name, registered.callback = text_of(first), second
  end
  problem = problem or native.register(registered.name, registered.callback,
    registered.description, registered.flags)
  if problem then raise(problem) end
end

-------------------------------------------------------------------------------------- libraries

-- A `cjson` whose settings are those of this number.
local function json(settings)
  local lifted = table.clone(native.cjson_constants)
  for name, raw in next, native.cjson do
    lifted[name] = function(...) return deliver(raw(settings, ...)) end
  end
  lifted.settings = nil
  function lifted.new()
    local ok, fresh = native.cjson.settings()
    if not ok then error(fresh, 2) end
    return json(fresh)
  end
  return lifted
end

local cjson = json(0)
local cmsgpack = library(native.cmsgpack, native.cmsgpack_constants)
local struct, bit = library(native.struct), library(native.bit)

---------------------------------------------------------------------------------------- globals

-- The metatable of globals: what is not there is an error, not nil.
local missing = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. text_of(name) .. "'", 2)
  end,
}

local function globals(api)
  local seen = {
    string = strings, table = tables, math = maths, os = { clock = os.clock },
    cjson = cjson, cmsgpack = cmsgpack, struct = struct, bit = bit,
    coroutine = {}, server = api, redis = api,
    tostring = to_string, error = raise_error, pcall = pcall, xpcall = xpcall,
    load = load_pieces, loadstring = load_text,
    collectgarbage = collectgarbage, gcinfo = native.kilobytes, _VERSION = "Lua 5.1",
  }
  for _, name in next, { "create", "resume", "running", "status", "wrap", "yield" } do
    seen.coroutine[name] = coroutine[name]
  end
  for _, name in next, { "assert", "getmetatable", "ipairs", "next", "pairs", "rawequal",
    "rawget", "rawset", "select", "setmetatable", "tonumber", "type", "unpack" } do
    seen[name] = getfenv()[name]
  end
  seen._G = seen
  return setmetatable(seen, missing)
end


local load_server = setmetatable({
  register_function = register_function, log = server.log,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
}, missing)
for name, value in next, native.versions do
  load_server[name] = value
end

local eval_globals = globals(eval_server)
eval_globals.__redis__err__handler = err_handler
eval_globals.__server__err__handler = err_handler

return {
  run = run,
  eval_globals = eval_globals,
  function_globals = globals(server),
  load_globals = setmetatable({ redis = load_server, server = load_server }, missing),
  string_metatable = { __index = strings },
}
