#!lua
-- with: standing
-- KEYS: sessions. ARGV: the shortest time between two moments, then a moment for each session. Returns how many moved.
local every, moved = tonumber(ARGV[1]), 0
for place, session in ipairs(KEYS) do
  local moment = tonumber(ARGV[1 + place])
  local standing, seen = stands(session, moment)
  if standing and moment > seen and moment - seen >= every then
    redis.call('HSET', session, 'last_seen_at', ARGV[1 + place])
    moved = moved + 1
  end
end
return moved
