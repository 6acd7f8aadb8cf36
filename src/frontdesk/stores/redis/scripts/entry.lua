-- Part: append to the log. The first four keys are those of `Names.of_log`.
local meta, log, said, removable = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local told = false

local function integer(number)
  return string.format('%.0f', number)
end

-- Entries of one realm, kind and target share a beginning; behind it stand epoch and expiry, in digits that sort.
local function beginning(realm, kind, target)
  return string.format('%s %d %d ', kind, #realm, #target) .. realm .. target
end

local function saying(number, realm, kind, target, epoch, expires_at)
  return beginning(realm, kind, target) .. string.format('%016.0f%016.0f', epoch, tonumber(expires_at)) .. number
end

local function append(realm, kind, target, epoch, at, expires_at)
  local number = integer(redis.call('HINCRBY', meta, 'head', 1))
  local entry = cmsgpack.pack({number, realm, kind, target, integer(epoch), at, expires_at})
  redis.call('ZADD', log, number, entry)
  if kind ~= 'changed' then
    redis.call('ZADD', said, 0, saying(number, realm, kind, target, epoch, expires_at))
  end
  redis.call('ZADD', removable, expires_at, 'log:' .. number)
  if not told then
    told = true
    redis.pcall('PUBLISH', log, '')
  end
end
