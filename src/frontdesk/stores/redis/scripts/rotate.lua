#!lua
-- with: row entry ending
-- Writes what was decided on a row if it still has the same generation, parent and minted_at and has not ended; returns
-- the row as it was found then, and nothing if it has moved.
-- KEYS: … session. ARGV: … id, the three that were read, then either generation, parent, minted_at and last_seen_at, or
-- the reason for which it ends.
local session, id = KEYS[6], ARGV[7]
local found = redis.call('HMGET', session, 'generation', 'parent', 'minted_at', 'ended_at', 'last_seen_at')
if found[1] ~= ARGV[8] or found[2] ~= ARGV[9] or found[3] ~= ARGV[10] or found[4] then
  return false
end
local before = row(session)
if #ARGV == 11 then
  finish(id, redis.call('HGET', session, 'subject'), ARGV[11])
  append(realm, 'session', id, 0, now, kept)
else
  redis.call('HSET', session, 'generation', ARGV[11], 'parent', ARGV[12], 'minted_at', ARGV[13])
  if tonumber(ARGV[14]) > tonumber(found[5]) then
    redis.call('HSET', session, 'last_seen_at', ARGV[14])
  end
end
return before
