-- Lets ids whose newest version holds a condition join it, though that version came before the condition went live.
--
-- partition, expected, next   the fill's own position: at least `expected` must be found, `next` will stand
-- revisions                   those that are being filled
-- ids, versions, times        one for each id and revision that its version holds …
-- revision                    … which one
-- per_a                       revisions that are also counted for each A
--
-- Answers {'filled', ids that joined} or what was found instead: {'position', offset}, {'dropped', revision}.

local partition = tostring(args.partition)
for _, revision in ipairs(args.revisions) do
    local field = revision .. '/' .. partition
    if redis.call('HEXISTS', base .. FILL, field .. '/live') == 0 then return { 'dropped', revision } end
    local filled = tonumber(redis.call('HGET', base .. FILL, field .. '/next') or 0)
    if filled < args.expected then return { 'position', filled } end
end

local per_a = {}
for _, revision in ipairs(args.per_a) do
    per_a[revision] = true
end

local joined = 0
for n, id in ipairs(args.ids) do
    local head, revision, time = redis.call('HGET', base .. HEAD, id), args.revision[n], args.times[n]
    -- A newer version has been evaluated itself; an older one cannot be, and one that is gone has left the horizon.
    if head and is_same_version(head, args.versions[n]) then
        local held, parent = held_and_parent(head)
        local at, has = 1, false
        for _, other in ipairs(held) do
            if other < revision then at = at + 1 end
            if other == revision then has = true end
        end
        if not has then
            table.insert(held, at, revision)
            local packed = { string.sub(head, 1, 19), struct.pack('>I2', #held) }
            for _, other in ipairs(held) do
                packed[#packed + 1] = struct.pack('>I4', other)
            end
            redis.call('HSET', base .. HEAD, id, table.concat(packed) .. parent)
            redis.call('ZADD', base .. HELD .. held_name(revision), time, id)
            if parent ~= '' and per_a[revision] then
                redis.call('ZADD', of_held_key(parent, held_name(revision)), time, id)
            end
            joined = joined + 1
        end
    end
end

for _, revision in ipairs(args.revisions) do
    local field = revision .. '/' .. partition .. '/next'
    if tonumber(redis.call('HGET', base .. FILL, field) or 0) < args.next then
        redis.call('HSET', base .. FILL, field, args.next)
    end
end
return { 'filled', joined }
