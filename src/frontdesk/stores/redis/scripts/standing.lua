-- Part: `core.sessions.evaluate`, for scripts that have to ask it about many sessions in one step.
local function stands(session, at)
  local limits = redis.call('HMGET', session, 'expires_at', 'last_seen_at', 'idle_timeout', 'ended_at')
  if not limits[1] or limits[4] then
    return false
  end
  local seen = tonumber(limits[2])
  return at < tonumber(limits[1]) and at < seen + tonumber(limits[3]), seen
end
