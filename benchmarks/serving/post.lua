-- Sends the requests whose files it is given, one after another, as they are; ends with one line
-- of JSON: what wrk counted, times in microseconds.

local messages, last = {}, 0

function init(files)
  for number, name in ipairs(files) do
    local file = assert(io.open(name, "rb"))
    messages[number] = file:read("*a")
    file:close()
  end
end

function request()
  last = last % #messages + 1
  return messages[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "longest": %d, ' ..
    '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
