#!lua flags=allow-oom
-- with: entry
-- ARGV: the beginning of every key, now, at most how many. Returns how many records were removed, the oldest first.
local base = ARGV[1]

local remove = {}

function remove.session(rest)
  local key = base .. 'session:' .. rest
  local place, id = string.match(rest, '^([^:]*):(.*)$')
  local subject = redis.call('HGET', key, 'subject')
  if subject then
    redis.call('ZREM', base .. 'subject:' .. place .. ':' .. subject, id)
  end
  redis.call('SREM', base .. 'unended:' .. place, id)
  redis.call('DEL', key)
end

function remove.attempt(rest)
  redis.call('DEL', base .. 'attempt:' .. rest)
end

function remove.once(rest)
  redis.call('DEL', base .. 'once:' .. rest)
end

function remove.log(number)
  for _, packed in ipairs(redis.call('ZRANGEBYSCORE', log, number, number)) do
    local _, realm, kind, target, epoch, _, expires_at = unpack(cmsgpack.unpack(packed))
    redis.call('ZREM', said, saying(number, realm, kind, target, tonumber(epoch), expires_at))
    redis.call('ZREM', log, packed)
  end
end

function remove.key(rest)
  local place, id = string.match(rest, '^([^:]*):(.*)$')
  redis.call('DEL', base .. 'key:' .. rest)
  redis.call('ZREM', base .. 'keys:' .. place, id)
  redis.call('HINCRBY', base .. 'realm:' .. place, 'keys_version', 1)
end

local due = redis.call('ZRANGEBYSCORE', removable, '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, name in ipairs(due) do
  local kind, rest = string.match(name, '^(%l+):(.*)$')
  remove[kind](rest)
  redis.call('ZREM', removable, name)
end
return #due
