-- Forgets what has left the horizon: the oldest of all ids, and their heads tell where else they stand.
--
-- oldest   ms since the epoch: event times before it go
-- limit    most ids to forget in this call
--
-- Answers how many went.

local before = '(' .. string.format('%.0f', args.oldest)
local ids = redis.call('ZRANGEBYSCORE', base .. ALL, '-inf', before, 'LIMIT', 0, args.limit)

for first = 1, #ids, SLICE do
    local last = math.min(first + SLICE - 1, #ids)
    local heads = redis.call('HMGET', base .. HEAD, unpack(ids, first, last))
    for n = first, last do
        local head = heads[n - first + 1]
        if head then leave(ids[n], head, nil, {}) end
    end
end
call('HDEL', base .. HEAD, ids)
call('ZREM', base .. ALL, ids)

-- Once an hour at most there is a pane to forget: the fields are looked through only then.
local hour = math.floor(args.oldest / HOUR_MS)
if tonumber(redis.call('HGET', base .. EVENTS, 'trimmed') or 0) < hour then
    local gone = {}
    for _, pane in ipairs(redis.call('HKEYS', base .. EVENTS)) do
        local number = tonumber(string.sub(pane, 2))
        if number and number < (string.sub(pane, 1, 1) == 'm' and hour * HOUR_MS / MINUTE_MS or hour) then
            gone[#gone + 1] = pane
        end
    end
    call('HDEL', base .. EVENTS, gone)
    redis.call('HSET', base .. EVENTS, 'trimmed', hour)
end
return #ids
