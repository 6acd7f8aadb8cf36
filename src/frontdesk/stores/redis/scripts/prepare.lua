#!lua
-- KEYS: meta. ARGV: the version of the schema, a name for the history. Returns the version that was found, if any.
local version = redis.call('HGET', KEYS[1], 'schema')
if not version then
  redis.call('HSET', KEYS[1], 'schema', ARGV[1])
  redis.call('HSETNX', KEYS[1], 'history', ARGV[2])
end
return version
