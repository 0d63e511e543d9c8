-- Forgets a revision that is of no more use, slice by slice; from the first slice on it must not come back.
-- Heads keep naming it until their id's next version; nobody looks for it any more.
--
-- revision
-- limit      most ids to take out of it in this call
--
-- Answers how many were taken out: 0 once nothing is left of it.

local revision = string.format('%.0f', args.revision)
if redis.call('SADD', base .. DROPPED, revision) == 1 then
    -- Workers that still evaluate it must find out: no batch fits until its conditions are adopted anew.
    local tokens = {}
    for _, field in ipairs(redis.call('HKEYS', base .. POSITIONS)) do
        if string.sub(field, 1, 6) == 'token:' then tokens[#tokens + 1] = field end
    end
    call('HDEL', base .. POSITIONS, tokens)
end
local name = held_name(args.revision)
if not name then return 0 end

local held = base .. HELD .. name
local members = redis.call('ZRANGE', held, 0, args.limit - 1)
for first = 1, #members, SLICE do
    local last = math.min(first + SLICE - 1, #members)
    local heads = redis.call('HMGET', base .. HEAD, unpack(members, first, last))
    for n = 1, last - first + 1 do
        if heads[n] then
            local _, parent = held_and_parent(heads[n])
            if parent ~= '' then redis.call('UNLINK', of_held_key(parent, name)) end
        end
    end
end
call('ZREM', held, members)

if #members == 0 then
    local fields = {}
    for _, field in ipairs(redis.call('HKEYS', base .. FILL)) do
        if string.find(field, revision .. '/', 1, true) == 1 then fields[#fields + 1] = field end
    end
    call('HDEL', base .. FILL, fields)
    redis.call('HDEL', base .. CONDITIONS, revision)
end
return #members
