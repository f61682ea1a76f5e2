-- wrk's script for all loads:  load.lua EXPECTED-STATUS [BODY | @FILE-OF-PATHS]
-- With a body: POSTs it as JSON. With a file: GETs its paths (one a line) in turn. Prints one RESULT line.
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args)
  expected, good, other, paths, at = tonumber(args[1]), 0, 0, nil, 0
  local what = args[2] or ""
  if what:sub(1, 1) == "@" then
    paths = {}
    for line in io.lines(what:sub(2)) do table.insert(paths, line) end
  elseif what ~= "" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = what
  end
end

function request()
  if not paths then return wrk.format() end
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end

function response(status)
  if status == expected then good = good + 1 else other = other + 1 end
end

function done(summary, latency)
  local g, o = 0, 0
  for _, thread in ipairs(threads) do
    g = g + thread:get("good")
    o = o + thread:get("other")
  end
  print(string.format("RESULT good=%d other=%d seconds=%.3f p50_us=%d p99_us=%d",
    g, o, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
