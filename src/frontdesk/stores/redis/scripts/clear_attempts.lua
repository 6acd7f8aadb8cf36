#!lua flags=allow-oom
-- KEYS: removable, tally. ARGV: its name in `removable`. Returns whether there was one.
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('DEL', KEYS[2])
