-- Sends the requests of a file, each once and in order: eight digits of length, then the request itself.
local requests = {}
local next_one = 0

function init(args)
   local file = assert(io.open(args[1], "rb"))
   while true do
      local length = file:read(8)
      if not length then break end
      requests[#requests + 1] = file:read(tonumber(length))
   end
   file:close()
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end

function done(summary, latency)
   io.write(string.format(
      "measured %d %d %d %d %d %d %d\n",
      summary.requests, summary.duration, summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
