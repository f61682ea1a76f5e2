-- wrk's script for all loads:  load.lua [BODY | @FILE-OF-PATHS]
-- With a body: POSTs it as JSON. With a file: GETs its paths (one a line) in turn. Prints one RESULT line.
--
-- Nothing of it runs for each response, and for a body nothing for each request either: the processors are shared with
-- what is measured. `other` counts answers of 400 and above.

function init(args)
  local what = args[1] or ""
  if what:sub(1, 1) == "@" then
    local paths, at = {}, 0
    for line in io.lines(what:sub(2)) do table.insert(paths, wrk.format("GET", line)) end
    request = function()
      at = at % #paths + 1
      return paths[at]
    end
    return
  end
  if what ~= "" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = what
  end
  local once = wrk.format()
  request = function() return once end
end

function done(summary, latency)
  local other = summary.errors.status + summary.errors.timeout
  print(string.format("RESULT good=%d other=%d seconds=%.3f p50_us=%d p99_us=%d",
    summary.requests - other, other, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
