-- Applies a partition's batch to a shard, all or nothing.
--
-- partition, expected, next   the position that must be found, and the one that will stand
-- token                       the revisions that the batch was evaluated against; must be those adopted here
-- erased                      ids to forget, before anything else
-- ids, heads, times, parents  one for each id: its newest version in the batch
-- combination                 for each id, which of `combinations` of revisions it holds
-- per_a                       revisions that are also counted for each A
-- panes                       pane, records, pane, records, …
--
-- Answers {'applied', ids that were news} or what was found instead: {'position', offset} or {'conditions', 0}.

local partition = tostring(args.partition)
local found = redis.call('HMGET', base .. POSITIONS, partition, 'token:' .. partition)
local position = tonumber(found[1] or 0)
if position ~= args.expected then return { 'position', position } end
if (found[2] or '') ~= args.token then return { 'conditions', 0 } end

for n = 1, #args.panes, 2 do
    redis.call('HINCRBY', base .. EVENTS, args.panes[n], args.panes[n + 1])
end

for _, id in ipairs(args.erased) do
    local head = redis.call('HGET', base .. HEAD, id)
    if head then
        leave(id, head, nil, {})
        redis.call('ZREM', base .. ALL, id)
        redis.call('HDEL', base .. HEAD, id)
    end
end

local ids, heads, times, parents, combination = args.ids, args.heads, args.times, args.parents, args.combination
local combinations, keeps = args.combinations, {}
for n, revisions in ipairs(combinations) do
    keeps[n] = {}
    for _, revision in ipairs(revisions) do
        keeps[n][revision] = true
    end
end
local per_a = {}
for _, revision in ipairs(args.per_a) do
    per_a[revision] = true
end

-- What goes into each sorted set is gathered first: one ZADD of many costs a fraction of many of one.
local sets, new_heads = {}, {}
local function put(key, time, id)
    local set = sets[key]
    if not set then
        sets[key] = { time, id }
        return
    end
    local size = #set
    set[size + 1] = time
    set[size + 2] = id
end

local all, held_key = base .. ALL, base .. HELD
for first = 1, #ids, SLICE do
    local last = math.min(first + SLICE - 1, #ids)
    local olds = redis.call('HMGET', base .. HEAD, unpack(ids, first, last))
    for n = first, last do
        local id, head, old = ids[n], heads[n], olds[n - first + 1]
        if not old or is_newer(head, old) then
            local time, parent, which = times[n], parents[n], combination[n]
            if old and string.sub(old, 20) ~= string.sub(head, 20) then
                leave(id, old, parent, keeps[which])
            end
            local size = #new_heads
            new_heads[size + 1] = id
            new_heads[size + 2] = head
            put(all, time, id)
            if parent ~= '' then put(of_key(parent), time, id) end
            for _, revision in ipairs(combinations[which]) do
                local name = held_name(revision)
                put(held_key .. name, time, id)
                if parent ~= '' and per_a[revision] then put(of_held_key(parent, name), time, id) end
            end
        end
    end
end

call('HSET', base .. HEAD, new_heads)
for key, members in pairs(sets) do
    call('ZADD', key, members)
end
redis.call('HSET', base .. POSITIONS, partition, args.next)
return { 'applied', #new_heads / 2 }
