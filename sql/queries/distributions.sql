-- How are cosines distributed, real and fake, global and local, by generator?
-- A row is one generator, level and bin of the cosine that holds an image.
--
-- Clean images; one whose listings differ in their label does not count, one
-- that is listed under several generators counts for each. The bins of a level
-- are the same for all generators.
-- param bins integer 40: from a level's lowest cosine to its highest
-- generator   as in listing; one that has fakes
-- level       global: image and caption; local: mean over the objects
-- bin_from    lower edge, included
-- bin_to      upper edge, excluded but for the last
-- reals       images labelled real
-- fakes       images labelled fake
-- real_share  reals / all reals of this generator and level
-- fake_share  fakes / all fakes of them
-- against     whose reals: own; all of the DAG, where the generator has none

with source as materialized (

    select
        listed,
        label,
        level,
        step,
        images
    from cosine_steps('clean')

),

tested as (

    select
        generator,
        if(bool_or(label = 0), 'own', 'all') as against
    from (select distinct unnest(listed) as generator, label from source)
    group by generator
    having bool_or(label = 1)

),

-- which images count for which generator
kinds as (

    select
        listed.listed,
        listed.label,
        tested.generator,
        tested.against
    from (select distinct listed, label from source) as listed
    cross join tested
    where
        list_position(listed.listed, tested.generator) is not null
        or (listed.label = 0 and tested.against = 'all')

),

edges as (

    select
        level,
        min(step) as lowest,
        greatest(max(step) - min(step), 1) / $bins::bigint as width
    from source
    where step is not null
    group by level

),

counted as (

    select
        kinds.generator,
        source.level,
        least(
            floor((source.step - edges.lowest) / edges.width)::bigint,
            $bins::bigint - 1
        ) as bin,
        any_value(edges.lowest) as lowest,
        any_value(edges.width) as width,
        any_value(kinds.against) as against,
        coalesce(sum(images) filter (where label = 0), 0) as reals,
        coalesce(sum(images) filter (where label = 1), 0) as fakes
    from source
    inner join kinds using (listed, label)
    inner join edges using (level)
    where source.step is not null
    group by kinds.generator, source.level, bin

)

select
    generator,
    level,
    (lowest + bin * width) / 65536 as bin_from,
    (lowest + (bin + 1) * width) / 65536 as bin_to,
    reals::bigint as reals,
    fakes::bigint as fakes,
    reals / nullif(sum(reals) over whole, 0) as real_share,
    fakes / nullif(sum(fakes) over whole, 0) as fake_share,
    against
from counted
window whole as (partition by generator, level)
order by generator, level, bin
