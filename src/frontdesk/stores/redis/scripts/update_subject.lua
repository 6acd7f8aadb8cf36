#!lua
-- with: row entry ending standing
-- KEYS: … index of the subject, account. ARGV: … subject, roles of the account or nothing, fields and values.
-- Returns how many of the sessions stand.
local subject, standing = ARGV[7], 0
local ids = redis.call('ZRANGE', KEYS[6], 0, -1)
for _, id in ipairs(ids) do
  local session = session_key(id)
  for place_of = 9, #ARGV, 2 do
    redis.call('HSET', session, ARGV[place_of], ARGV[place_of + 1])
  end
  if stands(session, tonumber(now)) then
    standing = standing + 1
  end
end
if ARGV[8] ~= '' and redis.call('EXISTS', KEYS[7]) == 1 then
  redis.call('HSET', KEYS[7], 'roles', ARGV[8])
end
if #ids > 0 then
  append(realm, 'changed', subject, 0, now, kept)
end
return standing
