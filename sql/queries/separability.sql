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
        level,
        avg(cosine) as cosine
    from misalignment
    where cosine is not null
    group by image_id, level

),

joined as (

    select
        groups.generator,
        groups.label,
        aligned.level,
        aligned.cosine
    from images
    inner join groups using (content_id)
    inner join aligned using (image_id)
    where images.variant = 'clean'

),

ranked as (

    select
        *,
        rank() over (partition by generator, level order by cosine)
        + (count(*) over (partition by generator, level, cosine) - 1) / 2
            as position
    from joined

),

summed as (

    select
        generator,
        level,
        count(*) filter (where label = 0) as reals,
        count(*) filter (where label = 1) as fakes,
        sum(position) filter (where label = 0) as positions
    from ranked
    group by generator, level

)

select
    * exclude (positions),
    (positions - reals * (reals + 1) / 2) / (reals * fakes) as auroc
from summed
where reals > 0 and fakes > 0
order by level, generator
