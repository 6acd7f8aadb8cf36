-- Each request shows the next of many access tokens, one per line of the file that is named.
local tokens, at = {}, 0

function init(args)
   for line in io.lines(args[1]) do tokens[#tokens + 1] = "Bearer " .. line end
end

function request()
   at = at % #tokens + 1
   wrk.headers["Authorization"] = tokens[at]
   return wrk.format("GET")
end
