#!lua flags=allow-oom
-- with: entry
-- ARGV: the beginning of every key, now, from when on a session that ends now is removable, the same for a key, entries.
-- An entry: realm, the realm as keys spell it, kind, target, epoch, at, expires_at. Returns how many were appended.
local base, now, session_gone, key_gone = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function end_below(place, id, field, epoch)
  local key, name = base .. 'session:' .. place .. ':' .. id, 'session:' .. place .. ':' .. id
  local found = redis.call('HMGET', key, 'subject', 'ended_at', field)
  if not found[1] or found[2] or (epoch and tonumber(found[3]) >= epoch) then
    return
  end
  redis.call('HSET', key, 'ended_at', now, 'end_reason', 'revoked')
  redis.call('ZREM', base .. 'subject:' .. place .. ':' .. found[1], id)
  redis.call('SREM', base .. 'unended:' .. place, id)
  redis.call('ZADD', removable, 'LT', session_gone, name)
end

local function raise(key, field, epoch)
  if tonumber(redis.call('HGET', key, field) or '0') < epoch then
    redis.call('HSET', key, field, integer(epoch))
  end
end

local function compromise(place, id)
  local key = base .. 'key:' .. place .. ':' .. id
  local state = redis.call('HGET', key, 'state')
  if state and state ~= 'compromised' then
    redis.call('HSET', key, 'state', 'compromised', 'changed_at', now)
    redis.call('ZADD', removable, key_gone, 'key:' .. place .. ':' .. id)
    redis.call('HINCRBY', base .. 'realm:' .. place, 'keys_version', 1)
  end
end

local function make_good(place, kind, target, epoch)
  if kind == 'session' then
    end_below(place, target, 'subject')
  elseif kind == 'subject' then
    raise(base .. 'epochs:' .. place, target, epoch)
    for _, id in ipairs(redis.call('ZRANGE', base .. 'subject:' .. place .. ':' .. target, 0, -1)) do
      end_below(place, id, 'subject_epoch', epoch)
    end
  elseif kind == 'all' then
    raise(base .. 'realm:' .. place, 'epoch', epoch)
    for _, id in ipairs(redis.call('SMEMBERS', base .. 'unended:' .. place)) do
      end_below(place, id, 'realm_epoch', epoch)
    end
  else
    compromise(place, target)
  end
end

local function is_said(realm, kind, target, epoch)
  local first = beginning(realm, kind, target)
  local from, to = '[' .. first .. string.format('%016.0f', epoch), '(' .. first .. ':'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', said, from, to)) do
    if tonumber(string.sub(member, #first + 17, #first + 32)) > tonumber(now) then
      return true
    end
  end
  return false
end

local appended = 0
for _, entry in ipairs(cmsgpack.unpack(ARGV[5])) do
  local realm, place, kind, target, epoch, at, expires_at = unpack(entry)
  make_good(place, kind, target, epoch)
  if not is_said(realm, kind, target, epoch) then
    append(realm, kind, target, epoch, at, expires_at)
    appended = appended + 1
  end
end
return appended
