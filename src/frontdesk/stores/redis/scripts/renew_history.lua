#!lua
-- KEYS: meta. ARGV: the name.
redis.call('HSET', KEYS[1], 'history', ARGV[1])
return 1
