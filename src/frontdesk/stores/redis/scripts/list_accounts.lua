#!lua flags=no-writes
-- KEYS: addresses, emails. ARGV: what comes before an id in the key of an account, the address after which to begin, at
-- most how many, fields. Returns ids and rows by turns, in the order of the addresses.
local found = {}
for _, address in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], '(' .. ARGV[2], '+', 'LIMIT', 0, ARGV[3])) do
  local id = redis.call('HGET', KEYS[2], address)
  table.insert(found, id)
  table.insert(found, redis.call('HMGET', ARGV[1] .. id, unpack(ARGV, 4)))
end
return found
