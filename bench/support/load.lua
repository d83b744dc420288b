-- The load script of wrk. HAWSER_BENCH_PATHS names a file with one request path on each line, HAWSER_BENCH_KEYS, if set,
-- one with an API key on each line; with more than one of either, each request takes the next in turn. With
-- HAWSER_BENCH_THINK_MS a connection pauses for so long on average before each request. Prints one line of JSON after "RESULT ", because wrk's own text rounds.

local function lines_of(name)
   local lines = {}
   if name ~= nil then
      for line in io.lines(name) do
         lines[#lines + 1] = line
      end
   end
   return lines
end

local paths = lines_of(os.getenv("HAWSER_BENCH_PATHS"))
local keys = lines_of(os.getenv("HAWSER_BENCH_KEYS"))
wrk.path = paths[1]

if #paths > 1 or #keys > 0 then
   local requests = {}
   local at = 0

   function init()
      for i = 1, math.max(#paths, #keys) do
         local headers = nil
         if #keys > 0 then
            headers = { ["Authorization"] = "Bearer " .. keys[(i - 1) % #keys + 1] }
         end
         requests[i] = wrk.format("GET", paths[(i - 1) % #paths + 1], headers)
      end
   end

   function request()
      at = at % #requests + 1
      return requests[at]
   end
end

local think_ms = tonumber(os.getenv("HAWSER_BENCH_THINK_MS"))
if think_ms ~= nil then
   -- Between half and one and a half of it, so that the connections do not fall into step.
   function delay()
      return math.floor(think_ms * (0.5 + math.random()) + 0.5)
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"seconds":%.6f,"bytes":%d,"p50":%.1f,"p99":%.1f,' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
