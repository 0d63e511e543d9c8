-- From here on, a partition's batches are evaluated against these conditions. Each that is new here goes live at the
-- partition's present position; what lies before it is for the fill.
--
-- partition, expected   the position that must be found
-- control               how far the worker has read control: one that knows less than its predecessor is refused
-- token                 the revisions, as batches will name them
-- conditions            revision, condition as JSON, …
--
-- Answers {'adopted', 0} or what was found instead: {'position', offset}, {'control', offset}, {'dropped', revision}.

local partition = tostring(args.partition)
local found = redis.call('HMGET', base .. POSITIONS, partition, 'control:' .. partition)
local position = tonumber(found[1] or 0)
if position ~= args.expected then return { 'position', position } end
if args.control < tonumber(found[2] or 0) then return { 'control', tonumber(found[2]) } end

local adopted = {}
for n = 1, #args.conditions, 2 do
    local revision = tostring(args.conditions[n])
    if redis.call('SISMEMBER', base .. DROPPED, revision) == 1 then return { 'dropped', args.conditions[n] } end
    adopted[revision] = args.conditions[n + 1]
end
for revision, condition in pairs(adopted) do
    redis.call('HSETNX', base .. CONDITIONS, revision, condition)
    redis.call('HSETNX', base .. FILL, revision .. '/' .. partition .. '/live', position)
end
-- One that was live here and no longer is would have a gap: should it come back, it begins anew.
for _, revision in ipairs(redis.call('HKEYS', base .. CONDITIONS)) do
    if not adopted[revision] then
        local field = revision .. '/' .. partition
        redis.call('HDEL', base .. FILL, field .. '/live', field .. '/next')
    end
end
redis.call('HSET', base .. POSITIONS, 'token:' .. partition, args.token, 'control:' .. partition, args.control)
return { 'adopted', 0 }
