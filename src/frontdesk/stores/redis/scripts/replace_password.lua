#!lua
-- KEYS: account. ARGV: the old one, the new one. Returns whether it was replaced.
if redis.call('HGET', KEYS[1], 'password') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'password', ARGV[2])
return 1
