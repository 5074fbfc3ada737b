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
    where cosine is not null and length(image_id) = 32
    group by image_id, level

),

joined as (

    select
        groups.generator,
        groups.label,
        aligned.level,
        aligned.cosine
    from aligned
    inner join groups on aligned.image_id = groups.content_id

),

-- of each cosine how many have it, then how many have that or a lower one
tied as (

    select
        generator,
        level,
        cosine,
        count(*) filter (where label = 0) as reals,
        count(*) filter (where label = 1) as fakes
    from joined
    group by generator, level, cosine

),

ranked as (

    select
        *,
        sum(fakes) over (partition by generator, level order by cosine)
        - fakes / 2 as fakes_below
    from tied

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
