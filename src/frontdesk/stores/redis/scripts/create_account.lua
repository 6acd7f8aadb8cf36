#!lua
-- KEYS: account, emails, addresses. ARGV: id, address, fields and values. Returns whether it was inserted.
local account, emails, addresses = KEYS[1], KEYS[2], KEYS[3]
local id, address = ARGV[1], ARGV[2]
if redis.call('EXISTS', account) == 1 or redis.call('HEXISTS', emails, address) == 1 then
  return 0
end
for place = 3, #ARGV, 2 do
  redis.call('HSET', account, ARGV[place], ARGV[place + 1])
end
redis.call('HSET', emails, address, id)
redis.call('ZADD', addresses, 0, address)
return 1
