-- How well does the cosine alone, without training, tell real from fake?
-- A row is one generator and level (global, local) that has both kinds.
--
-- Clean images only; an image that is listed in several groups counts once in
-- each of them. This tests the hypothesis that fakes fit worse: auroc above 0.5
-- is for it, below 0.5 against it. Cosines are compared in steps of 2^-16,
-- a quarter of what float16 vectors leave uncertain.
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

measured as (

    select
        image_id,
        case when level = 'global' then cosine end as cosine_of_image,
        case when level = 'local' then cosine end as cosine_of_object
    from misalignment
    where length(image_id) = 32

),

aligned as (

    select
        image_id,
        any_value(cosine_of_image) as cosine_global,
        avg(cosine_of_object) as cosine_local
    from measured
    group by image_id

),

joined as (

    select
        groups.generator,
        groups.label,
        unnest(['global', 'local']) as level,
        unnest([
            round(aligned.cosine_global * 65536)::integer,
            round(aligned.cosine_local * 65536)::integer
        ]) as step
    from aligned
    inner join groups on aligned.image_id = groups.content_id

),

-- a row a step instead of an image: there is much less to sort
counted as (

    select
        generator,
        level,
        step,
        count(*) filter (where label = 0) as reals,
        count(*) filter (where label = 1) as fakes
    from joined
    where step is not null
    group by generator, level, step

),

-- fakes of no higher cosine, those of the same counted half
ranked as (

    select
        generator,
        level,
        reals,
        fakes,
        sum(fakes) over (partition by generator, level order by step)
        - fakes / 2 as fakes_below
    from counted

),

summed as (

    select
        generator,
        level,
        sum(reals) as reals,
        sum(fakes) as fakes,
        sum(reals * fakes_below) as pairs
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
