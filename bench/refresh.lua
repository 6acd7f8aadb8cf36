-- As many clients as tokens in the file that is named, each with a session of its own. A client waits in a queue with
-- its refresh token; the answer puts it back with the one that it brings. With "keep" as second argument the token that
-- was shown stays good, and goes back at once.
local queue, first, last = {}, 1, 0
local keep = false

local function wait(token)
   last = last + 1
   queue[last] = token
end

function init(args)
   for line in io.lines(args[1]) do wait(line) end
   keep = args[2] == "keep"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   if not keep then response = advance end
end

function request()
   local token = queue[first]
   queue[first] = nil
   first = first + 1
   if keep then wait(token) end
   return wrk.format(nil, nil, nil, '{"refresh_token":"' .. token .. '"}')
end

function advance(status, headers, body)
   wait(string.match(body, '"refresh_token":"([^"]+)"'))
end
