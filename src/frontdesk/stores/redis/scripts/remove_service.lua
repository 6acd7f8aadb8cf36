#!lua flags=allow-oom
-- KEYS: services of the realm, digests. ARGV: name. Returns whether there was one.
local digest = redis.call('HGET', KEYS[1], ARGV[1])
if not digest then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], digest)
return 1
