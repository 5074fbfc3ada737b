-- How well does the cosine alone, without training, tell real from fake?
-- A row is one generator and level (global, local) that has both kinds.
--
-- Clean images only; an image that is listed in several groups counts once in
-- each of them. This tests the hypothesis that fakes fit worse: auroc above 0.5
-- is for it, below 0.5 against it.
-- generator  as in listing
-- level      global: image and caption; local: mean over the objects
-- reals      measured images labelled real
-- fakes      measured images labelled fake
-- auroc      probability that a real has a higher cosine than a fake; ties half

with groups as (

    select distinct
        image_id as content_id,
        generator,
        label
    from listing
    where image_id is not null and label is not null

),

aligned as (

    select
        image_id,
        avg(cosine) filter (where level = 'global') as global_cosine,
        avg(cosine) filter (where level = 'local') as local_cosine
    from misalignment
    where cosine is not null and length(image_id) = 32
    group by image_id

),

joined as (

    select
        groups.generator,
        groups.label,
        unnest(['global', 'local']) as level,
        unnest([aligned.global_cosine, aligned.local_cosine]) as cosine
    from aligned
    inner join groups on aligned.image_id = groups.content_id

),

-- fakes of no higher cosine, those of the same counted half
ranked as (

    select
        generator,
        level,
        label,
        sum(label) over (partition by generator, level order by cosine)
        - sum(label) over (
            partition by generator, level order by cosine
            range between current row and current row
        ) / 2 as fakes_below
    from joined
    where cosine is not null

),

summed as (

    select
        generator,
        level,
        count(*) filter (where label = 0) as reals,
        count(*) filter (where label = 1) as fakes,
        sum(fakes_below) filter (where label = 0) as pairs
    from ranked
    group by generator, level

)

select
    generator,
    level,
    reals,
    fakes,
    pairs / (reals * fakes) as auroc
from summed
where reals > 0 and fakes > 0
order by level, generator
