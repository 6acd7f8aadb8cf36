#!lua flags=no-writes
-- KEYS: emails. ARGV: what comes before an id in the key of an account, the address, fields. Returns id and row.
local id = redis.call('HGET', KEYS[1], ARGV[2])
if not id then
  return false
end
return {id, redis.call('HMGET', ARGV[1] .. id, unpack(ARGV, 3))}
