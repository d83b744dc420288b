-- The load script of the access proxy's bench. HAWSER_BENCH_METHOD says what is sent, a POST with a body of 1 KiB;
-- HAWSER_BENCH_TARGET and HAWSER_BENCH_USERS are fields of each request. Every answer is counted that is not 200 with
-- 1 KiB. Prints one line of JSON after "RESULT ".

wrk.method = os.getenv("HAWSER_BENCH_METHOD")
wrk.headers["X-Access-Proxy-To"] = os.getenv("HAWSER_BENCH_TARGET")
wrk.headers["X-Access-Proxy-Users"] = os.getenv("HAWSER_BENCH_USERS")
if wrk.method == "POST" then
   wrk.body = string.rep("b", 1024)
end

local threads = {}

function setup(thread)
   threads[#threads + 1] = thread
end

function init()
   wrong = 0
end

function response(status, headers, body)
   if status ~= 200 or #body ~= 1024 then
      wrong = wrong + 1
   end
end

function done(summary, latency)
   local errors = summary.errors
   local wrong = 0
   for _, thread in ipairs(threads) do
      wrong = wrong + thread:get("wrong")
   end
   io.write(string.format(
      'RESULT {"requests":%d,"seconds":%.6f,"bytes":%d,"p50":%.1f,"p99":%.1f,' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"wrong":%d}}\n',
      summary.requests, summary.duration / 1e6, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.status, errors.timeout, wrong))
end
