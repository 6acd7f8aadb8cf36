-- Part: end sessions of one realm. ARGV: the beginning of every key, the realm as keys spell it, the realm, now, from when
-- on an ended session is removable, until when its entry is kept.
local unended = KEYS[5]
local base, place, realm, now, gone, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local function session_key(id)
  return base .. 'session:' .. place .. ':' .. id
end

local function finish(id, subject, reason)
  redis.call('HSET', session_key(id), 'ended_at', now, 'end_reason', reason)
  redis.call('ZREM', base .. 'subject:' .. place .. ':' .. subject, id)
  redis.call('SREM', unended, id)
  redis.call('ZADD', removable, 'LT', gone, 'session:' .. place .. ':' .. id)
end

-- Ends what the index of one subject lists, but for `spared`; returns ids and rows by turns.
local function finish_all(index, subject, reason, spared)
  local ended = {}
  for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    if id ~= spared then
      finish(id, subject, reason)
      table.insert(ended, id)
      table.insert(ended, row(session_key(id)))
    end
  end
  return ended
end
