-- The load script of wrk. HAWSER_BENCH_PATHS names a file with one request path on each line; with more than one, each
-- request takes the next in turn. Prints one line of JSON after "RESULT ", because wrk's own text rounds.

local paths = {}
for line in io.lines(os.getenv("HAWSER_BENCH_PATHS")) do
   paths[#paths + 1] = line
end
wrk.path = paths[1]

if #paths > 1 then
   local requests = {}
   local at = 0

   function init()
      for i, path in ipairs(paths) do
         requests[i] = wrk.format("GET", path)
      end
   end

   function request()
      at = at % #requests + 1
      return requests[at]
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
