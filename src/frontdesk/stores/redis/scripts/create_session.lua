#!lua
-- with: row entry ending standing
-- KEYS: … session, index of its subject, realm, epochs, account, sessions that it replaces.
-- ARGV: … id, subject, realm epoch, subject epoch, created_at, from when on it is removable, most sessions, whether the
-- account says the roles, number of ids to replace, those ids, fields and values.
local session, index, epochs_of_realm, epochs, account = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local id, subject, created_at, removable_from, most = ARGV[7], ARGV[8], ARGV[11], ARGV[12], tonumber(ARGV[13])
local named = tonumber(ARGV[15])

local realm_epoch = redis.call('HGET', epochs_of_realm, 'epoch') or '0'
local subject_epoch = redis.call('HGET', epochs, subject) or '0'
if realm_epoch ~= ARGV[9] or subject_epoch ~= ARGV[10] then
  return {'epoch_moved'}
end
if redis.call('EXISTS', session) == 1 then
  return {'id_taken'}
end
local roles = false
if ARGV[14] == '1' then
  roles = redis.call('HGET', account, 'roles')
  if not roles then
    return {'no_account'}
  end
end

local replaced, standing = {}, {}
for place_of = 1, named do
  replaced[ARGV[15 + place_of]] = true
end
for _, other in ipairs(redis.call('ZRANGE', index, 0, -1)) do
  if not replaced[other] and stands(session_key(other), tonumber(now)) then
    table.insert(standing, other)
  end
end

local ended = {}
local function displace(other, key, reason)
  local found = redis.call('HMGET', key, 'subject', 'ended_at')
  if not found[1] or found[2] then
    return
  end
  finish(other, found[1], reason)
  append(realm, 'session', other, 0, now, kept)
  table.insert(ended, other)
  table.insert(ended, row(key))
end
for place_of = 1, named do
  displace(ARGV[15 + place_of], KEYS[10 + place_of], 'replaced')
end
for place_of = 1, #standing + 1 - most do
  displace(standing[place_of], session_key(standing[place_of]), 'evicted')
end

for place_of = 16 + named, #ARGV, 2 do
  redis.call('HSET', session, ARGV[place_of], ARGV[place_of + 1])
end
if roles then
  redis.call('HSET', session, 'roles', roles)
end
if redis.call('HEXISTS', session, 'ended_at') == 0 then
  redis.call('ZADD', index, created_at, id)
  redis.call('SADD', unended, id)
end
redis.call('ZADD', removable, removable_from, 'session:' .. place .. ':' .. id)
return {'created', roles, ended}
