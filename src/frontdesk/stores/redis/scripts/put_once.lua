#!lua
-- KEYS: removable, value. ARGV: its name in `removable`, the value, when it expires. Returns whether it was inserted.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('HSET', KEYS[2], 'value', ARGV[2], 'expires_at', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
