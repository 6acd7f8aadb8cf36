#!lua flags=no-writes
-- KEYS: meta, log. ARGV: the cursor, at most how many.
-- Returns the name of the history, the head, the entries, the server's time, and what the server says about itself.
local known = redis.call('HMGET', KEYS[1], 'history', 'head')
local entries = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])
return {known[1], known[2] or '0', entries, redis.call('TIME'), redis.call('INFO', 'server', 'replication')}
