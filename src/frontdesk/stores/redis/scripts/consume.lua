#!lua flags=allow-oom
-- KEYS: value. ARGV: now. Returns the value to the first who asks in time.
local held = redis.call('HMGET', KEYS[1], 'value', 'expires_at')
if not held[1] or tonumber(ARGV[1]) >= tonumber(held[2]) then
  return false
end
redis.call('HDEL', KEYS[1], 'value')
return held[1]
